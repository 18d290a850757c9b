//! The reading half of a lane.
//!
//! It follows commit words only. The writer may be hostile: each word is loaded once, and what
//! it says is used only if it can be.

#![allow(unsafe_code)]

use bytes::{BufMut, BytesMut};

use crate::sync::{Ordering, fence};

use super::fault::{Fault, Planted};
use super::layout::{COMMIT_BYTES, Commit, Geometry};
use super::memory::{CursorMemory, LaneMemory};

/// The reading half.
#[derive(Debug)]
pub struct LaneReader {
    lane: LaneMemory,
    own: CursorMemory,
    /// The frame that is read next, or now.
    cursor: u64,
    /// How many bytes of it are read.
    offset: usize,
    /// The cursor that the writer was told.
    released: u64,
    /// The cursor when the writer was last asked whether it wants to be woken.
    asked: u64,
    pub(super) planted: Planted,
}

/// The writer has stored what no honest one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lane has a word at position {position} that cannot be")]
pub struct Tampered {
    /// Where.
    pub position: u64,
}

impl LaneReader {
    pub(super) fn new(lane: LaneMemory, own: CursorMemory) -> LaneReader {
        LaneReader {
            lane,
            own,
            cursor: 0,
            offset: 0,
            released: 0,
            asked: 0,
            planted: Planted::default(),
        }
    }

    /// Whether a frame is there.
    ///
    /// # Errors
    /// When the writer is hostile: the lane is of no more use.
    pub fn has_frame(&mut self) -> Result<bool, Tampered> {
        Ok(self.look()?.is_some())
    }

    /// Copies what is there to the end of a buffer, as much as has room in it. Frames are bytes
    /// one behind the other here, and may be copied in parts. Returns how many bytes came.
    ///
    /// # Errors
    /// As [`LaneReader::has_frame`]; what came before stays in the buffer.
    pub fn read_into(&mut self, buffer: &mut BytesMut) -> Result<usize, Tampered> {
        let before = buffer.len();
        while buffer.capacity() > buffer.len() {
            let Some(length) = self.look()? else { break };
            let count = (length - self.offset).min(buffer.capacity() - buffer.len());
            let position = self.cursor + (COMMIT_BYTES + self.offset) as u64;
            let target = buffer.spare_capacity_mut().as_mut_ptr().cast::<u8>();
            // SAFETY: the spare capacity has at least `count` bytes, by the line above.
            unsafe { self.lane.get(position, target, count) };
            // SAFETY: so many bytes of it were written just now.
            unsafe { buffer.advance_mut(count) };
            self.offset += count;
            if self.offset == length {
                self.cursor += Geometry::frame_bytes(length);
                self.offset = 0;
            }
        }
        self.release();
        Ok(buffer.len() - before)
    }

    /// Asks to be woken for the next frame. `false` if it is there by now: then nobody will
    /// wake.
    ///
    /// # Errors
    /// As [`LaneReader::has_frame`].
    pub fn wait(&mut self) -> Result<bool, Tampered> {
        self.own.header().wake_at.0.store(self.cursor + 1, Ordering::Relaxed);
        // Pairs with the fence in `LaneWriter::sleepers`: either this sees the commit word, or
        // the writer sees what was stored above.
        fence(Ordering::SeqCst);
        if self.planted.has(Fault::SleepsWithoutLooking) || self.look()?.is_none() {
            return Ok(true);
        }
        self.stop_waiting();
        Ok(false)
    }

    /// Wants to be woken no more.
    pub fn stop_waiting(&mut self) {
        self.own.header().wake_at.0.store(0, Ordering::Relaxed);
    }

    /// Whether the writer sleeps and is to be woken for the room that was made since this was
    /// last asked. To be asked after every read.
    pub fn wants_wake(&mut self) -> bool {
        if self.asked == self.released {
            return false;
        }
        // Pairs with the fence in `LaneWriter::wait_for_room`: either the writer sees the new
        // cursor, or this sees its `room_at`.
        if !self.planted.has(Fault::FreesWithoutFence) {
            fence(Ordering::SeqCst);
        }
        let room_at = self.lane.header().room_at.0.load(Ordering::Relaxed);
        let wants = self.asked < room_at && room_at <= self.released;
        self.asked = self.released;
        wants
    }

    /// The length of the frame at the cursor. Padding is passed over.
    fn look(&mut self) -> Result<Option<usize>, Tampered> {
        let geometry = self.lane.geometry;
        loop {
            // Pairs with the release in `Reservation::commit`: the payload, and the 0 behind it.
            let word = self.lane.word(self.cursor).load(Ordering::Acquire);
            match geometry.read(self.cursor, word) {
                Commit::Nothing => return Ok(None),
                // The length may change under a hostile writer, but never beyond the frame's
                // limits; what was read of it stays within them.
                Commit::Frame { length } if length >= self.offset => return Ok(Some(length)),
                Commit::Padding if self.offset == 0 => {
                    self.cursor += geometry.to_end(self.cursor);
                }
                _ => return Err(Tampered { position: self.cursor }),
            }
        }
    }

    /// Tells the writer what may be overwritten.
    fn release(&mut self) {
        if self.released != self.cursor {
            self.released = self.cursor;
            // Pairs with the acquire in `LaneWriter::look_at_cursors`: the copies are done.
            let ordering = match self.planted.has(Fault::UnorderedCursor) {
                false => Ordering::Release,
                true => Ordering::Relaxed,
            };
            self.own.header().cursor.0.store(self.cursor, ordering);
        }
    }
}
