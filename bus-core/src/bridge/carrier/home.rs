//! What home says is told to the guest.

use crate::error::{ErrorKind, Failure};
use crate::message::SharedSender;
use crate::router::{Answer, Channel, Epoch, HostedTell, Lease, RequestId};
use crate::runs::Run;
use crate::session::{ClientSession, Event, Leased, LeasedParcel};
use crate::time::Time;

use super::{Asked, Carried, Ends, Held, QueueCarrier, Side};

impl QueueCarrier {
    /// Takes what home says; gives back what is not meant for this carrier.
    pub fn home_says(&mut self, now: Time, event: Event, ends: &mut Ends<'_>) -> Option<Event> {
        match event {
            Event::Lease(leased) if self.receivers.contains_key(&leased.channel) => {
                self.leased(leased, ends);
            }
            Event::LeaseParcel(leased) if self.receivers.contains_key(&leased.channel) => {
                self.leased_together(leased, ends);
            }
            Event::Recall { lease } => match self.leases.get((), lease) {
                Some((held, _)) => self.tell(held.queue, ends.guest, HostedTell::Recall { lease }),
                None => return Some(Event::Recall { lease }),
            },
            Event::Accepted { first, count } => return self.accepted(first, count, ends),
            Event::Failed { ticket, failure } => match self.tickets.get((), ticket) {
                Some(_) => self.failed(now, ticket, failure, ends),
                None => return Some(Event::Failed { ticket, failure }),
            },
            Event::Granted => {
                self.send_waiting(ends);
                return Some(Event::Granted);
            }
            Event::Settled { first, count, answered } => {
                self.settled(first, count, ends.guest);
                return Some(Event::Settled { first, count, answered });
            }
            Event::Unsettled { number, lease, failure } => {
                match self.acks.take((), lease, 1).first() {
                    Some(run) => {
                        self.tell(run.to, ends.guest, HostedTell::Unsettled { lease, failure });
                    }
                    None => return Some(Event::Unsettled { number, lease, failure }),
                }
            }
            Event::Reply { request, result } => match self.requests.remove(&request) {
                Some(asked) => self.replied(now, asked, result, ends),
                None => return Some(Event::Reply { request, result }),
            },
            Event::HomeWay { channel, hops } => self.way_changed(channel, hops, ends.guest),
            Event::Ended { channel, failure } => return self.ended(now, channel, failure, ends),
            other => return Some(other),
        }
        None
    }

    fn leased(&mut self, leased: Leased, ends: &mut Ends<'_>) {
        let Leased { lease, channel, serial, attempt, auto_ack, origin, message } = leased;
        let Some((index, receiver)) = self.receivers.get(&channel).copied() else {
            return ends.home.give_back(lease);
        };
        let queue = &mut self.queues[index];
        if queue.receivers.get(&receiver).is_some_and(|known| known.once) {
            queue.receivers.remove(&receiver);
            self.receivers.remove(&channel);
            ends.home.close(channel);
        }
        if !queue.is_carried() {
            return ends.home.give_back(lease);
        }
        let held = Held { queue: index, channel, serial, taken: false, auto_ack };
        self.leases.insert(Run { of: (), first: lease, to: held, at: lease, count: 1 });
        self.note_out(index, 1);
        let sender: SharedSender = self.sender_of(&origin);
        let tell = HostedTell::Lease { receiver, lease, attempt, sender, message };
        self.tell(index, ends.guest, tell);
    }

    fn leased_together(&mut self, leased: LeasedParcel, ends: &mut Ends<'_>) {
        let (first, count) = (leased.first, leased.parcel.count());
        let LeasedParcel { channel, serial, auto_ack, ref origin, .. } = leased;
        let known = self.receivers.get(&channel).copied();
        let Some((index, receiver)) = known.filter(|(index, _)| self.queues[*index].is_carried())
        else {
            return leased.leases().for_each(|lease| ends.home.give_back(lease));
        };
        let held = Held { queue: index, channel, serial, taken: false, auto_ack };
        self.leases.insert(Run { of: (), first, to: held, at: first, count });
        self.note_out(index, count);
        let (sender, parcel) = (self.sender_of(origin), leased.parcel);
        self.tell(index, ends.guest, HostedTell::LeaseParcel { receiver, first, sender, parcel });
    }

    fn note_out(&mut self, index: usize, count: u64) {
        let queue = &mut self.queues[index];
        queue.leases_out += count;
        queue.delivered += count;
    }

    fn settled(&mut self, first: Lease, count: u32, guest: &mut ClientSession) {
        for Run { first, to: index, count, .. } in self.acks.take((), first, u64::from(count)) {
            // No more than was said, which has 32 bits.
            self.tell(index, guest, HostedTell::Settled { first, count: count as u32 });
        }
    }

    fn replied(
        &mut self,
        now: Time,
        asked: Asked,
        result: Result<Answer, Failure>,
        ends: &mut Ends<'_>,
    ) {
        match asked {
            Asked::Open(index) => self.opened(now, index, result, ends),
            Asked::Consume(index, receiver) => {
                if let Err(failure) = result {
                    self.receiver_over(now, index, receiver, failure, ends);
                }
            }
            Asked::Credit(index, receiver) => {
                self.tell(index, ends.guest, HostedTell::Credited { receiver });
            }
            Asked::Close(index, receiver) => {
                self.tell(index, ends.guest, HostedTell::Closed { receiver });
            }
            Asked::Lease(index, request) => {
                self.tell(index, ends.guest, answer(request, result));
            }
        }
    }

    /// A channel at home has ended.
    fn ended(
        &mut self,
        now: Time,
        channel: Channel,
        failure: Failure,
        ends: &mut Ends<'_>,
    ) -> Option<Event> {
        if let Some((index, receiver)) = self.receivers.get(&channel).copied() {
            self.receiver_over(now, index, receiver, failure, ends);
            return None;
        }
        let is_home = |side| matches!(side, Side::Open(at) | Side::Opening(at) if at == channel);
        match self.queues.iter().position(|queue| is_home(queue.home)) {
            Some(index) => {
                self.queues[index].last_error = Some(failure);
                self.removed(now, index, ends);
                None
            }
            None => Some(Event::Ended { channel, failure }),
        }
    }

    /// The queue is hosted at its home too, and comes another way now.
    fn way_changed(&mut self, channel: Channel, hops: Vec<Epoch>, guest: &mut ClientSession) {
        let here = |queue: &Carried| queue.home == Side::Open(channel);
        if let Some(index) = self.queues.iter().position(here) {
            self.queues[index].hops.clone_from(&hops);
            self.tell(index, guest, HostedTell::Reach { up: true, hops });
        }
    }

    /// A receiver has ended at home.
    fn receiver_over(
        &mut self,
        now: Time,
        index: usize,
        receiver: u64,
        failure: Failure,
        ends: &mut Ends<'_>,
    ) {
        if let Some(known) = self.queues[index].receivers.remove(&receiver) {
            self.receivers.remove(&known.channel);
            ends.home.close(known.channel);
        }
        let removed = failure.kind() == ErrorKind::Removed;
        self.tell(index, ends.guest, HostedTell::Ended { receiver, failure });
        if removed {
            self.removed(now, index, ends);
        }
    }
}

/// What the guest is told of the answer to a request.
fn answer(request: RequestId, result: Result<Answer, Failure>) -> HostedTell {
    match result {
        Ok(Answer::Peeked(peeked)) => HostedTell::Peeked { request, peeked },
        result => HostedTell::Done { request, result: result.map(|_| ()) },
    }
}
