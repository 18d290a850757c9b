//! The writing half of a lane.
//!
//! One process has it. Every frame is committed by one store of its commit word, after the
//! next frame's word was set to 0: no byte of an older lap can be taken for a frame. A batch
//! holds its first commit word back, and with it all that follows.

use crate::sync::{Ordering, fence};

use super::fault::{Fault, Planted};
use super::floor::Floor;
use super::layout::{COMMIT_BYTES, Geometry};
use super::memory::{CursorMemory, LaneMemory};
use super::reservation::{Reservation, WriteBatch};

/// The ring's end is filled by a shorter frame, if at least this part of a frame fits there.
const PADDING_PART: usize = 16;

/// The writing half.
#[derive(Debug)]
pub struct LaneWriter {
    pub(super) lane: LaneMemory,
    /// By number; `None` where one has left.
    pub(super) readers: Vec<Option<Seat>>,
    /// Where the next frame goes.
    pub(super) head: u64,
    /// Where the ring begins: what lies below is in lanes that were left.
    pub(super) base: u64,
    /// What is written may reach up to here: the slowest cursor that was seen, or the floor, and
    /// the capacity.
    pub(super) limit: u64,
    pub(super) frames: u64,
    /// The head when the readers were last asked who sleeps.
    asked: u64,
    /// The commit word that a batch holds back; 0 when there is none.
    pub(super) held: Held,
    /// While there are, or were, readers that may be lapped.
    pub(super) floor: Option<Floor>,
    pub(super) planted: Planted,
}

/// A reader, as the writer knows it.
#[derive(Debug)]
pub(super) struct Seat {
    cursor: CursorMemory,
    /// Where it began.
    start: u64,
    /// The last cursor that was believed.
    seen: u64,
    /// Whether it is never waited for.
    pub(super) lossy: bool,
}

/// A commit word, and where it goes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub position: u64,
    pub word: u64,
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

impl LaneWriter {
    pub(super) fn new(lane: LaneMemory) -> LaneWriter {
        let limit = lane.geometry.capacity();
        LaneWriter {
            lane,
            readers: Vec::new(),
            head: 0,
            base: 0,
            limit,
            frames: 0,
            asked: 0,
            held: Held::default(),
            floor: None,
            planted: Planted::default(),
        }
    }

    /// A reader more, from here on. Returns its number.
    pub(super) fn add_reader(&mut self, cursor: CursorMemory, lossy: bool) -> usize {
        self.show_held();
        if lossy && self.floor.is_none() {
            self.floor = Some(Floor::new(&self.lane, self.head, self.frames));
            self.limit = self.limit.min(self.head + self.lane.geometry.capacity());
        }
        let seat = Some(Seat { cursor, start: self.head, seen: self.head, lossy });
        let number = self.readers.iter().position(Option::is_none);
        let number = number.unwrap_or(self.readers.len());
        match self.readers.get_mut(number) {
            Some(free) => *free = seat,
            None => self.readers.push(seat),
        }
        number
    }

    /// A reader less: it is waited for no more. It can go on reading here, until a
    /// [`LaneWriter::roll_over`] shuts it out.
    pub fn dismiss(&mut self, number: usize) {
        if let Some(seat) = self.readers.get_mut(number) {
            *seat = None;
        }
    }

    /// Room for a frame with so many bytes.
    ///
    /// # Errors
    /// As [`Refused`] tells. After `Tampered` the lane is of no more use.
    #[inline]
    pub fn reserve(&mut self, length: usize) -> Result<Reservation<'_>, Refused> {
        let start = self.place(length)?;
        Ok(Reservation::new(self, start, length, false))
    }

    /// Frames that are to be there all at once.
    #[inline]
    pub fn batch(&mut self) -> WriteBatch<'_> {
        WriteBatch::new(self)
    }

    /// How much of a payload with so many bytes to put into the next frame, so that it is no
    /// longer than a frame may be, and little of the ring is left as padding.
    #[inline]
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
        self.fits(length)?;
        self.show_held();
        let end = end_of(self.start_of(length), length);
        let wanted = end.saturating_sub(self.lane.geometry.capacity()).max(1);
        self.lane.header().room_at.0.store(wanted, Ordering::Relaxed);
        // [room]: either this sees the new cursor, or `wants_wake` sees what was stored above.
        fence(Ordering::SeqCst);
        if !self.planted.has(Fault::WaitsWithoutLooking) {
            self.look_at_cursors(end)?;
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
    #[inline]
    pub fn sleepers(&mut self, mut wake: impl FnMut(usize)) {
        self.show_held();
        if self.asked == self.head {
            return;
        }
        // [wake]: either `wait` sees the commit word, or this sees its `wake_at`.
        if !self.planted.has(Fault::AsksWithoutFence) {
            fence(Ordering::SeqCst);
        }
        for (number, seat) in self.readers.iter().enumerate() {
            let Some(seat) = seat else { continue };
            let wake_at = seat.cursor.header().wake_at.0.load(Ordering::Relaxed);
            if self.asked < wake_at && wake_at <= self.head {
                wake(number);
            }
        }
        self.asked = self.head;
        // For people alone: no reader acts on them.
        let progress = &self.lane.header().progress;
        progress.frames.store(self.frames, Ordering::Relaxed);
        progress.tail.store(self.head, Ordering::Relaxed);
    }

    /// Whether every reader is done with everything, those aside that may be lapped.
    ///
    /// # Errors
    /// As [`LaneWriter::reserve`].
    pub fn is_drained(&mut self) -> Result<bool, Refused> {
        self.look_at_cursors(self.limit)?;
        let mut seats = self.readers.iter().flatten();
        Ok(seats.all(|seat| seat.lossy || seat.seen == self.head))
    }

    /// The longest payload of one frame.
    #[inline]
    pub fn payload_max(&self) -> usize {
        self.lane.geometry.payload_max()
    }

    /// Shows what a batch has held back.
    #[inline]
    pub(super) fn show_held(&mut self) {
        if self.held.word != 0 {
            let held = std::mem::take(&mut self.held);
            self.store_commit(held.position, held.word);
        }
    }

    /// Stores a commit word, as a hostile writer would.
    #[cfg(all(test, not(busbar_loom)))]
    pub(super) fn store_word(&self, position: u64, word: u64) {
        self.lane.word(position).store(word, Ordering::Release);
    }

    #[inline]
    pub(super) fn store_commit(&self, position: u64, word: u64) {
        // [commit]: whoever reads the word sees the payload, and the 0 behind it.
        let ordering = match self.planted.has(Fault::UnorderedCommit) {
            false => Ordering::Release,
            true => Ordering::Relaxed,
        };
        self.lane.word(position).store(word, ordering);
    }

    #[inline]
    fn fits(&self, length: usize) -> Result<(), Refused> {
        match self.payload_max() {
            most if length > most => Err(Refused::TooBig(most)),
            _ => Ok(()),
        }
    }

    /// Where the next frame begins, which has room there.
    #[inline]
    pub(super) fn place(&mut self, length: usize) -> Result<u64, Refused> {
        self.fits(length)?;
        let start = self.start_of(length);
        let end = end_of(start, length);
        if end > self.limit {
            self.make_room(end)?;
        }
        Ok(start)
    }

    #[cold]
    fn make_room(&mut self, end: u64) -> Result<(), Refused> {
        // Else the readers could not go on.
        self.show_held();
        self.look_at_cursors(end)?;
        if end > self.limit { Err(Refused::Full) } else { Ok(()) }
    }

    /// Where a frame with so many bytes would begin: at the head, or behind a padding.
    #[inline]
    fn start_of(&self, length: usize) -> u64 {
        let rest = self.lane.geometry.to_end(self.head);
        match Geometry::frame_bytes(length) <= rest {
            true => self.head,
            false => self.head + rest,
        }
    }

    /// Looks how far the readers are, and raises the floor if what is to be written up to an end
    /// needs it. A cursor goes forward, and not beyond the head.
    fn look_at_cursors(&mut self, end: u64) -> Result<(), Refused> {
        let mut slowest = self.head;
        for (number, seat) in self.readers.iter_mut().enumerate() {
            let Some(seat) = seat else { continue };
            if seat.lossy {
                continue;
            }
            // [cursor]: the reader's copies of what lies below it are done.
            let cursor = match seat.cursor.header().cursor.0.load(Ordering::Acquire) {
                // It has not come yet.
                0 if seat.seen == seat.start => seat.start,
                cursor => cursor,
            };
            if cursor < seat.seen || cursor > self.head {
                return Err(Refused::Tampered(number));
            }
            seat.seen = cursor;
            slowest = slowest.min(cursor);
        }
        // What lies below the base is in another ring.
        if !self.planted.has(Fault::ForgetsBase) {
            slowest = slowest.max(self.base);
        }
        self.limit = slowest + self.lane.geometry.capacity();
        if let Some(floor) = &mut self.floor {
            let needed = end.min(self.limit).saturating_sub(self.lane.geometry.capacity());
            floor.raise(&self.lane, needed, self.head, self.planted);
            self.limit = self.limit.min(floor.position() + self.lane.geometry.capacity());
        }
        Ok(())
    }
}

/// Up to where a frame needs the ring: the next frame's commit word is set to 0 with it.
#[inline]
fn end_of(start: u64, length: usize) -> u64 {
    start + Geometry::frame_bytes(length) + COMMIT_BYTES as u64
}
