//! One queue: what waits in it, who waits for it, and who waits for room.
//!
//! Invariants: no receiver stands ready that something on the shelf, or something blocked,
//! would match; nothing is blocked that would fit. A message is in exactly one place: on the
//! shelf, delayed, blocked, or leased.

use std::collections::{BTreeMap, BTreeSet};

use crate::arena::{Arena, Id};
use crate::error::{ErrorKind, Failure};
use crate::limits::MESSAGE_OVERHEAD_BYTES;
use crate::message::{Sender, SharedSender};
use crate::message_type::MessageType;
use crate::name::Name;
use crate::time::Time;

use super::blocked::Blocked;
use super::command::{Channel, QueueOptions, Ticket};
use super::effect::Output;
use super::fault::Fault;
use super::ground::Ground;
use super::hosted::Hosting;
use super::lease::{Leased, Shelved, Stored};
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
    pub shelf: Shelf<Shelved>,
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
    /// Those that wait until they may have a suspect, or another one has it. One that is gone, or
    /// has been served since, stays until they are looked at.
    pub held: Vec<Id<Waiter>>,
    /// They are to be looked at, since a suspect has left the shelf.
    pub look_due: bool,
    /// Those that are held back, or whose application has a suspect: when they are trusted.
    pub cautious: BTreeSet<(Time, Id<Waiter>)>,
    /// The timer that is set for the first of them, or an earlier one.
    pub caution_timer: Option<Time>,
    /// How many of those that were held back have been looked at.
    #[cfg(test)]
    pub looked_at: u64,
    /// What the shelf and the delayed count.
    pub bytes: u64,
    /// Room kept for granted offers.
    pub reserved_bytes: u64,
    pub reserved_count: u64,
    pub leased: u64,
    pub next_arrival: Arrival,
    /// Open handles and waiters.
    pub holders: u64,
    /// Of those the channels of bridges that have it hosted elsewhere.
    pub carriers: BTreeSet<(Id<Session>, Channel)>,
    pub retired: bool,
    /// If it lives elsewhere: what is under way between here and there.
    pub hosted: Option<Box<Hosting>>,
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

impl Queue {
    /// Hands a message that has no place yet to a receiver that waits, or gives it back.
    pub fn match_arrival(&mut self, ground: &mut Ground, stored: Stored) -> Option<Stored> {
        let (kind, length) = (stored.message.kind(), stored.message.len() as u64);
        match self.next_waiter(ground, kind, length, stored.suspect) {
            Some(waiter) => {
                self.lease_to(ground, waiter, stored);
                None
            }
            None => {
                if stored.suspect {
                    self.hold_back_all(ground, kind);
                }
                Some(stored)
            }
        }
    }

    /// Leases a message to a receiver that has credit.
    pub fn lease_to(&mut self, ground: &mut Ground, id: Id<Waiter>, mut stored: Stored) {
        let suspect = stored.suspect && !ground.planted(Fault::SuspectsTogether);
        self.end_caution(id);
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
        if suspect {
            waiter.note_suspect(lease);
        }
        if let Some(turn) = waiter.turn.take() {
            self.line.leave(options.selector, turn);
        }
        session.leased_bytes += message.cost();
        waiter.outstanding += 1;
        // A receive ends with its delivery.
        let bears_again = !options.once && !std::mem::replace(&mut waiter.bears, true);
        if !options.once {
            waiter.untaken.push(lease, 1);
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
        if self.hosted.is_some() {
            return self.serve_hosted(ground, id);
        }
        loop {
            if self.serve_batches(ground, id) {
                self.admit(ground);
            } else if !self.serve_next(ground, id) {
                return;
            }
        }
    }

    /// Gives a receiver the next message that it can have. Whether it may have another one.
    pub fn serve_next(&mut self, ground: &mut Ground, id: Id<Waiter>) -> bool {
        if self.hosted.is_some() {
            self.serve_hosted(ground, id);
            return false;
        }
        let Some(waiter) = self.waiters.get(id) else { return false };
        if !waiter.has_credit() || !ground.may_lease(waiter.session, waiter.channel) {
            return false;
        }
        let options = waiter.options;
        let may_grant = waiter.promises + waiter.outstanding < options.credit;
        let mut suspect = false;
        if let Some(place) = self.shelf.select(options.selector) {
            if self.hold_back(ground, id, place)
                || self.refuse_too_big(ground, id, place, options.bytes_max)
            {
                return false;
            }
            let Some(stored) = self.take(ground, place) else { return false };
            suspect = stored.suspect;
            self.lease_to(ground, id, stored);
        } else if let Some(place) = self.next_blocked(options.selector, may_grant) {
            // It may stand in front of one that fits.
            self.serve_blocked(ground, id, place);
        } else {
            self.wait_or_end(ground, id);
            return false;
        }
        self.admit(ground);
        if suspect {
            self.note_suspect_gone(ground);
        }
        true
    }

    fn refuse_too_big(
        &mut self,
        ground: &mut Ground,
        id: Id<Waiter>,
        place: Place,
        limit: u64,
    ) -> bool {
        let length = self.shelf.get(place).map_or(0, Shelved::length);
        let refused = length > limit;
        if refused {
            self.end_too_big(ground, id, place.kind, length);
        }
        refused
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
        let queue = self.id;
        let offer = GrantedOffer { queue, place, length, reserved, waiter, no_wait: false };
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
        self.shelf.insert(place, Shelved::One(stored));
    }

    /// Takes a message off the shelf.
    pub fn take(&mut self, ground: &Ground, place: Place) -> Option<Stored> {
        if ground.planted(Fault::DuplicateMessage) && place.arrival % 7 == 3 {
            return self.shelf.get(place).cloned()?.into_stored();
        }
        let stored = self.shelf.take(place)?.into_stored()?;
        self.bytes -= stored.message.cost();
        Some(stored)
    }

    /// Counts an accepted message.
    pub fn accepted(&mut self, ground: &Ground, sender: &SharedSender) {
        self.accepted_all(ground, sender, 1);
    }

    /// Counts so many accepted messages.
    pub fn accepted_all(&mut self, ground: &Ground, sender: &SharedSender, count: u64) {
        self.counters.accepted += count;
        self.counters.last_send = Some((sender.clone(), ground.now));
    }

    /// The next place at the end.
    pub fn new_place(&mut self, kind: MessageType) -> Place {
        self.new_places(kind, 1)
    }

    /// The next so many places at the end: the first of them.
    pub fn new_places(&mut self, kind: MessageType, count: u64) -> Place {
        let arrival = self.next_arrival + 1;
        self.next_arrival += count;
        Place { kind, arrival }
    }

    /// The failure that says that this queue is gone.
    pub fn removed(&self) -> Failure {
        if self.hosted.as_ref().is_some_and(|hosting| hosting.is_abandoned()) {
            return self.given_up();
        }
        Failure::new(ErrorKind::Removed, format!("queue `{}` was removed", self.name))
    }

    /// Who created it.
    pub fn creator(&self) -> Sender {
        Sender::clone(&self.creator)
    }
}
