//! Roll-over: the writer goes on in a new lane, and its readers follow.
//!
//! Positions go on counting: the new ring begins at the old one's head, so that cursors, and
//! what either side waits for, stay as they are. A word in the old lane says that it was left;
//! what came before is read there, wholly, first. A lane grows or shrinks so, and a reader that
//! was dismissed and is not handed the new lane is shut out.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::sync::Ordering;

use super::fault::Fault;
use super::floor::Floor;
use super::lossy::LossyReader;
use super::memory::LaneMemory;
use super::reader::LaneReader;
use super::region::{RegionError, create_lane, verify_lane};
use super::writer::LaneWriter;

/// A lane in which a writer can go on.
#[derive(Debug)]
pub struct NextLane {
    pub(super) memory: LaneMemory,
}

impl NextLane {
    /// Makes one with a ring of so many bytes; with the descriptor that the readers are handed,
    /// before or after [`LaneWriter::roll_over`].
    ///
    /// # Errors
    /// When the capacity is not allowed, or the system has no memory, no seals, or no descriptor.
    pub fn new(capacity: usize) -> Result<(NextLane, OwnedFd), RegionError> {
        let (memory, descriptor) = create_lane(capacity)?;
        Ok((NextLane { memory }, descriptor))
    }
}

impl LaneWriter {
    /// Goes on in another lane, and leaves this one for good. Who sleeps is not woken by it:
    /// the next frame does that.
    pub fn roll_over(&mut self, next: NextLane) {
        self.show_held();
        self.stop_waiting();
        let early = self.planted.has(Fault::UnorderedMove);
        if early {
            self.store_moved();
        }
        next.memory.header().base.store(self.head, Ordering::Relaxed);
        let floor = Floor::new(&next.memory, self.head, self.frames);
        self.floor = self.floor.map(|_| floor);
        if !early {
            self.store_moved();
        }
        self.lane = next.memory;
        self.base = self.head;
        // No reader is beyond the head, and what is below it is not in this ring.
        self.limit = match self.planted.has(Fault::ForgetsBase) {
            false => self.head + self.lane.geometry.capacity(),
            true => self.lane.geometry.capacity(),
        };
    }

    fn store_moved(&self) {
        // [moved]: whoever reads the word sees the base of the lane that follows, and its floor.
        let word = self.lane.geometry.moved(self.head);
        self.lane.word(self.head).store(word, Ordering::Release);
    }
}

impl LaneReader {
    /// Goes on in the lane to which the writer has moved, as [`LaneReader::has_moved`] tells,
    /// with a ring of so many bytes. The descriptor is not needed any more afterwards.
    ///
    /// # Errors
    /// When the peer's memory is not to be trusted, begins elsewhere, or cannot be mapped. Then
    /// the reader stands where it stood.
    pub fn follow(&mut self, lane: BorrowedFd<'_>, capacity: usize) -> Result<(), RegionError> {
        self.go_on(verify_lane(lane, capacity)?).map_err(RegionError::Unsafe)
    }
}

impl LossyReader {
    /// As [`LaneReader::follow`].
    ///
    /// # Errors
    /// As there.
    pub fn follow(&mut self, lane: BorrowedFd<'_>, capacity: usize) -> Result<(), RegionError> {
        self.go_on(verify_lane(lane, capacity)?).map_err(RegionError::Unsafe)
    }
}
