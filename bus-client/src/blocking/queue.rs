//! A queue whose calls block: send, receive, peek.

use std::fmt;
use std::time::Duration;

use bus_core::router::Peeked;
use bus_core::{ErrorKind, Message, MessageType, Name, Selector};

use super::delivery::Delivery;
use super::engine::Engine;
use crate::consumer::{self, ConsumerOptions};
use crate::error::Error;
use crate::queue;
use crate::receipt::{self, Receipt};
use crate::typed::declare;

/// An open queue. Clones share one handle, and threads may use it at once.
#[derive(Clone)]
pub struct Queue {
    inner: queue::Queue,
    engine: Engine,
}

/// Takes from a queue, ahead of the application by its credit. As an iterator it yields deliveries
/// until it ends; what has ended it is the last item.
pub struct Consumer {
    inner: consumer::Consumer,
    engine: Engine,
}

/// The receipt of a message that was handed over. Dropping it leaves the message as it is;
/// [`PendingReceipt::withdraw`] takes it back.
#[must_use = "a send may fail: wait for the receipt, or drop it knowingly"]
pub struct PendingReceipt {
    inner: receipt::PendingReceipt,
    engine: Engine,
}

/// Room for one send: using it does not wait.
pub struct Permit<'a> {
    inner: queue::Permit<'a>,
    queue: &'a Queue,
}

impl Queue {
    pub(crate) fn new(inner: queue::Queue, engine: Engine) -> Queue {
        Queue { inner, engine }
    }

    /// The same queue, but its calls take at most so long.
    pub fn within(&self, limit: Duration) -> Queue {
        Queue { inner: self.inner.clone(), engine: self.engine.within(limit) }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        self.inner.name()
    }

    /// Whether opening it has created it.
    pub fn was_created(&self) -> bool {
        self.inner.was_created()
    }

    /// Whether it lives at another broker, and a bridge hosts it at this one.
    pub fn is_hosted(&self) -> bool {
        self.inner.is_hosted()
    }

    /// Sends: waits until the broker has accepted the message, which it does when the queue has
    /// room or a receiver waits. Of a handle with a deadline this is [`Queue::send_timeout`].
    ///
    /// # Errors
    /// As [`crate::Queue::send`].
    pub fn send(&self, message: impl Into<Message>) -> Result<Receipt, Error> {
        match self.engine.limit() {
            None => self.engine.wait(self.inner.send(message)),
            Some(limit) => self.send_timeout(message, limit),
        }
    }

    /// As [`Queue::send`], but never waits for room in the queue.
    ///
    /// # Errors
    /// As [`Queue::send`], and `QueueFull`.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<Receipt, Error> {
        self.engine.call(|| self.tried("sending to"), self.inner.try_send(message))
    }

    /// As [`Queue::send`], but waits at most so long. When the time is up the message is taken
    /// back, and the answer says whether that was in time.
    ///
    /// # Errors
    /// As [`crate::Queue::send_timeout`].
    pub fn send_timeout(
        &self,
        message: impl Into<Message>,
        limit: Duration,
    ) -> Result<Receipt, Error> {
        self.engine.wait(self.inner.send_timeout(message, limit))
    }

    /// Hands a message over and returns; the receipt can be waited for later. For many sends under
    /// way at once.
    ///
    /// # Errors
    /// As [`crate::Queue::post`].
    pub fn post(&self, message: impl Into<Message>) -> Result<PendingReceipt, Error> {
        let what = || self.tried("sending to");
        let inner = self.engine.hand_over(self.inner.handle(), what, self.inner.post(message))?;
        Ok(PendingReceipt { inner, engine: self.engine.clone() })
    }

    /// Waits until a message can be handed over at once: who makes it only then does not make it in
    /// vain.
    ///
    /// # Errors
    /// As [`crate::Queue::reserve`]; `TimedOut` of a handle with a deadline.
    pub fn reserve(&self) -> Result<Permit<'_>, Error> {
        let inner = self.engine.call(|| self.tried("sending to"), self.inner.reserve())?;
        Ok(Permit { inner, queue: self })
    }

    /// Sends all of these in order, many at a time, and waits for all receipts. Returns how many
    /// were accepted.
    ///
    /// # Errors
    /// As [`crate::Queue::send_all`].
    pub fn send_all<M: Into<Message>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize, Error> {
        // They are made outside of the call: whoever makes them may wait for the bus himself.
        let messages: Vec<Message> = messages.into_iter().map(Into::into).collect();
        self.engine.call(|| self.tried("sending to"), self.inner.send_all(messages))
    }

    /// Takes the first message that the selector matches; waits if there is none. Of a handle
    /// with a deadline this is [`Queue::receive_timeout`].
    ///
    /// # Errors
    /// As [`crate::Queue::receive`].
    pub fn receive(&self, selector: Selector) -> Result<Delivery, Error> {
        match self.engine.limit() {
            None => self.delivered(self.engine.wait(self.inner.receive(selector))),
            Some(limit) => self.receive_timeout(selector, limit),
        }
    }

    /// As [`Queue::receive`], but does not wait.
    ///
    /// # Errors
    /// As [`Queue::receive`], and `Empty`.
    pub fn try_receive(&self, selector: Selector) -> Result<Delivery, Error> {
        let receiving = self.inner.try_receive(selector);
        self.delivered(self.engine.call(|| self.tried("receiving from"), receiving))
    }

    /// As [`Queue::receive`], but waits at most so long.
    ///
    /// # Errors
    /// As [`crate::Queue::receive_timeout`].
    pub fn receive_timeout(&self, selector: Selector, limit: Duration) -> Result<Delivery, Error> {
        self.delivered(self.engine.wait(self.inner.receive_timeout(selector, limit)))
    }

    /// As [`Queue::receive`], but takes no message longer than this: if the next one is, it stays,
    /// and this fails.
    ///
    /// # Errors
    /// As [`Queue::receive`], and `TooBig`.
    pub fn receive_up_to(&self, selector: Selector, bytes_max: u64) -> Result<Delivery, Error> {
        let receiving = self.inner.receive_up_to(selector, bytes_max);
        self.delivered(self.engine.call(|| self.tried("receiving from"), receiving))
    }

    /// A consumer with this credit: so many deliveries may be unsettled at a time (1 to 4096).
    ///
    /// # Errors
    /// As [`crate::Queue::consumer`].
    pub fn consumer(&self, selector: Selector, credit: u32) -> Result<Consumer, Error> {
        self.consumer_with(ConsumerOptions::new(selector, credit))
    }

    /// A consumer with these options.
    ///
    /// # Errors
    /// As [`Queue::consumer`].
    pub fn consumer_with(&self, options: ConsumerOptions) -> Result<Consumer, Error> {
        let opening = self.inner.consumer_with(options);
        let inner = self.engine.call(|| self.tried("receiving from"), opening)?;
        Ok(Consumer { inner, engine: self.engine.clone() })
    }

    /// The message at this index of those that the selector matches, in its order. Takes nothing.
    ///
    /// # Errors
    /// As [`crate::Queue::peek`].
    pub fn peek(&self, selector: Selector, index: u64) -> Result<Peeked, Error> {
        self.engine.call(|| self.tried("looking into"), self.inner.peek(selector, index))
    }

    /// Why this queue cannot be used now, if it lives at another broker: as
    /// [`crate::Queue::trouble`].
    ///
    /// # Errors
    /// Why the client has ended.
    pub fn trouble(&self) -> Result<Option<String>, Error> {
        self.engine.call(|| self.tried("asking about"), self.inner.trouble())
    }

    /// Blocks until its name and number are registered.
    pub(crate) fn declare<T: prost::Name>(&self, kind: MessageType) -> Result<(), Error> {
        self.engine.call(|| self.tried("opening"), declare::<T>(self.inner.handle(), kind))
    }

    fn delivered(&self, result: Result<crate::Delivery, Error>) -> Result<Delivery, Error> {
        result.map(|inner| Delivery::new(inner, self.engine.clone()))
    }

    fn tried(&self, what: &str) -> String {
        format!("{what} `{}`", self.inner.name())
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "blocking::{:?}", self.inner)
    }
}

impl Permit<'_> {
    /// Hands the message over; it is on its way when this returns.
    ///
    /// # Errors
    /// As [`crate::Permit::send`].
    pub fn send(self, message: impl Into<Message>) -> Result<PendingReceipt, Error> {
        let Permit { inner, queue } = self;
        let what = || queue.tried("sending to");
        let sending = async { inner.send(message) };
        let inner = queue.engine.hand_over(queue.inner.handle(), what, sending)?;
        Ok(PendingReceipt { inner, engine: queue.engine.clone() })
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Permit({:?})", self.queue.name())
    }
}

impl Consumer {
    /// The next delivery, if one is there already.
    pub fn try_next(&mut self) -> Option<Delivery> {
        let inner = self.inner.try_next()?;
        Some(Delivery::new(inner, self.engine.clone()))
    }

    /// The next delivery; an error `TimedOut` if none comes within this time, after which it goes
    /// on; `None` after the consumer has ended.
    pub fn next_timeout(&mut self, limit: Duration) -> Option<Result<Delivery, Error>> {
        let next = match self.engine.wait_for(limit, self.inner.next()) {
            Some(next) => next?,
            None => {
                let text = format!("no delivery within {limit:?}");
                Err(Error::new(ErrorKind::TimedOut, text))
            }
        };
        Some(next.map(|inner| Delivery::new(inner, self.engine.clone())))
    }

    /// Takes nothing more until [`Consumer::resume`]; what was not handed out goes back.
    ///
    /// # Errors
    /// Why the consumer or client has ended.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.engine.call(|| "pausing a consumer".into(), self.inner.pause())
    }

    /// Takes again.
    ///
    /// # Errors
    /// Why the consumer or client has ended.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.engine.call(|| "resuming a consumer".into(), self.inner.resume())
    }
}

impl Iterator for Consumer {
    type Item = Result<Delivery, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(limit) = self.engine.limit() {
            return self.next_timeout(limit);
        }
        let next = self.engine.wait(self.inner.next())?;
        Some(next.map(|inner| Delivery::new(inner, self.engine.clone())))
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "blocking::{:?}", self.inner)
    }
}

impl PendingReceipt {
    /// Waits for the verdict.
    ///
    /// # Errors
    /// As [`crate::Queue::send`]; `TimedOut` when the time of this handle's calls is up: then the
    /// verdict is not known.
    pub fn wait(self) -> Result<Receipt, Error> {
        self.engine.call(|| "waiting for a receipt".into(), self.inner)
    }

    /// As [`PendingReceipt::wait`], but at most so long; then gives the receipt back.
    ///
    /// # Errors
    /// As [`PendingReceipt::wait`]; `Err` within `Ok` when the time is up.
    pub fn wait_timeout(
        mut self,
        limit: Duration,
    ) -> Result<Result<Receipt, PendingReceipt>, Error> {
        match self.engine.wait_for(limit, &mut self.inner) {
            Some(verdict) => verdict.map(Ok),
            None => Ok(Err(self)),
        }
    }

    /// Takes the message back if it still waits for room. The receipt then fails as `Withdrawn`;
    /// else it is accepted.
    pub fn withdraw(&self) {
        self.inner.withdraw();
    }
}

impl fmt::Debug for PendingReceipt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PendingReceipt")
    }
}
