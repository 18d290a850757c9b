//! The client's one task: moves bytes, and connects again.
//!
//! It reads and writes outside of the lock; under it, it only takes frames and gives out what
//! is to be written. It ends with the client.

use std::future::poll_fn;
use std::sync::Arc;

use bus_core::session::Established;
use bus_core::{BusUrl, ErrorKind, Failure, Kind};
use tokio::time::Instant;
use tracing::{debug, info};

use crate::backoff::Backoff;
use crate::connect::{Connected, connect};
use crate::events::ClientEvent;
use crate::handle::Shared;
use crate::options::ClientOptions;
use crate::pump::{End, Pump};

/// The driver of a client.
pub(crate) struct Driver {
    pub shared: Arc<Shared>,
    pub url: BusUrl,
    pub options: ClientOptions,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let failure =
            Failure::new(ErrorKind::Closed, "the runtime that drives this client has ended");
        self.shared.set_pump(None);
        self.shared.drive(|state| state.end(failure));
    }
}

impl Driver {
    /// Drives the client over this connection and all that follow.
    pub async fn run(self, mut connected: Connected) {
        let mut backoff = Backoff::new(self.options.backoff_min, self.options.backoff_max);
        loop {
            let since = Instant::now();
            let mut pump = Pump::new(connected, self.options.waiting, self.shared.alarm().clone());
            // Frames may have come together with the Welcome; nothing else would look at them.
            let end = match self.shared.drive(|state| pump.take_frames(state)) {
                Ok(()) => {
                    self.shared.set_pump(Some(pump));
                    poll_fn(|cx| self.shared.poll_pump(cx)).await
                }
                Err(end) => end,
            };
            self.shared.set_pump(None);
            let reason = match end {
                End::Closed => {
                    return self.end(Failure::new(ErrorKind::Closed, "the client is closed"));
                }
                End::Refused(failure) if failure.kind() != ErrorKind::ShuttingDown => {
                    return self.end(failure);
                }
                End::Refused(failure) => failure.to_string(),
                End::Lost(reason) => reason,
            };
            debug!(url = %self.url, reason, "disconnected");
            self.shared.drive(|state| {
                state.transport = None;
                state.events.push(ClientEvent::Disconnected { reason: reason.clone() });
            });
            if !self.options.reconnect {
                let text = format!("the connection to {} is lost: {reason}", self.url);
                return self.end(Failure::new(ErrorKind::Disconnected, text));
            }
            backoff.connected_for(since.elapsed());
            connected = match self.reconnect(&mut backoff).await {
                Ok(connected) => connected,
                Err(failure) => return self.end(failure),
            };
        }
    }

    fn end(&self, failure: Failure) {
        self.shared.drive(|state| state.end(failure));
    }

    /// Tries until it succeeds, the client is closed, or the broker says that it never will.
    async fn reconnect(&self, backoff: &mut Backoff) -> Result<Connected, Failure> {
        loop {
            if let Some(pause) = backoff.pause() {
                tokio::time::sleep(pause).await;
            }
            if self.shared.drive(|state| state.closing) {
                return Err(Failure::new(ErrorKind::Closed, "the client is closed"));
            }
            let hello = self
                .shared
                .drive(|state| state.session.hello(&self.options.name, self.options.grace));
            match connect(&self.url, &hello, &self.options).await {
                Ok(connected) => match establish(&self.shared, &connected) {
                    Ok(()) => return Ok(connected),
                    Err(failure) => {
                        info!(url = %self.url, %failure, "the broker's answer is wrong")
                    }
                },
                Err(error) if is_final(error.kind()) => {
                    return Err(Failure::new(error.kind(), error.to_string()));
                }
                Err(error) => debug!(url = %self.url, %error, "cannot connect again yet"),
            }
            backoff.failed();
        }
    }
}

fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::VersionMismatch
            | ErrorKind::SessionDenied
            | ErrorKind::Unsupported
            | ErrorKind::InvalidUrl
            | ErrorKind::Unauthenticated
            | ErrorKind::Insecure
    )
}

/// Takes the broker's Welcome.
pub(crate) fn establish(shared: &Shared, connected: &Connected) -> Result<(), Failure> {
    let transport = connected.link.transport();
    shared.drive(|state| {
        let publishes = state.session.outbound.count_kept(Kind::Publish);
        let established = state.session.welcome(&connected.welcome)?;
        state.transport = Some(transport);
        state.address.clone_from(&connected.link.peer().address);
        state.transport_reason.clone_from(&connected.reason);
        match established {
            Established::New => state.events.push(ClientEvent::Connected { transport }),
            Established::Resumed => state.events.push(ClientEvent::Resumed { transport }),
            Established::Restarted(restart) => {
                state.on_restart(restart, publishes);
                state.events.push(ClientEvent::Connected { transport });
            }
        }
        state.repeat_unnumbered();
        Ok(())
    })
}
