//! What the guest asks of a hosted queue is done at its home.

use std::ops::Range;

use crate::error::{ErrorKind, Failure};
use crate::router::{
    Channel, Command, ConsumeOptions, Forsaken, HostedAsk, HostedTell, Lease, RequestId,
};
use crate::runs::Run;
use crate::session::{ChannelKind, ClientSession, Event};
use crate::time::Time;

use super::{Asked, Content, Ends, Held, HomeReceiver, QueueCarrier, Side, Waiting};

impl QueueCarrier {
    /// Takes what the guest says; gives back what is not meant for this carrier.
    pub fn guest_says(&mut self, now: Time, event: Event, ends: &mut Ends<'_>) -> Option<Event> {
        match event {
            Event::Hosted { channel, ask } => match self.queue_at_guest(channel) {
                Some(index) => self.ask(index, ask, ends),
                None => return Some(Event::Hosted { channel, ask }),
            },
            Event::Reply { request, result } => {
                if !self.hosted(now, request, &result, ends.guest) {
                    return Some(Event::Reply { request, result });
                }
            }
            Event::Ended { channel, failure } => match self.queue_at_guest(channel) {
                Some(index) => {
                    self.queues[index].last_error = Some(failure);
                    self.removed(now, index, ends);
                }
                None => return Some(Event::Ended { channel, failure }),
            },
            other => return Some(other),
        }
        None
    }

    fn queue_at_guest(&self, channel: Channel) -> Option<usize> {
        let is_there = |side| matches!(side, Side::Open(at) | Side::Opening(at) if at == channel);
        self.queues.iter().position(|queue| is_there(queue.guest))
    }

    fn ask(&mut self, index: usize, ask: HostedAsk, ends: &mut Ends<'_>) {
        let losses = &mut self.queues[index].losses;
        if *losses > 0 {
            *losses -= u32::from(ask == HostedAsk::Anew);
            return;
        }
        // What is asked follows the answer that the queue is hosted.
        let Side::Open(queue) = self.queues[index].home else {
            return self.refuse(index, ask, ends.guest);
        };
        match ask {
            HostedAsk::Consume { receiver, options } => {
                self.consume(index, (queue, receiver), options, ends);
            }
            HostedAsk::Credit { receiver, credit } => self.credit(index, receiver, credit, ends),
            HostedAsk::Close { receiver } => self.close(index, receiver, ends),
            HostedAsk::Send { ticket, no_wait, message } => {
                let content = Content::Message(message);
                self.send(index, Waiting { ticket, no_wait, content }, 1, ends);
            }
            HostedAsk::SendParcel { first: ticket, parcel } => {
                let (count, content) = (parcel.count(), Content::Parcel(parcel));
                self.send(index, Waiting { ticket, no_wait: false, content }, count, ends);
            }
            HostedAsk::Withdraw { ticket } => self.withdraw(index, ticket, ends),
            HostedAsk::Taken { first, count } => self.taken(first, u64::from(count), ends.home),
            HostedAsk::Ack { first, count } => self.ack(index, first, u64::from(count), ends),
            HostedAsk::Nack { request, lease, delay } => {
                self.ask_of_lease(index, request, (lease, true), ends, |request| Command::Nack {
                    request,
                    lease,
                    delay,
                });
            }
            HostedAsk::Extend { request, lease, by } => {
                self.ask_of_lease(index, request, (lease, false), ends, |request| {
                    Command::Extend { request, lease, by }
                });
            }
            HostedAsk::Reject { request, lease, reason } => {
                self.ask_of_lease(index, request, (lease, true), ends, |request| Command::Reject {
                    request,
                    lease,
                    reason,
                });
            }
            HostedAsk::Anew => {}
            HostedAsk::Return(forsaken) => self.give_back(forsaken, ends.home),
            HostedAsk::Peek { request, selector, index: at } => {
                let asked = ends.home.request(|request| Command::Peek {
                    request,
                    queue,
                    selector,
                    index: at,
                });
                self.requests.insert(asked, Asked::Lease(index, request));
            }
        }
    }

    /// Answers what cannot be done, since the queue is not open at home.
    fn refuse(&self, index: usize, ask: HostedAsk, guest: &mut ClientSession) {
        let text = "the home of the queue cannot be reached";
        let failure = Failure::new(ErrorKind::Unreachable, text);
        let tell = match ask {
            HostedAsk::Send { ticket, .. } => HostedTell::Failed { ticket, failure },
            HostedAsk::SendParcel { first, parcel } => {
                for ticket in first..first + parcel.count() {
                    let failure = failure.clone();
                    self.tell(index, guest, HostedTell::Failed { ticket, failure });
                }
                return;
            }
            HostedAsk::Close { receiver } => HostedTell::Closed { receiver },
            HostedAsk::Peek { request, .. }
            | HostedAsk::Nack { request, .. }
            | HostedAsk::Extend { request, .. }
            | HostedAsk::Reject { request, .. } => {
                HostedTell::Done { request, result: Err(failure) }
            }
            // It is on its way to the guest that the session with home was lost, and settles them.
            HostedAsk::Consume { .. }
            | HostedAsk::Credit { .. }
            | HostedAsk::Withdraw { .. }
            | HostedAsk::Taken { .. }
            | HostedAsk::Ack { .. }
            | HostedAsk::Anew
            | HostedAsk::Return(_) => return,
        };
        self.tell(index, guest, tell);
    }

    fn consume(
        &mut self,
        index: usize,
        (queue, receiver): (Channel, u64),
        options: ConsumeOptions,
        ends: &mut Ends<'_>,
    ) {
        let (once, auto_ack) = (options.once, options.auto_ack);
        let kind = match once {
            true => ChannelKind::Receive { auto_ack },
            false => ChannelKind::Consumer { auto_ack },
        };
        let opened = ends.home.open(kind, |request, channel| Command::Consume {
            request,
            channel,
            queue,
            options,
        });
        match opened {
            Ok((channel, request)) => {
                self.receivers.insert(channel, (index, receiver));
                self.queues[index].receivers.insert(receiver, HomeReceiver { channel, once });
                if request != 0 {
                    self.requests.insert(request, Asked::Consume(index, receiver));
                }
            }
            Err(failure) => self.tell(index, ends.guest, HostedTell::Ended { receiver, failure }),
        }
    }

    fn credit(&mut self, index: usize, receiver: u64, credit: u32, ends: &mut Ends<'_>) {
        // One that has ended is told to the guest as ended.
        if let Some(known) = self.queues[index].receivers.get(&receiver) {
            let request = ends.home.set_credit(known.channel, credit);
            self.requests.insert(request, Asked::Credit(index, receiver));
        }
    }

    fn close(&mut self, index: usize, receiver: u64, ends: &mut Ends<'_>) {
        let known = self.queues[index].receivers.remove(&receiver);
        let request = known.and_then(|known| {
            self.receivers.remove(&known.channel);
            ends.home.close(known.channel)
        });
        match request {
            Some(request) => drop(self.requests.insert(request, Asked::Close(index, receiver))),
            None => self.tell(index, ends.guest, HostedTell::Closed { receiver }),
        }
    }

    fn taken(&mut self, first: Lease, count: u64, home: &mut ClientSession) {
        for run in self.leases.take((), first, count) {
            let held = run.to;
            if !held.taken {
                for lease in run.first..run.first + run.count {
                    home.take(held.channel, held.serial, lease);
                }
            }
            match held.auto_ack {
                true => self.queues[held.queue].leases_out -= run.count,
                false => self.leases.insert(Run { to: Held { taken: true, ..held }, ..run }),
            }
        }
    }

    fn ack(&mut self, index: usize, first: Lease, count: u64, ends: &mut Ends<'_>) {
        let mut next = first;
        for Run { first, to: held, count, .. } in self.let_go_of(first, count) {
            self.refuse_acks(index, next..first, ends.guest);
            for lease in first..first + count {
                ends.home.ack(held.channel, held.serial, lease);
            }
            self.acks.insert(Run { of: (), first, to: index, at: first, count });
            next = first + count;
        }
        self.refuse_acks(index, next..first + count, ends.guest);
    }

    /// Answers acknowledgements of what is not out.
    fn refuse_acks(&self, index: usize, leases: Range<Lease>, guest: &mut ClientSession) {
        for lease in leases {
            let text = format!("lease {lease} is not known to the bridge");
            let failure = Failure::new(ErrorKind::StaleLease, text);
            self.tell(index, guest, HostedTell::Unsettled { lease, failure });
        }
    }

    /// Asks for something with a delivery; with `ends` it is out no longer.
    fn ask_of_lease(
        &mut self,
        index: usize,
        request: RequestId,
        (lease, over): (Lease, bool),
        ends: &mut Ends<'_>,
        make: impl FnOnce(RequestId) -> Command,
    ) {
        let asked = ends.home.request(make);
        self.requests.insert(asked, Asked::Lease(index, request));
        let gone = if over { self.let_go_of(lease, 1) } else { Vec::new() };
        for Run { to: held, .. } in gone {
            ends.home.note_settled(held.channel, held.serial);
        }
    }

    fn give_back(&mut self, mut forsaken: Forsaken, home: &mut ClientSession) {
        let mut known = |lease: &Lease| {
            let gone = self.let_go_of(*lease, 1);
            for Run { to: held, .. } in gone.iter().filter(|run| run.to.taken) {
                home.note_settled(held.channel, held.serial);
            }
            !gone.is_empty()
        };
        forsaken.unmarked.retain(&mut known);
        forsaken.marked.retain(&mut known);
        // At once, so that it keeps its place among what is asked: room that a send gives up must
        // not be taken before it.
        home.forsake(forsaken);
    }
}
