//! What all parts of the router stand on: sessions, timers, the time, and the effects.
//!
//! It knows no queue, topic or service; those are handed a ground to act on.

use crate::arena::{Arena, Id};
use crate::error::{ErrorKind, Failure};
use crate::time::Time;

use super::command::{Channel, RequestId, Ticket};
use super::effect::{Answer, Effect, Output};
use super::fault::Fault;
use super::lease::Stored;
use super::queue::Queue;
use super::session::{Handle, Session};
use super::timer::{Timer, Timers};

/// Sessions, timers, time and effects.
#[derive(Default)]
pub(crate) struct Ground {
    pub now: Time,
    pub sessions: Arena<Session>,
    pub timers: Timers,
    pub effects: Vec<Effect>,
    /// Messages that must go to dead letters once the queue at hand is done with.
    pub dead: Vec<DeadLetter>,
    /// Queues that may go, since their last holder was dropped.
    pub left: Vec<Id<Queue>>,
    /// Sessions that may be handed deliveries again.
    pub hungry: Vec<Id<Session>>,
    /// Queues whose receivers that are held back are to be looked at.
    pub to_look_at: Vec<Id<Queue>>,
    /// Bridges' sessions over which a long message may go home again.
    pub freed_hosts: Vec<Id<Session>>,
    /// Queues that live elsewhere, and are hosted here.
    pub hosted: usize,
    /// How often the home of a hosted queue was met.
    pub homes_met: u64,
    /// Bytes of messages that a connection may have to write.
    pub unwritten_bytes_max: u64,
    /// A bug that a test has planted.
    pub fault: Option<Fault>,
}

/// A message on its way to the dead letters.
pub(crate) struct DeadLetter {
    pub from: Id<Queue>,
    pub stored: Stored,
    pub reason: String,
}

impl Ground {
    /// Tells a session something.
    pub fn tell(&mut self, session: Id<Session>, output: Output) {
        let cost = output.message_cost();
        if cost > 0
            && let Some(entry) = self.sessions.get_mut(session)
        {
            entry.unwritten_bytes += cost;
            entry.congested |= entry.unwritten_bytes > self.unwritten_bytes_max;
        }
        self.effects.push(Effect { session, output });
    }

    /// Answers a control request, if an answer was asked for.
    pub fn reply(
        &mut self,
        session: Id<Session>,
        request: RequestId,
        result: Result<Answer, Failure>,
    ) {
        if request != 0 {
            self.tell(session, Output::Reply { request, result });
        }
    }

    /// Answers a ticket.
    pub fn verdict(&mut self, session: Id<Session>, ticket: Ticket, result: Result<(), Failure>) {
        let output = match result {
            Ok(()) => Output::Accepted { first: ticket, count: 1 },
            Err(failure) => Output::Failed { ticket, failure },
        };
        self.tell(session, output);
    }

    /// Accepts so many tickets from this one on, less than 2^15.
    pub fn accept(&mut self, session: Id<Session>, first: Ticket, count: u64) {
        self.tell(session, Output::Accepted { first, count: count as u32 });
    }

    /// Ends a channel from this side: the handle is gone, the client is told why.
    pub fn end_channel(&mut self, session: Id<Session>, channel: Channel, failure: Failure) {
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.close(channel);
            self.tell(session, Output::Ended { channel, failure });
        }
    }

    /// The handle on a channel.
    pub fn handle(&self, session: Id<Session>, channel: Channel) -> Result<&Handle, Failure> {
        self.sessions.get(session).and_then(|entry| entry.handle(channel)).ok_or_else(|| {
            Failure::new(ErrorKind::Closed, format!("channel {channel} is not open"))
        })
    }

    /// Whether a session is there and connected.
    pub fn is_connected(&self, session: Id<Session>) -> bool {
        self.sessions.get(session).is_some_and(|entry| entry.connected)
    }

    /// Whether a session's connection has no more to write than it may.
    #[inline]
    pub fn is_flowing(&self, session: Id<Session>) -> bool {
        self.sessions.get(session).is_some_and(|entry| !entry.congested)
    }

    /// Whether a session is connected too. If not, members of a group are given nothing.
    pub fn is_served(&self, session: Id<Session>) -> bool {
        self.sessions.get(session).is_some_and(|entry| entry.connected && !entry.congested)
    }

    /// Whether a session's connection has still no more to write when so much more was handed to it.
    pub fn has_flow_for(&self, session: Id<Session>, cost: u64) -> bool {
        let limit = self.unwritten_bytes_max;
        let fits = |entry: &Session| entry.unwritten_bytes + cost <= limit;
        self.sessions.get(session).is_some_and(|entry| !entry.congested && fits(entry))
    }

    /// Whether the session of a receiver can be handed a delivery: it is connected, has not too
    /// much to write, and not too many that it has not settled. If it has too many of those, the
    /// receiver is served again when it settles one.
    pub fn may_lease(&mut self, session: Id<Session>, channel: Channel) -> bool {
        let Some(entry) = self.sessions.get_mut(session) else { return false };
        let sated = entry.is_sated();
        if sated {
            entry.starved.insert(channel);
        }
        entry.connected && !entry.congested && !sated
    }

    /// Whether a receiver was passed over for that, and has not been served since: what it would
    /// get first may lie on the shelf.
    pub fn is_starved(&self, session: Id<Session>, channel: Channel) -> bool {
        self.sessions.get(session).is_some_and(|entry| entry.starved.contains(&channel))
    }

    /// Makes sure that the leases of a session are looked at no later than at `at`.
    pub fn check_leases_at(&mut self, session: Id<Session>, at: Time) {
        let Some(entry) = self.sessions.get_mut(session) else { return };
        match entry.lease_check {
            Some(set) if set <= at => {}
            old => {
                entry.lease_check = Some(at);
                if let Some(old) = old {
                    self.timers.clear(old, Timer::Leases(session));
                }
                self.timers.set(at, Timer::Leases(session));
            }
        }
    }

    /// Whether a test has planted a bug that batches would hide.
    #[inline]
    pub fn has_other_fault(&self) -> bool {
        cfg!(feature = "faults")
            && self.fault.is_some_and(|fault| {
                !Fault::OF_BATCHES.contains(&fault) && !Fault::OF_HOSTED_BATCHES.contains(&fault)
            })
    }

    /// Whether a test has planted this bug.
    #[inline]
    pub fn planted(&self, fault: Fault) -> bool {
        cfg!(feature = "faults") && self.fault == Some(fault)
    }
}
