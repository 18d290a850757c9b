//! What happens to a client beside its calls: connection, loss, slowness.
//!
//! Everybody who wants them gets all events from then on; who does not read loses the oldest,
//! and is told how many.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use tokio::sync::broadcast;

use crate::handle::Handle;
use bus_core::transport::Transport;
use std::sync::Arc;

/// Events that are kept for a reader.
pub(crate) const EVENTS_KEPT: usize = 256;

/// Something that happened to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// Connected, to a new session.
    Connected {
        /// How.
        transport: Transport,
    },
    /// The connection is lost; it is being made again, if the options say so.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// Connected again, and the session goes on: nothing was lost.
    Resumed {
        /// How.
        transport: Transport,
    },
    /// Connected again, to a new session: the old one is lost.
    Restarted {
        /// Why the old one could not go on.
        reason: String,
        /// Sends, requests and confirmed publishes whose outcome is not known.
        unknown: usize,
        /// Publishes that were never confirmed by the old session: they may be lost. A broker confirms what is
        /// older than a second, so of one that says little that is what it said in about the last second.
        publishes_unknown: u64,
    },
    /// Messages of a subscription are lost: dropped by its own policy, or not brought by a bridge.
    Lost {
        /// Its pattern.
        pattern: String,
        /// How many, at the most.
        count: u64,
        /// Of how many of those it is not known whether they have arrived: a broker that a bridge leads
        /// to was lost before it had confirmed them.
        unconfirmed: u64,
    },
    /// A subscription may have missed messages, since its session was lost.
    Gap {
        /// Its pattern.
        pattern: String,
    },
    /// A subscription ended, since it did not keep up.
    TooSlow {
        /// Its pattern.
        pattern: String,
        /// The broker's words.
        reason: String,
    },
    /// An acknowledgement came too late, and nobody waited for its answer.
    StaleAck {
        /// The lease.
        lease: u64,
    },
    /// So many events were dropped, since they were not read.
    Missed {
        /// How many.
        count: u64,
    },
    /// The client has ended.
    Closed {
        /// Why.
        reason: String,
    },
}

/// The events of a client, as a stream. It ends with the client.
pub struct Events {
    receiver: Pin<Box<dyn Stream<Item = ClientEvent> + Send>>,
}

impl Events {
    pub(crate) fn new(receiver: broadcast::Receiver<ClientEvent>, handle: Arc<Handle>) -> Events {
        // Asked after subscribing: an end from now on comes through the receiver.
        if let Some(failure) = handle.with(|state| state.ended.clone()) {
            let closed = ClientEvent::Closed { reason: failure.to_string() };
            return Events { receiver: Box::pin(futures::stream::iter([closed])) };
        }
        // The handle keeps the sender, so that only the last event tells the end.
        let next = |open: Option<(broadcast::Receiver<ClientEvent>, Arc<Handle>)>| async move {
            let (mut receiver, handle) = open?;
            match receiver.recv().await {
                Ok(event @ ClientEvent::Closed { .. }) => Some((event, None)),
                Ok(event) => Some((event, Some((receiver, handle)))),
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    Some((ClientEvent::Missed { count }, Some((receiver, handle))))
                }
                Err(broadcast::error::RecvError::Closed) => None,
            }
        };
        Events { receiver: Box::pin(futures::stream::unfold(Some((receiver, handle)), next)) }
    }

    /// The next event; none when the client has ended. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        std::future::poll_fn(|cx| self.receiver.as_mut().poll_next(cx)).await
    }
}

impl Stream for Events {
    type Item = ClientEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ClientEvent>> {
        self.receiver.as_mut().poll_next(cx)
    }
}
