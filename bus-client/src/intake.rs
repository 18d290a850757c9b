//! What the driver brings: events of the session, the loss of a session, the end.
//!
//! Everybody whom an event concerns is put on the list of those to be woken; the driver wakes
//! them when the lock is released.

use std::ops::RangeInclusive;

use bus_core::router::{Answer, Channel, RequestId, Ticket};
use bus_core::session::{Event, Leased, LeasedParcel, Restart};
use bus_core::{ErrorKind, Failure};

use crate::events::ClientEvent;
use crate::inbox::{Ended, Item};
use crate::state::{Slot, State, Verdict};

/// Failed acknowledgements that are kept for whoever asks.
const ACK_FAILURES_KEPT: usize = 1024;
/// Lost sessions whose unanswered acknowledgements are remembered.
const SESSIONS_REMEMBERED: usize = 64;

impl State {
    /// Takes an event of the session.
    pub fn on_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Run { run, origins } => {
                let life = self.life;
                self.deliver(run.channel, Item::Run { run, origins, life });
            }
            Event::Lease(leased) => self.on_lease(leased),
            Event::LeaseParcel(leased) => self.on_lease_parcel(leased),
            Event::Accepted { first, count } => {
                for ticket in first..first.saturating_add(u64::from(count)) {
                    self.finish(ticket, Verdict::Accepted);
                }
                self.send_waiting.release(&mut self.wakers);
            }
            Event::Failed { ticket, failure } => self.finish(ticket, Verdict::Failed(failure)),
            Event::Result { ticket, message } => {
                self.finish(ticket, Verdict::Reply(Box::new(message)));
                // A drain waits here until no ticket is open.
                self.send_waiting.release(&mut self.wakers);
            }
            Event::Settled { .. } => self.on_acks(),
            Event::Unsettled { number, lease, failure } => {
                if self.ack_waiting.is_empty() {
                    self.events.push(ClientEvent::StaleAck { lease });
                }
                let number = self.ack_base + number;
                self.ack_failures.insert(number, failure);
                if self.ack_failures.len() > ACK_FAILURES_KEPT {
                    self.ack_failures.pop_first();
                }
                self.on_acks();
            }
            Event::Granted => self.send_waiting.release(&mut self.wakers),
            Event::Credit { channel } | Event::Matching { channel } => self.wake_channel(channel),
            Event::Lost { channel, count, unconfirmed } => {
                if let Some(Some(inbox)) = self.inboxes.get(channel as usize) {
                    let pattern = inbox.pattern.clone().unwrap_or_default();
                    self.events.push(ClientEvent::Lost { pattern, count, unconfirmed });
                }
                self.deliver(channel, Item::Lost { count, unconfirmed });
            }
            Event::Invoke { channel, call, timeout_ms, origin, message } => {
                self.deliver(channel, Item::Call { call, timeout_ms, origin, message });
            }
            Event::Reply { request, result } => self.on_reply(request, result),
            Event::Ended { channel, failure } => self.end_channel(channel, failure),
            Event::Recall { lease } => self.on_recall(lease),
            // This client opens no channel for which they could come.
            Event::Relay { .. }
            | Event::Wanted { .. }
            | Event::GivenUp { .. }
            | Event::HomeWay { .. }
            | Event::Hosted { .. } => {}
            Event::Pong { word } => self.on_pong(word),
            Event::Refused { failure } => return Err(failure),
        }
        Ok(())
    }

    fn on_pong(&mut self, word: u64) {
        if let Some(slot) = self.pongs.get_mut(&word)
            && let Slot::Waiting(Some(waker)) = std::mem::replace(slot, Slot::Done(()))
        {
            self.wakers.push(waker);
        }
    }

    fn deliver(&mut self, channel: Channel, item: Item) {
        if let Some(Some(inbox)) = self.inboxes.get_mut(channel as usize) {
            inbox.items.push_back(item);
            match self.looks == Some(channel) {
                true => inbox.waiting.forget(),
                false => inbox.waiting.release(&mut self.wakers),
            }
        }
    }

    fn on_lease(&mut self, leased: Leased) {
        let (channel, serial) = (leased.channel, leased.serial);
        match self.inbox(channel, serial) {
            Some(_) => self.deliver(channel, Item::Leased(leased)),
            None => self.session.give_back(leased.lease),
        }
    }

    fn on_lease_parcel(&mut self, leased: LeasedParcel) {
        match self.inbox(leased.channel, leased.serial) {
            Some(_) => self.deliver(leased.channel, Item::LeasedParcel(leased)),
            None => self.give_back_all(leased.leases()),
        }
    }

    fn on_acks(&mut self) {
        self.ack_waiting.release(&mut self.wakers);
    }

    fn on_reply(&mut self, request: RequestId, result: Result<Answer, Failure>) {
        if let Some(slot) = self.replies.get_mut(&request)
            && let Slot::Waiting(Some(waker)) = std::mem::replace(slot, Slot::Done(result))
        {
            self.wakers.push(waker);
        }
    }

    fn finish(&mut self, ticket: Ticket, verdict: Verdict) {
        let ticket = self.ticket_base + ticket;
        if matches!(verdict, Verdict::Failed(_)) {
            self.send_waiting.release(&mut self.wakers);
        }
        match self.verdicts.get_mut(ticket) {
            Some(Slot::Detached) => {
                self.verdicts.remove(ticket);
            }
            Some(slot) => {
                if let Slot::Waiting(Some(waker)) = std::mem::replace(slot, Slot::Done(verdict)) {
                    self.wakers.push(waker);
                }
            }
            None => {}
        }
    }

    /// Wakes those who wait at a channel.
    fn wake_channel(&mut self, channel: Channel) {
        if let Some(Some(inbox)) = self.inboxes.get_mut(channel as usize) {
            inbox.waiting.release(&mut self.wakers);
        }
    }

    fn end_channel(&mut self, channel: Channel, failure: Failure) {
        let Some(Some(inbox)) = self.inboxes.get_mut(channel as usize) else { return };
        if failure.kind() == ErrorKind::TooSlow {
            let pattern = inbox.pattern.clone().unwrap_or_default();
            self.events.push(ClientEvent::TooSlow { pattern, reason: failure.to_string() });
        }
        inbox.ended = Some(Ended(failure));
        inbox.waiting.release(&mut self.wakers);
    }

    /// Gives a prefetched delivery back, unless the application has it already.
    fn on_recall(&mut self, lease: u64) {
        for inbox in self.inboxes.iter_mut().flatten() {
            if inbox.remove(lease) {
                return self.session.give_back(lease);
            }
        }
        self.session.keep(lease);
    }

    /// A new session has taken the place of a lost one.
    pub fn on_restart(&mut self, restart: Restart, publishes_unknown: u64) {
        let unknown = restart
            .tickets
            .iter()
            .filter(|(_, failure)| failure.kind() == ErrorKind::OutcomeUnknown)
            .count();
        for (ticket, failure) in restart.tickets {
            self.finish(ticket, Verdict::Failed(failure));
        }
        for (request, failure) in restart.requests {
            self.on_reply(request, Err(failure));
        }
        self.life += 1;
        self.ticket_base = self.verdicts.last();
        let ack_base = self.ack_base;
        let lost = |run: RangeInclusive<u64>| ack_base + run.start()..=ack_base + run.end();
        self.acks_lost.push(restart.acks.into_iter().map(lost).collect());
        if self.acks_lost.len() > SESSIONS_REMEMBERED {
            self.acks_lost.remove(0);
        }
        self.ack_base = self.acks_given;
        self.send_waiting.release(&mut self.wakers);
        self.ack_waiting.release(&mut self.wakers);
        self.events.push(ClientEvent::Restarted {
            reason: restart.reason,
            unknown,
            publishes_unknown,
        });
        for inbox in self.inboxes.iter_mut().flatten() {
            // The leases and calls of the old session are gone; its publishes are still good.
            inbox.items.retain(|item| matches!(item, Item::Run { .. } | Item::Lost { .. }));
            inbox.waiting.release(&mut self.wakers);
            if let Some(pattern) = inbox.pattern.clone().filter(|_| inbox.ended.is_none()) {
                self.events.push(ClientEvent::Gap { pattern });
            }
        }
    }

    /// The client has ended: everybody is told.
    pub fn end(&mut self, failure: Failure) {
        if self.ended.is_some() {
            return;
        }
        self.events.push(ClientEvent::Closed { reason: failure.to_string() });
        self.ended = Some(failure);
        self.transport = None;
        for slot in self.replies.values_mut() {
            if let Slot::Waiting(Some(waker)) = slot {
                self.wakers.push(waker.clone());
            }
        }
        for (_, slot) in self.verdicts.iter() {
            if let Slot::Waiting(Some(waker)) = slot {
                self.wakers.push(waker.clone());
            }
        }
        for inbox in self.inboxes.iter_mut().flatten() {
            inbox.waiting.release(&mut self.wakers);
        }
        for slot in self.pongs.values() {
            if let Slot::Waiting(Some(waker)) = slot {
                self.wakers.push(waker.clone());
            }
        }
        self.ack_waiting.release(&mut self.wakers);
        self.write_waiting.release(&mut self.wakers);
        self.flush_waiting.release(&mut self.wakers);
        self.send_waiting.release(&mut self.wakers);
    }
}
