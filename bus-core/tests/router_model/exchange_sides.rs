//! An exchange, its two sessions at routers, and what it hears from them.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_core::bridge::{CallId, Exchange, Invoked};
use bus_core::router::{Output, SessionId};
use bus_core::{ErrorKind, Failure, Time};

use crate::bus::name;

/// A bridge for calls, one direction of it.
pub struct Bridge {
    pub exchange: Exchange,
    /// Broker and session.
    pub home: (usize, SessionId),
    pub guest: (usize, SessionId),
    pub channels: u32,
    pub tickets: BTreeMap<u64, CallId>,
    pub last_ticket: u64,
}

impl Bridge {
    pub fn guest_says(&mut self, now: Time, output: Output) -> Result<(), String> {
        match output {
            Output::Invoke { call, timeout_ms, sender, relayed, message, .. } => {
                let invoked = Invoked {
                    call,
                    name: &name("s"),
                    timeout: Duration::from_millis(timeout_ms),
                    sender: &sender,
                    provenance: relayed.as_ref().and_then(|source| source.provenance.as_deref()),
                    message,
                };
                self.exchange.invoked(now, invoked, false);
            }
            Output::GivenUp { call } => self.exchange.call_given_up(call),
            Output::Reply { result: Err(failure), .. } => return Err(failure.to_string()),
            _ => {}
        }
        Ok(())
    }

    pub fn home_says(&mut self, output: Output) -> Result<(), String> {
        let (ticket, result) = match output {
            Output::Wanted { added, removed, complete, .. } => {
                self.exchange.home_tells(added, &removed, complete);
                return Ok(());
            }
            Output::Result { ticket, message } => (ticket, Ok(message)),
            Output::Failed { ticket, failure } => (ticket, Err(failure)),
            _ => return Ok(()),
        };
        if let Some(id) = self.tickets.remove(&ticket) {
            // A channel that leads back was not opened.
            let closed = |failure: Failure| match failure.kind() {
                ErrorKind::Closed => Failure::new(ErrorKind::Loop, failure.text()),
                _ => failure,
            };
            self.exchange.answered(id, result.map_err(closed));
        }
        Ok(())
    }
}
