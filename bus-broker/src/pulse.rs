//! Clients behind a network that may go without a word: they are asked, and given up.
//!
//! What was theirs stays as with any lost connection: the session waits for its grace.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bus_core::router::SessionId;
use bus_core::session::Beat;

use crate::hub::Hub;
use crate::slot::slot_of;

impl Hub {
    /// Asks a client for a sign when there was none. Ready with the reason when there was none for
    /// too long. To be polled when nothing is left to be read.
    pub(crate) fn poll_pulse(&mut self, session: SessionId, cx: &mut Context<'_>) -> Poll<String> {
        let Some(slot) = slot_of(&mut self.slots, session) else { return Poll::Pending };
        let Some(line) = &mut slot.line else { return Poll::Pending };
        let Some(pulse) = &mut line.pulse else { return Poll::Pending };
        let heard = line.counters.bytes_in.load(Ordering::Relaxed);
        while let Poll::Ready(beat) = pulse.poll(cx, &*line.link, heard) {
            match beat {
                Beat::Dead { silent } => {
                    let text = format!("nothing has come from the client's host for {silent:?}");
                    return Poll::Ready(text);
                }
                // Before the Welcome is out nothing else may be, and it asks for an answer too.
                _ if !line.prefix.is_empty() => {}
                _ => slot.state.ping(),
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
