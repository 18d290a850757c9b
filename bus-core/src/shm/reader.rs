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

/// What was read is given back at least this often while a read goes on.
const RELEASE_PART: u64 = 8;

/// The reading half.
#[derive(Debug)]
pub struct LaneReader {
    pub(super) lane: LaneMemory,
    own: CursorMemory,
    /// The frame that is read next, or now.
    pub(super) cursor: u64,
    /// How many bytes of it are read.
    pub(super) offset: usize,
    /// The cursor that the writer was told.
    pub(super) released: u64,
    /// The cursor when the writer was last asked whether it wants to be woken.
    asked: u64,
    /// Whether it is told of lanes that follow.
    follows: bool,
    pub(super) planted: Planted,
}

/// The writer has stored what no honest one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lane has a word at position {position} that cannot be")]
pub struct Tampered {
    /// Where.
    pub position: u64,
}

/// What is at a reader's cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// A frame with so many bytes.
    Frame(usize),
    /// The writer went on in another lane.
    Moved,
}

impl LaneReader {
    /// Begins at a position. The writer must know it as the reader's start.
    pub(super) fn new(lane: LaneMemory, own: CursorMemory, start: u64) -> LaneReader {
        own.header().cursor.0.store(start, Ordering::Release);
        LaneReader {
            lane,
            own,
            cursor: start,
            offset: 0,
            released: start,
            asked: start,
            follows: false,
            planted: Planted::default(),
        }
    }

    /// Takes part in roll-overs from here on: to be said by whoever is handed the lanes that
    /// follow. Without it a word that leads to another lane is a hostile one.
    pub fn expect_moves(&mut self) {
        self.follows = true;
    }

    /// Whether a frame is there, or the writer has moved.
    ///
    /// # Errors
    /// When the writer is hostile: the lane is of no more use.
    #[inline]
    pub fn has_frame(&mut self) -> Result<bool, Tampered> {
        Ok(self.look()? != Found::Nothing)
    }

    /// Whether everything here is read, and the writer goes on in another lane: only
    /// [`LaneReader::follow`] leads to more.
    ///
    /// # Errors
    /// As [`LaneReader::has_frame`].
    pub fn has_moved(&mut self) -> Result<bool, Tampered> {
        Ok(self.look()? == Found::Moved)
    }

    /// Copies what is there to the end of a buffer, as much as has room in it. Frames are bytes
    /// one behind the other here, and may be copied in parts. Returns how many bytes came, of
    /// one lap at most: empty frames would else keep this call for as long as somebody commits
    /// them.
    ///
    /// # Errors
    /// As [`LaneReader::has_frame`]; what came before stays in the buffer.
    pub fn read_into(&mut self, buffer: &mut BytesMut) -> Result<usize, Tampered> {
        let spare = buffer.spare_capacity_mut();
        let (target, room) = (spare.as_mut_ptr().cast::<u8>(), spare.len());
        let (mut read, start) = (0, self.cursor);
        let outcome = loop {
            if read == room || self.cursor - start >= self.lane.geometry.capacity() {
                break Ok(());
            }
            let length = match self.look() {
                Ok(Found::Frame(length)) => length,
                Ok(Found::Nothing | Found::Moved) => break Ok(()),
                Err(tampered) => break Err(tampered),
            };
            let count = (length - self.offset).min(room - read);
            // SAFETY: `read` is not beyond the spare capacity.
            let target = unsafe { target.add(read) };
            // SAFETY: of which at least `count` bytes are left there.
            unsafe { self.lane.get(self.unread(), target, count) };
            read += count;
            self.pass(length, count);
        };
        // SAFETY: so many bytes of it were written just now.
        unsafe { buffer.advance_mut(read) };
        self.release();
        outcome.map(|()| read)
    }

    /// Copies one frame to the end of a buffer, which grows for it; or what
    /// [`LaneReader::read_into`] has left of one. Returns how many bytes came.
    ///
    /// # Errors
    /// As [`LaneReader::has_frame`].
    #[inline]
    pub fn copy_frame(&mut self, buffer: &mut BytesMut) -> Result<Option<usize>, Tampered> {
        let Found::Frame(length) = self.look()? else { return Ok(None) };
        let count = length - self.offset;
        buffer.reserve(count);
        let target = buffer.spare_capacity_mut().as_mut_ptr().cast::<u8>();
        // SAFETY: the spare capacity has at least `count` bytes, by the reservation above.
        unsafe { self.lane.get(self.unread(), target, count) };
        // SAFETY: so many bytes of it were written just now.
        unsafe { buffer.advance_mut(count) };
        self.pass(length, count);
        self.release();
        Ok(Some(count))
    }

    /// Asks to be woken for the next frame. `false` if it is there by now: then nobody will
    /// wake. Nobody wakes for a move alone, only for the first frame behind it.
    ///
    /// # Errors
    /// As [`LaneReader::has_frame`].
    pub fn wait(&mut self) -> Result<bool, Tampered> {
        self.own.header().wake_at.0.store(self.cursor + 1, Ordering::Relaxed);
        // [wake]: either this sees the commit word, or `sleepers` sees what was stored above.
        fence(Ordering::SeqCst);
        if self.planted.has(Fault::SleepsWithoutLooking) || self.look()? == Found::Nothing {
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
    /// last asked. To be asked after every read, or after a run of them.
    #[inline]
    pub fn wants_wake(&mut self) -> bool {
        if self.asked == self.released {
            return false;
        }
        // [room]: either `wait_for_room` sees the new cursor, or this sees its `room_at`.
        if !self.planted.has(Fault::FreesWithoutFence) {
            fence(Ordering::SeqCst);
        }
        let room_at = self.lane.header().room_at.0.load(Ordering::Relaxed);
        let wants = self.asked < room_at && room_at <= self.released;
        self.asked = self.released;
        wants
    }

    /// Goes on in the lane to which the writer has moved, once that was verified.
    ///
    /// # Errors
    /// When it begins elsewhere; this lane goes on standing at its end.
    pub(super) fn go_on(&mut self, next: LaneMemory) -> Result<(), &'static str> {
        check_move(self.look(), self.cursor, &next, self.planted)?;
        self.release();
        self.lane = next;
        Ok(())
    }

    /// What is at the cursor. Padding is passed over.
    #[inline]
    pub(super) fn look(&mut self) -> Result<Found, Tampered> {
        let (cursor, found) = self.look_from(self.cursor, self.offset)?;
        self.cursor = cursor;
        Ok(found)
    }

    /// What is at a position where a frame begins, of which so many bytes are read; and where it
    /// is, behind a padding.
    #[inline]
    pub(super) fn look_from(
        &self,
        mut cursor: u64,
        offset: usize,
    ) -> Result<(u64, Found), Tampered> {
        let geometry = self.lane.geometry;
        loop {
            // [commit]: the payload is there, and the 0 behind it.
            let word = self.lane.word(cursor).load(Ordering::Acquire);
            match geometry.read(cursor, word) {
                // The length may change under a hostile writer, but never beyond the frame's
                // limits; what was read of it stays within them.
                Commit::Frame { length } if length >= offset => {
                    return Ok((cursor, Found::Frame(length)));
                }
                Commit::Nothing if offset == 0 => return Ok((cursor, Found::Nothing)),
                Commit::Padding if offset == 0 => cursor += geometry.to_end(cursor),
                Commit::Moved if offset == 0 && self.follows => {
                    return Ok((cursor, Found::Moved));
                }
                _ => return Err(Tampered { position: cursor }),
            }
        }
    }

    /// Stores a cursor, as a hostile reader would.
    #[cfg(all(test, not(busbar_loom)))]
    pub(super) fn store_cursor(&self, cursor: u64) {
        self.own.header().cursor.0.store(cursor, Ordering::Release);
    }

    /// Where the frame's bytes are that come next.
    #[inline]
    pub(super) fn unread(&self) -> u64 {
        self.cursor + (COMMIT_BYTES + self.offset) as u64
    }

    /// So many bytes more of the frame are read, which has this length.
    #[inline]
    pub(super) fn pass(&mut self, length: usize, count: usize) {
        self.offset += count;
        if self.offset == length {
            self.cursor += Geometry::frame_bytes(length);
            self.offset = 0;
            // The writer need not wait for the end of a long read.
            if self.cursor - self.released >= self.lane.geometry.capacity() / RELEASE_PART {
                self.release();
            }
        }
    }

    /// Tells the writer what may be overwritten.
    #[inline]
    pub(super) fn release(&mut self) {
        if self.released != self.cursor {
            self.released = self.cursor;
            // [cursor]: the copies are done.
            let ordering = match self.planted.has(Fault::UnorderedCursor) {
                false => Ordering::Release,
                true => Ordering::Relaxed,
            };
            self.own.header().cursor.0.store(self.cursor, ordering);
        }
    }
}

/// Whether a reader can go on in a lane: it must stand where the writer has moved from, and the
/// lane must begin there.
pub(super) fn check_move(
    found: Result<Found, Tampered>,
    cursor: u64,
    next: &LaneMemory,
    planted: Planted,
) -> Result<(), &'static str> {
    if found != Ok(Found::Moved) {
        return Err("the writer has not moved");
    }
    // [moved]: the word that leads here was stored after the base.
    let base = next.header().base.load(Ordering::Relaxed);
    match base == cursor || planted.has(Fault::FollowsAnywhere) {
        true => Ok(()),
        false => Err("it does not begin where the lane before it was left"),
    }
}
