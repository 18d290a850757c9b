//! Sends from the guest: they go home in the order in which they come.

use crate::error::{ErrorKind, Failure};
use crate::message::Message;
use crate::router::{HostedTell, Ticket};
use crate::session::Event;
use crate::time::Time;

use super::{Ends, QueueCarrier, Side, Waiting};

impl QueueCarrier {
    pub(super) fn send(
        &mut self,
        index: usize,
        ticket: Ticket,
        no_wait: bool,
        message: Message,
        ends: &mut Ends<'_>,
    ) {
        self.queues[index].waiting.push_back(Waiting { ticket, no_wait, message });
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
        while let Some(next) = queue.waiting.front()
            && ends.home.can_send(channel, &next.message)
            && let Some(Waiting { ticket, no_wait, message }) = queue.waiting.pop_front()
        {
            let number = ends.home.send(channel, message, no_wait);
            queue.sends.insert(ticket, number);
            self.tickets.insert(number, (index, ticket));
        }
    }

    pub(super) fn withdraw(&mut self, index: usize, ticket: Ticket, ends: &mut Ends<'_>) {
        let queue = &mut self.queues[index];
        if let Some(number) = queue.sends.get(&ticket) {
            return ends.home.withdraw(*number);
        }
        if let Some(at) = queue.waiting.iter().position(|send| send.ticket == ticket) {
            queue.waiting.remove(at);
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
        let end = first.saturating_add(u64::from(count));
        let mine: Vec<(Ticket, (usize, Ticket))> =
            self.tickets.range(first..end).map(|(number, of)| (*number, *of)).collect();
        let all = mine.len() as u64 == u64::from(count);
        let mut run: Option<(usize, Ticket, u32)> = None;
        for (number, (index, ticket)) in mine {
            self.tickets.remove(&number);
            self.queues[index].sends.remove(&ticket);
            run = match run {
                Some((of, first, count)) if of == index && first + u64::from(count) == ticket => {
                    Some((of, first, count + 1))
                }
                before => {
                    self.tell_accepted(before, ends);
                    Some((index, ticket, 1))
                }
            };
        }
        self.tell_accepted(run, ends);
        self.send_waiting(ends);
        (!all).then_some(Event::Accepted { first, count })
    }

    fn tell_accepted(&self, run: Option<(usize, Ticket, u32)>, ends: &mut Ends<'_>) {
        if let Some((index, first, count)) = run {
            self.tell(index, ends.guest, HostedTell::Accepted { first, count });
        }
    }

    pub(super) fn failed(
        &mut self,
        now: Time,
        number: Ticket,
        failure: Failure,
        ends: &mut Ends<'_>,
    ) {
        let Some((index, ticket)) = self.tickets.remove(&number) else { return };
        self.queues[index].sends.remove(&ticket);
        let removed = failure.kind() == ErrorKind::Removed;
        self.tell(index, ends.guest, HostedTell::Failed { ticket, failure });
        if removed {
            self.removed(now, index, ends);
        }
        self.send_waiting(ends);
    }
}
