//! The events of a blocking client.

use std::fmt;
use std::time::Duration;

use super::engine::Engine;
use crate::events::{self, ClientEvent};

/// The events of a client, as an iterator that ends with the client.
pub struct Events {
    inner: events::Events,
    engine: Engine,
}

impl Events {
    pub(crate) fn new(inner: events::Events, engine: Engine) -> Events {
        Events { inner, engine }
    }

    /// The next event; `Err` if there is none within this time, `Ok(None)` when the client has
    /// ended.
    ///
    /// # Errors
    /// The time, when it is up.
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Option<ClientEvent>, Duration> {
        if self.engine.is_forked() {
            return Ok(None);
        }
        self.engine.wait_for(limit, self.inner.next()).ok_or(limit)
    }
}

impl Iterator for Events {
    type Item = ClientEvent;

    /// The next event, however long it takes.
    fn next(&mut self) -> Option<ClientEvent> {
        if self.engine.is_forked() {
            return None;
        }
        self.engine.wait(self.inner.next())
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("blocking::Events")
    }
}
