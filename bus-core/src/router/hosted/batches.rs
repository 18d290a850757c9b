//! Batches through hosted queues: small messages of one type that come from home together, or go
//! there, with the work of one.
//!
//! As with those of queues that live here: where somebody could tell the difference, one goes by
//! itself, and the rest is looked at again. What the peer says of how many there are is what the
//! parcel has been checked for.

use crate::arena::Id;
use crate::frame::Parcel;
use crate::limits::HOSTED_LEASES_TOLD_MAX;
use crate::message::SharedSender;
use crate::message_type::MessageType;
use crate::router::Output;
use crate::router::blocked::Content;
use crate::router::command::{Lease, Ticket};
use crate::router::fault::Fault;
use crate::router::ground::Ground;
use crate::router::lease::{Batch, LeasedBatch};
use crate::router::leases::{BATCH_MIN, CHUNK_MAX};
use crate::router::queue::Queue;
use crate::router::sending::Arriving;
use crate::router::session::Session;
use crate::router::shelf::Place;
use crate::runs::Run;

use super::receivers::Delivered;
use super::sent::{Costs, Sent};
use super::{Forsaken, HostedAsk};

impl Queue {
    /// Hands deliveries to the receiver that they are for, or gives them back to their home.
    pub(super) fn hand_over_together(
        &mut self,
        ground: &mut Ground,
        receiver: u64,
        first: Lease,
        sender: &SharedSender,
        mut parcel: Parcel,
    ) {
        let (mut lease, mut unread) = (first, Vec::new());
        while !parcel.is_empty() {
            let together = self.hand_out_together(ground, receiver, lease, sender, &mut parcel);
            lease += together;
            if together == 0 {
                let Some(message) = parcel.pop_front() else { break };
                let sender = sender.clone();
                let delivered = Delivered { receiver, lease, attempt: 0, sender, message };
                if !self.hand_out(ground, delivered) {
                    unread.push(lease);
                }
                lease += 1;
            }
        }
        let Some(hosting) = &self.hosted else { return };
        for leases in unread.chunks(HOSTED_LEASES_TOLD_MAX) {
            let unread = Forsaken { unmarked: leases.to_vec(), ..Forsaken::default() };
            hosting.ask(ground, HostedAsk::Return(unread));
        }
    }

    /// Hands out as many off the front as one. How many that was; none if the first one must be
    /// looked at by itself.
    fn hand_out_together(
        &mut self,
        ground: &mut Ground,
        receiver: u64,
        first: Lease,
        sender: &SharedSender,
        parcel: &mut Parcel,
    ) -> u64 {
        let Some(hosting) = &self.hosted else { return 0 };
        let Some(id) = hosting.receivers.get(&receiver).copied() else { return 0 };
        let count = parcel.count().min(CHUNK_MAX);
        let known = hosting.has_lease(first, count);
        if count < BATCH_MIN || known || ground.has_other_fault() {
            return 0;
        }
        let count = self.lease_count(ground, id, parcel, count);
        let Some(kind) = parcel.kind().filter(|_| count > 1) else { return 0 };
        let forgets = u64::from(ground.planted(Fault::HostedBatchNotNoted));
        let Queue { hosted: Some(hosting), waiters, .. } = self else { return 0 };
        let Some(waiter) = waiters.get_mut(id) else { return 0 };
        let (to, channel, auto_ack) = (waiter.session, waiter.channel, waiter.options.auto_ack);
        let Some(session) = ground.sessions.get_mut(to) else { return 0 };
        let mut front = parcel.split_to(count);
        front.compact();
        let sender = hosting.sender_here(sender);
        let batch = Batch { parcel: front.clone(), kind, sender: sender.clone(), arrival: first };
        let lease = session.leases.push_batch(LeasedBatch {
            queue: self.id,
            waiter: id,
            batch,
            taken: false,
            deadline: None,
            auto_ack,
        });
        session.leased_bytes += front.cost();
        hosting.note_out(to, lease, first, count - forgets);
        // No more than its credit, which has 32 bits.
        waiter.outstanding += count as u32;
        waiter.untaken.push(lease, count);
        self.leased += count;
        self.counters.delivered += count;
        self.counters.last_receive = Some((session.sender.clone(), ground.now));
        let output = Output::LeaseParcel { channel, first: lease, auto_ack, sender, parcel: front };
        ground.tell(to, output);
        count
    }

    /// Sends what can go together off the front of a parcel home, or has it wait for room on the
    /// way; `parked` more bytes may wait. How many that was; none if the first one goes by itself.
    pub(in crate::router) fn send_home_together(
        &mut self,
        ground: &mut Ground,
        arriving: &Arriving,
        parcel: &mut Parcel,
        kind: MessageType,
        parked: u64,
    ) -> u64 {
        if parcel.count() < BATCH_MIN || ground.has_other_fault() || self.check_way().is_err() {
            return 0;
        }
        let room = if self.blocked.is_empty() { self.room_on_way_home(ground, parcel) } else { 0 };
        if room > 1 {
            let Arriving { session, ticket, .. } = *arriving;
            self.go_home_together(ground, session, ticket, parcel.split_to(room));
            return room;
        }
        let waits = parcel.fitting(parked, CHUNK_MAX);
        if room == 1 || waits < 2 {
            return 0;
        }
        let place = self.new_places(kind, waits);
        let mut front = parcel.split_to(waits);
        front.compact();
        self.block(ground, arriving, place, Content::Batch(front));
        waits
    }

    /// How many from the front of a parcel there is room for on the way home.
    fn room_on_way_home(&self, ground: &Ground, parcel: &Parcel) -> u64 {
        match self.hosted.as_ref().is_some_and(|hosting| hosting.is_reachable(ground)) {
            true => parcel.fitting(self.free_way_home(), u64::MAX),
            false => 0,
        }
    }

    /// Sends messages home that there is room for, with tickets that follow each other.
    fn go_home_together(
        &mut self,
        ground: &mut Ground,
        session: Id<Session>,
        ticket: Ticket,
        parcel: Parcel,
    ) {
        let Some(hosting) = &mut self.hosted else { return };
        let (count, cost, costs) = (parcel.count(), parcel.cost(), Costs::of(&parcel));
        let (no_wait, withdrawn) = (false, false);
        let first = hosting.sends.push(Sent { session, ticket, costs, no_wait, withdrawn });
        if let Some(entry) = ground.sessions.get_mut(session) {
            entry.parked_bytes += cost;
            let run = Run { of: (), first: ticket, to: self.id, at: first, count };
            entry.going_home.insert(run);
        }
        hosting.ask(ground, HostedAsk::SendParcel { first, parcel });
        self.note_way_home(ground);
    }

    /// Lets as many go on as there is room for of a batch that waits at this place. `false` if
    /// none waits there.
    pub(super) fn admit_home_together(&mut self, ground: &mut Ground, place: Place) -> bool {
        let Some(Content::Batch(parcel)) = self.blocked.get(place).map(|it| &it.content) else {
            return false;
        };
        let room = self.room_on_way_home(ground, parcel);
        let Some(blocked) = self.blocked.take_some(place, room).filter(|_| room > 0) else {
            return false;
        };
        self.forget_blocked(ground, &blocked);
        if let Content::Batch(parcel) = blocked.content {
            self.go_home_together(ground, blocked.session, blocked.ticket, parcel);
        }
        true
    }
}
