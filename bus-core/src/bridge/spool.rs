//! What a link keeps of one source until the far broker has it.
//!
//! Messages stay, sent or not, until a mark of the far broker passes them, so that any upstream
//! can go on from there. Invariant: numbers rise, and `bytes` is what the messages cost.

use std::collections::VecDeque;

use crate::message::Message;

/// One message of it.
#[derive(Clone, Debug)]
pub(super) struct Spooled {
    pub sequence: u64,
    /// Whether some before it are known to be lost.
    pub lost: bool,
    pub message: Message,
}

/// Messages of one source, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Spool {
    entries: VecDeque<Spooled>,
    bytes: u64,
}

impl Spool {
    /// Keeps a message that follows the last one.
    pub fn push(&mut self, mut entry: Spooled) {
        debug_assert!(self.entries.back().is_none_or(|last| last.sequence < entry.sequence));
        entry.message.compact();
        self.bytes += entry.message.cost();
        self.entries.push_back(entry);
    }

    /// Takes the oldest out.
    pub fn pop(&mut self) -> Option<Spooled> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.message.cost();
        Some(entry)
    }

    /// Forgets all up to this number.
    pub fn trim(&mut self, mark: u64) {
        while self.front().is_some_and(|entry| entry.sequence <= mark) {
            self.pop();
        }
    }

    /// The oldest dropped is a loss, of which the next one tells.
    pub fn note_loss(&mut self) {
        if let Some(first) = self.entries.front_mut() {
            first.lost = true;
        }
    }

    /// The oldest.
    pub fn front(&self) -> Option<&Spooled> {
        self.entries.front()
    }

    /// The first from this number on.
    pub fn from(&self, sequence: u64) -> Option<&Spooled> {
        let at = self.entries.partition_point(|entry| entry.sequence < sequence);
        self.entries.get(at)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
