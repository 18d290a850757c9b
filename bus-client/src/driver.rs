//! The client's one task: moves bytes, and connects again.
//!
//! It reads and writes outside of the lock; under it, it only takes frames and gives out what
//! is to be written. It ends with the client.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bus_core::session::Established;
use bus_core::transport::read_room;
use bus_core::{BusUrl, ErrorKind, Failure, Kind};
use bytes::Bytes;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::connect::{Connected, connect};
use crate::events::ClientEvent;
use crate::handle::Shared;
use crate::options::ClientOptions;
use crate::state::State;

/// Batches that are read or written before other tasks have their turn.
const ROUNDS_MAX: usize = 8;
/// Bytes and slices of one write.
const WRITE_BYTES: usize = 256 * 1024;
const WRITE_SLICES: usize = 64;

/// The driver of a client.
pub(crate) struct Driver {
    pub shared: Arc<Shared>,
    pub url: BusUrl,
    pub options: ClientOptions,
}

/// Why a connection has ended.
enum End {
    /// The client is closed, and everything is written.
    Closed,
    /// The connection is lost.
    Lost(String),
    /// The broker has ended it.
    Refused(Failure),
}

impl Drop for Driver {
    fn drop(&mut self) {
        let failure =
            Failure::new(ErrorKind::Closed, "the runtime that drives this client has ended");
        self.shared.drive(|state| state.end(failure));
    }
}

impl Driver {
    /// Drives the client over this connection and all that follow.
    pub async fn run(self, mut connected: Connected) {
        let mut backoff = Backoff::new(&self.options);
        loop {
            let since = Instant::now();
            let mut pump = Pump { connected, slices: Vec::new(), blocked: false };
            // Frames may have come together with the Welcome; nothing else would look at them.
            let end = match self.shared.drive(|state| pump.take_frames(state)) {
                Ok(()) => poll_fn(|cx| pump.poll(&self.shared, cx)).await,
                Err(end) => end,
            };
            drop(pump);
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
            backoff.wait().await;
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

/// Pauses between attempts to connect.
struct Backoff {
    min: Duration,
    max: Duration,
    /// The last pause, or the shortest.
    pause: Duration,
    /// The next attempt is not made at once.
    due: bool,
}

impl Backoff {
    fn new(options: &ClientOptions) -> Backoff {
        Backoff {
            min: options.backoff_min,
            max: options.backoff_max,
            pause: options.backoff_min,
            due: false,
        }
    }

    /// A connection has ended. One that was shorter than the pause before it is no better than
    /// a failed attempt: whoever ends it may do so again and again.
    fn connected_for(&mut self, lasted: Duration) {
        if lasted < self.pause {
            return self.failed();
        }
        (self.pause, self.due) = (self.min, false);
    }

    fn failed(&mut self) {
        self.due = true;
    }

    async fn wait(&mut self) {
        if std::mem::take(&mut self.due) {
            tokio::time::sleep(jittered(self.pause)).await;
            self.pause = (self.pause * 2).min(self.max);
        }
    }
}

/// Between half and all of a pause, so that many clients do not come back at one moment.
fn jittered(pause: Duration) -> Duration {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    pause / 2 + pause.mul_f64(f64::from(nanos % 1000) / 2000.0)
}

fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::VersionMismatch
            | ErrorKind::SessionDenied
            | ErrorKind::Unsupported
            | ErrorKind::InvalidUrl
    )
}

/// Takes the broker's Welcome.
pub(crate) fn establish(shared: &Shared, connected: &Connected) -> Result<(), Failure> {
    let transport = connected.link.transport();
    shared.drive(|state| {
        let publishes = state.session.outbound.count_kept(Kind::Publish);
        let established = state.session.welcome(&connected.welcome)?;
        state.transport = Some(transport);
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

/// One connection being driven.
struct Pump {
    connected: Connected,
    slices: Vec<Bytes>,
    blocked: bool,
}

impl Pump {
    fn poll(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<End> {
        for _ in 0..ROUNDS_MAX {
            let read = match self.poll_read(shared, cx) {
                Ok(read) => read,
                Err(end) => return Poll::Ready(end),
            };
            let wrote = match self.poll_write(shared, cx) {
                Ok(wrote) => wrote,
                Err(end) => return Poll::Ready(end),
            };
            if !read && !wrote {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads a batch and takes its frames. `false` if nothing was there.
    fn poll_read(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Result<bool, End> {
        let Connected { link, decoder, .. } = &mut self.connected;
        loop {
            match link.poll_readable(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    return Err(End::Lost(format!("reading failed: {error}")));
                }
            }
            let room = read_room(decoder.missing());
            let buffer = decoder.buffer();
            if buffer.capacity() - buffer.len() < room / 4 {
                buffer.reserve(room);
            }
            match link.try_read(buffer) {
                Ok(0) => return Err(End::Lost("the broker closed the connection".into())),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(End::Lost(format!("reading failed: {error}"))),
            }
        }
        shared.drive(|state| self.take_frames(state)).map(|()| true)
    }

    fn take_frames(&mut self, state: &mut State) -> Result<(), End> {
        let broken = |error: bus_core::FrameError| {
            End::Lost(format!("the broker broke the protocol: {error}"))
        };
        while let Some(incoming) = self.connected.decoder.next_incoming().map_err(broken)? {
            if let Some(event) = state.session.incoming(incoming).map_err(broken)? {
                state.on_event(event).map_err(End::Refused)?;
            }
        }
        Ok(())
    }

    /// Writes what there is. `false` if there was nothing, or nothing went.
    fn poll_write(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Result<bool, End> {
        let link = &mut self.connected.link;
        if self.blocked {
            match link.poll_writable(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(())) => self.blocked = false,
                Poll::Ready(Err(error)) => {
                    return Err(End::Lost(format!("writing failed: {error}")));
                }
            }
        }
        self.slices.clear();
        let closing = shared.drive(|state| {
            if !state.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.driver = Some(cx.waker().clone());
            }
            state.session.seal();
            state.session.outbound.unsent(WRITE_BYTES, WRITE_SLICES, &mut self.slices);
            state.closing
        });
        if self.slices.is_empty() {
            return if closing { Err(End::Closed) } else { Ok(false) };
        }
        match link.try_write(&self.slices) {
            Ok(count) => {
                self.slices.clear();
                shared.drive(|state| state.wrote(count));
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Until it can write again nobody need wake the driver for writing.
                shared.drive(|state| state.driver = None);
                self.blocked = true;
                Ok(true)
            }
            Err(error) => Err(End::Lost(format!("writing failed: {error}"))),
        }
    }
}
