//! Those who wait for room in a queue: sends whose message is parked here, and offers.
//!
//! They stand in one line, by arrival and type, and are never overtaken. A session can find each
//! of its own by ticket. Invariant: the shelf of the blocked and the sessions' tickets hold the
//! same; several sends that were parked as one may be split on either side.

use std::collections::BTreeMap;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::frame::Parcel;
use crate::message::{Message, SharedSender};
use crate::message_type::MessageType;
use crate::selector::Selector;

use super::command::Ticket;
use super::ground::Ground;
use super::lease::Stored;
use super::queue::Queue;
use super::sending::Arriving;
use super::session::{Session, too_big};
use super::shelf::{Entry, Place};
use super::waiter::Waiter;

/// A send or offer that waits for room, or several sends with tickets that follow each other.
#[derive(Debug)]
pub(crate) struct Blocked {
    pub session: Id<Session>,
    /// Of the first.
    pub ticket: Ticket,
    pub sender: SharedSender,
    pub content: Content,
}

/// What is blocked.
#[derive(Debug)]
pub(crate) enum Content {
    /// The message itself.
    Parked(Message),
    /// Several messages of one type.
    Batch(Parcel),
    /// Its length; the client has it.
    Offered(u64),
}

impl Content {
    /// Length of the first message.
    pub fn length(&self) -> u64 {
        match self {
            Content::Parked(message) => message.len() as u64,
            Content::Batch(parcel) => parcel.first_length(),
            Content::Offered(length) => *length,
        }
    }

    /// Whether the client has it.
    pub fn is_offer(&self) -> bool {
        matches!(self, Content::Offered(_))
    }

    /// What is kept here counts so much.
    pub fn parked_cost(&self) -> u64 {
        match self {
            Content::Parked(message) => message.cost(),
            Content::Batch(parcel) => parcel.cost(),
            Content::Offered(_) => 0,
        }
    }
}

impl Entry for Blocked {
    fn count(&self) -> u64 {
        match &self.content {
            Content::Batch(parcel) => parcel.count(),
            _ => 1,
        }
    }

    fn split_to(&mut self, count: u64) -> Blocked {
        let Content::Batch(parcel) = &mut self.content else {
            debug_assert!(false, "one message is not split");
            return Blocked { sender: self.sender.clone(), content: Content::Offered(0), ..*self };
        };
        let mut front = parcel.split_to(count);
        front.compact();
        parcel.compact();
        let content = Content::Batch(front);
        let front = Blocked { sender: self.sender.clone(), content, ..*self };
        self.ticket += count;
        front
    }
}

/// The blocked sends and offers of a session, by ticket.
#[derive(Debug, Default)]
pub(crate) struct BlockedTickets {
    /// Under the first ticket of those that were blocked together: where, and how many.
    runs: BTreeMap<Ticket, (Id<Queue>, Place, u64)>,
}

impl BlockedTickets {
    /// Adds tickets that follow each other, and whose places do.
    pub fn insert(&mut self, first: Ticket, queue: Id<Queue>, place: Place, count: u64) {
        self.runs.insert(first, (queue, place, count));
    }

    /// Where this one waits.
    pub fn get(&self, ticket: Ticket) -> Option<(Id<Queue>, Place)> {
        let (first, (queue, place, count)) = self.runs.range(..=ticket).next_back()?;
        let skip = ticket - first;
        let place = Place { arrival: place.arrival + skip, ..*place };
        (skip < *count).then_some((*queue, place))
    }

    /// Takes so many tickets out from this one on, which were added together.
    pub fn remove(&mut self, ticket: Ticket, removed: u64) {
        let Some((first, run)) = self.runs.range_mut(..=ticket).next_back() else { return };
        let (first, (queue, place, count)) = (*first, *run);
        let skip = ticket - first;
        if skip >= count {
            return;
        }
        run.2 = skip;
        if skip == 0 {
            self.runs.remove(&first);
        }
        if skip + removed < count {
            let arrival = place.arrival + skip + removed;
            let rest = (queue, Place { arrival, ..place }, count - skip - removed);
            self.runs.insert(ticket + removed, rest);
        }
    }

    /// All tickets, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = Ticket> {
        let runs = self.runs.iter().rev();
        runs.flat_map(|(first, (.., count))| (*first..*first + *count).rev())
    }

    /// Whether any waits at another queue than this one.
    pub fn any_besides(&self, queue: Id<Queue>) -> bool {
        self.runs.values().any(|(other, ..)| *other != queue)
    }
}

impl Queue {
    /// What a receiver takes of those who wait for room. One that has been promised as much as
    /// it may have still takes what is here: it waits for no sender.
    pub(super) fn next_blocked(&self, selector: Selector, may_grant: bool) -> Option<Place> {
        match may_grant {
            true => self.blocked.select(selector),
            false => self.blocked.select_where(selector, |blocked| !blocked.content.is_offer()),
        }
    }

    /// Gives a receiver what another session waits to send: it needs no room.
    pub(super) fn serve_blocked(&mut self, ground: &mut Ground, id: Id<Waiter>, place: Place) {
        let Some(blocked) = self.blocked.get(place) else { return };
        let length = blocked.content.length();
        if self.waiters.get(id).is_some_and(|waiter| length > waiter.options.bytes_max) {
            return self.end_too_big(ground, id, place.kind, length);
        }
        let Some(blocked) = self.unblock(ground, place) else { return };
        match blocked.content {
            Content::Parked(message) => {
                ground.verdict(blocked.session, blocked.ticket, Ok(()));
                let stored = self.accept_parked(ground, message, blocked.sender, place);
                self.lease_to(ground, id, stored);
            }
            // What is taken out by itself is no batch.
            Content::Batch(_) => {}
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
        if self.hosted.is_some() {
            return self.admit_home(ground);
        }
        while let Some(place) = self.blocked.first() {
            let Some(blocked) = self.blocked.get(place) else { return };
            let length = blocked.content.length();
            if !self.has_room(length) {
                return;
            }
            if self.admit_batch(ground, place) {
                continue;
            }
            let Some(blocked) = self.unblock(ground, place) else { return };
            match blocked.content {
                Content::Parked(message) => {
                    ground.verdict(blocked.session, blocked.ticket, Ok(()));
                    let stored = self.accept_parked(ground, message, blocked.sender, place);
                    self.put(ground, stored);
                }
                Content::Batch(_) => {}
                Content::Offered(length) => {
                    self.grant(ground, blocked.session, blocked.ticket, place, length, None);
                }
            }
        }
    }

    /// Counts a message that has waited for room, and makes it one of the queue's.
    fn accept_parked(
        &mut self,
        ground: &Ground,
        message: Message,
        sender: SharedSender,
        place: Place,
    ) -> Stored {
        self.accepted(ground, &sender);
        Stored::new(message, sender, place.arrival)
    }

    /// Takes a blocked send out of the line and off its sender's account.
    pub fn unblock(&mut self, ground: &mut Ground, place: Place) -> Option<Blocked> {
        let mut blocked = self.blocked.take(place)?;
        self.forget_blocked(ground, &blocked);
        if let Content::Batch(parcel) = &mut blocked.content {
            blocked.content = Content::Parked(parcel.pop_front()?);
        }
        Some(blocked)
    }

    /// Takes what has left the line off its sender's account.
    pub(super) fn forget_blocked(&mut self, ground: &mut Ground, blocked: &Blocked) {
        if let Some(session) = ground.sessions.get_mut(blocked.session) {
            session.blocked.remove(blocked.ticket, blocked.count());
            session.count_blocked(&blocked.content, false);
        }
    }

    /// Whether a message that finds no room may stand in line.
    pub(super) fn check_can_wait(
        &self,
        kind: MessageType,
        length: u64,
        no_wait: bool,
    ) -> Result<(), Failure> {
        if !self.could_fit(length) {
            let limit =
                self.options.bytes_max.saturating_sub(crate::limits::MESSAGE_OVERHEAD_BYTES as u64);
            return Err(too_big(&format!("queue `{}`", self.name), kind, length, limit));
        }
        if no_wait {
            return Err(Failure::new(
                ErrorKind::QueueFull,
                format!(
                    "queue `{}` is full: {} of {} messages, {} of {} bytes (with what is on its way), {} sends wait before this one",
                    self.name,
                    self.waiting_count() + self.reserved_count,
                    self.options.count_max,
                    self.bytes + self.reserved_bytes,
                    self.options.bytes_max,
                    self.blocked.len(),
                ),
            ));
        }
        Ok(())
    }

    /// Parks a message until there is room for it, charged to its sender.
    pub(super) fn wait_for_room(
        &mut self,
        ground: &mut Ground,
        arriving: &Arriving,
        mut stored: Stored,
        parked_max: u64,
    ) -> Result<(), Failure> {
        let (kind, length) = (stored.message.kind(), stored.message.len() as u64);
        self.check_can_wait(kind, length, arriving.no_wait)?;
        let parked = ground.sessions.get(arriving.session).map_or(0, |entry| entry.parked_bytes);
        if parked + stored.message.cost() > parked_max {
            return Err(Failure::new(
                ErrorKind::QuotaExceeded,
                format!(
                    "queue `{}` is full, and this session has {parked} bytes of sends waiting for room already (at most {parked_max}): wait for their receipts first",
                    self.name
                ),
            ));
        }
        stored.message.compact();
        let place = Place { kind, arrival: stored.arrival };
        self.block(ground, arriving, place, Content::Parked(stored.message));
        Ok(())
    }

    /// Puts a send or offer into the line of those who wait for room.
    pub(super) fn block(
        &mut self,
        ground: &mut Ground,
        arriving: &Arriving,
        place: Place,
        content: Content,
    ) {
        let Some(entry) = ground.sessions.get_mut(arriving.session) else { return };
        let sender = entry.sender.clone();
        entry.count_blocked(&content, true);
        let Arriving { session, ticket, .. } = *arriving;
        let blocked = Blocked { session, ticket, sender, content };
        entry.blocked.insert(ticket, self.id, place, blocked.count());
        self.blocked.insert(place, blocked);
    }
}
