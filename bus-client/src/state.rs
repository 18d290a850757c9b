//! The client's state behind its lock: the session, and who waits for what.
//!
//! Futures register here and are woken by the driver. Whatever a future was waiting for and
//! is dropped before it came is put right here.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use bus_core::router::{Answer, Channel, RequestId, Ticket};
use bus_core::session::{ClientSession, Event, Restart};
use bus_core::transport::Transport;
use bus_core::{ErrorKind, Failure, Message, Sequence};

use crate::error::Error;
use crate::events::ClientEvent;
use crate::inbox::{Ended, Inbox, Item};

/// Unsent bytes above which senders wait for the driver.
const HIGH_WATER: usize = 512 * 1024;
/// Failed acknowledgements that are kept for whoever asks.
const ACK_FAILURES_KEPT: usize = 1024;

/// Lost sessions whose unanswered acknowledgements are remembered.
const SESSIONS_REMEMBERED: usize = 64;

/// The state.
#[derive(Default)]
pub(crate) struct State {
    pub session: ClientSession,
    pub driver: Option<Waker>,
    pub wakers: Vec<Waker>,
    pub events: Vec<ClientEvent>,
    /// Every handle is gone, or the client was drained.
    pub closing: bool,
    /// Why the client has ended.
    pub ended: Option<Failure>,
    pub transport: Option<Transport>,
    replies: BTreeMap<RequestId, Slot<Result<Answer, Failure>>>,
    verdicts: Sequence<Slot<Verdict>>,
    inboxes: Vec<Option<Inbox>>,
    /// Counts the sessions that this client has had.
    life: u64,
    /// What to add to a ticket of this session: numbers here count on over all sessions.
    ticket_base: u64,
    /// The same for acknowledgements; `acks_given` and `acks_answered` are such numbers.
    ack_base: u64,
    acks_given: u64,
    acks_answered: u64,
    /// Acknowledgements of lost sessions that were never answered: after, up to.
    acks_lost: Vec<(u64, u64)>,
    ack_failures: BTreeMap<u64, Failure>,
    ack_waiting: Vec<Waker>,
    /// Those who wait for the window of a queue.
    send_waiting: Vec<Waker>,
    /// Those who wait until unsent bytes are few.
    write_waiting: Vec<Waker>,
    /// Those who wait until nothing is unsent.
    flush_waiting: Vec<Waker>,
    pongs: BTreeMap<u64, Slot<()>>,
    next_ping: u64,
}

/// Something that is waited for.
pub(crate) enum Slot<T> {
    Waiting(Option<Waker>),
    Done(T),
    /// Nobody waits any more.
    Detached,
}

/// How a ticket ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accepted,
    Reply(Message),
    Failed(Failure),
}

impl State {
    /// Whether the driver has something to do.
    #[inline]
    pub fn wants_driver(&self) -> bool {
        self.driver.is_some() && (self.closing || self.session.wants_write())
    }

    /// Fails when the client has ended.
    #[inline]
    pub fn check(&self) -> Result<(), Error> {
        match &self.ended {
            Some(failure) => Err(failure.clone().into()),
            None => Ok(()),
        }
    }

    /// Fails when the client or this channel has ended.
    #[inline]
    pub fn check_open(&self, channel: Channel, serial: u64) -> Result<(), Error> {
        self.check()?;
        match self.inboxes.get(channel as usize) {
            Some(Some(inbox)) if inbox.serial == serial => match &inbox.ended {
                Some(ended) => Err(ended.clone().into()),
                None => Ok(()),
            },
            _ => Err(Error::new(ErrorKind::Closed, "the handle is closed")),
        }
    }

    /// Makes the inbox of a channel that was opened just now; gives its serial number.
    pub fn add_inbox(&mut self, channel: Channel, pattern: Option<String>) -> u64 {
        let index = channel as usize;
        if self.inboxes.len() <= index {
            self.inboxes.resize_with(index + 1, || None);
        }
        let serial = self.session.serial(channel);
        self.inboxes[index] = Some(Inbox::new(serial, pattern));
        serial
    }

    /// The inbox of a channel.
    #[inline]
    pub fn inbox(&mut self, channel: Channel, serial: u64) -> Option<&mut Inbox> {
        self.inboxes.get_mut(channel as usize)?.as_mut().filter(|inbox| inbox.serial == serial)
    }

    /// Closes a channel; deliveries that nobody has looked at go back.
    pub fn close_channel(&mut self, channel: Channel, serial: u64) {
        let Some(inbox) = self.inbox(channel, serial) else { return };
        let items = std::mem::take(&mut inbox.items);
        if self.session.serial(channel) == serial {
            self.session.close(channel);
        }
        for item in items {
            match item {
                Item::Leased(leased) => self.session.give_back(leased.lease),
                Item::Call { call, .. } => {
                    let failure =
                        Failure::new(ErrorKind::ServiceFailed, "the server has stopped serving");
                    self.session.call_reply(call, Err(&failure));
                }
                Item::Run { .. } | Item::Lost(_) => {}
            }
        }
        self.inboxes[channel as usize] = None;
    }

    /// Gives back what a consumer has not handed out.
    pub fn return_items(&mut self, channel: Channel, serial: u64) {
        let Some(inbox) = self.inbox(channel, serial) else { return };
        for item in std::mem::take(&mut inbox.items) {
            if let Item::Leased(leased) = item {
                self.session.give_back(leased.lease);
            }
        }
    }

    /// Which session of this client it is: leases and calls belong to one.
    pub fn life(&self) -> u64 {
        self.life
    }

    pub fn expect_reply(&mut self, request: RequestId) {
        self.replies.insert(request, Slot::Waiting(None));
    }

    pub fn poll_reply(
        &mut self,
        request: RequestId,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Answer, Error>> {
        if let Some(failure) = &self.ended
            && !matches!(self.replies.get(&request), Some(Slot::Done(_)))
        {
            return Poll::Ready(Err(failure.clone().into()));
        }
        match self.replies.get_mut(&request) {
            Some(Slot::Waiting(waker)) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(Slot::Done(_)) => match self.replies.remove(&request) {
                Some(Slot::Done(result)) => Poll::Ready(result.map_err(Error::from)),
                _ => Poll::Pending,
            },
            _ => Poll::Ready(Err(Error::new(
                ErrorKind::Disconnected,
                "the connection was lost before the answer",
            ))),
        }
    }

    pub fn forget_reply(&mut self, request: RequestId) {
        self.replies.remove(&request);
    }

    /// Notes a ticket that the session has just given out; gives the number to ask with.
    pub fn expect_verdict(&mut self, ticket: Ticket) -> u64 {
        let number = self.verdicts.push(Slot::Waiting(None));
        debug_assert_eq!(number, self.ticket_base + ticket, "tickets count on");
        number
    }

    /// Asks to be woken when a window of a queue may have opened.
    pub fn wait_to_send(&mut self, cx: &mut Context<'_>) {
        self.send_waiting.push(cx.waker().clone());
    }

    pub fn poll_verdict(&mut self, ticket: u64, cx: &mut Context<'_>) -> Poll<Verdict> {
        match self.verdicts.get_mut(ticket) {
            Some(Slot::Waiting(waker)) => match &self.ended {
                Some(_) => Poll::Ready(Verdict::Failed(lost_outcome())),
                None => {
                    *waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            },
            Some(Slot::Done(_)) => match self.verdicts.remove(ticket) {
                Some(Slot::Done(verdict)) => Poll::Ready(verdict),
                _ => Poll::Ready(Verdict::Failed(lost_outcome())),
            },
            Some(Slot::Detached) | None => Poll::Ready(Verdict::Failed(lost_outcome())),
        }
    }

    /// Takes a send back, if it still waits.
    pub fn withdraw(&mut self, ticket: u64) {
        if ticket > self.ticket_base {
            self.session.withdraw(ticket - self.ticket_base);
        }
    }

    /// Nobody waits for this ticket any more; with `withdraw` it is taken back if it can be.
    pub fn detach_verdict(&mut self, ticket: u64, withdraw: bool) {
        match self.verdicts.get_mut(ticket) {
            Some(slot @ Slot::Waiting(_)) => {
                *slot = Slot::Detached;
                if withdraw {
                    self.withdraw(ticket);
                }
            }
            Some(_) => {
                self.verdicts.remove(ticket);
            }
            None => {}
        }
    }

    /// Tickets that have no verdict yet.
    pub fn open_tickets(&self) -> usize {
        self.verdicts.iter().filter(|(_, slot)| !matches!(slot, Slot::Done(_))).count()
    }

    /// Acknowledges a lease; gives the number to ask with.
    pub fn ack(&mut self, leased: &bus_core::session::Leased) -> u64 {
        self.acks_given =
            self.ack_base + self.session.ack(leased.channel, leased.serial, leased.lease);
        self.acks_given
    }

    pub fn poll_ack(&mut self, number: u64, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.acks_lost.iter().any(|(after, upto)| (after + 1..=*upto).contains(&number)) {
            let text = "the connection was lost before the acknowledgement was answered; the message may be delivered again";
            return Poll::Ready(Err(Error::new(ErrorKind::OutcomeUnknown, text)));
        }
        if self.acks_answered >= number {
            return Poll::Ready(match self.ack_failures.remove(&number) {
                Some(failure) => Err(failure.into()),
                None => Ok(()),
            });
        }
        self.check()?;
        self.ack_waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// Pending while so much is unsent that senders should wait for the driver.
    #[inline]
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.session.outbound.unsent_bytes() < HIGH_WATER {
            return Poll::Ready(());
        }
        self.write_waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// Pending until everything is written.
    pub fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.flush_waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// Whether a sender need not wait for the driver.
    pub fn has_room(&self) -> bool {
        self.session.outbound.unsent_bytes() < HIGH_WATER
    }

    pub fn start_ping(&mut self) -> u64 {
        self.next_ping += 1;
        self.session.ping(self.next_ping);
        self.pongs.insert(self.next_ping, Slot::Waiting(None));
        self.next_ping
    }

    pub fn poll_pong(&mut self, word: u64, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(Slot::Done(())) = self.pongs.get(&word) {
            self.pongs.remove(&word);
            return Poll::Ready(Ok(()));
        }
        self.check()?;
        self.pongs.insert(word, Slot::Waiting(Some(cx.waker().clone())));
        Poll::Pending
    }

    pub fn forget_pong(&mut self, word: u64) {
        self.pongs.remove(&word);
    }

    /// Notes that bytes were written.
    pub fn wrote(&mut self, count: usize) {
        self.session.outbound.advance(count);
        if !self.write_waiting.is_empty() && self.session.outbound.unsent_bytes() < HIGH_WATER / 2 {
            self.wakers.append(&mut self.write_waiting);
        }
        if !self.session.outbound.has_unsent() {
            self.wakers.append(&mut self.flush_waiting);
        }
    }

    /// Takes an event of the session.
    pub fn on_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Run { run, origins } => self.deliver(run.channel, Item::Run { run, origins }),
            Event::Lease(leased) => self.on_lease(leased),
            Event::Accepted { first, count } => {
                for ticket in first..first.saturating_add(u64::from(count)) {
                    self.finish(ticket, Verdict::Accepted);
                }
                self.wakers.append(&mut self.send_waiting);
            }
            Event::Failed { ticket, failure } => self.finish(ticket, Verdict::Failed(failure)),
            Event::Result { ticket, message } => self.finish(ticket, Verdict::Reply(message)),
            Event::Settled { answered } => self.on_acks(self.ack_base + answered),
            Event::Unsettled { number, lease, failure } => {
                if self.ack_waiting.is_empty() {
                    self.events.push(ClientEvent::StaleAck { lease });
                }
                let number = self.ack_base + number;
                self.ack_failures.insert(number, failure);
                if self.ack_failures.len() > ACK_FAILURES_KEPT {
                    self.ack_failures.pop_first();
                }
                self.on_acks(number);
            }
            Event::Credit { channel } => self.wake_channel(channel),
            Event::Lost { channel, count } => {
                if let Some(Some(inbox)) = self.inboxes.get(channel as usize) {
                    let pattern = inbox.pattern.clone().unwrap_or_default();
                    self.events.push(ClientEvent::Lost { pattern, count });
                }
                self.deliver(channel, Item::Lost(count));
            }
            Event::Invoke { channel, call, timeout_ms, origin, message } => {
                self.deliver(channel, Item::Call { call, timeout_ms, origin, message });
            }
            Event::Reply { request, result } => self.on_reply(request, result),
            Event::Ended { channel, failure } => self.end_channel(channel, failure),
            Event::Recall { lease } => self.on_recall(lease),
            Event::Pong { word } => {
                if let Some(slot) = self.pongs.get_mut(&word)
                    && let Slot::Waiting(Some(waker)) = std::mem::replace(slot, Slot::Done(()))
                {
                    self.wakers.push(waker);
                }
            }
            Event::Refused { failure } => return Err(failure),
        }
        Ok(())
    }

    fn deliver(&mut self, channel: Channel, item: Item) {
        if let Some(Some(inbox)) = self.inboxes.get_mut(channel as usize) {
            inbox.items.push_back(item);
            self.wakers.append(&mut inbox.waiting);
        }
    }

    fn on_lease(&mut self, leased: bus_core::session::Leased) {
        let (channel, serial) = (leased.channel, leased.serial);
        match self.inbox(channel, serial) {
            Some(_) => self.deliver(channel, Item::Leased(leased)),
            None => self.session.give_back(leased.lease),
        }
    }

    fn on_acks(&mut self, answered: u64) {
        self.acks_answered = answered;
        self.wakers.append(&mut self.ack_waiting);
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
            self.wakers.append(&mut self.send_waiting);
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
            self.wakers.append(&mut inbox.waiting);
        }
    }

    fn end_channel(&mut self, channel: Channel, failure: Failure) {
        let Some(Some(inbox)) = self.inboxes.get_mut(channel as usize) else { return };
        if failure.kind() == ErrorKind::TooSlow {
            let pattern = inbox.pattern.clone().unwrap_or_default();
            self.events.push(ClientEvent::TooSlow { pattern, reason: failure.to_string() });
        }
        inbox.ended = Some(Ended(failure));
        self.wakers.append(&mut inbox.waiting);
    }

    /// Gives a prefetched delivery back, unless the application has it already.
    fn on_recall(&mut self, lease: u64) {
        for inbox in self.inboxes.iter_mut().flatten() {
            let place = inbox
                .items
                .iter()
                .position(|item| matches!(item, Item::Leased(l) if l.lease == lease));
            if let Some(place) = place {
                inbox.items.remove(place);
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
        self.acks_lost.push((self.acks_answered, self.acks_given));
        if self.acks_lost.len() > SESSIONS_REMEMBERED {
            self.acks_lost.remove(0);
        }
        (self.ack_base, self.acks_answered) = (self.acks_given, self.acks_given);
        self.wakers.append(&mut self.send_waiting);
        self.wakers.append(&mut self.ack_waiting);
        for inbox in self.inboxes.iter_mut().flatten() {
            // The leases and calls of the old session are gone; its publishes are still good.
            inbox.items.retain(|item| matches!(item, Item::Run { .. } | Item::Lost(_)));
            self.wakers.append(&mut inbox.waiting);
            if let Some(pattern) = inbox.pattern.clone().filter(|_| inbox.ended.is_none()) {
                self.events.push(ClientEvent::Gap { pattern });
            }
        }
        self.events.push(ClientEvent::Restarted {
            reason: restart.reason,
            unknown,
            publishes_unknown,
        });
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
            self.wakers.append(&mut inbox.waiting);
        }
        for slot in self.pongs.values() {
            if let Slot::Waiting(Some(waker)) = slot {
                self.wakers.push(waker.clone());
            }
        }
        self.wakers.append(&mut self.ack_waiting);
        self.wakers.append(&mut self.write_waiting);
        self.wakers.append(&mut self.flush_waiting);
        self.wakers.append(&mut self.send_waiting);
    }
}

fn lost_outcome() -> Failure {
    Failure::new(
        ErrorKind::OutcomeUnknown,
        "the connection was lost before the broker answered; whether it took the message is not known",
    )
}
