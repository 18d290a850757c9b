//! Calling a service.

use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use bus_core::{ErrorKind, Message, Name};
use tokio::time::timeout_at;

use crate::client::OnDrop;
use crate::deadline::{ANSWER_MARGIN, after};
use crate::error::Error;
use crate::handle::{OpenChannel, wait_assisted};
use crate::publisher::check_length;
use crate::spans::{self, Act};
use crate::state::Verdict;

/// A service, open for calling.
pub struct Service {
    channel: OpenChannel,
    name: Name,
}

/// The reply to a call.
pub type Reply = Message;

impl Service {
    pub(crate) fn new(channel: OpenChannel, name: Name) -> Service {
        Service { channel, name }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Calls, and waits for the reply until the deadline. The broker keeps it; when that says
    /// nothing for another second, the client ends the call. Cancelling gives the call up; its
    /// server may still do it.
    ///
    /// # Errors
    /// `Unreachable` when nobody serves the name, or the server went away; `TimedOut`;
    /// `ServiceFailed` with the server's words; `TooBig`, `PermissionDenied`, `QuotaExceeded`.
    pub async fn call(
        &self,
        message: impl Into<Message>,
        timeout: Duration,
    ) -> Result<Reply, Error> {
        let message = message.into();
        check_length(&self.name, &message)?;
        let (message, mut span) = spans::begin(Act::Call, &self.name, message);
        let reply = self.exchange(message, timeout).await;
        span.note(&reply);
        reply
    }

    async fn exchange(&self, message: Message, timeout: Duration) -> Result<Reply, Error> {
        let channel = self.channel.channel;
        let late = |_| {
            let text = format!("calling `{}`: no answer within {timeout:?}", self.name);
            Error::new(ErrorKind::TimedOut, text)
        };
        let deadline = after(timeout.saturating_add(ANSWER_MARGIN));
        let room = poll_fn(|cx| match self.channel.with(|state| state.poll_room(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(error) => std::task::Poll::Ready(Err(error)),
        });
        timeout_at(deadline, room).await.map_err(late)??;
        let ticket = self.channel.with(|state| {
            let ticket = state.session.call(channel, &message, timeout);
            state.expect_verdict(ticket)
        })?;
        drop(message);
        let handle = &self.channel.handle;
        let _give_up = OnDrop(|| handle.with(|state| state.detach_verdict(ticket, true)));
        let verdict =
            wait_assisted(handle, |cx| handle.with(|state| state.poll_verdict(ticket, cx)));
        match timeout_at(deadline, verdict).await.map_err(late)? {
            Verdict::Reply(message) => Ok(*message),
            Verdict::Failed(failure) => {
                Err(Error::from(failure).context(format_args!("calling `{}`", self.name)))
            }
            Verdict::Accepted => {
                Err(Error::new(ErrorKind::Protocol, "the broker answered a call with a receipt"))
            }
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Service({:?})", self.name)
    }
}
