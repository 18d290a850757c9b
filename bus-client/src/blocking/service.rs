//! Services whose calls block: call, and serve.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bus_core::{ErrorKind, Message, Name};

use super::engine::Engine;
use crate::error::Error;
use crate::request::{self, Reply};
use crate::server;

/// A service, open for calling. Clones share one handle, and threads may use it at once.
#[derive(Clone)]
pub struct Service {
    inner: Arc<request::Service>,
    engine: Engine,
}

/// Serves a name. As an iterator it yields calls until it ends; what has ended it is the last
/// item. Dropping it ends serving.
pub struct Server {
    inner: server::Server,
    engine: Engine,
}

/// A call to answer: what was asked, it says as [`crate::Call`]. Dropping it unanswered tells the
/// caller that the service failed.
pub struct Call {
    inner: server::Call,
    engine: Engine,
}

impl Service {
    pub(crate) fn new(inner: request::Service, engine: Engine) -> Service {
        Service { inner: Arc::new(inner), engine }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        self.inner.name()
    }

    /// Calls, and waits for the reply at most so long.
    ///
    /// # Errors
    /// As [`crate::Service::call`].
    pub fn call(&self, message: impl Into<Message>, timeout: Duration) -> Result<Reply, Error> {
        self.engine.wait(self.inner.call(message, timeout))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "blocking::{:?}", self.inner)
    }
}

impl Server {
    pub(crate) fn new(inner: server::Server, engine: Engine) -> Server {
        Server { inner, engine }
    }

    /// The name that it serves.
    pub fn name(&self) -> &Name {
        self.inner.name()
    }

    /// The next call; an error `TimedOut` if none comes within this time, after which it goes on;
    /// `None` after serving has ended.
    pub fn next_timeout(&mut self, limit: Duration) -> Option<Result<Call, Error>> {
        let next = match self.engine.wait_for(limit, self.inner.next()) {
            Some(next) => next?,
            None => {
                let text = format!("nobody has called `{}` within {limit:?}", self.inner.name());
                Err(Error::new(ErrorKind::TimedOut, text))
            }
        };
        Some(next.map(|inner| Call { inner, engine: self.engine.clone() }))
    }

    /// Answers calls one after the other with what this says, until serving ends. An error is told
    /// to the caller as `ServiceFailed`, with its words.
    ///
    /// # Errors
    /// Why serving has ended; `TimedOut` of a handle with a deadline, when nobody called for so
    /// long.
    pub fn serve<E: fmt::Display>(
        &mut self,
        mut answer: impl FnMut(&Call) -> Result<Message, E>,
    ) -> Result<(), Error> {
        for call in self.by_ref() {
            let call = call?;
            // Whether the caller or his session is still there is not the server's business.
            let _ = match answer(&call) {
                Ok(message) => call.reply(message),
                Err(error) => call.fail(error.to_string()),
            };
        }
        Ok(())
    }
}

impl Iterator for Server {
    type Item = Result<Call, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(limit) = self.engine.limit() {
            return self.next_timeout(limit);
        }
        let next = self.engine.wait(self.inner.next())?;
        Some(next.map(|inner| Call { inner, engine: self.engine.clone() }))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "blocking::{:?}", self.inner)
    }
}

impl Call {
    /// Answers. Whether the caller still waits is not told.
    ///
    /// # Errors
    /// As [`crate::Call::reply`].
    pub fn reply(self, message: impl Into<Message>) -> Result<(), Error> {
        self.answer(|call| call.reply(message))
    }

    /// Tells the caller that the service failed, and why.
    ///
    /// # Errors
    /// As [`crate::Call::fail`].
    pub fn fail(self, reason: impl Into<String>) -> Result<(), Error> {
        self.answer(|call| call.fail(reason))
    }

    fn answer(self, answer: impl FnOnce(server::Call) -> Result<(), Error>) -> Result<(), Error> {
        let Call { inner, engine } = self;
        let handle = inner.handle().clone();
        engine.hand_over(&handle, || "answering a call".into(), async { answer(inner) })
    }
}

impl Deref for Call {
    type Target = server::Call;

    fn deref(&self) -> &server::Call {
        &self.inner
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(out)
    }
}
