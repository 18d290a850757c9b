//! Batches: small messages of one type that were sent to a queue together, and go through it with
//! the work of one: parked, on the shelf, leased, acknowledged.
//!
//! Each step takes as many as it can where nobody could tell that from one message after the
//! other; where that is not so, one goes by itself, and the rest is looked at again.

use crate::arena::Id;
use crate::frame::Parcel;
use crate::limits::{LEASED_BYTES_MAX, LEASES_MAX};
use crate::message_type::MessageType;
use crate::selector::Selector;
use crate::time::Time;

use super::blocked::{Blocked, Content};
use super::command::{Channel, Lease, Ticket};
use super::effect::Output;
use super::fault::Fault;
use super::ground::Ground;
use super::lease::{Batch, LeasedBatch, Shelved};
use super::leases::{BATCH_MIN, CHUNK_MAX};
use super::queue::Queue;
use super::rights::Right;
use super::sending::Arriving;
use super::session::Session;
use super::shelf::Place;
use super::waiter::Waiter;
use super::{Router, SessionId};

/// What becomes of the messages at the front of a parcel.
enum Fate {
    /// They go to this receiver.
    Lease(Id<Waiter>),
    /// They go onto the shelf.
    Shelve,
    /// They wait for room.
    Park,
}

impl Router {
    /// Sends a parcel of messages of one type to a queue; `first` is the ticket of the first one,
    /// and those of the others follow it. In how many steps, each with the work of a message.
    pub fn send_parcel(
        &mut self,
        now: Time,
        session: SessionId,
        channel: Channel,
        first: Ticket,
        mut parcel: Parcel,
    ) -> usize {
        self.ground.now = now;
        let mut steps = 0;
        let mut arriving = Arriving { session, ticket: first, no_wait: false };
        while !parcel.is_empty() {
            steps += 1;
            let sent = self.send_batch(channel, &arriving, &mut parcel);
            if sent == 0 {
                let Some(message) = parcel.pop_front() else { break };
                self.send(session, channel, arriving.ticket, message, false);
                arriving.ticket += 1;
            }
            arriving.ticket += sent;
            self.settle_down();
        }
        steps
    }

    /// Sends what can go together off the front of a parcel. How many that was.
    fn send_batch(&mut self, channel: Channel, arriving: &Arriving, parcel: &mut Parcel) -> u64 {
        let Arriving { session, ticket, .. } = *arriving;
        let Ok(id) = self.queue_for(session, channel, Right::Write) else { return 0 };
        let Some(kind) = parcel.kind() else { return 0 };
        let parked_max = self.config.parked_bytes_max;
        let (Some(queue), Some(entry)) =
            (self.queues.get_mut(id), self.ground.sessions.get(session))
        else {
            return 0;
        };
        let (sender, parked) = (entry.sender.clone(), entry.parked_bytes);
        let ground = &mut self.ground;
        let room = parked_max.saturating_sub(parked);
        if queue.hosted.is_some() {
            return queue.send_home_together(ground, arriving, parcel, kind, room);
        }
        let Some((fate, count)) = queue.fate_of(ground, parcel, kind, room) else { return 0 };
        let place = queue.new_places(kind, count);
        let front = parcel.split_to(count);
        if let Fate::Park = fate {
            let mut front = front;
            front.compact();
            queue.block(ground, arriving, place, Content::Batch(front));
            return count;
        }
        let batch = Batch { parcel: front, kind, sender, arrival: place.arrival };
        queue.accepted_all(ground, &batch.sender, count);
        match fate {
            Fate::Lease(waiter) => queue.lease_batch(ground, waiter, batch),
            _ => queue.put_batch(batch),
        }
        ground.accept(session, ticket, count);
        count
    }

    /// The clocks of up to so many leases from this one on start, if they lie as one. How many
    /// that was.
    pub(super) fn start_batch(&mut self, session: Id<Session>, first: Lease, count: u64) -> u64 {
        let now = self.ground.now;
        let Some(entry) = self.ground.sessions.get_mut(session) else { return 0 };
        let Some((count, leased)) = entry.leases.part_of_batch(first, count) else { return 0 };
        let Some(queue) = self.queues.get(leased.queue) else { return 0 };
        let deadline = now.after(queue.options.lease);
        leased.taken = true;
        leased.deadline = Some(deadline);
        self.ground.check_leases_at(session, deadline);
        count
    }
}

impl Queue {
    /// What becomes of the messages at the front of a parcel, and of how many together; none if
    /// the first one goes by itself. `parked` more bytes may be parked.
    fn fate_of(
        &self,
        ground: &mut Ground,
        parcel: &Parcel,
        kind: MessageType,
        parked: u64,
    ) -> Option<(Fate, u64)> {
        let longest = parcel.longest();
        if parcel.count() < BATCH_MIN || ground.has_other_fault() || !self.could_fit(longest) {
            return None;
        }
        let count = parcel.count().min(CHUNK_MAX);
        let (fate, count) = match self.next_taker(ground, kind, 0) {
            Some((turn, waiter)) => {
                let count = self.lease_count(ground, waiter, parcel, count);
                // Several take them by turns.
                if count > 1 && self.next_taker(ground, kind, turn + 1).is_some() {
                    return None;
                }
                (Fate::Lease(waiter), count)
            }
            None => {
                let room = if self.blocked.is_empty() { self.room_for(ground, parcel) } else { 0 };
                match room {
                    0 => (Fate::Park, parcel.fitting(parked, count)),
                    room => (Fate::Shelve, room.min(count)),
                }
            }
        };
        (count > 1).then_some((fate, count))
    }

    /// How many from the front there is room for.
    fn room_for(&self, ground: &Ground, parcel: &Parcel) -> u64 {
        if ground.planted(Fault::BatchOverRoom) {
            return parcel.count();
        }
        let bytes = self.options.bytes_max.saturating_sub(self.bytes + self.reserved_bytes);
        let held = self.waiting_count() + self.reserved_count;
        parcel.fitting(bytes, self.options.count_max.saturating_sub(held))
    }

    /// How many of a batch's first messages a consumer can be leased as one; 0 if it must be
    /// looked at for each.
    pub(super) fn lease_count(
        &self,
        ground: &mut Ground,
        id: Id<Waiter>,
        parcel: &Parcel,
        count: u64,
    ) -> u64 {
        let Some(waiter) = self.waiters.get(id) else { return 0 };
        let options = &waiter.options;
        if options.once || parcel.longest() > options.bytes_max {
            return 0;
        }
        let Some(entry) = ground.sessions.get(waiter.session) else { return 0 };
        if !entry.connected || entry.congested {
            return 0;
        }
        let credit = u64::from(waiter.credit_left());
        let leases = LEASES_MAX.saturating_sub(entry.leases.len()) as u64;
        let unwritten = ground.unwritten_bytes_max.saturating_sub(entry.unwritten_bytes);
        let bytes = LEASED_BYTES_MAX.saturating_sub(entry.leased_bytes).min(unwritten);
        parcel.fitting(bytes, count.min(credit).min(leases).min(CHUNK_MAX))
    }

    /// Puts a batch that there is room for on the shelf.
    fn put_batch(&mut self, mut batch: Batch) {
        batch.parcel.compact();
        self.bytes += batch.parcel.cost();
        let place = Place { kind: batch.kind, arrival: batch.arrival };
        self.shelf.insert(place, Shelved::Batch(batch));
    }

    /// Leases a batch to a consumer that has credit for all of it.
    fn lease_batch(&mut self, ground: &mut Ground, id: Id<Waiter>, mut batch: Batch) {
        let forgets = ground.planted(Fault::BatchNotNoted);
        self.end_caution(id);
        let Some(waiter) = self.waiters.get_mut(id) else { return };
        let Some(session) = ground.sessions.get_mut(waiter.session) else { return };
        batch.parcel.compact();
        let (parcel, sender, count) = (batch.parcel.clone(), batch.sender.clone(), batch.count());
        let auto_ack = waiter.options.auto_ack;
        let first = session.leases.push_batch(LeasedBatch {
            queue: self.id,
            waiter: id,
            batch,
            taken: false,
            deadline: None,
            auto_ack,
        });
        if let Some(turn) = waiter.turn.take() {
            self.line.leave(waiter.options.selector, turn);
        }
        session.leased_bytes += parcel.cost();
        // No more than its credit.
        waiter.outstanding += count as u32;
        if !forgets {
            waiter.untaken.push(first, count);
        }
        self.leased += count;
        self.counters.delivered += count;
        self.counters.last_receive = Some((session.sender.clone(), ground.now));
        let (to, channel, has_credit) = (waiter.session, waiter.channel, waiter.has_credit());
        let bears_again = !std::mem::replace(&mut waiter.bears, true);
        ground.tell(to, Output::LeaseParcel { channel, first, auto_ack, sender, parcel });
        if has_credit {
            self.make_ready(id);
        }
        if bears_again {
            self.note_bearer(id);
        }
    }

    /// Gives a receiver the batches that it takes next, as far as its credit goes. Whether there
    /// was any; then there may be room for others.
    pub(super) fn serve_batches(&mut self, ground: &mut Ground, id: Id<Waiter>) -> bool {
        let mut served = false;
        while self.serve_batch(ground, id) {
            served = true;
        }
        served
    }

    /// `false` if what comes next must be looked at for each message.
    fn serve_batch(&mut self, ground: &mut Ground, id: Id<Waiter>) -> bool {
        let Some(waiter) = self.waiters.get(id) else { return false };
        let Some(place) = self.shelf.select(waiter.options.selector) else { return false };
        let Some(Shelved::Batch(batch)) = self.shelf.get(place) else { return false };
        // Whoever is let in meanwhile must not come before what is left of the batch.
        let in_turn = !ground.planted(Fault::BatchOutOfTurn);
        let comes_between = |first: Place| {
            let by_type = matches!(waiter.options.selector, Selector::Upto(_));
            in_turn && (by_type || first.arrival < place.arrival)
        };
        let count = self.lease_count(ground, id, &batch.parcel, batch.count());
        if count < 2 || self.blocked.first().is_some_and(comes_between) {
            return false;
        }
        let Some(Shelved::Batch(batch)) = self.shelf.take_some(place, count) else { return false };
        self.bytes -= batch.parcel.cost();
        self.lease_batch(ground, id, batch);
        true
    }

    /// Lets in as many as there is room for of a batch that waits for room at this place. `false`
    /// if none waits there.
    pub(super) fn admit_batch(&mut self, ground: &mut Ground, place: Place) -> bool {
        let Some(Blocked { content: Content::Batch(parcel), .. }) = self.blocked.get(place) else {
            return false;
        };
        let count = self.room_for(ground, parcel);
        if count == 0 {
            return false;
        }
        let Some(blocked) = self.blocked.take_some(place, count) else { return false };
        self.forget_blocked(ground, &blocked);
        let Blocked { session, ticket, sender, content: Content::Batch(parcel) } = blocked else {
            return false;
        };
        self.accepted_all(ground, &sender, parcel.count());
        ground.accept(session, ticket, parcel.count());
        self.put_batch(Batch { parcel, kind: place.kind, sender, arrival: place.arrival });
        true
    }
}
