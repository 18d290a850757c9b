//! Publishing on a topic.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bus_core::router::Command;
use bus_core::{COPY_BYTES_MAX, Message, MessageType, Name};
use bytes::Bytes;
use futures::Sink;

use crate::client::call;
use crate::error::Error;
use crate::handle::{OpenChannel, poll_assisted, poll_fairly};
use crate::matching::{self, Matching};
use crate::receipt::{PendingReceipt, Receipt};
use crate::spans::{self, Act};
use crate::state::State;

/// What a topic is created with.
#[derive(Clone, Debug, Default)]
pub struct PublisherOptions {
    pub(crate) topic: bus_core::router::TopicOptions,
    pub(crate) exclusive: bool,
}

impl PublisherOptions {
    /// Keeps the last message of each type for late joiners, who get them first, in the order in which
    /// they were published. Costs the broker their memory: at most 1,024 types, and 64 MiB and 64 KiB with 64
    /// bytes for each. For a new one beyond that the one that was published longest ago goes, and is counted as
    /// dropped. It counts when the topic is created; later `Admin::set_topic` changes it. What is kept
    /// does not cross a bridge: a topic at the other side keeps what passes, if it is made to.
    pub fn keep_last(mut self, keep: bool) -> Self {
        self.topic.keep_last = keep;
        self
    }

    /// How long a slow subscriber may hold publishers back (1 s by default, at most 60 s).
    pub fn hold(mut self, hold: Duration) -> Self {
        self.topic.hold = hold;
        self
    }

    /// Permission bits as of a file: read is to subscribe, write to publish.
    pub fn mode(mut self, mode: u16) -> Self {
        self.topic.mode = Some(mode);
        self
    }

    /// The topic must not be there yet.
    pub fn exclusive(mut self, exclusive: bool) -> Self {
        self.exclusive = exclusive;
        self
    }
}

/// A topic, open for publishing. Messages of one publisher reach each subscriber in order.
///
/// It is also a [`Sink`]: ready exactly when a message can be handed over at once.
pub struct Publisher {
    channel: OpenChannel,
    topic: Name,
}

impl Publisher {
    pub(crate) fn new(channel: OpenChannel, topic: Name) -> Publisher {
        Publisher { channel, topic }
    }

    /// The topic.
    pub fn topic(&self) -> &Name {
        &self.topic
    }

    /// Publishes: waits for window, then hands the message over. It is then on its way, and is
    /// repeated over lost connections of this session; see [`Publisher::flush`] for when it
    /// has arrived. Cancelling before that leaves nothing.
    ///
    /// # Errors
    /// `TooBig`, `Removed`, `PermissionDenied`, or why the client has ended.
    #[inline]
    pub async fn publish(&self, message: impl Into<Message>) -> Result<(), Error> {
        let (message, mut span) = spans::begin(Act::Publish, &self.topic, message.into());
        let mut message = Some(message);
        let mut poll =
            |_: &mut &OpenChannel, cx: &mut Context<'_>| self.poll_publish(&mut message, false, cx);
        let published = poll_fn(|cx| poll_fairly(&mut &self.channel, cx, &mut poll)).await;
        span.note(&published);
        published.map(|_| ())
    }

    /// As [`Publisher::publish`], of a payload that stays the caller's: it is copied, and no message
    /// is made for it. The cheapest way for many small ones.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    #[inline]
    pub async fn publish_slice(&self, kind: MessageType, payload: &[u8]) -> Result<(), Error> {
        if payload.len() >= COPY_BYTES_MAX || spans::are_wanted() {
            return self.publish(Message::new(kind, Bytes::copy_from_slice(payload))).await;
        }
        let (channel, serial) = (self.channel.channel, self.channel.serial);
        let mut poll = |_: &mut &OpenChannel, cx: &mut Context<'_>| {
            let done = self.channel.with(|state| {
                ready!(state.poll_window(channel, serial, payload.len(), cx));
                state.session.publish_slice(channel, kind, payload);
                Poll::Ready(())
            });
            self.explained(done)
        };
        poll_fn(|cx| poll_fairly(&mut &self.channel, cx, &mut poll)).await
    }

    /// Publishes without waiting: `None` took it, `Some` gives it back for lack of window.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub fn try_publish(&self, message: impl Into<Message>) -> Result<Option<Message>, Error> {
        let message = message.into();
        check_length(&self.topic, &message)?;
        let number = self.channel.channel;
        if spans::are_wanted() {
            return self.try_publish_traced(message);
        }
        self.channel.with(|state| {
            if !state.session.can_publish(number, message.len()) || !state.has_room() {
                return Some(message);
            }
            state.session.publish(number, &message, false);
            None
        })
    }

    /// The same within a span: none is made for what is given back at once, and none begins or ends under the
    /// client's lock.
    fn try_publish_traced(&self, message: Message) -> Result<Option<Message>, Error> {
        let number = self.channel.channel;
        let fits = |state: &mut State, message: &Message| {
            state.session.can_publish(number, message.len()) && state.has_room()
        };
        if !self.channel.with(|state| fits(state, &message))? {
            return Ok(Some(message));
        }
        let (traced, mut span) = spans::begin(Act::Publish, &self.topic, message.clone());
        let published = self.channel.with(|state| {
            let fits = fits(state, &traced);
            if fits {
                state.session.publish(number, &traced, false);
            }
            fits
        });
        span.note(&published);
        Ok(if published? { None } else { Some(message) })
    }

    /// Publishes, and waits until the broker has accepted the message. Cancelling before the
    /// hand-over leaves nothing; after it the message is published.
    ///
    /// # Errors
    /// As [`Publisher::publish`]; `OutcomeUnknown` when the broker is lost before it answers.
    pub async fn publish_confirmed(&self, message: impl Into<Message>) -> Result<Receipt, Error> {
        let (message, mut span) = spans::begin(Act::Publish, &self.topic, message.into());
        let mut message = Some(message);
        let mut poll =
            |_: &mut &OpenChannel, cx: &mut Context<'_>| self.poll_publish(&mut message, true, cx);
        let handed = poll_fn(|cx| poll_fairly(&mut &self.channel, cx, &mut poll)).await;
        span.note(&handed);
        let receipt = PendingReceipt::new(self.channel.handle.clone(), handed?, false).await;
        span.note(&receipt);
        receipt
    }

    /// Publishes all of these in order. Returns how many were handed over; cancelling keeps
    /// those.
    ///
    /// # Errors
    /// As [`Publisher::publish`], for the first that fails; those before it are published.
    pub async fn publish_all<M: Into<Message>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize, Error> {
        let mut count = 0;
        for message in messages {
            self.publish(message).await?;
            count += 1;
        }
        Ok(count)
    }

    /// Waits until the broker has accepted everything published so far. Cancelling is harmless.
    ///
    /// # Errors
    /// `Removed` if the topic was removed, or why the client has ended.
    pub async fn flush(&self) -> Result<(), Error> {
        let channel = self.channel.channel;
        self.channel.with(|_| ())?;
        call(&self.channel.handle, |request| Command::Flush { request, channel }).await.map(|_| ())
    }

    /// Waits until somebody listens: a subscriber, or a group, whose pattern matches the topic, at this
    /// broker or beyond a bridge. Which types it selects is not looked at, and one that is away for
    /// a moment still counts. Cancelling loses nothing, so a deadline may be set around it.
    ///
    /// # Errors
    /// `Removed` if the topic was removed, `Unsupported` by a broker that does not tell it, or why
    /// the client has ended.
    pub async fn matched(&self) -> Result<(), Error> {
        self.matching_other_than(Some(false)).await.map(|_| ())
    }

    /// Whether somebody listens, as [`Publisher::matched`] says: the broker is asked once, and says by
    /// itself when it changes, a moment (10 ms) later. A publish costs nothing more for that.
    ///
    /// # Errors
    /// As [`Publisher::matched`].
    pub async fn is_matched(&self) -> Result<bool, Error> {
        self.matching_other_than(None).await
    }

    /// Whether somebody listens: first how it is, then each change.
    pub fn matching(&self) -> Matching<'_> {
        Matching::new(self)
    }

    /// Whether somebody listens, once that is something else than this.
    pub(crate) async fn matching_other_than(&self, seen: Option<bool>) -> Result<bool, Error> {
        matching::other_than(&self.channel, seen)
            .await
            .map_err(|error| error.context(format_args!("asking who listens to `{}`", self.topic)))
    }

    /// Hands the message over when there is window for it; gives the ticket number, if any.
    #[inline]
    fn poll_publish(
        &self,
        message: &mut Option<Message>,
        receipt: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<u64, Error>> {
        let Some(given) = message.as_ref() else { return Poll::Ready(Ok(0)) };
        if given.payload().len() > bus_core::MESSAGE_BYTES_MAX {
            return Poll::Ready(check_length(&self.topic, given).map(|()| 0));
        }
        let (channel, serial) = (self.channel.channel, self.channel.serial);
        let done = self.channel.with(|state| {
            ready!(state.poll_window(channel, serial, given.len(), cx));
            let ticket = state.session.publish(channel, given, receipt);
            Poll::Ready(ticket.map_or(0, |ticket| state.expect_verdict(ticket)))
        });
        let done = ready!(self.explained(done));
        if done.is_ok() {
            *message = None;
        }
        Poll::Ready(done)
    }

    /// What a hand-over came to; an error says on which topic.
    #[inline]
    fn explained<T>(&self, done: Result<Poll<T>, Error>) -> Poll<Result<T, Error>> {
        match done {
            Ok(poll) => poll.map(Ok),
            Err(error) => {
                Poll::Ready(Err(error.context(format_args!("publishing on `{}`", self.topic))))
            }
        }
    }

    fn poll_window(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let (channel, serial) = (self.channel.channel, self.channel.serial);
        let ready = self.channel.with(|state| {
            // Room for the largest charge there is: a message of any length can follow.
            state.poll_window(channel, serial, usize::MAX / 2, cx)
        });
        match ready {
            Ok(poll) => poll.map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    pub(crate) fn handle(&self) -> &std::sync::Arc<crate::handle::Handle> {
        &self.channel.handle
    }
}

/// Fails for a message that is longer than the bus allows.
pub(crate) fn check_length(name: &Name, message: &Message) -> Result<(), Error> {
    let (length, limit) = (message.payload().len(), bus_core::MESSAGE_BYTES_MAX);
    if length <= limit {
        return Ok(());
    }
    let text = format!(
        "`{name}`: a payload of {length} bytes is longer than the bus allows ({limit} bytes)"
    );
    Err(Error::new(bus_core::ErrorKind::TooBig, text))
}

impl Sink<Message> for Publisher {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        poll_assisted(&mut &self.channel, cx, |_, cx| self.poll_window(cx))
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        check_length(&self.topic, &message)?;
        let (message, mut span) = spans::begin(Act::Publish, &self.topic, message);
        let channel = self.channel.channel;
        let published = self.channel.with(|state| {
            state.session.publish(channel, &message, false);
        });
        span.note(&published);
        published
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let written = self.channel.with(|state| {
            if state.session.outbound.has_unsent() {
                state.poll_written(cx)
            } else {
                Poll::Ready(())
            }
        });
        match written {
            Ok(poll) => poll.map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush(cx)
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Publisher({:?})", self.topic)
    }
}
