//! The client's state behind its lock: the session, and who waits for what.
//!
//! Futures register here and are woken by the driver. Whatever a future was waiting for and
//! is dropped before it came is put right here.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::task::{Context, Poll, Waker};

use bus_core::router::{Answer, Channel, RequestId, Ticket};
use bus_core::session::ClientSession;
use bus_core::transport::Transport;
use bus_core::{ErrorKind, Failure, Message, Sequence};

use crate::error::Error;
use crate::events::ClientEvent;
use crate::inbox::{Inbox, Item};
use crate::waiters::Waiters;

/// Unsent bytes above which senders wait for the driver.
const HIGH_WATER: usize = 512 * 1024;

/// The state.
#[derive(Default)]
pub(crate) struct State {
    pub session: ClientSession,
    pub driver: Option<Waker>,
    pub wakers: Vec<Waker>,
    /// Whoever waits at this channel looks as soon as the lock is released.
    pub looks: Option<Channel>,
    pub events: Vec<ClientEvent>,
    /// Every handle is gone, or the client was drained.
    pub closing: bool,
    /// Why the client has ended.
    pub ended: Option<Failure>,
    pub transport: Option<Transport>,
    /// Why it is that one.
    pub transport_reason: String,
    /// Where the broker was reached.
    pub address: String,
    pub(crate) replies: BTreeMap<RequestId, Slot<Result<Answer, Failure>>>,
    pub(crate) verdicts: Sequence<Slot<Verdict>>,
    pub(crate) inboxes: Vec<Option<Inbox>>,
    /// Counts the sessions that this client has had.
    pub(crate) life: u64,
    /// What to add to a ticket of this session: numbers here count on over all sessions.
    pub(crate) ticket_base: u64,
    /// The same for acknowledgements; `acks_given` is such a number.
    pub(crate) ack_base: u64,
    pub(crate) acks_given: u64,
    /// Acknowledgements of lost sessions that were never answered, for each session.
    pub(crate) acks_lost: Vec<Vec<RangeInclusive<u64>>>,
    pub(crate) ack_failures: BTreeMap<u64, Failure>,
    pub(crate) ack_waiting: Waiters,
    /// Those who wait for the window of a queue.
    pub(crate) send_waiting: Waiters,
    /// Those who wait until unsent bytes are few.
    pub(crate) write_waiting: Waiters,
    /// Those who wait until nothing is unsent.
    pub(crate) flush_waiting: Waiters,
    pub(crate) pongs: BTreeMap<u64, Slot<()>>,
    pub(crate) next_ping: u64,
}

/// Something waited for.
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
    /// Boxed, so that the verdicts of sends stay small.
    Reply(Box<Message>),
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
        // A number is free only when its last handle is dropped, and its inbox with it; but one
        // whose opening was refused may not be dropped yet: nothing has come for it.
        debug_assert!(self.inboxes[index].as_ref().is_none_or(|old| old.items.is_empty()));
        self.inboxes[index] = Some(Inbox::new(serial, pattern));
        serial
    }

    /// The inbox of a channel.
    #[inline]
    pub fn inbox(&mut self, channel: Channel, serial: u64) -> Option<&mut Inbox> {
        self.inboxes.get_mut(channel as usize)?.as_mut().filter(|inbox| inbox.serial == serial)
    }

    /// Closes a channel; deliveries that nobody has looked at go back, calls are refused.
    pub fn close_channel(&mut self, channel: Channel, serial: u64) {
        let Some(inbox) = self.inbox(channel, serial) else { return };
        for item in std::mem::take(&mut inbox.items) {
            match item {
                // Before the close, with which the broker ends all calls of this server itself.
                Item::Call { call, .. } => {
                    let failure =
                        Failure::new(ErrorKind::ServiceFailed, "the server has stopped serving");
                    self.session.call_reply(call, Err(&failure));
                }
                Item::Leased(leased) => self.session.give_back(leased.lease),
                Item::LeasedParcel(leased) => self.give_back_all(leased.leases()),
                Item::Run { .. } | Item::Lost { .. } => {}
            }
        }
        if self.session.serial(channel) == serial {
            self.session.close(channel);
        }
        self.inboxes[channel as usize] = None;
    }

    /// Gives back what a consumer has not handed out.
    pub fn return_items(&mut self, channel: Channel, serial: u64) {
        let Some(inbox) = self.inbox(channel, serial) else { return };
        for item in std::mem::take(&mut inbox.items) {
            match item {
                Item::Leased(leased) => self.session.give_back(leased.lease),
                Item::LeasedParcel(leased) => self.give_back_all(leased.leases()),
                _ => {}
            }
        }
    }

    /// Gives back deliveries that nobody has looked at.
    pub fn give_back_all(&mut self, leases: Range<u64>) {
        for lease in leases {
            self.session.give_back(lease);
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
        self.send_waiting.add(cx);
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
            Some(Slot::Detached) | None => {
                let failure = self.fork().cloned().unwrap_or_else(lost_outcome);
                Poll::Ready(Verdict::Failed(failure))
            }
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
        if let Some(fork) = self.fork() {
            return Poll::Ready(Err(fork.clone().into()));
        }
        if self.acks_lost.iter().flatten().any(|lost| lost.contains(&number)) {
            let text = "the connection was lost before the acknowledgement was answered; the message may be delivered again";
            return Poll::Ready(Err(Error::new(ErrorKind::OutcomeUnknown, text)));
        }
        let of_this_session = number.checked_sub(self.ack_base);
        if of_this_session.is_none_or(|number| self.session.is_ack_answered(number)) {
            return Poll::Ready(match self.ack_failures.remove(&number) {
                Some(failure) => Err(failure.into()),
                None => Ok(()),
            });
        }
        self.check()?;
        self.ack_waiting.add(cx);
        Poll::Pending
    }

    /// Pending while so much is unsent that senders should wait for the driver.
    #[inline]
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.session.outbound.unsent_bytes() < HIGH_WATER {
            return Poll::Ready(());
        }
        self.write_waiting.add(cx);
        Poll::Pending
    }

    /// Pending while a publisher has no window for a message of this length.
    #[inline]
    pub fn poll_window(
        &mut self,
        channel: Channel,
        serial: u64,
        length: usize,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.poll_room(cx).is_pending() {
            return Poll::Pending;
        }
        if self.session.can_publish(channel, length) {
            return Poll::Ready(());
        }
        if let Some(inbox) = self.inbox(channel, serial) {
            inbox.wait(cx);
        }
        Poll::Pending
    }

    /// Pending until everything is written.
    pub fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.flush_waiting.add(cx);
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

    /// On a new connection: says again what is not numbered, and so was lost with the old one.
    pub fn repeat_unnumbered(&mut self) {
        let waiting = |slot: &&Slot<()>| matches!(slot, Slot::Waiting(_));
        for (word, _) in self.pongs.iter().filter(|(_, slot)| waiting(slot)) {
            self.session.ping(*word);
        }
        if self.closing {
            self.session.goodbye();
        }
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
            self.write_waiting.release(&mut self.wakers);
        }
        if !self.session.outbound.has_unsent() {
            self.flush_waiting.release(&mut self.wakers);
        }
    }
}

pub(crate) fn lost_outcome() -> Failure {
    Failure::new(
        ErrorKind::OutcomeUnknown,
        "the connection was lost before the broker answered; whether it took the message is not known",
    )
}
