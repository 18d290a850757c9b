//! Sends from the guest: they go home in the order in which they come.

use crate::error::{ErrorKind, Failure};
use crate::frame::Parcel;
use crate::router::{Channel, HostedTell, Ticket};
use crate::runs::Run;
use crate::session::{ClientSession, Event};
use crate::time::Time;

use super::{Content, Ends, QueueCarrier, Side, Waiting};

impl QueueCarrier {
    /// Takes one send, or as many as are in the parcel.
    pub(super) fn send(&mut self, index: usize, send: Waiting, count: u64, ends: &mut Ends<'_>) {
        self.queues[index].waiting.push_back(send);
        self.queues[index].sends_open += count;
        self.send_some(index, ends);
    }

    /// Hands over what the session at home has room for.
    pub(super) fn send_waiting(&mut self, ends: &mut Ends<'_>) {
        for index in 0..self.queues.len() {
            self.send_some(index, ends);
        }
    }

    fn send_some(&mut self, index: usize, ends: &mut Ends<'_>) {
        let queue = &mut self.queues[index];
        let Side::Open(channel) = queue.home else { return };
        while let Some(next) = queue.waiting.front_mut() {
            let (first, at, count) = match &mut next.content {
                Content::Message(message) if ends.home.can_send(channel, message) => {
                    (next.ticket, ends.home.send(channel, message.clone(), next.no_wait), 1)
                }
                Content::Message(_) => return,
                Content::Parcel(parcel) => {
                    let Some(sent) = send_front(channel, parcel, ends.home) else { return };
                    let first = next.ticket;
                    next.ticket += sent.1;
                    (first, sent.0, sent.1)
                }
            };
            queue.sends.insert(Run { of: (), first, to: (), at, count });
            self.tickets.insert(Run { of: (), first: at, to: index, at: first, count });
            if next.is_sent() {
                queue.waiting.pop_front();
            }
        }
    }

    pub(super) fn withdraw(&mut self, index: usize, ticket: Ticket, ends: &mut Ends<'_>) {
        let queue = &mut self.queues[index];
        if let Some(((), number)) = queue.sends.get((), ticket) {
            return ends.home.withdraw(number);
        }
        let is_there = |send: &Waiting| (send.ticket..send.ticket + send.count()).contains(&ticket);
        if let Some(at) = queue.waiting.iter().position(is_there)
            && let Some(send) = queue.waiting.remove(at)
        {
            let rest = send.without(ticket);
            rest.into_iter().rev().for_each(|part| queue.waiting.insert(at, part));
            queue.sends_open -= 1;
            let text = "the send was taken back before it was on its way to the queue's home";
            let failure = Failure::new(ErrorKind::Withdrawn, text);
            self.tell(index, ends.guest, HostedTell::Failed { ticket, failure });
        }
    }

    /// Home has accepted sends; those that are not of this carrier are given back.
    pub(super) fn accepted(
        &mut self,
        first: Ticket,
        count: u32,
        ends: &mut Ends<'_>,
    ) -> Option<Event> {
        let mut mine = 0;
        for Run { to: index, at, count, .. } in self.tickets.take((), first, u64::from(count)) {
            self.answered(index, at, count);
            self.queues[index].sent += count;
            mine += count;
            // No more than was said, which has 32 bits.
            let tell = HostedTell::Accepted { first: at, count: count as u32 };
            self.tell(index, ends.guest, tell);
        }
        self.send_waiting(ends);
        (mine != u64::from(count)).then_some(Event::Accepted { first, count })
    }

    /// Sends of the guest have their answers.
    fn answered(&mut self, index: usize, first: Ticket, count: u64) {
        let queue = &mut self.queues[index];
        queue.sends.take((), first, count);
        queue.sends_open -= count;
    }

    pub(super) fn failed(
        &mut self,
        now: Time,
        number: Ticket,
        failure: Failure,
        ends: &mut Ends<'_>,
    ) {
        for Run { to: index, at: ticket, .. } in self.tickets.take((), number, 1) {
            self.answered(index, ticket, 1);
            let removed = failure.kind() == ErrorKind::Removed;
            let failure = failure.clone();
            self.tell(index, ends.guest, HostedTell::Failed { ticket, failure });
            if removed {
                self.removed(now, index, ends);
            }
        }
        self.send_waiting(ends);
    }
}

/// Sends what fits off the front of a parcel; if nothing does, its first message is offered. The
/// ticket of the first, and how many.
fn send_front(
    channel: Channel,
    parcel: &mut Parcel,
    home: &mut ClientSession,
) -> Option<(Ticket, u64)> {
    let together = home.sends_together(channel, parcel);
    if together > 0 {
        return Some((home.send_parcel(channel, &parcel.split_to(together)), together));
    }
    let first = parcel.first().filter(|message| home.can_send(channel, message))?;
    parcel.pop_front();
    Some((home.send(channel, first, false), 1))
}

impl Waiting {
    /// How many sends it is.
    pub(super) fn count(&self) -> u64 {
        match &self.content {
            Content::Message(_) => 1,
            Content::Parcel(parcel) => parcel.count(),
        }
    }

    /// Whether all of what was just sent is, so that nothing is left of it.
    fn is_sent(&self) -> bool {
        match &self.content {
            Content::Message(_) => true,
            Content::Parcel(parcel) => parcel.is_empty(),
        }
    }

    /// What is left without one of its sends.
    fn without(self, ticket: Ticket) -> Vec<Waiting> {
        let Waiting { ticket: first, no_wait, content: Content::Parcel(mut parcel) } = self else {
            return Vec::new();
        };
        let front = parcel.split_to(ticket - first);
        parcel.pop_front();
        let part = |ticket, parcel| Waiting { ticket, no_wait, content: Content::Parcel(parcel) };
        let parts = [part(first, front), part(ticket + 1, parcel)];
        parts.into_iter().filter(|part| part.count() > 0).collect()
    }
}
