//! Readers that join a lane one by one, while it is written.
//!
//! The reader makes its region and hands it to the writer; the writer admits it and answers with
//! the lane and where to begin. Each side verifies what the other has made.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sync::Ordering;

use super::layout::{LANE_READERS_MAX, POSITION_MAX};
use super::lossy::LossyReader;
use super::memory::{CursorMemory, LaneMemory};
use super::reader::LaneReader;
use super::region::{RegionError, create_cursor, create_lane, verify_cursor, verify_lane};
use super::writer::LaneWriter;

/// Where a reader begins, as the writer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The reader's number, by which the writer names it.
    pub number: usize,
    /// The position of the first frame that it reads.
    pub position: u64,
    /// How many frames came before.
    pub frames: u64,
}

/// A reader's region before it has a lane.
#[derive(Debug)]
pub struct ReaderOffer {
    cursor: CursorMemory,
    descriptor: OwnedFd,
}

impl LaneWriter {
    /// A lane with a ring of so many bytes and no readers yet, and the descriptor that they are
    /// handed.
    ///
    /// # Errors
    /// When the capacity is not allowed, or the system has no memory, no seals, or no descriptor.
    pub fn create(capacity: usize) -> Result<(LaneWriter, OwnedFd), RegionError> {
        let (memory, descriptor) = create_lane(capacity)?;
        Ok((LaneWriter::new(memory), descriptor))
    }

    /// Takes in a reader, by the region that it has handed over. It gets all frames from here
    /// on, and the writer waits for it when the ring is full.
    ///
    /// # Errors
    /// When the peer's memory is not to be trusted, or there are too many readers.
    pub fn admit(&mut self, cursor: BorrowedFd<'_>) -> Result<Admission, RegionError> {
        self.take_in(cursor, false)
    }

    /// Takes in a reader that may be lapped: the writer never waits for it, and overwrites what
    /// it has not read. From here on all payloads are written word by word.
    ///
    /// # Errors
    /// As [`LaneWriter::admit`].
    pub fn admit_lossy(&mut self, cursor: BorrowedFd<'_>) -> Result<Admission, RegionError> {
        self.take_in(cursor, true)
    }

    fn take_in(&mut self, cursor: BorrowedFd<'_>, lossy: bool) -> Result<Admission, RegionError> {
        if self.readers.iter().flatten().count() >= LANE_READERS_MAX {
            return Err(RegionError::TooManyReaders);
        }
        let number = self.add_reader(verify_cursor(cursor)?, lossy);
        Ok(Admission { number, position: self.head, frames: self.frames })
    }
}

impl ReaderOffer {
    /// Makes a reader's region.
    ///
    /// # Errors
    /// When the system has no memory, no seals, or no descriptor.
    pub fn new() -> Result<ReaderOffer, RegionError> {
        let (cursor, descriptor) = create_cursor()?;
        Ok(ReaderOffer { cursor, descriptor })
    }

    /// What the writer must be handed.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Begins to read, where [`LaneWriter::admit`] has said.
    ///
    /// # Errors
    /// When the peer's memory is not to be trusted, or cannot be mapped.
    pub fn join(
        self,
        lane: BorrowedFd<'_>,
        capacity: usize,
        admission: Admission,
    ) -> Result<LaneReader, RegionError> {
        let lane = verify_start(lane, capacity, admission)?;
        Ok(LaneReader::new(lane, self.cursor, admission.position))
    }

    /// Begins to read, where [`LaneWriter::admit_lossy`] has said.
    ///
    /// # Errors
    /// As [`ReaderOffer::join`].
    pub fn join_lossy(
        self,
        lane: BorrowedFd<'_>,
        capacity: usize,
        admission: Admission,
    ) -> Result<LossyReader, RegionError> {
        let lane = verify_start(lane, capacity, admission)?;
        Ok(LossyReader::new(lane, self.cursor, admission.position, admission.frames))
    }
}

/// A peer's lane in which a reader can begin there.
fn verify_start(
    lane: BorrowedFd<'_>,
    capacity: usize,
    admission: Admission,
) -> Result<LaneMemory, RegionError> {
    let lane = verify_lane(lane, capacity)?;
    let base = lane.header().base.load(Ordering::Relaxed);
    let possible = base..=POSITION_MAX;
    match possible.contains(&admission.position) && admission.position & 7 == 0 {
        true => Ok(lane),
        false => Err(RegionError::Unsafe("the reader would begin where the lane is not")),
    }
}
