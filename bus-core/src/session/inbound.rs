//! The receiving half of a session: counts sequenced frames and says when to confirm them.
//!
//! Invariant: `received` is the number of sequenced frames taken from the peer since the
//! session began, whatever connections they came over.

use std::time::Duration;

use crate::limits::{CONFIRM_BYTES, CONFIRM_FRAMES};
use crate::time::Time;

/// A confirmation goes with other frames after this part of what makes it go alone.
const WITH_OTHERS_PART: usize = 16;

/// What has waited for so long is confirmed, alone if it must be: whoever says little, or nothing more, would
/// else not learn for long what has arrived.
const CONFIRM_PAUSE: Duration = Duration::from_secs(1);

/// The receiving half.
#[derive(Debug, Default)]
pub struct Inbound {
    received: u64,
    confirmed: u64,
    bytes: usize,
    /// The next frames that go out take a confirmation with them.
    hurries: bool,
    /// Since when something is not confirmed, and whether that is too long.
    unconfirmed_since: Option<Time>,
    is_aged: bool,
    /// Somebody looks again when it may be.
    is_watched: bool,
}

impl Inbound {
    /// Notes so many sequenced frames with so many bytes in all.
    pub fn note(&mut self, frames: u64, bytes: usize) {
        self.received += frames;
        self.bytes += bytes;
    }

    /// Something has come, and it is so late now. When to [`look_again`](Inbound::look_again), unless
    /// that was told before.
    #[inline]
    pub fn note_time(&mut self, now: Time) -> Option<Time> {
        if self.received == self.confirmed {
            return None;
        }
        let since = *self.unconfirmed_since.get_or_insert(now);
        self.is_aged = now.since(since) >= CONFIRM_PAUSE;
        let is_told = std::mem::replace(&mut self.is_watched, true);
        (!is_told).then(|| since.after(CONFIRM_PAUSE))
    }

    /// It is so late now, whether something has come or not. When to look again, if that is needed; if not,
    /// there may be something to confirm.
    pub fn look_again(&mut self, now: Time) -> Option<Time> {
        self.is_watched = false;
        let again = self.note_time(now);
        self.is_watched = again.is_some() && !self.is_aged;
        again.filter(|_| self.is_watched)
    }

    /// The number of the last sequenced frame.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether a confirmation should be sent though nothing else is.
    pub fn must_confirm(&self) -> bool {
        self.is_aged
            || self.bytes >= CONFIRM_BYTES
            || self.received - self.confirmed >= CONFIRM_FRAMES
    }

    /// Whether a confirmation should go with what is sent. Not with every frame of a
    /// conversation: taking one costs about as much as the frame itself.
    pub fn may_confirm(&self) -> bool {
        self.hurries
            || self.bytes >= CONFIRM_BYTES / WITH_OTHERS_PART
            || self.received - self.confirmed >= CONFIRM_FRAMES / WITH_OTHERS_PART as u64
    }

    /// A ping is answered, or asks for it: both sides can then let go of everything.
    pub fn hurry(&mut self) {
        self.hurries = true;
    }

    /// What to confirm, if there is anything new.
    pub fn confirm(&mut self) -> Option<u64> {
        (self.hurries, self.is_aged, self.unconfirmed_since) = (false, false, None);
        if self.received == self.confirmed {
            return None;
        }
        self.confirmed = self.received;
        self.bytes = 0;
        Some(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_little_is_confirmed_once_a_second() {
        let mut inbound = Inbound::default();
        let mut confirmed = Vec::new();
        for tenth in 0..50 {
            inbound.note(1, 100);
            inbound.note_time(Time::ZERO.after(Duration::from_millis(5_000 + 100 * tenth)));
            if inbound.must_confirm() {
                confirmed.extend(inbound.confirm());
            }
        }
        assert_eq!(confirmed, [11, 22, 33, 44], "a second after the first of them");
    }

    #[test]
    fn what_is_confirmed_is_not_confirmed_again_for_its_age() {
        let mut inbound = Inbound::default();
        inbound.note(CONFIRM_FRAMES, 100);
        assert_eq!(inbound.confirm(), Some(CONFIRM_FRAMES));
        inbound.note_time(Time::ZERO.after(Duration::from_secs(9)));
        assert!(!inbound.must_confirm());
    }

    #[test]
    fn who_falls_silent_is_looked_at_until_all_is_confirmed() {
        let at = |millis| Time::ZERO.after(Duration::from_millis(millis));
        let mut inbound = Inbound::default();
        assert_eq!(inbound.note_time(at(100)), None, "nothing has come");
        inbound.note(3, 100);
        assert_eq!(inbound.note_time(at(200)), Some(at(1200)));
        inbound.note(1, 10);
        assert_eq!(inbound.note_time(at(300)), None, "it is told once");
        // What had come is confirmed on the way, and more came then.
        assert_eq!(inbound.confirm(), Some(4));
        inbound.note(1, 10);
        assert_eq!(inbound.note_time(at(900)), None, "somebody looks anyway");
        assert_eq!(inbound.look_again(at(1200)), Some(at(1900)));
        assert!(!inbound.must_confirm());
        assert_eq!(inbound.look_again(at(1900)), None);
        assert!(inbound.must_confirm());
        assert_eq!(inbound.confirm(), Some(5));
        assert_eq!(inbound.look_again(at(3000)), None, "nothing is owed");
        inbound.note(1, 10);
        assert_eq!(inbound.note_time(at(4000)), Some(at(5000)), "and it begins anew");
    }
}
