//! Topics whose calls block: publish, and receive what is published.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bus_core::{ErrorKind, Message, MessageType, Name};

use super::engine::Engine;
use crate::error::Error;
use crate::publisher;
use crate::receipt::Receipt;
use crate::received::{Batch, Received};
use crate::subscriber;
use crate::typed::declare;

/// Messages that are handed over in one call, of many.
const TOGETHER: usize = 64;

/// A topic, open for publishing. Clones share one handle, and threads may use it at once: the
/// messages of all of them reach each subscriber in the order in which they were handed over.
#[derive(Clone)]
pub struct Publisher {
    inner: Arc<publisher::Publisher>,
    engine: Engine,
}

/// A subscription. As an iterator it yields messages until it ends; what has ended it is the last
/// item. Dropping it unsubscribes.
pub struct Subscriber {
    inner: subscriber::Subscriber,
    engine: Engine,
}

impl Publisher {
    pub(crate) fn new(inner: publisher::Publisher, engine: Engine) -> Publisher {
        Publisher { inner: Arc::new(inner), engine }
    }

    /// The same publisher, but its calls take at most so long. A publish that times out has
    /// published nothing.
    pub fn within(&self, limit: Duration) -> Publisher {
        Publisher { inner: self.inner.clone(), engine: self.engine.within(limit) }
    }

    /// The topic.
    pub fn topic(&self) -> &Name {
        self.inner.topic()
    }

    /// Publishes: waits for window, then hands the message over; it is on its way when this
    /// returns.
    ///
    /// # Errors
    /// As [`crate::Publisher::publish`].
    pub fn publish(&self, message: impl Into<Message>) -> Result<(), Error> {
        let publishing = self.inner.publish(message);
        self.engine.hand_over(self.inner.handle(), || self.tried(), publishing)
    }

    /// As [`Publisher::publish`], of a payload that stays the caller's.
    ///
    /// # Errors
    /// As [`crate::Publisher::publish_slice`].
    pub fn publish_slice(&self, kind: MessageType, payload: &[u8]) -> Result<(), Error> {
        let publishing = self.inner.publish_slice(kind, payload);
        self.engine.hand_over(self.inner.handle(), || self.tried(), publishing)
    }

    /// Publishes without waiting: `None` took it, `Some` gives it back for lack of window.
    ///
    /// # Errors
    /// As [`crate::Publisher::try_publish`].
    pub fn try_publish(&self, message: impl Into<Message>) -> Result<Option<Message>, Error> {
        let publishing = async { self.inner.try_publish(message) };
        self.engine.hand_over(self.inner.handle(), || self.tried(), publishing)
    }

    /// Publishes, and waits until the broker has accepted the message.
    ///
    /// # Errors
    /// As [`crate::Publisher::publish_confirmed`]; `TimedOut` of a handle with a deadline: then
    /// it may be published.
    pub fn publish_confirmed(&self, message: impl Into<Message>) -> Result<Receipt, Error> {
        self.engine.call(|| self.tried(), self.inner.publish_confirmed(message))
    }

    /// Publishes all of these in order, many at a time; they are on their way when this returns. The
    /// way for much at once: each [`Publisher::publish`] is written by itself. Returns how many were
    /// handed over. The time of the handle's calls is for each 64 of them.
    ///
    /// # Errors
    /// As [`crate::Publisher::publish_all`].
    pub fn publish_all<M: Into<Message>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize, Error> {
        let mut messages = messages.into_iter().map(Into::into);
        let mut count = 0;
        loop {
            // They are made outside of the call: whoever makes them may wait for the bus himself.
            let some: Vec<Message> = messages.by_ref().take(TOGETHER).collect();
            if some.is_empty() {
                return Ok(count);
            }
            let publishing = self.inner.publish_all(some);
            count += self.engine.hand_over(self.inner.handle(), || self.tried(), publishing)?;
        }
    }

    /// Waits until the broker has accepted everything published so far.
    ///
    /// # Errors
    /// As [`crate::Publisher::flush`].
    pub fn flush(&self) -> Result<(), Error> {
        self.engine.call(|| self.tried(), self.inner.flush())
    }

    /// Waits until somebody listens.
    ///
    /// # Errors
    /// As [`crate::Publisher::matched`]; `TimedOut` of a handle with a deadline.
    pub fn matched(&self) -> Result<(), Error> {
        self.engine.call(|| self.asked(), self.inner.matched())
    }

    /// Whether somebody listens.
    ///
    /// # Errors
    /// As [`Publisher::matched`].
    pub fn is_matched(&self) -> Result<bool, Error> {
        self.engine.call(|| self.asked(), self.inner.is_matched())
    }

    /// Whether somebody listens: first how it is, then each change, as an iterator that ends with the
    /// publisher. The time of the handle's calls is for each.
    pub fn matching(&self) -> impl Iterator<Item = Result<bool, Error>> + use<> {
        let (publisher, mut seen, mut over) = (self.clone(), None, false);
        std::iter::from_fn(move || {
            if over {
                return None;
            }
            let next = publisher.inner.matching_other_than(seen);
            let next = publisher.engine.call(|| publisher.asked(), next);
            match &next {
                Ok(now) => seen = Some(*now),
                Err(error) => over = error.kind() != ErrorKind::TimedOut,
            }
            Some(next)
        })
    }

    fn asked(&self) -> String {
        format!("waiting for who listens to `{}`", self.inner.topic())
    }

    /// Blocks until its name and number are registered.
    pub(crate) fn declare<T: prost::Name>(&self, kind: MessageType) -> Result<(), Error> {
        self.engine.call(|| self.tried(), declare::<T>(self.inner.handle(), kind))
    }

    fn tried(&self) -> String {
        format!("publishing on `{}`", self.inner.topic())
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "blocking::{:?}", self.inner)
    }
}

impl Subscriber {
    pub(crate) fn new(inner: subscriber::Subscriber, engine: Engine) -> Subscriber {
        Subscriber { inner, engine }
    }

    /// The next message; an error `TimedOut` if none comes within this time, after which it goes
    /// on; `None` after the subscription has ended.
    pub fn next_timeout(&mut self, limit: Duration) -> Option<Result<Received, Error>> {
        match self.engine.wait_for(limit, self.inner.next()) {
            Some(next) => next,
            None => Some(Err(late(limit))),
        }
    }

    /// The messages that are there, at least one, to be looked at where they stand; `None` after
    /// the subscription has ended.
    pub fn next_batch(&mut self) -> Option<Result<Batch<'_>, Error>> {
        match self.engine.limit() {
            None => self.engine.wait(self.inner.next_batch()),
            Some(limit) => self.next_batch_timeout(limit),
        }
    }

    /// As [`Subscriber::next_batch`]; an error `TimedOut` if nothing comes within this time, after
    /// which it goes on.
    pub fn next_batch_timeout(&mut self, limit: Duration) -> Option<Result<Batch<'_>, Error>> {
        match self.engine.wait_for(limit, self.inner.next_batch()) {
            Some(next) => next,
            None => Some(Err(late(limit))),
        }
    }

    /// How long its calls may take.
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.engine.limit()
    }

    /// Blocks until its name and number are registered.
    pub(crate) fn declare<T: prost::Name>(&self, kind: MessageType) -> Result<(), Error> {
        let declaring = declare::<T>(self.inner.handle(), kind);
        self.engine.call(|| "registering a type".into(), declaring)
    }

    /// As [`crate::Subscriber::lost`].
    pub fn lost(&self) -> u64 {
        self.inner.lost()
    }

    /// As [`crate::Subscriber::unconfirmed`].
    pub fn unconfirmed(&self) -> u64 {
        self.inner.unconfirmed()
    }
}

impl Iterator for Subscriber {
    type Item = Result<Received, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.engine.limit() {
            None => self.engine.wait(self.inner.next()),
            Some(limit) => self.next_timeout(limit),
        }
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "blocking::{:?}", self.inner)
    }
}

/// The time is up.
pub(crate) fn late(limit: Duration) -> Error {
    Error::new(ErrorKind::TimedOut, format!("nothing was published within {limit:?}"))
}
