//! One queue: what waits in it, who waits for it, and who waits for room.
//!
//! Invariants: no receiver stands ready that something on the shelf, or something blocked,
//! would match; nothing is blocked that would fit. A message is in exactly one place: on the
//! shelf, delayed, blocked, or leased.

use std::collections::BTreeMap;

use crate::arena::{Arena, Id};
use crate::error::{ErrorKind, Failure};
use crate::limits::MESSAGE_OVERHEAD_BYTES;
use crate::message::{Message, Sender, SharedSender};
use crate::message_type::MessageType;
use crate::name::Name;
use crate::selector::Selector;
use crate::time::Time;

use super::command::{QueueOptions, Ticket};
use super::effect::Output;
use super::fault::Fault;
use super::ground::Ground;
use super::lease::{Leased, Stored};
use super::line::Line;
use super::rights::Access;
use super::session::{GrantedOffer, Session};
use super::shelf::{Arrival, Place, Shelf};
use super::waiter::Waiter;

/// A queue.
pub(crate) struct Queue {
    pub id: Id<Queue>,
    pub name: Name,
    pub access: Access,
    pub creator: SharedSender,
    /// The session that it lives with, if its lifetime says so.
    pub creator_session: Id<Session>,
    pub options: QueueOptions,
    pub shelf: Shelf<Stored>,
    pub blocked: Shelf<Blocked>,
    pub delayed: BTreeMap<(Time, Arrival), Stored>,
    /// The timer that is set for the delayed.
    pub delay_timer: Option<Time>,
    pub waiters: Arena<Waiter>,
    /// Those who wait and have credit, longest waiting first.
    pub line: Line<Id<Waiter>>,
    /// All consumers with deliveries that the application has not been handed. One that has
    /// none any more, or is gone, stays until somebody looks for such deliveries.
    pub bearers: Vec<Id<Waiter>>,
    /// What the shelf and the delayed count.
    pub bytes: u64,
    /// Room kept for granted offers.
    pub reserved_bytes: u64,
    pub reserved_count: u64,
    pub leased: u64,
    pub next_arrival: Arrival,
    /// Open handles and waiters.
    pub holders: u64,
    pub retired: bool,
    pub counters: Counters,
}

/// What a queue counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub accepted: u64,
    pub delivered: u64,
    pub acked: u64,
    pub redelivered: u64,
    pub dead: u64,
    pub dropped: u64,
    pub last_send: Option<(SharedSender, Time)>,
    pub last_receive: Option<(SharedSender, Time)>,
}

/// A send or offer that waits for room.
#[derive(Debug)]
pub(crate) struct Blocked {
    pub session: Id<Session>,
    pub ticket: Ticket,
    pub sender: SharedSender,
    pub content: Content,
}

/// What is blocked.
#[derive(Debug)]
pub(crate) enum Content {
    /// The message itself.
    Parked(Message),
    /// Its length; the client has it.
    Offered(u64),
}

impl Content {
    pub fn length(&self) -> u64 {
        match self {
            Content::Parked(message) => message.len() as u64,
            Content::Offered(length) => *length,
        }
    }
}

impl Queue {
    /// Hands a message that has no place yet to a receiver that waits, or gives it back.
    pub fn match_arrival(&mut self, ground: &mut Ground, stored: Stored) -> Option<Stored> {
        let kind = stored.message.kind();
        match self.next_waiter(ground, kind, stored.message.len() as u64) {
            Some(waiter) => {
                self.lease_to(ground, waiter, stored);
                None
            }
            None => Some(stored),
        }
    }

    /// Leases a message to a receiver that has credit.
    pub fn lease_to(&mut self, ground: &mut Ground, id: Id<Waiter>, mut stored: Stored) {
        let Some(waiter) = self.waiters.get_mut(id) else { return };
        let Some(session) = ground.sessions.get_mut(waiter.session) else { return };
        stored.message.compact();
        let (message, sender, attempt) =
            (stored.message.clone(), stored.sender.clone(), stored.attempt);
        let options = waiter.options;
        let auto_ack = options.auto_ack;
        let deadline = (options.once && !auto_ack).then(|| ground.now.after(self.options.lease));
        let lease = session.leases.push(Leased {
            queue: self.id,
            waiter: id,
            stored,
            taken: false,
            deadline,
            auto_ack,
            recalled_for: None,
        });
        if let Some(turn) = waiter.turn.take() {
            self.line.leave(options.selector, turn);
        }
        session.leased_bytes += message.cost();
        waiter.outstanding += 1;
        // A receive ends with its delivery.
        let bears_again = !options.once && !std::mem::replace(&mut waiter.bears, true);
        if !options.once {
            waiter.untaken.push_back(lease);
        }
        self.leased += 1;
        self.counters.delivered += 1;
        self.counters.redelivered += u64::from(attempt > 0);
        self.counters.last_receive = Some((session.sender.clone(), ground.now));
        let (to, channel) = (waiter.session, waiter.channel);
        ground.tell(to, Output::Lease { channel, lease, attempt, auto_ack, sender, message });
        if let Some(deadline) = deadline {
            ground.check_leases_at(to, deadline);
        }
        if options.once {
            if let Some(session) = ground.sessions.get_mut(to) {
                session.close(channel);
            }
            self.drop_waiter(ground, id);
        } else if waiter.has_credit() {
            self.make_ready(id);
        }
        if bears_again {
            self.note_bearer(id);
        }
    }

    /// Gives a receiver what it can have now; else it stands ready, or ends as empty.
    pub fn serve(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        while self.serve_next(ground, id) {}
    }

    /// Gives a receiver the next message that it can have. Whether it may have another one.
    pub fn serve_next(&mut self, ground: &mut Ground, id: Id<Waiter>) -> bool {
        let Some(waiter) = self.waiters.get(id) else { return false };
        if !waiter.has_credit() || !ground.may_lease(waiter.session, waiter.channel) {
            return false;
        }
        let options = waiter.options;
        let may_grant = waiter.promises + waiter.outstanding < options.credit;
        if let Some(place) = self.shelf.select(options.selector) {
            if self.refuse_too_big(ground, id, place, options.bytes_max) {
                return false;
            }
            let Some(stored) = self.take(ground, place) else { return false };
            self.lease_to(ground, id, stored);
        } else if let Some(place) = self.next_blocked(options.selector, may_grant) {
            // It may stand in front of one that fits.
            self.serve_blocked(ground, id, place);
        } else {
            self.wait_or_end(ground, id);
            return false;
        }
        self.admit(ground);
        true
    }

    /// What a receiver takes of those who wait for room. One that has been promised as much as
    /// it may have still takes what is here: it waits for no sender.
    fn next_blocked(&self, selector: Selector, may_grant: bool) -> Option<Place> {
        match may_grant {
            true => self.blocked.select(selector),
            false => self
                .blocked
                .select_where(selector, |blocked| matches!(blocked.content, Content::Parked(_))),
        }
    }

    fn refuse_too_big(
        &mut self,
        ground: &mut Ground,
        id: Id<Waiter>,
        place: Place,
        limit: u64,
    ) -> bool {
        let length = self.shelf.get(place).map_or(0, |stored| stored.message.len() as u64);
        let refused = length > limit;
        if refused {
            self.end_too_big(ground, id, place.kind, length);
        }
        refused
    }

    /// Gives a receiver what another session waits to send: it needs no room.
    fn serve_blocked(&mut self, ground: &mut Ground, id: Id<Waiter>, place: Place) {
        let Some(blocked) = self.blocked.get(place) else { return };
        let length = blocked.content.length();
        if self.waiters.get(id).is_some_and(|waiter| length > waiter.options.bytes_max) {
            return self.end_too_big(ground, id, place.kind, length);
        }
        let Some(blocked) = self.unblock(ground, place) else { return };
        match blocked.content {
            Content::Parked(message) => {
                self.accepted(ground, &blocked.sender);
                ground.verdict(blocked.session, blocked.ticket, Ok(()));
                let stored = Stored::new(message, blocked.sender, place.arrival);
                self.lease_to(ground, id, stored);
            }
            Content::Offered(length) => {
                if let Some(waiter) = self.waiters.get_mut(id) {
                    waiter.promises += 1;
                }
                self.grant(ground, blocked.session, blocked.ticket, place, length, Some(id));
            }
        }
    }

    /// Lets in those who wait for room, in order, as far as it goes.
    pub fn admit(&mut self, ground: &mut Ground) {
        while let Some(place) = self.blocked.first() {
            let Some(blocked) = self.blocked.get(place) else { return };
            let length = blocked.content.length();
            if !self.has_room(length) {
                return;
            }
            let Some(blocked) = self.unblock(ground, place) else { return };
            match blocked.content {
                Content::Parked(message) => {
                    self.accepted(ground, &blocked.sender);
                    ground.verdict(blocked.session, blocked.ticket, Ok(()));
                    let stored = Stored::new(message, blocked.sender, place.arrival);
                    self.put(ground, stored);
                }
                Content::Offered(length) => {
                    self.grant(ground, blocked.session, blocked.ticket, place, length, None);
                }
            }
        }
    }

    /// Grants an offer: with room kept for it, or for a receiver that waits.
    pub fn grant(
        &mut self,
        ground: &mut Ground,
        session: Id<Session>,
        ticket: Ticket,
        place: Place,
        length: u64,
        waiter: Option<Id<Waiter>>,
    ) {
        let reserved = waiter.is_none();
        if reserved {
            self.reserved_bytes += length + MESSAGE_OVERHEAD_BYTES as u64;
            self.reserved_count += 1;
        }
        let offer = GrantedOffer { queue: self.id, place, length, reserved, waiter };
        if let Some(entry) = ground.sessions.get_mut(session) {
            entry.granted.insert(ticket, offer);
            ground.tell(session, Output::Grant { ticket });
        }
    }

    /// Messages that are in it, those that are set aside for a time among them.
    pub fn waiting_count(&self) -> u64 {
        (self.shelf.len() + self.delayed.len()) as u64
    }

    /// Whether a message of this length fits beside what is there.
    pub fn has_room(&self, length: u64) -> bool {
        let cost = length + MESSAGE_OVERHEAD_BYTES as u64;
        let count = self.waiting_count() + self.reserved_count;
        self.bytes + self.reserved_bytes + cost <= self.options.bytes_max
            && count < self.options.count_max
    }

    /// Whether it would fit into the empty queue.
    pub fn could_fit(&self, length: u64) -> bool {
        length + MESSAGE_OVERHEAD_BYTES as u64 <= self.options.bytes_max
            && self.options.count_max > 0
    }

    /// Puts a message on the shelf, whether it fits or not.
    pub fn put(&mut self, ground: &Ground, mut stored: Stored) {
        stored.message.compact();
        if ground.planted(Fault::LoseMessage) {
            return;
        }
        let mut place = Place { kind: stored.message.kind(), arrival: stored.arrival };
        if ground.planted(Fault::SwapOrder) {
            place.arrival = u64::MAX - stored.arrival;
            stored.arrival = place.arrival;
        }
        self.bytes += stored.message.cost();
        self.shelf.insert(place, stored);
    }

    /// Takes a message off the shelf.
    pub fn take(&mut self, ground: &Ground, place: Place) -> Option<Stored> {
        if ground.planted(Fault::DuplicateMessage) && place.arrival % 7 == 3 {
            return self.shelf.get(place).cloned();
        }
        let stored = self.shelf.take(place)?;
        self.bytes -= stored.message.cost();
        Some(stored)
    }

    /// Takes a blocked send out of the line and off its sender's account.
    pub fn unblock(&mut self, ground: &mut Ground, place: Place) -> Option<Blocked> {
        let blocked = self.blocked.take(place)?;
        if let Some(session) = ground.sessions.get_mut(blocked.session) {
            session.blocked.remove(&blocked.ticket);
            session.count_blocked(&blocked.content, false);
        }
        Some(blocked)
    }

    /// Counts an accepted message.
    pub fn accepted(&mut self, ground: &Ground, sender: &SharedSender) {
        self.counters.accepted += 1;
        self.counters.last_send = Some((sender.clone(), ground.now));
    }

    /// The next place at the end.
    pub fn new_place(&mut self, kind: MessageType) -> Place {
        self.next_arrival += 1;
        Place { kind, arrival: self.next_arrival }
    }

    /// The failure that says that this queue is gone.
    pub fn removed(&self) -> Failure {
        Failure::new(ErrorKind::Removed, format!("queue `{}` was removed", self.name))
    }

    /// Who created it.
    pub fn creator(&self) -> Sender {
        Sender::clone(&self.creator)
    }
}
