//! What a link keeps of one source until the far broker has it.
//!
//! Messages stay, sent or not, until a mark of the far broker passes them, so that any upstream
//! can go on from there. Invariant: numbers rise, and `bytes` is what the messages cost.

use std::collections::VecDeque;

use crate::frame::Parcel;
use crate::limits::{WINDOW_BYTES_DEFAULT, window_charge};
use crate::message::Message;

/// Messages that follow each other.
#[derive(Clone, Debug)]
pub(super) enum Content {
    One(Message),
    Many(Parcel),
}

impl Content {
    pub fn count(&self) -> u64 {
        match self {
            Content::One(_) => 1,
            Content::Many(parcel) => parcel.count(),
        }
    }

    pub fn cost(&self) -> u64 {
        match self {
            Content::One(message) => message.cost(),
            Content::Many(parcel) => parcel.cost(),
        }
    }

    /// What the first message takes of a relay's window.
    pub fn first_charge(&self) -> u64 {
        let length = match self {
            Content::One(message) => message.len(),
            // Payloads in parcels are far shorter than 4 GiB.
            Content::Many(parcel) => parcel.first_length() as usize,
        };
        window_charge(length, WINDOW_BYTES_DEFAULT)
    }
}

/// Messages of a source, the first of which has this number.
#[derive(Clone, Debug)]
pub(super) struct Spooled {
    pub sequence: u64,
    /// Whether some before it are known to be lost.
    pub lost: bool,
    pub content: Content,
}

impl Spooled {
    /// The number that goes on from its last message.
    fn end(&self) -> u64 {
        self.sequence + self.content.count()
    }
}

/// What spools hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub count: u64,
    pub bytes: u64,
}

/// Messages of one source, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Spool {
    entries: VecDeque<Spooled>,
    count: u64,
    bytes: u64,
}

impl Spool {
    /// Keeps what follows the last one.
    pub fn push(&mut self, mut entry: Spooled) {
        debug_assert!(self.entries.back().is_none_or(|last| last.end() <= entry.sequence));
        match &mut entry.content {
            Content::One(message) => message.compact(),
            Content::Many(parcel) => parcel.compact(),
        }
        self.bytes += entry.content.cost();
        self.count += entry.content.count();
        self.entries.push_back(entry);
    }

    /// Takes the oldest message out: its number, and what it cost.
    pub fn pop(&mut self) -> Option<(u64, u64)> {
        let first = self.entries.front_mut()?;
        let sequence = first.sequence;
        let cost = match &mut first.content {
            Content::Many(parcel) if parcel.count() > 1 => {
                first.sequence += 1;
                first.lost = false;
                parcel.pop_front()?.cost()
            }
            _ => self.entries.pop_front()?.content.cost(),
        };
        self.bytes -= cost;
        self.count -= 1;
        Some((sequence, cost))
    }

    /// Forgets all up to this number.
    pub fn trim(&mut self, mark: u64) {
        while let Some(first) = self.entries.front_mut().filter(|first| first.sequence <= mark) {
            let (bytes, count) = (first.content.cost(), first.content.count());
            match &mut first.content {
                Content::Many(parcel) if first.sequence + count - 1 > mark => {
                    let gone = parcel.split_to(mark + 1 - first.sequence);
                    self.bytes -= gone.cost();
                    self.count -= gone.count();
                    (first.sequence, first.lost) = (mark + 1, false);
                }
                _ => {
                    self.entries.pop_front();
                    self.bytes -= bytes;
                    self.count -= count;
                }
            }
        }
    }

    /// Forgets all but the oldest message. Gives how many of those that go have a higher number
    /// than this.
    pub fn keep_first(&mut self, sent: u64) -> u64 {
        let Some(mut first) = self.entries.pop_front() else { return 0 };
        let unsent = |from: u64, end: u64| end.saturating_sub(from.max(sent + 1));
        let mut gone = unsent(first.sequence + 1, first.end());
        for entry in self.entries.drain(..) {
            gone += unsent(entry.sequence, entry.end());
        }
        if let Content::Many(parcel) = &mut first.content {
            *parcel = parcel.split_to(1);
            // Else the one would keep the buffer of all.
            parcel.compact();
        }
        (self.count, self.bytes) = (1, first.content.cost());
        self.entries.push_back(first);
        gone
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

    /// The first from this number on, with those that follow it at once.
    pub fn from(&self, sequence: u64) -> Option<Spooled> {
        let at = self.entries.partition_point(|entry| entry.end() <= sequence);
        let mut entry = self.entries.get(at)?.clone();
        if let Content::Many(parcel) = &mut entry.content
            && entry.sequence < sequence
        {
            parcel.split_to(sequence - entry.sequence);
            (entry.sequence, entry.lost) = (sequence, false);
        }
        Some(entry)
    }

    pub fn held(&self) -> Held {
        Held { count: self.count, bytes: self.bytes }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn len(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
