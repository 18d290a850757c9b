//! A queue: send, receive, peek.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bus_core::router::{Answer, Command, ConsumeOptions, Peeked};
use bus_core::session::ChannelKind;
use bus_core::{ErrorKind, Message, Name, Selector};
use tokio::time::{timeout, timeout_at};

use crate::client::{Opened, call};
use crate::consumer::{Consumer, ConsumerOptions, check_credit, receive};
use crate::deadline::{ANSWER_MARGIN, after};
use crate::delivery::Delivery;
use crate::error::Error;
use crate::handle::{OpenChannel, poll_assisted, poll_fairly};
use crate::publisher::check_length;
use crate::receipt::{PendingReceipt, Receipt};
use crate::spans::{self, Act};

/// An open queue. Clones share one handle.
#[derive(Clone)]
pub struct Queue {
    channel: Arc<OpenChannel>,
    name: Name,
    opened: Opened,
}

/// Room for one send: using it does not wait.
pub struct Permit<'a> {
    queue: &'a Queue,
}

impl Queue {
    pub(crate) fn new(channel: Arc<OpenChannel>, name: Name, opened: Opened) -> Queue {
        Queue { channel, name, opened }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether opening it has created it.
    pub fn was_created(&self) -> bool {
        self.opened.created
    }

    /// Whether it lives at another broker, and a bridge hosts it at this one.
    pub fn is_hosted(&self) -> bool {
        self.opened.hosted
    }

    /// Sends: waits for room in this client's window, hands the message over, and waits until
    /// the broker has accepted it, which it does when the queue has room or a receiver waits.
    ///
    /// Cancelling before the hand-over leaves nothing; after it, the message is taken back if
    /// it still waits for room, else it stays queued, once.
    ///
    /// # Errors
    /// `TooBig`, `Removed`, `PermissionDenied`, `QuotaExceeded`; `OutcomeUnknown` when the
    /// broker is lost before it answers.
    pub async fn send(&self, message: impl Into<Message>) -> Result<Receipt, Error> {
        self.hand_over(message.into(), false, true)
            .await?
            .await
            .map_err(|error| self.sending(error))
    }

    /// As [`Queue::send`], but never waits for room in the queue.
    ///
    /// # Errors
    /// As [`Queue::send`], and `QueueFull`.
    pub async fn try_send(&self, message: impl Into<Message>) -> Result<Receipt, Error> {
        self.hand_over(message.into(), true, true).await?.await.map_err(|error| self.sending(error))
    }

    /// As [`Queue::send`], but waits at most so long. When the time is up the message is taken
    /// back, and the answer says whether that was in time. Cancelling is as with
    /// [`Queue::send`].
    ///
    /// # Errors
    /// As [`Queue::send`], and `TimedOut`, after which the message is not in the queue;
    /// `OutcomeUnknown` when the broker does not say within a second whether it took it. What is
    /// waited for is in the sentence: room, or another broker where the queue lives and which cannot be
    /// reached.
    pub async fn send_timeout(
        &self,
        message: impl Into<Message>,
        limit: Duration,
    ) -> Result<Receipt, Error> {
        let late = |why: String| {
            let text = format!("sending to `{}`: not accepted within {limit:?}: {why}", self.name);
            Error::new(ErrorKind::TimedOut, text)
        };
        let deadline = after(limit);
        let handing = timeout_at(deadline, self.hand_over(message.into(), false, true));
        let handed = handing.await;
        let waits = || late("this client has too much under way".to_owned());
        let mut receipt = handed.map_err(|_| waits())??;
        if let Ok(result) = timeout_at(deadline, &mut receipt).await {
            return result.map_err(|error| self.sending(error));
        }
        receipt.withdraw();
        match timeout(ANSWER_MARGIN, receipt).await {
            Ok(Err(error)) if error.kind() == ErrorKind::Withdrawn => Err(late(error.to_string())),
            Ok(result) => result.map_err(|error| self.sending(error)),
            Err(_) => {
                let why = self.trouble_within(ANSWER_MARGIN).await;
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                let text = format!(
                    "sending to `{}`: the time of {limit:?} is up, and it is not known whether the message was taken{why}",
                    self.name
                );
                Err(Error::new(ErrorKind::OutcomeUnknown, text))
            }
        }
    }

    /// Hands a message over and returns; the receipt can be awaited later. For many sends
    /// under way at once. Cancelling leaves nothing.
    ///
    /// # Errors
    /// `TooBig`, or why the handle or client has ended.
    pub async fn post(&self, message: impl Into<Message>) -> Result<PendingReceipt, Error> {
        self.hand_over(message.into(), false, false).await
    }

    /// Sends all of these in order, many at a time, and waits for all receipts. Returns how
    /// many were accepted. Cancelling takes back those that still wait.
    ///
    /// # Errors
    /// As [`Queue::send`], for the first that fails; others may have been accepted.
    pub async fn send_all<M: Into<Message>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize, Error> {
        let mut pending = Vec::new();
        for message in messages {
            pending.push(self.hand_over(message.into(), false, true).await?);
        }
        let count = pending.len();
        for receipt in pending {
            receipt.await.map_err(|error| self.sending(error))?;
        }
        Ok(count)
    }

    /// Waits until a message can be handed over at once. Cancelling is harmless.
    ///
    /// # Errors
    /// Why the handle or client has ended.
    pub async fn reserve(&self) -> Result<Permit<'_>, Error> {
        poll_fn(|cx| poll_assisted(&mut &*self.channel, cx, |_, cx| self.poll_window(cx))).await?;
        Ok(Permit { queue: self })
    }

    /// Takes the first message that the selector matches; waits if there is none. Cancelling
    /// at any moment puts the message back at its place, unmarked. Poll it: a message that has
    /// come and is not looked at for the time of a lease goes to another receiver.
    ///
    /// # Errors
    /// `Removed`, `PermissionDenied`, or why the client has ended.
    pub async fn receive(&self, selector: Selector) -> Result<Delivery, Error> {
        receive(&self.channel, self.one(selector, true))
            .await
            .map_err(|error| self.receiving(error))
    }

    /// As [`Queue::receive`], but does not wait.
    ///
    /// # Errors
    /// As [`Queue::receive`], and `Empty`.
    pub async fn try_receive(&self, selector: Selector) -> Result<Delivery, Error> {
        receive(&self.channel, self.one(selector, false))
            .await
            .map_err(|error| self.receiving(error))
    }

    /// As [`Queue::receive`], but waits at most so long. Of a queue that lives at another broker the
    /// error says if that cannot be reached: to ask for that may take a second more.
    ///
    /// # Errors
    /// As [`Queue::receive`], and `TimedOut`.
    pub async fn receive_timeout(
        &self,
        selector: Selector,
        limit: Duration,
    ) -> Result<Delivery, Error> {
        match timeout(limit, self.receive(selector)).await {
            Ok(result) => result,
            Err(_) => {
                let why = match self.trouble_within(ANSWER_MARGIN).await {
                    None => format!("no message that `{selector}` matches within {limit:?}"),
                    Some(trouble) => format!("nothing came within {limit:?}: {trouble}"),
                };
                let text = format!("queue `{}`: {why}", self.name);
                Err(Error::new(ErrorKind::TimedOut, text))
            }
        }
    }

    /// As [`Queue::receive`], but takes no message longer than this: if the next one is, it
    /// stays, and this fails.
    ///
    /// # Errors
    /// As [`Queue::receive`], and `TooBig`.
    pub async fn receive_up_to(
        &self,
        selector: Selector,
        bytes_max: u64,
    ) -> Result<Delivery, Error> {
        let options = ConsumeOptions { bytes_max, ..self.one(selector, true) };
        receive(&self.channel, options).await.map_err(|error| self.receiving(error))
    }

    /// A consumer with this credit: so many deliveries may be unsettled at a time (1 to 4096).
    /// Cancelling undoes it.
    ///
    /// # Errors
    /// As [`Queue::receive`]; `InvalidArgument` for the credit.
    pub async fn consumer(&self, selector: Selector, credit: u32) -> Result<Consumer, Error> {
        self.consumer_with(ConsumerOptions::new(selector, credit)).await
    }

    /// A consumer with these options. Cancelling undoes it.
    ///
    /// # Errors
    /// As [`Queue::consumer`].
    pub async fn consumer_with(&self, options: ConsumerOptions) -> Result<Consumer, Error> {
        let queue = self.channel.channel;
        let options = options.options;
        check_credit(options.credit)?;
        self.channel.with(|_| ())?;
        let kind = ChannelKind::Consumer { auto_ack: options.auto_ack };
        let open = |request, channel| Command::Consume { request, channel, queue, options };
        let opened = crate::client::open(&self.channel.handle, kind, None, open).await;
        let (channel, _) = opened.map_err(|error| self.receiving(error))?;
        Ok(Consumer::new(channel, self.channel.clone(), options))
    }

    /// The message at this index of those that the selector matches, in its order. Takes
    /// nothing. Cancelling is harmless.
    ///
    /// # Errors
    /// `Empty` when there is none there; `PermissionDenied`, `Removed`.
    pub async fn peek(&self, selector: Selector, index: u64) -> Result<Peeked, Error> {
        let queue = self.channel.channel;
        self.channel.with(|_| ())?;
        let command = |request| Command::Peek { request, queue, selector, index };
        match call(&self.channel.handle, command).await? {
            Answer::Peeked(peeked) => Ok(*peeked),
            _ => Err(Error::new(
                ErrorKind::Protocol,
                "the broker answered a peek with something else",
            )),
        }
    }

    fn one(&self, selector: Selector, wait: bool) -> ConsumeOptions {
        ConsumeOptions { selector, once: true, wait, ..ConsumeOptions::default() }
    }

    async fn hand_over(
        &self,
        message: Message,
        no_wait: bool,
        withdraw: bool,
    ) -> Result<PendingReceipt, Error> {
        check_length(&self.name, &message)?;
        let (message, mut span) = spans::begin(Act::Send, &self.name, message);
        let mut message = Some(message);
        let mut poll =
            |_: &mut &OpenChannel, cx: &mut Context<'_>| self.poll_send(&mut message, no_wait, cx);
        let handed = poll_fn(|cx| poll_fairly(&mut &*self.channel, cx, &mut poll))
            .await
            .map_err(|error| self.sending(error));
        span.note(&handed);
        Ok(PendingReceipt::new(self.channel.handle.clone(), handed?, withdraw).within(span))
    }

    fn poll_send(
        &self,
        message: &mut Option<Message>,
        no_wait: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<u64, Error>> {
        let number = self.channel.channel;
        let sent = self.channel.with(|state| {
            let fits = message.as_ref().is_some_and(|given| state.session.can_send(number, given));
            if state.poll_room(cx).is_pending() {
                return None;
            }
            if !fits {
                state.wait_to_send(cx);
                return None;
            }
            let given = message.take()?;
            let ticket = state.session.send(number, given, no_wait);
            Some(state.expect_verdict(ticket))
        });
        match sent {
            Ok(Some(ticket)) => Poll::Ready(Ok(ticket)),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_window(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let number = self.channel.channel;
        let probe = Message::from("");
        let ready = self.channel.with(|state| {
            if state.poll_room(cx).is_pending() {
                return false;
            }
            let fits = state.session.can_send(number, &probe);
            if !fits {
                state.wait_to_send(cx);
            }
            fits
        });
        match ready {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    pub(crate) fn handle(&self) -> &Arc<crate::handle::Handle> {
        &self.channel.handle
    }

    fn sending(&self, error: Error) -> Error {
        error.context(format_args!("sending to `{}`", self.name))
    }

    fn receiving(&self, error: Error) -> Error {
        error.context(format_args!("receiving from `{}`", self.name))
    }
}

impl Permit<'_> {
    /// Hands the message over, at once.
    ///
    /// # Errors
    /// `TooBig`, or why the handle or client has ended.
    pub fn send(self, message: impl Into<Message>) -> Result<PendingReceipt, Error> {
        let message = message.into();
        check_length(&self.queue.name, &message)?;
        let (message, mut span) = spans::begin(Act::Send, &self.queue.name, message);
        let channel = &self.queue.channel;
        let handed = channel.with(|state| {
            let ticket = state.session.send(channel.channel, message, false);
            state.expect_verdict(ticket)
        });
        span.note(&handed);
        Ok(PendingReceipt::new(channel.handle.clone(), handed?, false).within(span))
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Queue({:?})", self.name)
    }
}
