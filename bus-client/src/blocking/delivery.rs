//! A message that was taken from a queue, to be settled by calls that block.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use super::engine::Engine;
use crate::delivery;
use crate::error::Error;

/// A received message: what it has to say, it says as [`crate::Delivery`]. Dropping it without
/// settling it is a `nack`: it goes back to its place, marked as redelivered.
pub struct Delivery {
    inner: delivery::Delivery,
    engine: Engine,
}

/// The answer to an acknowledgement, to be waited for if it matters.
pub struct Ack {
    inner: delivery::Ack,
    engine: Engine,
}

impl Delivery {
    pub(crate) fn new(inner: delivery::Delivery, engine: Engine) -> Delivery {
        Delivery { inner, engine }
    }

    /// Acknowledges: the message is done with. It is on its way when this returns; who waits for
    /// the answer is told whether it was in time.
    ///
    /// # Errors
    /// `TimedOut` is the only one, and only of a handle with a deadline.
    pub fn ack(self) -> Result<Ack, Error> {
        let Delivery { inner, engine } = self;
        let handle = inner.handle().clone();
        let acking = async { Ok(inner.ack()) };
        let inner = engine.hand_over(&handle, || "acknowledging".into(), acking)?;
        Ok(Ack { inner, engine })
    }

    /// Gives the message back to its place, marked as redelivered.
    ///
    /// # Errors
    /// `StaleLease` when the lease has ended before.
    pub fn nack(self) -> Result<(), Error> {
        self.engine.call(|| "giving a message back".into(), self.inner.nack())
    }

    /// Gives the message back after a delay.
    ///
    /// # Errors
    /// As [`Delivery::nack`].
    pub fn nack_after(self, delay: Duration) -> Result<(), Error> {
        self.engine.call(|| "giving a message back".into(), self.inner.nack_after(delay))
    }

    /// Sends the message to the dead letters, with a reason of at most 255 bytes.
    ///
    /// # Errors
    /// As [`crate::Delivery::reject`].
    pub fn reject(self, reason: impl Into<String>) -> Result<(), Error> {
        self.engine.call(|| "rejecting a message".into(), self.inner.reject(reason))
    }

    /// Lengthens the lease: it ends so long from now, if not settled before.
    ///
    /// # Errors
    /// `StaleLease` when the lease has ended before.
    pub fn extend(&mut self, by: Duration) -> Result<(), Error> {
        self.engine.call(|| "lengthening a lease".into(), self.inner.extend(by))
    }
}

impl Deref for Delivery {
    type Target = delivery::Delivery;

    fn deref(&self) -> &delivery::Delivery {
        &self.inner
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(out)
    }
}

impl Ack {
    /// Waits for the answer.
    ///
    /// # Errors
    /// `StaleLease` when the lease had ended before: the message may be delivered again.
    /// `TimedOut` of a handle with a deadline: then that is not known.
    pub fn wait(self) -> Result<(), Error> {
        self.engine.call(|| "waiting for an acknowledgement".into(), self.inner)
    }

    /// As [`Ack::wait`], but at most so long.
    ///
    /// # Errors
    /// As [`Ack::wait`].
    pub fn wait_timeout(self, limit: Duration) -> Result<(), Error> {
        let Ack { inner, engine } = self;
        engine.within(limit).call(|| "waiting for an acknowledgement".into(), inner)
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Ack")
    }
}
