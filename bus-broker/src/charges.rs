//! What the connections of one source have cost lately, and how long its next one waits for it.
//!
//! Each that begins is charged a little, and one that ends badly is charged much more. What is
//! charged is paid off by the passing of time. Who owes more than anybody honest comes to owe waits
//! before he is heard, the longer the more he owes, and never longer than 60 ms; nobody
//! else waits for him. It has no clock and no tasks of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use bus_core::Time;

use crate::handshakes::HANDSHAKES_PER_SOURCE_MAX;
use crate::listen::HEARD_PER_SECOND_MAX;

/// For a connection that begins: five hundred of them in a second are paid off as they come.
const BEGINS: Duration = Duration::from_millis(2);
/// Beside that for one that ends badly: a good sixty of them in a second are.
const ENDS_BADLY: Duration = Duration::from_millis(14);
/// What may be owed without waiting: as many connections as a user may have sessions, all beginning
/// at once, as after a restart, or five hundred bad ones.
const CREDIT: Duration = Duration::from_millis(8200);
/// The longest wait; no more is ever owed than what leads to it. Whoever waits stands among the
/// connections in their handshake, of which a source has a few hundred, and the oldest of them go
/// first: so it must be heard before that many others of its source have come.
const WAIT_MAX: Duration = Duration::from_millis(60);
/// Sources that are remembered. When there are more, the one that owes least is forgotten.
const SOURCES_MAX: usize = 4096;

const _: () = {
    assert!(BEGINS.as_millis() < ENDS_BADLY.as_millis());
    let heard = WAIT_MAX.as_millis() as usize * HEARD_PER_SECOND_MAX / 1000;
    assert!(heard < HANDSHAKES_PER_SOURCE_MAX);
};

/// What each source owes, as the time at which it will be paid off.
#[derive(Debug)]
pub(crate) struct Charges<S> {
    paid_off: HashMap<S, Time>,
}

impl<S> Default for Charges<S> {
    fn default() -> Self {
        Charges { paid_off: HashMap::new() }
    }
}

impl<S: Copy + Eq + Hash> Charges<S> {
    /// A connection of this source begins: how long it waits until it is heard.
    pub fn begins(&mut self, source: S, now: Time) -> Duration {
        self.charge(source, now, BEGINS)
    }

    /// One of its connections has ended badly.
    pub fn ended_badly(&mut self, source: S, now: Time) {
        self.charge(source, now, ENDS_BADLY);
    }

    fn charge(&mut self, source: S, now: Time, cost: Duration) -> Duration {
        if !self.paid_off.contains_key(&source) && self.paid_off.len() >= SOURCES_MAX {
            self.forget_some(now);
        }
        let paid_off = self.paid_off.entry(source).or_insert(now);
        let owed = (*paid_off).max(now).after(cost).since(now).min(CREDIT + WAIT_MAX);
        *paid_off = now.after(owed);
        owed.saturating_sub(CREDIT)
    }

    /// Makes room for one.
    fn forget_some(&mut self, now: Time) {
        self.paid_off.retain(|_, paid_off| *paid_off > now);
        if self.paid_off.len() >= SOURCES_MAX {
            let least = self.paid_off.iter().min_by_key(|(_, paid_off)| **paid_off);
            if let Some(least) = least.map(|(source, _)| *source) {
                self.paid_off.remove(&least);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: Duration) -> Time {
        Time::ZERO.after(time)
    }

    /// Connections of one source, one after the other, each waiting for as long as it is told and
    /// then ending badly or well. How many of them fit into this time.
    fn one_after_the_other(
        charges: &mut Charges<u32>,
        source: u32,
        bad: bool,
        time: Duration,
    ) -> u32 {
        let (mut now, mut count) = (Duration::ZERO, 0);
        while now < time {
            now += charges.begins(source, at(now)) + Duration::from_micros(200);
            if bad {
                charges.ended_badly(source, at(now));
            }
            count += 1;
        }
        count
    }

    #[test]
    fn bad_connections_wait_and_honest_ones_of_others_do_not() {
        let mut charges = Charges::default();
        let count = one_after_the_other(&mut charges, 8, true, Duration::from_secs(10));
        // The credit, and then what time pays off.
        assert!((1000..1300).contains(&count), "{count} bad connections in ten seconds");
        let now = at(Duration::from_secs(10));
        assert!(charges.begins(8, now) > Duration::ZERO);
        assert_eq!(charges.begins(7, now), Duration::ZERO);
    }

    #[test]
    fn waits_grow_up_to_a_limit_and_are_over_when_the_charge_is_paid_off() {
        let (mut charges, now) = (Charges::default(), at(Duration::from_secs(5)));
        let mut last = Duration::ZERO;
        for _ in 0..1000 {
            charges.ended_badly(8, now);
            let wait = charges.begins(8, now);
            assert!((last..=WAIT_MAX).contains(&wait));
            last = wait;
        }
        assert_eq!(last, WAIT_MAX);
        assert_eq!(charges.begins(8, now.after(WAIT_MAX + BEGINS)), Duration::ZERO);
    }

    #[test]
    fn whoever_connects_often_and_behaves_does_not_wait() {
        let mut charges = Charges::default();
        let time = Duration::from_secs(20);
        for number in 0..20 * 400 {
            assert_eq!(charges.begins(7, at(time * number / (20 * 400))), Duration::ZERO);
        }
        // All clients of a machine at once, after their broker was restarted.
        let later = at(2 * time);
        assert!((0..4096).all(|_| charges.begins(7, later) == Duration::ZERO));
        // And one who does not stop.
        let count = one_after_the_other(&mut Charges::default(), 7, false, time);
        assert!((13_000..15_000).contains(&count), "{count} connections in twenty seconds");
    }

    #[test]
    fn sources_are_forgotten_that_owe_nothing_or_least() {
        let mut charges = Charges::default();
        for source in 0..SOURCES_MAX as u32 {
            charges.begins(source, at(Duration::from_secs(1)));
        }
        charges.ended_badly(0, at(Duration::from_secs(1)));
        charges.begins(1_000_000, at(Duration::from_secs(1)));
        assert_eq!(charges.paid_off.len(), SOURCES_MAX);
        assert!(charges.paid_off.contains_key(&0), "it owes most");
        charges.begins(1_000_001, at(Duration::from_secs(2)));
        assert_eq!(charges.paid_off.len(), 1);
    }
}
