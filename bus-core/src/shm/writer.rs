//! The writing half of a lane.
//!
//! One process has it. Every frame is committed by one store of its commit word, after the
//! next frame's word was set to 0: no byte of an older lap can be taken for a frame.

use crate::sync::{Ordering, fence};

use super::fault::{Fault, Planted};
use super::layout::{COMMIT_BYTES, Geometry};
use super::memory::{CursorMemory, LaneMemory};

/// The ring's end is filled by a shorter frame, if at least this part of a frame fits there.
const PADDING_PART: usize = 16;

/// The writing half.
#[derive(Debug)]
pub struct LaneWriter {
    lane: LaneMemory,
    readers: Vec<Seat>,
    /// Where the next frame goes.
    head: u64,
    /// What is written may reach up to here: the slowest cursor that was seen, and the capacity.
    limit: u64,
    frames: u64,
    pub(super) planted: Planted,
}

/// A reader, as the writer knows it.
#[derive(Debug)]
struct Seat {
    cursor: CursorMemory,
    /// The last cursor that was believed.
    seen: u64,
    /// The head when it was last asked whether it wants to be woken.
    asked: u64,
}

/// Why there is no room for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A frame of this lane has at most so many bytes.
    #[error("a frame of this lane has at most {0} bytes")]
    TooBig(usize),
    /// Readers must go on first.
    #[error("the lane is full")]
    Full,
    /// The reader of this number has stored a cursor that cannot be.
    #[error("reader {0} of the lane has stored a cursor that cannot be")]
    Tampered(usize),
}

/// Room for one frame. Dropped without [`Reservation::commit`], nothing was written.
#[derive(Debug)]
pub struct Reservation<'a> {
    writer: &'a mut LaneWriter,
    /// Where the frame begins: behind the padding, if there is some.
    start: u64,
    length: usize,
    filled: usize,
}

impl LaneWriter {
    pub(super) fn new(lane: LaneMemory) -> LaneWriter {
        let limit = lane.geometry.capacity();
        LaneWriter {
            lane,
            readers: Vec::new(),
            head: 0,
            limit,
            frames: 0,
            planted: Planted::default(),
        }
    }

    /// A reader more, from here on.
    pub(super) fn add_reader(&mut self, cursor: CursorMemory) {
        self.readers.push(Seat { cursor, seen: self.head, asked: self.head });
    }

    /// Room for a frame with so many bytes.
    ///
    /// # Errors
    /// As [`Refused`] tells. After `Tampered` the lane is of no more use.
    pub fn reserve(&mut self, length: usize) -> Result<Reservation<'_>, Refused> {
        let geometry = self.lane.geometry;
        if length > geometry.payload_max() {
            return Err(Refused::TooBig(geometry.payload_max()));
        }
        let start = self.start_of(length);
        let end = self.end_of(start, length);
        if end > self.limit {
            self.look_at_cursors()?;
            if end > self.limit {
                return Err(Refused::Full);
            }
        }
        Ok(Reservation { writer: self, start, length, filled: 0 })
    }

    /// How much of a payload with so many bytes to put into the next frame, so that it is no
    /// longer than a frame may be, and little of the ring is left as padding.
    pub fn fit(&self, length: usize) -> usize {
        let geometry = self.lane.geometry;
        let rest = geometry.to_end(self.head) as usize - COMMIT_BYTES;
        match length.min(geometry.payload_max()) {
            length if length > rest && rest >= geometry.payload_max() / PADDING_PART => rest,
            length => length,
        }
    }

    /// Asks to be woken when there is room for a frame with so many bytes. `false` if there is
    /// by now: then nobody will wake.
    ///
    /// # Errors
    /// As [`LaneWriter::reserve`].
    pub fn wait_for_room(&mut self, length: usize) -> Result<bool, Refused> {
        let end = self.end_of(self.start_of(length), length);
        let wanted = end.saturating_sub(self.lane.geometry.capacity()).max(1);
        self.lane.header().room_at.0.store(wanted, Ordering::Relaxed);
        // Pairs with the fence in `LaneReader::wants_wake`: either this sees the new cursor, or
        // the reader sees what was stored above.
        fence(Ordering::SeqCst);
        if !self.planted.has(Fault::WaitsWithoutLooking) {
            self.look_at_cursors()?;
        }
        if end > self.limit {
            return Ok(true);
        }
        self.stop_waiting();
        Ok(false)
    }

    /// Wants to be woken no more.
    pub fn stop_waiting(&mut self) {
        self.lane.header().room_at.0.store(0, Ordering::Relaxed);
    }

    /// Tells which readers sleep and are to be woken for what was committed since this was
    /// last asked. To be asked after every commit, or after a run of them.
    pub fn sleepers(&mut self, mut wake: impl FnMut(usize)) {
        if self.readers.iter().all(|seat| seat.asked == self.head) {
            return;
        }
        // Pairs with the fence in `LaneReader::wait`: either the reader sees the commit word,
        // or this sees its `wake_at`.
        if !self.planted.has(Fault::AsksWithoutFence) {
            fence(Ordering::SeqCst);
        }
        for (number, seat) in self.readers.iter_mut().enumerate() {
            let wake_at = seat.cursor.header().wake_at.0.load(Ordering::Relaxed);
            if seat.asked < wake_at && wake_at <= self.head {
                wake(number);
            }
            seat.asked = self.head;
        }
    }

    /// Whether every reader is done with everything.
    ///
    /// # Errors
    /// As [`LaneWriter::reserve`].
    pub fn is_drained(&mut self) -> Result<bool, Refused> {
        self.look_at_cursors()?;
        Ok(self.readers.iter().all(|seat| seat.seen == self.head))
    }

    /// Stores a commit word, as a hostile writer would.
    #[cfg(all(test, not(busbar_loom)))]
    pub(super) fn store_word(&self, position: u64, word: u64) {
        self.lane.word(position).store(word, Ordering::Release);
    }

    /// The longest payload of one frame.
    pub fn payload_max(&self) -> usize {
        self.lane.geometry.payload_max()
    }

    /// Where a frame with so many bytes would begin: at the head, or behind a padding.
    fn start_of(&self, length: usize) -> u64 {
        let rest = self.lane.geometry.to_end(self.head);
        match Geometry::frame_bytes(length) <= rest {
            true => self.head,
            false => self.head + rest,
        }
    }

    /// Up to where it needs the ring: the next frame's commit word is set to 0 with it.
    fn end_of(&self, start: u64, length: usize) -> u64 {
        start + Geometry::frame_bytes(length) + COMMIT_BYTES as u64
    }

    /// Looks how far the readers are. A cursor goes forward, and not beyond the head.
    fn look_at_cursors(&mut self) -> Result<(), Refused> {
        let mut slowest = self.head;
        for (number, seat) in self.readers.iter_mut().enumerate() {
            // Pairs with the release in `LaneReader::release`: its reads of what lies below the
            // cursor are done.
            let cursor = seat.cursor.header().cursor.0.load(Ordering::Acquire);
            if cursor < seat.seen || cursor > self.head {
                return Err(Refused::Tampered(number));
            }
            seat.seen = cursor;
            slowest = slowest.min(cursor);
        }
        self.limit = slowest + self.lane.geometry.capacity();
        Ok(())
    }
}

impl Reservation<'_> {
    /// Adds bytes to the frame.
    ///
    /// # Panics
    /// When they are more than was reserved.
    pub fn put(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.length - self.filled, "more than was reserved");
        let position = self.start + (COMMIT_BYTES + self.filled) as u64;
        self.writer.lane.put(position, bytes);
        self.filled += bytes.len();
    }

    /// Bytes that it can still take.
    pub fn left(&self) -> usize {
        self.length - self.filled
    }

    /// Commits the frame, with the bytes that were put into it; without any there is none.
    pub fn commit(self) {
        let Reservation { writer, start, filled, .. } = self;
        if filled == 0 {
            return;
        }
        let (lane, geometry) = (&writer.lane, writer.lane.geometry);
        let next = start + Geometry::frame_bytes(filled);
        // Before the frame is there: else what stands here from an older lap could be taken for
        // the next one.
        if !writer.planted.has(Fault::NextNotZeroed) {
            lane.word(next).store(0, Ordering::Relaxed);
        }
        // Pairs with the acquire in `LaneReader::look`: the payload, and the 0 behind it.
        let ordering = match writer.planted.has(Fault::UnorderedCommit) {
            false => Ordering::Release,
            true => Ordering::Relaxed,
        };
        lane.word(start).store(geometry.commit(start, filled), ordering);
        if start != writer.head {
            // The same pair; last, so that whoever skips the padding finds the frame behind it.
            lane.word(writer.head).store(geometry.padding(writer.head), Ordering::Release);
        }
        writer.head = next;
        writer.frames += 1;
        lane.header().frames.0.store(writer.frames, Ordering::Relaxed);
        lane.header().tail.0.store(next, Ordering::Release);
    }
}
