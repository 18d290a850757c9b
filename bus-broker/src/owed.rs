//! Confirmations that are owed to clients which say nothing more.
//!
//! What comes later takes a confirmation along; but whoever has said something and falls silent would keep
//! it, and not know what of it has arrived when the broker is lost. Invariants: a session with something that
//! is not confirmed is noted once; the broker wakes for them four times a second at the most, whatever
//! their number, unless very many are due together.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use bus_core::Time;
use bus_core::router::SessionId;

use crate::hub::Hub;
use crate::slot::slot_of;

/// Sessions are looked at together, as many as are due until the next such moment.
const STEP: Duration = Duration::from_millis(250);
/// Sessions that are looked at before others have their turn, and the pause after that.
const LOOKS_MAX: usize = 64;
const PAUSE: Duration = Duration::from_millis(1);

/// Who is to be looked at, and when.
pub(crate) struct Owed<S = SessionId> {
    first: BinaryHeap<Reverse<(Time, S)>>,
    not_before: Time,
}

impl<S: Ord + Copy> Default for Owed<S> {
    fn default() -> Self {
        Owed { first: BinaryHeap::new(), not_before: Time::ZERO }
    }
}

impl<S: Ord + Copy> Owed<S> {
    /// It is to be looked at then or a little later, if it is.
    pub fn note(&mut self, session: S, due: Option<Time>) {
        let Some(due) = due else { return };
        let step = STEP.as_nanos() as u64;
        let due = Time::from_nanos(due.as_nanos().div_ceil(step).saturating_mul(step));
        self.first.push(Reverse((due, session)));
    }

    /// When to look.
    fn due(&self) -> Option<Time> {
        self.first.peek().map(|Reverse((due, _))| self.not_before.max(*due))
    }

    /// Those who are due now, or some of them.
    fn take(&mut self, now: Time) -> Vec<S> {
        let mut taken = Vec::new();
        while self.due().is_some_and(|due| due <= now) && taken.len() < LOOKS_MAX {
            taken.extend(self.first.pop().map(|Reverse((_, session))| session));
        }
        if taken.len() == LOOKS_MAX {
            self.not_before = now.after(PAUSE);
        }
        taken
    }
}

impl Hub {
    /// When there is something to do though nobody says anything.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.router.next_deadline().into_iter().chain(self.owed.due()).min()
    }

    /// Has those confirmed for whom it is time: they are written to with all others that have output.
    pub(crate) fn confirm_aged(&mut self) {
        let now = self.now();
        for session in self.owed.take(now) {
            let Some(slot) = slot_of(&mut self.slots, session) else { continue };
            match slot.state.inbound.look_again(now) {
                Some(due) => self.owed.note(session, Some(due)),
                None if !std::mem::replace(&mut slot.dirty, true) => {
                    self.dirty.push(session.index());
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Wakes whenever somebody is due, for so long: how often, and how often each was looked at. Whoever is
    /// looked at has said something since.
    fn live(sessions: u32, seconds: u64) -> (usize, Vec<u64>) {
        let mut owed = Owed::default();
        for session in 0..sessions {
            let begun = Time::from_nanos(u64::from(session) * 997_000);
            owed.note(session, Some(begun.after(SECOND)));
        }
        let end = Time::ZERO.after(SECOND * seconds as u32);
        let (mut wakes, mut looks) = (0, vec![0; sessions as usize]);
        while let Some(now) = owed.due().filter(|due| *due < end) {
            wakes += 1;
            for session in owed.take(now) {
                looks[session as usize] += 1;
                owed.note(session, Some(now.after(SECOND)));
            }
        }
        (wakes, looks)
    }

    #[test]
    fn many_who_go_on_talking_are_looked_at_once_a_second_and_wake_the_broker_seldom() {
        let (wakes, looks) = live(200, 20);
        assert!(wakes <= 4 * 20 + 20 * 4, "{wakes} times in 20 seconds");
        assert!(looks.iter().all(|looks| (15..=20).contains(looks)), "{looks:?}");
        let (wakes, _) = live(10_000, 20);
        assert!(
            wakes < 20 * 10_000 / LOOKS_MAX + 200,
            "{wakes}: as many at a time as there may be"
        );
    }

    #[test]
    fn nobody_is_looked_at_early_and_a_crowd_in_parts() {
        let mut owed = Owed::default();
        let due = Time::ZERO.after(SECOND);
        (0..100).for_each(|session| owed.note(session, Some(due)));
        assert_eq!(owed.due(), Some(due));
        assert!(owed.take(Time::ZERO.after(SECOND / 2)).is_empty());
        assert_eq!(owed.take(due).len(), LOOKS_MAX);
        assert!(owed.take(due).is_empty(), "others have their turn");
        assert_eq!(owed.due(), Some(due.after(PAUSE)));
        assert_eq!(owed.take(due.after(PAUSE)).len(), 100 - LOOKS_MAX);
        assert_eq!(owed.due(), None);
    }
}
