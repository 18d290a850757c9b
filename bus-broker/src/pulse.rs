//! Clients behind a network that may go without a word: they are asked, and given up.
//!
//! What was theirs stays as with any lost connection: the session waits for its grace.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bus_core::router::SessionId;

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
        let state = &mut slot.state;
        while let Poll::Ready(beat) = pulse.poll(cx, &*line.link, heard, || state.outbound.said()) {
            if let Some(text) = beat.loss("client") {
                return Poll::Ready(text);
            }
            // Before the Welcome is out nothing else may be, and it asks for an answer too.
            if line.prefix.is_empty() {
                state.ping();
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
