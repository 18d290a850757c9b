//! The receiving half of a session: counts sequenced frames and says when to confirm them.
//!
//! Invariant: `received` is the number of sequenced frames taken from the peer since the
//! session began, whatever connections they came over.

use crate::limits::{CONFIRM_BYTES, CONFIRM_FRAMES};

/// A confirmation goes with other frames after this part of what makes it go alone.
const WITH_OTHERS_PART: usize = 16;

/// The receiving half.
#[derive(Debug, Default)]
pub struct Inbound {
    received: u64,
    confirmed: u64,
    bytes: usize,
    /// The next frames that go out take a confirmation with them.
    hurries: bool,
}

impl Inbound {
    /// Notes so many sequenced frames with so many bytes in all.
    pub fn note(&mut self, frames: u64, bytes: usize) {
        self.received += frames;
        self.bytes += bytes;
    }

    /// The number of the last sequenced frame.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether a confirmation should be sent though nothing else is.
    pub fn must_confirm(&self) -> bool {
        self.bytes >= CONFIRM_BYTES || self.received - self.confirmed >= CONFIRM_FRAMES
    }

    /// Whether a confirmation should go with what is sent. Not with every frame of a
    /// conversation: taking one costs about as much as the frame itself.
    pub fn may_confirm(&self) -> bool {
        self.hurries
            || self.bytes >= CONFIRM_BYTES / WITH_OTHERS_PART
            || self.received - self.confirmed >= CONFIRM_FRAMES / WITH_OTHERS_PART as u64
    }

    /// A ping is answered, or asks for it: both sides can then let go of everything.
    pub fn hurry(&mut self) {
        self.hurries = true;
    }

    /// What to confirm, if there is anything new.
    pub fn confirm(&mut self) -> Option<u64> {
        self.hurries = false;
        if self.received == self.confirmed {
            return None;
        }
        self.confirmed = self.received;
        self.bytes = 0;
        Some(self.received)
    }
}
