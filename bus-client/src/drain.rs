//! The end of a client on purpose: what was sent is decided, then it says goodbye.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bus_core::router::Command;
use tokio::time::timeout_at;

use crate::client::Client;
use crate::deadline::after;
use crate::error::Error;

/// What was left when a client was drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Sends, requests and confirmed publishes that had no verdict.
    pub undecided: usize,
    /// Bytes that were not written.
    pub unsent_bytes: usize,
}

impl Client {
    /// Waits until everything that was sent or published has its verdict and is written, at
    /// most so long; then ends the client, with all of its clones and handles. Says what was
    /// not delivered. Cancelling leaves the client as it is.
    pub async fn drain(self, limit: Duration) -> DrainReport {
        let deadline = after(limit);
        let barrier = async {
            // Answered after everything before it has been routed.
            self.call(|request| Command::Broker { request }).await?;
            poll_fn(|cx| {
                self.handle.with(|state| {
                    if state.open_tickets() == 0 || state.check().is_err() {
                        return Poll::Ready(());
                    }
                    state.wait_to_send(cx);
                    Poll::Pending
                })
            })
            .await;
            Ok::<(), Error>(())
        };
        // The report says what was not done by then.
        let _ = timeout_at(deadline, barrier).await;
        let report = self.handle.with(|state| {
            let unsent_bytes = state.session.outbound.unsent_bytes();
            let report = DrainReport { undecided: state.open_tickets(), unsent_bytes };
            state.closing = true;
            state.session.goodbye();
            report
        });
        // The driver ends when the goodbye is written. If that takes too long the session is
        // over after its grace.
        let farewell = poll_fn(|cx| {
            self.handle.with(|state| match state.check() {
                Err(_) => Poll::Ready(()),
                Ok(()) => {
                    state.wait_to_send(cx);
                    Poll::Pending
                }
            })
        });
        let _ = timeout_at(deadline, farewell).await;
        report
    }
}
