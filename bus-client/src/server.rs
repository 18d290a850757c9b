//! Serving calls.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bus_core::router::Provenance;
use bus_core::session::Origin;
use bus_core::{ErrorKind, Failure, Message, MessageType, Name, Sender};
use bytes::Bytes;
use futures::Stream;

use crate::error::Error;
use crate::handle::{Handle, OpenChannel, Place, Waits, poll_assisted};
use crate::inbox::Item;

/// Serves a name. Dropping it ends serving: calls that were not looked at are refused as
/// `ServiceFailed`, and those that the application still has in hand end for their callers as
/// `Unreachable`; answering them then does nothing. To let them finish, answer them first.
pub struct Server {
    channel: OpenChannel,
    name: Name,
    finished: bool,
}

/// A call to answer. Dropping it unanswered tells the caller that the service failed.
pub struct Call {
    handle: Arc<Handle>,
    call: u64,
    timeout: Duration,
    life: u64,
    origin: Arc<Origin>,
    message: Message,
    answered: bool,
}

impl Server {
    pub(crate) fn new(channel: OpenChannel, name: Name) -> Server {
        Server { channel, name, finished: false }
    }

    /// The name that it serves.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The next call; `None` after serving has ended. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Result<Call, Error>> {
        poll_fn(|cx| poll_assisted(self, cx, Server::poll_call)).await
    }

    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Call, Error>>> {
        if self.finished {
            return Poll::Ready(None);
        }
        let (channel, serial) = (self.channel.channel, self.channel.serial);
        let found = self.channel.handle.with(|state| {
            let life = state.life();
            let ended = state.check_open(channel, serial);
            let item = state.inbox(channel, serial).and_then(|inbox| inbox.items.pop_front());
            match (item, ended) {
                (Some(item), _) => Poll::Ready(Ok((item, life))),
                (None, Err(error)) => Poll::Ready(Err(error)),
                (None, Ok(())) => {
                    if let Some(inbox) = state.inbox(channel, serial) {
                        inbox.wait(cx);
                    }
                    Poll::Pending
                }
            }
        });
        match found {
            Poll::Ready(Ok((Item::Call { call, timeout_ms, origin, message }, life))) => {
                let (handle, timeout) =
                    (self.channel.handle.clone(), Duration::from_millis(timeout_ms));
                Poll::Ready(Some(Ok(Call {
                    handle,
                    call,
                    timeout,
                    life,
                    origin,
                    message,
                    answered: false,
                })))
            }
            Poll::Ready(Ok(_)) => self.poll_call(cx),
            Poll::Ready(Err(error)) => {
                self.finished = true;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Stream for Server {
    type Item = Result<Call, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        poll_assisted(&mut *self, cx, Server::poll_call)
    }
}

impl Waits for Server {
    fn place(&self) -> Place<'_> {
        self.channel.alone()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Server({:?})", self.name)
    }
}

impl Call {
    #[cfg(feature = "blocking")]
    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// What was asked.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Its type.
    pub fn kind(&self) -> MessageType {
        self.message.kind()
    }

    /// Its payload.
    pub fn payload(&self) -> &Bytes {
        self.message.payload()
    }

    /// Who asks, by the broker's word. A bridge asks for others.
    pub fn sender(&self) -> &Sender {
        &self.origin.sender
    }

    /// If a bridge asks: for whom, by the word of the brokers beyond, and which of them the call has
    /// passed.
    pub fn provenance(&self) -> Option<&Provenance> {
        self.origin.provenance.as_deref()
    }

    /// What was left of the deadline when the call was handed to this server.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Answers. Never waits; whether the caller still waits is not told.
    ///
    /// # Errors
    /// `TooBig`; `Disconnected` when the session that had the call is lost.
    pub fn reply(mut self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        if message.payload().len() > bus_core::MESSAGE_BYTES_MAX {
            let text = format!(
                "a reply of {} bytes is longer than the bus allows",
                message.payload().len()
            );
            return Err(Error::new(ErrorKind::TooBig, text));
        }
        self.answer(Ok(&message))
    }

    /// Tells the caller that the service failed, and why.
    ///
    /// # Errors
    /// `Disconnected` when the session that had the call is lost.
    pub fn fail(self, reason: impl Into<String>) -> Result<(), Error> {
        self.fail_with(ErrorKind::ServiceFailed, reason)
    }

    /// The same with another kind. Only the broker's own services (`$bus.`) may say one: the caller of
    /// another server is told `ServiceFailed`, with these words, since `Unreachable` and the like are the
    /// broker's to say.
    ///
    /// # Errors
    /// `Disconnected` when the session that had the call is lost.
    pub fn fail_with(mut self, kind: ErrorKind, reason: impl Into<String>) -> Result<(), Error> {
        self.answer(Err(&Failure::new(kind, reason)))
    }

    fn answer(&mut self, result: Result<&Message, &Failure>) -> Result<(), Error> {
        self.answered = true;
        let (call, life) = (self.call, self.life);
        self.handle.with(|state| {
            state.check()?;
            if state.life() != life {
                return Err(Error::new(
                    ErrorKind::Disconnected,
                    "the session that had the call is lost",
                ));
            }
            state.session.call_reply(call, result);
            Ok(())
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.answered {
            let failure = Failure::new(
                ErrorKind::ServiceFailed,
                "the server dropped the call without an answer",
            );
            // Without a session there is nobody to tell.
            let _ = self.answer(Err(&failure));
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Call({:?} from {})", self.message, self.sender())
    }
}
