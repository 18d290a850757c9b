//! A message that was taken from a queue, and is leased until it is settled.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bus_core::router::{Command, RequestId};
use bus_core::session::Leased;
use bus_core::{Headers, Message, MessageType, Sender};
use bytes::Bytes;

use crate::client::wait_reply;
use crate::error::Error;
use crate::handle::{Handle, poll_assisted};

/// A received message. Dropping it without settling it is a `nack`: it goes back to its
/// place, marked as redelivered.
pub struct Delivery {
    handle: Arc<Handle>,
    /// Which life of the client's session it belongs to.
    life: u64,
    leased: Leased,
    settled: bool,
}

impl Delivery {
    pub(crate) fn new(handle: Arc<Handle>, (leased, life): (Leased, u64)) -> Delivery {
        let settled = leased.auto_ack;
        Delivery { handle, life, leased, settled }
    }

    #[cfg(feature = "blocking")]
    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// The message itself.
    pub fn message(&self) -> &Message {
        &self.leased.message
    }

    /// Its type.
    pub fn kind(&self) -> MessageType {
        self.leased.message.kind()
    }

    /// Its payload.
    pub fn payload(&self) -> &Bytes {
        self.leased.message.payload()
    }

    /// Its headers.
    pub fn headers(&self) -> &Headers {
        self.leased.message.headers()
    }

    /// Who sent it, by the broker's word.
    pub fn sender(&self) -> &Sender {
        &self.leased.origin.sender
    }

    /// How often it was delivered before and not acknowledged, as far as that is known: 0 at first
    /// (`bus recv` shows which delivery it is, from 2 on). Of a
    /// process that was killed the broker may not have heard what it was handed last. If it was
    /// the only message that its receiver had, it counts; of several only those count that are
    /// known to have been handed over, and each is delivered alone from then on, so that the next
    /// death counts for the right one.
    pub fn attempt(&self) -> u32 {
        self.leased.attempt
    }

    /// Acknowledges: the message is done with. It goes out with what else the client has to
    /// send, at the latest when this task waits; awaiting tells whether it was in time. Many can be
    /// under way; dropping the answer is fine. A process that dies before it has gone out has
    /// not acknowledged: the message is delivered once more, alone. It counts as delivered if the
    /// broker knew already that it was handed over.
    pub fn ack(mut self) -> Ack {
        self.settled = true;
        let number = match self.leased.auto_ack {
            true => Some(0),
            false => self
                .handle
                .with(|state| (state.life() == self.life).then(|| state.ack(&self.leased))),
        };
        Ack { handle: self.handle.clone(), number, lease: self.leased.lease }
    }

    /// Gives the message back to its place, marked as redelivered. Sent when first polled;
    /// cancelling does not undo it.
    ///
    /// # Errors
    /// `StaleLease` when the lease has ended before.
    pub async fn nack(self) -> Result<(), Error> {
        self.nack_after(Duration::ZERO).await
    }

    /// Gives the message back after a delay. Sent when first polled; cancelling does not undo
    /// it. If it is dropped before that, the message goes back without delay.
    ///
    /// # Errors
    /// As [`Delivery::nack`].
    pub async fn nack_after(mut self, delay: Duration) -> Result<(), Error> {
        let lease = self.leased.lease;
        self.settle(|request| Command::Nack { request, lease, delay }).await
    }

    /// Sends the message to the dead letters, with a reason of at most 255 bytes. Sent when
    /// first polled; cancelling does not undo it. If it is dropped before that, the message
    /// goes back to its place.
    ///
    /// # Errors
    /// `StaleLease` when the lease has ended before, `InvalidArgument` for the reason (then
    /// the message goes back to its place when its lease ends).
    pub async fn reject(mut self, reason: impl Into<String>) -> Result<(), Error> {
        let (lease, reason) = (self.leased.lease, reason.into());
        self.settle(|request| Command::Reject { request, lease, reason }).await
    }

    /// Lengthens the lease: it ends so long from now, if not settled before. Cancelling leaves
    /// it lengthened or not.
    ///
    /// # Errors
    /// `StaleLease` when the lease has ended before.
    pub async fn extend(&mut self, by: Duration) -> Result<(), Error> {
        let lease = self.leased.lease;
        let request = self.request(|request| Command::Extend { request, lease, by })?;
        wait_reply(&self.handle, request).await.map(|_| ())
    }

    async fn settle(&mut self, make: impl FnOnce(RequestId) -> Command) -> Result<(), Error> {
        if std::mem::replace(&mut self.settled, true) {
            return Ok(());
        }
        let request = self.request(make)?;
        let (channel, serial) = (self.leased.channel, self.leased.serial);
        self.handle.with(|state| state.session.note_settled(channel, serial));
        wait_reply(&self.handle, request).await.map(|_| ())
    }

    fn request(&self, make: impl FnOnce(RequestId) -> Command) -> Result<RequestId, Error> {
        self.handle.with(|state| {
            state.check()?;
            if state.life() != self.life {
                return Err(stale(self.leased.lease));
            }
            let request = state.session.request(make);
            state.expect_reply(request);
            Ok(request)
        })
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let lease = self.leased.lease;
        let (channel, serial, life) = (self.leased.channel, self.leased.serial, self.life);
        self.handle.with(|state| {
            if state.life() == life && state.check().is_ok() {
                state.session.note_settled(channel, serial);
                state.session.request(|request| Command::Nack {
                    request,
                    lease,
                    delay: Duration::ZERO,
                });
            }
        });
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "Delivery({:?}, attempt {}, from {})",
            self.leased.message,
            self.leased.attempt,
            self.sender()
        )
    }
}

fn stale(lease: u64) -> Error {
    let text = format!(
        "lease {lease} ended with the session that held it; the message may be delivered again"
    );
    Error::new(bus_core::ErrorKind::StaleLease, text)
}

/// The answer to an acknowledgement, to be awaited if it matters.
pub struct Ack {
    handle: Arc<Handle>,
    /// The number of the acknowledgement; none if the session was lost before it was sent.
    number: Option<u64>,
    lease: u64,
}

impl Future for Ack {
    /// `StaleLease` when the lease had ended before: the message may be delivered again.
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.number {
            Some(number) => poll_assisted(&mut self.handle, cx, |handle, cx| {
                handle.with(|state| state.poll_ack(number, cx))
            }),
            None => {
                // Of a client that has ended for good its end is the better word.
                self.handle.with(|state| state.check())?;
                Poll::Ready(Err(stale(self.lease)))
            }
        }
    }
}
