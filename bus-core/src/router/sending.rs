//! What senders do to queues: send, offer, fill a grant, withdraw.
//!
//! A message that arrives goes to a receiver that waits, else onto the shelf, else into the
//! line of those who wait for room. Whoever stands in that line is never overtaken.

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{MESSAGE_BYTES_MAX, OFFERS_MAX};
use crate::message::Message;
use crate::message_type::MessageType;

use super::Router;
use super::blocked::Content;
use super::command::{Channel, Ticket};
use super::fault::Fault;
use super::ground::Ground;
use super::lease::Stored;
use super::queue::Queue;
use super::rights::Right;
use super::session::{GrantedOffer, Handle, Session, too_big};

/// One send, or several with tickets that follow each other, as it goes through the checks.
pub(super) struct Arriving {
    pub session: Id<Session>,
    /// Of the first.
    pub ticket: Ticket,
    pub no_wait: bool,
}

impl Router {
    pub(super) fn send(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        ticket: Ticket,
        message: Message,
        no_wait: bool,
    ) {
        let arriving = Arriving { session, ticket, no_wait };
        let result = match self.queue_for(session, channel, Right::Write) {
            Ok(queue) => self.arrive(queue, &arriving, message),
            Err(failure) => Err(failure),
        };
        match result {
            Ok(true) => self.ground.verdict(session, ticket, Ok(())),
            Ok(false) => {}
            Err(failure) => self.ground.verdict(session, ticket, Err(failure)),
        }
    }

    /// Whether the message is accepted; `false` if it waits for room.
    fn arrive(
        &mut self,
        id: Id<Queue>,
        arriving: &Arriving,
        message: Message,
    ) -> Result<bool, Failure> {
        if self.queues.get(id).is_some_and(|queue| queue.hosted.is_some()) {
            return self.send_home(id, arriving, message).map(|()| false);
        }
        let stalled =
            self.ground.planted(Fault::BlockedSendStalls) && self.has_blocked(arriving.session, id);
        let parked_max = self.config.parked_bytes_max;
        let (Some(queue), Some(entry)) =
            (self.queues.get_mut(id), self.ground.sessions.get(arriving.session))
        else {
            return Ok(false);
        };
        let sender = entry.sender.clone();
        let length = message.len() as u64;
        let place = queue.new_place(message.kind());
        let stored = Stored::new(message, sender.clone(), place.arrival);
        let stored =
            if stalled { Some(stored) } else { queue.match_arrival(&mut self.ground, stored) };
        let Some(stored) = stored else {
            queue.accepted(&self.ground, &sender);
            return Ok(true);
        };
        if queue.blocked.is_empty() && queue.has_room(length) && !stalled {
            queue.accepted(&self.ground, &sender);
            queue.put(&self.ground, stored);
            return Ok(true);
        }
        queue.wait_for_room(&mut self.ground, arriving, stored, parked_max)?;
        Ok(false)
    }

    pub(super) fn offer(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        ticket: Ticket,
        kind: MessageType,
        length: u64,
        no_wait: bool,
    ) {
        let arriving = Arriving { session, ticket, no_wait };
        if let Err(failure) = self.try_offer(channel, &arriving, kind, length) {
            self.ground.verdict(session, ticket, Err(failure));
        }
    }

    fn try_offer(
        &mut self,
        channel: Channel,
        arriving: &Arriving,
        kind: MessageType,
        length: u64,
    ) -> Result<(), Failure> {
        let id = self.queue_for(arriving.session, channel, Right::Write)?;
        let (Some(queue), Some(entry)) =
            (self.queues.get_mut(id), self.ground.sessions.get(arriving.session))
        else {
            return Ok(());
        };
        if length > MESSAGE_BYTES_MAX as u64 {
            return Err(too_big("the bus", kind, length, MESSAGE_BYTES_MAX as u64));
        }
        if entry.blocked_offers as usize + entry.granted.len() >= OFFERS_MAX as usize {
            return Err(Failure::new(
                ErrorKind::QuotaExceeded,
                format!(
                    "queue `{}`: a session has at most {OFFERS_MAX} offers that have not arrived",
                    queue.name
                ),
            ));
        }
        let place = queue.new_place(kind);
        if queue.hosted.is_some() {
            return queue.offer_home(&mut self.ground, arriving, place, length);
        }
        let waiter = queue.waiter_for_offer(&mut self.ground, kind, length);
        if waiter.is_some() {
            queue.grant(&mut self.ground, arriving.session, arriving.ticket, place, length, waiter);
        } else if queue.blocked.is_empty() && queue.has_room(length) {
            queue.grant(&mut self.ground, arriving.session, arriving.ticket, place, length, None);
        } else {
            queue.check_can_wait(kind, length, arriving.no_wait)?;
            queue.block(&mut self.ground, arriving, place, Content::Offered(length));
        }
        Ok(())
    }

    /// A granted message has come: to a receiver, else to its place in the queue.
    pub(super) fn fill_grant(&mut self, session: Id<Session>, ticket: Ticket, message: Message) {
        let Some(offer) = self.take_grant(session, ticket) else { return };
        let gone = Failure::new(
            ErrorKind::Removed,
            "the queue was removed while the message was on its way",
        );
        let Some(entry) = self.ground.sessions.get(session) else { return };
        let sender = entry.sender.clone();
        let Some(queue) = self.queues.get_mut(offer.queue) else {
            return self.ground.verdict(session, ticket, Err(gone));
        };
        if message.kind() != offer.place.kind || message.len() as u64 > offer.length {
            let failure = Failure::new(
                ErrorKind::Protocol,
                format!("queue `{}`: the message is not the one that was offered", queue.name),
            );
            self.ground.verdict(session, ticket, Err(failure));
            return self.after_grant(&offer);
        }
        if queue.hosted.is_some() {
            let arriving = Arriving { session, ticket, no_wait: offer.no_wait };
            queue.send_granted_home(&mut self.ground, &arriving, offer.place, message);
            return self.after_grant(&offer);
        }
        let stored = Stored::new(message, sender.clone(), offer.place.arrival);
        let rest = queue.match_arrival(&mut self.ground, stored);
        queue.accepted(&self.ground, &sender);
        if let Some(stored) = rest {
            // The receiver that it was granted for has gone. As with a delivery that comes back,
            // its place counts, not the room: what was granted later may be there already.
            queue.put(&self.ground, stored);
        }
        self.ground.verdict(session, ticket, Ok(()));
        self.after_grant(&offer);
    }

    /// Takes a send or offer back, if it still waits.
    pub(super) fn withdraw(&mut self, session: Id<Session>, ticket: Ticket) {
        let entry = self.ground.sessions.get(session);
        let at = entry.and_then(|entry| entry.blocked.get(ticket));
        let queue = at.and_then(|(id, _)| self.queues.get(id));
        let text = match queue.and_then(|queue| queue.why_it_waits(&self.ground)) {
            Some(why) => format!("the send was taken back: {why}"),
            None => "the send was taken back before there was room for it".to_owned(),
        };
        self.take_back(session, ticket, Failure::new(ErrorKind::Withdrawn, text));
    }

    /// Ends a send or offer that still waits, for this reason.
    pub(super) fn take_back(&mut self, session: Id<Session>, ticket: Ticket, failure: Failure) {
        let Some(entry) = self.ground.sessions.get(session) else { return };
        if let Some((id, place)) = entry.blocked.get(ticket) {
            if let Some(queue) = self.queues.get_mut(id) {
                queue.unblock(&mut self.ground, place);
                self.ground.verdict(session, ticket, Err(failure));
                queue.admit(&mut self.ground);
            }
        } else if let Some(offer) = self.take_grant(session, ticket) {
            self.ground.verdict(session, ticket, Err(failure));
            self.after_grant(&offer);
        } else {
            self.withdraw_from_home(session, ticket);
        }
    }

    /// Takes a granted offer off the books, and gives up the room kept for it.
    pub(super) fn take_grant(
        &mut self,
        session: Id<Session>,
        ticket: Ticket,
    ) -> Option<GrantedOffer> {
        let offer = self.ground.sessions.get_mut(session)?.granted.remove(&ticket)?;
        if let Some(queue) = self.queues.get_mut(offer.queue)
            && offer.reserved
        {
            queue.reserved_bytes -= offer.length + crate::limits::MESSAGE_OVERHEAD_BYTES as u64;
            queue.reserved_count -= 1;
        }
        Some(offer)
    }

    /// Lets in whom the given-up room admits, and answers the receiver it was granted for.
    pub(super) fn after_grant(&mut self, offer: &GrantedOffer) {
        let Some(queue) = self.queues.get_mut(offer.queue) else { return };
        queue.note_way_home(&mut self.ground);
        queue.admit(&mut self.ground);
        if let Some(waiter) = offer.waiter {
            queue.promise_answered(&mut self.ground, waiter);
        }
    }

    fn has_blocked(&self, session: Id<Session>, besides: Id<Queue>) -> bool {
        let Some(entry) = self.ground.sessions.get(session) else { return false };
        entry.blocked.any_besides(besides)
    }

    /// The queue on a channel, if the session has that right to it.
    pub(super) fn queue_for(
        &self,
        session: Id<Session>,
        channel: Channel,
        right: Right,
    ) -> Result<Id<Queue>, Failure> {
        let Handle::Queue { queue: id, may, .. } = self.ground.handle(session, channel)? else {
            return Err(Failure::new(
                ErrorKind::InvalidArgument,
                format!("channel {channel} is not a queue"),
            ));
        };
        let Some(queue) = self.queues.get(*id) else {
            return Err(Failure::new(ErrorKind::Removed, "the queue was removed"));
        };
        self.check_noted(session, *may, right.deed(), "queue", &queue.name)?;
        self.check_right(session, &queue.access, right, "queue", &queue.name)?;
        Ok(*id)
    }
}

impl Queue {
    /// The receiver that an offer would go to, and which can be promised one more. As with a
    /// message that is there, one that would take the type but not the length ends as too big:
    /// a shorter one that comes behind must not pass by.
    fn waiter_for_offer(
        &mut self,
        ground: &mut Ground,
        kind: MessageType,
        length: u64,
    ) -> Option<Id<super::waiter::Waiter>> {
        loop {
            let (_, id) = self.line.takers(kind, 0).find(|(_, id)| {
                self.waiters.get(*id).is_some_and(|waiter| {
                    ground.is_connected(waiter.session)
                        && waiter.promises + waiter.outstanding < waiter.options.credit
                })
            })?;
            let waiter = self.waiters.get_mut(id)?;
            if length <= waiter.options.bytes_max {
                waiter.promises += 1;
                return Some(id);
            }
            self.end_too_big(ground, id, kind, length);
        }
    }
}
