//! Those who wait at a queue: single receives and consumers; and the line they stand in.

use std::collections::VecDeque;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::message_type::MessageType;

use crate::time::Time;

use super::command::{Channel, ConsumeOptions, Lease};
use super::fault::Fault;
use super::ground::Ground;
use super::line::Turn;
use super::queue::Queue;
use super::session::Session;
use super::untaken::Untaken;

/// A receive or consumer.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub session: Id<Session>,
    pub channel: Channel,
    pub options: ConsumeOptions,
    /// Deliveries that are not settled.
    pub outstanding: u32,
    /// Deliveries that the application has not been handed yet, oldest first.
    pub untaken: Untaken,
    /// Whether the queue has it among its bearers.
    pub bears: bool,
    /// Its turn, while it stands in the queue's line of those who wait.
    pub turn: Option<Turn>,
    /// Recalls made for it that are not answered yet.
    pub recalls: u32,
    /// Offers granted for it that have not arrived yet.
    pub promises: u32,
    /// A suspect that it was handed, and has not settled: it gets nothing beside it.
    pub suspect: Option<Lease>,
    /// It is handed suspects like all else.
    pub trusted: bool,
    /// When it is trusted if it is held back until then, or its application keeps a suspect.
    pub cautious_until: Option<Time>,
    /// Whether the queue has it among those that are held back.
    pub held: bool,
    /// One that would not wait, and does for what was asked for it: until when.
    pub patience: Option<Time>,
}

impl Waiter {
    pub fn new(session: Id<Session>, channel: Channel, options: ConsumeOptions) -> Waiter {
        Waiter {
            session,
            channel,
            options,
            outstanding: 0,
            untaken: Untaken::default(),
            bears: false,
            turn: None,
            recalls: 0,
            promises: 0,
            suspect: None,
            trusted: false,
            cautious_until: None,
            held: false,
            patience: None,
        }
    }

    /// Whether it may be handed one more.
    pub fn has_credit(&self) -> bool {
        self.credit_left() > 0
    }

    /// How many more it may be handed.
    pub fn credit_left(&self) -> u32 {
        match self.suspect {
            Some(_) => 0,
            None => self.options.credit.saturating_sub(self.outstanding),
        }
    }
}

impl Queue {
    /// Notes that a consumer has deliveries that nobody has looked at. The numbers of those
    /// that are gone are swept out before they are more than the others.
    pub fn note_bearer(&mut self, id: Id<Waiter>) {
        if self.bearers.len() > 2 * self.waiters.len() {
            self.bearers.retain(|other| self.waiters.get(*other).is_some());
        }
        self.bearers.push(id);
    }

    /// Puts a receiver at the back of the line.
    pub fn make_ready(&mut self, id: Id<Waiter>) {
        if let Some(waiter) = self.waiters.get_mut(id)
            && waiter.turn.is_none()
        {
            waiter.turn = Some(self.line.enter(waiter.options.selector, id));
            self.end_caution(id);
        }
    }

    /// The receiver that has waited longest and takes this type and length, and may have a
    /// suspect if it is one. One that would take the type but not the length ends as too big.
    pub fn next_waiter(
        &mut self,
        ground: &mut Ground,
        kind: MessageType,
        length: u64,
        suspect: bool,
    ) -> Option<Id<Waiter>> {
        let (mut from, mut found) = (0, None);
        while let Some((turn, id)) = self.next_taker(ground, kind, from) {
            from = turn + 1;
            if suspect && !self.may_hand(ground, id, suspect) {
                continue;
            }
            if self.waiters.get(id).is_some_and(|waiter| length > waiter.options.bytes_max) {
                self.end_too_big(ground, id, kind, length);
                continue;
            }
            found = Some(id);
            if !ground.planted(Fault::WrongWaiter) {
                break;
            }
        }
        self.step_back(found?);
        found
    }

    /// The first in the line, from this turn on, that takes this type and whose session can be
    /// handed a delivery. Whoever is passed over keeps its turn.
    pub fn next_taker(
        &self,
        ground: &mut Ground,
        kind: MessageType,
        from: Turn,
    ) -> Option<(Turn, Id<Waiter>)> {
        self.line.takers(kind, from).find(|(_, id)| {
            self.waiters.get(*id).is_some_and(|waiter| {
                let Waiter { session, channel, .. } = *waiter;
                ground.may_lease(session, channel) && !ground.is_starved(session, channel)
            })
        })
    }

    /// Serves receivers that could not be served for a while: one message each time, and those
    /// first that have waited longest.
    pub fn serve_in_turn(&mut self, ground: &mut Ground, mut line: Vec<Id<Waiter>>) {
        if let [alone] = line[..] {
            return self.serve(ground, alone);
        }
        let turn = |id: &Id<Waiter>| self.waiters.get(*id).and_then(|waiter| waiter.turn);
        line.sort_by_key(|id| turn(id).unwrap_or(Turn::MAX));
        let mut line = VecDeque::from(line);
        while let Some(id) = line.pop_front() {
            if self.serve_next(ground, id) {
                line.push_back(id);
            }
        }
    }

    /// Takes a receiver out of the line: what it gives back goes to those who wait for it.
    pub fn step_back(&mut self, id: Id<Waiter>) {
        if let Some(waiter) = self.waiters.get_mut(id)
            && let Some(turn) = waiter.turn.take()
        {
            self.line.leave(waiter.options.selector, turn);
        }
    }

    /// Asks whether the queue should go, if its last holder has just been dropped.
    pub fn note_if_left(&self, ground: &mut Ground) {
        if self.holders == 0 {
            ground.left.push(self.id);
        }
    }

    /// Forgets a receiver. Its deliveries stay leased; the session keeps which of them the
    /// application has not been handed.
    pub fn drop_waiter(&mut self, ground: &mut Ground, id: Id<Waiter>) -> Option<Waiter> {
        self.end_caution(id);
        self.forget_double(ground, id);
        let mut waiter = self.waiters.remove(id)?;
        self.holders -= 1;
        if let Some(turn) = waiter.turn {
            self.line.leave(waiter.options.selector, turn);
        }
        if self.waiters.is_empty() {
            self.held.clear();
        }
        if !waiter.untaken.is_empty()
            && let Some(session) = ground.sessions.get_mut(waiter.session)
        {
            session.untaken.insert((self.id, id), std::mem::take(&mut waiter.untaken));
        }
        Some(waiter)
    }

    /// Ends a receiver that would take the message if it were shorter.
    pub fn end_too_big(
        &mut self,
        ground: &mut Ground,
        id: Id<Waiter>,
        kind: MessageType,
        length: u64,
    ) {
        let Some(waiter) = self.drop_waiter(ground, id) else { return };
        self.note_if_left(ground);
        let limit = waiter.options.bytes_max;
        let failure = Failure::new(
            ErrorKind::TooBig,
            format!(
                "queue `{}`: the next message of type {kind} has {length} bytes, this receiver takes at most {limit}; it stays in the queue",
                self.name
            ),
        );
        ground.end_channel(waiter.session, waiter.channel, failure);
    }
}
