//! Whether the other side of a connection is alive.
//!
//! Whoever has said nothing for a while is asked, and whoever does not answer is gone. Pure: the
//! time is an argument. Invariant: at rest there is one question and one answer each interval.

use std::time::Duration;

use tokio::time::Instant;

/// After so much silence the other side is asked.
pub(super) const INTERVAL: Duration = Duration::from_millis(2500);
/// After so much silence it is taken for dead.
pub(super) const DEAD_AFTER: Duration = Duration::from_millis(7500);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing before then.
    Wait(Instant),
    /// Ask with this word.
    Ask(u64),
    /// It is dead.
    Dead,
}

/// What is known of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heart {
    heard: Instant,
    asked: Option<(u64, Instant)>,
    next_ask: Instant,
    word: u64,
    round_trip: Option<Duration>,
}

impl Heart {
    /// That of a connection which was just made.
    pub fn new(now: Instant) -> Heart {
        Heart { heard: now, asked: None, next_ask: now, word: 0, round_trip: None }
    }

    /// Something has come, or something could be written at last.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The answer to a question has come.
    pub fn answered(&mut self, now: Instant, word: u64) {
        if let Some((_, at)) = self.asked.take_if(|(asked, _)| *asked == word) {
            self.round_trip = Some(now.duration_since(at));
        }
    }

    /// What is to be done now.
    pub fn beat(&mut self, now: Instant) -> Beat {
        let dead_at = self.heard + DEAD_AFTER;
        if now >= dead_at {
            return Beat::Dead;
        }
        if now < self.next_ask {
            return Beat::Wait(self.next_ask.min(dead_at));
        }
        self.next_ask = now + INTERVAL;
        self.word += 1;
        self.asked = Some((self.word, now));
        Beat::Ask(self.word)
    }

    /// How long the last answer took.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_lives_and_who_is_silent_is_dead_within_ten_seconds() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut heart = Heart::new(start);
        assert_eq!(heart.beat(start), Beat::Ask(1));
        heart.heard(at(3));
        heart.answered(at(3), 1);
        assert_eq!(heart.round_trip(), Some(Duration::from_millis(3)));
        assert_eq!(heart.beat(at(4)), Beat::Wait(at(2500)));
        assert_eq!(heart.beat(at(2500)), Beat::Ask(2));
        // An answer to something else is none, but a sign of life.
        heart.answered(at(2600), 1);
        heart.heard(at(2600));
        assert_eq!(heart.beat(at(5000)), Beat::Ask(3));
        assert_eq!(heart.beat(at(7500)), Beat::Ask(4));
        assert_eq!(heart.beat(at(7501)), Beat::Wait(at(10_000)));
        assert_eq!(heart.beat(at(10_099)), Beat::Ask(5));
        assert_eq!(heart.beat(at(10_100)), Beat::Dead);
    }
}
