//! Deadlines of the router, in order.
//!
//! A timer that is no longer wanted is not taken out: whoever is woken looks again whether
//! anything is due.

use std::collections::BTreeSet;

use crate::arena::Id;
use crate::time::Time;

use super::queue::Queue;
use super::session::Session;
use super::topic::{Subscription, Topic};
use super::waiter::Waiter;

/// What is to be looked at when a deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The leases of a session.
    Leases(Id<Session>),
    /// The grace of a session that is away.
    Grace(Id<Session>),
    /// The delayed messages of a queue.
    Delay(Id<Queue>),
    /// A receiver that would not wait.
    Patience(Id<Queue>, Id<Waiter>),
    /// The receivers of a queue that are held back.
    Look(Id<Queue>),
    /// Those of them that are held back for too long, or have a suspect for too long.
    Caution(Id<Queue>),
    /// A call's deadline.
    Call(u64),
    /// A subscription that holds publishers back.
    Hold(Id<Subscription>),
    /// One that has stopped a topic.
    Stopped(Id<Subscription>, Id<Topic>),
    /// Marks that are to be told or forgotten.
    Relays,
    /// A hosted queue that nobody hosts any more.
    Linger(Id<Queue>),
    /// What is wanted is to be told.
    Wanted,
    /// Whether somebody listens to a topic is to be told.
    Matching(Id<Topic>),
}

impl Timer {
    /// The session whose leases are looked at then.
    fn leases_of(self, at: Time) -> Option<(Time, Id<Session>)> {
        match self {
            Timer::Leases(session) => Some((at, session)),
            _ => None,
        }
    }
}

/// All timers.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Time, Timer)>);

impl Timers {
    /// Looks at `timer` at that time.
    pub fn set(&mut self, at: Time, timer: Timer) {
        self.0.insert((at, timer));
    }

    /// Forgets a timer that was set for exactly that time.
    pub fn clear(&mut self, at: Time, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    /// The earliest one.
    pub fn next(&self) -> Option<Time> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The sessions whose leases are due.
    pub fn pop_leases(&mut self, now: Time) -> Vec<Id<Session>> {
        let due = self.0.iter().take_while(|(at, _)| *at <= now);
        let due: Vec<_> = due.filter_map(|(at, timer)| timer.leases_of(*at)).collect();
        for (at, session) in &due {
            self.clear(*at, Timer::Leases(*session));
        }
        due.into_iter().map(|(_, session)| session).collect()
    }

    /// The earliest one that is due.
    pub fn pop(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.remove(&(at, timer));
        Some(timer)
    }
}
