//! Frames on their way into a lane: room that was reserved, and batches.
//!
//! Nothing of a frame is there for readers before its commit word is, and nothing of a batch
//! before its first one.

#![allow(unsafe_code)]

use crate::sync::Ordering;

use super::fault::Fault;
use super::layout::{COMMIT_BYTES, Geometry};
use super::writer::{Held, LaneWriter, Refused};

/// So far ahead of the head cache lines are asked for: about as long as they take to come.
const LEAD_BYTES: u64 = 1024;

/// Room for one frame. Dropped without [`Reservation::commit`], nothing was written.
#[derive(Debug)]
pub struct Reservation<'a> {
    writer: &'a mut LaneWriter,
    /// Where the frame begins: behind the padding, if there is some.
    start: u64,
    length: usize,
    filled: usize,
    /// Whether its word is held back, if it is the first of a batch.
    batched: bool,
}

/// Frames that are there all at once, when it is dropped; or earlier, when there is no room for
/// more. One store then shows them to all readers.
#[derive(Debug)]
pub struct WriteBatch<'a> {
    writer: &'a mut LaneWriter,
}

impl<'a> WriteBatch<'a> {
    #[inline]
    pub(super) fn new(writer: &'a mut LaneWriter) -> WriteBatch<'a> {
        WriteBatch { writer }
    }

    /// As [`LaneWriter::reserve`]; when that is refused, what was committed is there.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn reserve(&mut self, length: usize) -> Result<Reservation<'_>, Refused> {
        let start = self.writer.place(length)?;
        Ok(Reservation::new(self.writer, start, length, true))
    }

    /// Up to where it need not look for room.
    #[cfg(all(test, not(busbar_loom)))]
    pub(super) fn limit(&self) -> u64 {
        self.writer.limit
    }

    /// As [`LaneWriter::fit`].
    #[inline]
    pub fn fit(&self, length: usize) -> usize {
        self.writer.fit(length)
    }
}

impl Drop for WriteBatch<'_> {
    #[inline]
    fn drop(&mut self) {
        self.writer.show_held();
    }
}

impl<'a> Reservation<'a> {
    #[inline]
    pub(super) fn new(
        writer: &'a mut LaneWriter,
        start: u64,
        length: usize,
        batched: bool,
    ) -> Reservation<'a> {
        Reservation { writer, start, length, filled: 0, batched }
    }

    /// Adds bytes to the frame.
    ///
    /// # Panics
    /// When they are more than was reserved.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.length - self.filled, "more than was reserved");
        let position = self.start + (COMMIT_BYTES + self.filled) as u64;
        match self.writer.floor {
            None => self.writer.lane.put(position, bytes),
            Some(_) => self.writer.lane.put_words(position, bytes),
        }
        self.filled += bytes.len();
    }

    /// Lets somebody write so many bytes of the frame where they will stand, which spares a copy.
    /// What they are before that is of no meaning.
    ///
    /// # Panics
    /// When they are more than was reserved.
    #[inline]
    #[cfg(not(busbar_loom))]
    pub fn fill(&mut self, count: usize, write: impl FnOnce(&mut [u8])) {
        assert!(count <= self.length - self.filled, "more than was reserved");
        if self.writer.floor.is_some() {
            // Readers may be copying there.
            let mut bytes = vec![0; count];
            write(&mut bytes);
            return self.put(&bytes);
        }
        let position = self.start + (COMMIT_BYTES + self.filled) as u64;
        let bytes = self.writer.lane.bytes(position, count).cast_mut();
        // SAFETY: the bytes lie within the ring, are initialized as all of its memory is, and are
        // not committed: no honest reader looks at them, and the writer, which alone can store
        // there, is borrowed for as long as the slice lives.
        write(unsafe { std::slice::from_raw_parts_mut(bytes, count) });
        self.filled += count;
    }

    /// Bytes that it can still take.
    #[inline]
    pub fn left(&self) -> usize {
        self.length - self.filled
    }

    /// Commits the frame, with the bytes that were put into it.
    #[inline]
    pub fn commit(self) {
        let Reservation { writer, start, filled, batched, .. } = self;
        let geometry = writer.lane.geometry;
        let next = start + Geometry::frame_bytes(filled);
        // Before the frame is there: else what stands here from an older lap could be taken for
        // the next one.
        if !writer.planted.has(Fault::NextNotZeroed) {
            writer.lane.word(next).store(0, Ordering::Relaxed);
        }
        let mut shown = Held { position: start, word: geometry.commit(start, filled) };
        if start != writer.head {
            // The padding comes last: whoever skips it finds the frame behind it.
            writer.store_commit(start, shown.word);
            shown = Held { position: writer.head, word: geometry.padding(writer.head) };
        }
        let holds = batched && !writer.planted.has(Fault::BatchHoldsNothing);
        if holds && writer.held.word == 0 {
            writer.held = shown;
        } else {
            writer.store_commit(shown.position, shown.word);
        }
        // Not what a reader may still be at.
        if next + LEAD_BYTES <= writer.limit {
            // The lines of the frame itself have come with its bytes.
            let from = next.max(writer.head + LEAD_BYTES);
            writer.lane.expect_writes(from, next + LEAD_BYTES - from);
        }
        writer.head = next;
        writer.frames += 1;
        if !batched {
            writer.show_held();
        }
    }
}
