//! A reader that may be lapped: the writer never waits for it, and drops its oldest frames.
//!
//! It copies frames while they may be overwritten, and believes a copy only when the floor is
//! not beyond it afterwards. It never borrows, and it has no say in what is overwritten. What it
//! loses is counted.

use bytes::BytesMut;

use crate::sync::{Ordering, fence};

use super::fault::{Fault, Planted};
use super::layout::{COMMIT_BYTES, Commit, Geometry, POSITION_MAX};
use super::memory::{CursorMemory, LaneMemory};
use super::reader::{Found, Tampered, check_move};

/// A call gives up for now when it was lapped so often.
const LAPS_MAX: usize = if cfg!(busbar_loom) { 2 } else { 8 };
/// So often a call looks for what was dropped while the floor is raised again and again.
const NOTES_MAX: usize = if cfg!(busbar_loom) { 2 } else { 64 };

/// The reading half of whoever would rather lose frames than hold the writer up.
#[derive(Debug)]
pub struct LossyReader {
    lane: LaneMemory,
    own: CursorMemory,
    /// The frame that is read next.
    cursor: u64,
    /// Frames that were read or lost: those that begin below the cursor.
    passed: u64,
    lost: u64,
    /// Whether it is told of lanes that follow.
    follows: bool,
    pub(super) planted: Planted,
}

impl LossyReader {
    /// Begins at a position, below which so many frames begin.
    pub(super) fn new(lane: LaneMemory, own: CursorMemory, start: u64, passed: u64) -> LossyReader {
        let planted = Planted::default();
        LossyReader { lane, own, cursor: start, passed, lost: 0, follows: false, planted }
    }

    /// As [`LaneReader::expect_moves`](super::LaneReader::expect_moves).
    pub fn expect_moves(&mut self) {
        self.follows = true;
    }

    /// Whether a frame is there, or was; or the writer has moved.
    ///
    /// # Errors
    /// When the writer is hostile: the lane is of no more use.
    pub fn has_frame(&mut self) -> Result<bool, Tampered> {
        Ok(self.look()? != Some(Found::Nothing))
    }

    /// As [`LaneReader::has_moved`](super::LaneReader::has_moved).
    ///
    /// # Errors
    /// As [`LossyReader::has_frame`].
    pub fn has_moved(&mut self) -> Result<bool, Tampered> {
        Ok(self.look()? == Some(Found::Moved))
    }

    /// Copies one frame to the end of a buffer, which grows for it. Returns how many bytes came;
    /// `None` when nothing is there, or the writer is too fast just now.
    ///
    /// # Errors
    /// As [`LossyReader::has_frame`].
    pub fn copy_frame(&mut self, buffer: &mut BytesMut) -> Result<Option<usize>, Tampered> {
        let before = buffer.len();
        for _ in 0..LAPS_MAX {
            let Some(Found::Frame(length)) = self.look()? else { break };
            self.lane.get_words(self.cursor + COMMIT_BYTES as u64, buffer, length);
            let torn = !self.planted.has(Fault::CopiesWithoutSecondLook) && self.was_lapped()?;
            if torn {
                buffer.truncate(before);
                continue;
            }
            self.cursor += Geometry::frame_bytes(length);
            self.passed += 1;
            return Ok(Some(length));
        }
        Ok(None)
    }

    /// Frames that it has lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The position of the frame that it reads next.
    #[cfg(all(test, busbar_loom))]
    pub(super) fn position(&self) -> u64 {
        self.cursor
    }

    /// As [`LaneReader::wait`](super::LaneReader::wait).
    ///
    /// # Errors
    /// As [`LossyReader::has_frame`].
    pub fn wait(&mut self) -> Result<bool, Tampered> {
        self.own.header().wake_at.0.store(self.cursor + 1, Ordering::Relaxed);
        // [wake]: either this sees the commit word, or `sleepers` sees what was stored above.
        fence(Ordering::SeqCst);
        if !self.has_frame()? {
            return Ok(true);
        }
        self.stop_waiting();
        Ok(false)
    }

    /// Wants to be woken no more.
    pub fn stop_waiting(&mut self) {
        self.own.header().wake_at.0.store(0, Ordering::Relaxed);
    }

    /// Goes on in the lane to which the writer has moved, once that was verified.
    ///
    /// # Errors
    /// When it begins elsewhere; this lane goes on standing at its end.
    pub(super) fn go_on(&mut self, next: LaneMemory) -> Result<(), &'static str> {
        let found = self.look().map(|found| found.unwrap_or(Found::Nothing));
        check_move(found, self.cursor, &next, self.planted)?;
        self.lane = next;
        Ok(())
    }

    /// What is at the cursor; `None` when it was lapped all the time. Padding is passed over.
    /// That a frame is there is only as good as the next look at the floor.
    fn look(&mut self) -> Result<Option<Found>, Tampered> {
        let geometry = self.lane.geometry;
        for _ in 0..LAPS_MAX {
            // [commit]: the payload is there, and the 0 behind it.
            let word = self.lane.word(self.cursor).load(Ordering::Acquire);
            let commit = geometry.read(self.cursor, word);
            if let Commit::Frame { length } = commit {
                return Ok(Some(Found::Frame(length)));
            }
            // All else may be a piece of what was written there since.
            if self.was_lapped()? {
                continue;
            }
            match commit {
                Commit::Nothing => return Ok(Some(Found::Nothing)),
                Commit::Padding => self.cursor += geometry.to_end(self.cursor),
                Commit::Moved if self.follows => return Ok(Some(Found::Moved)),
                _ => return Err(Tampered { position: self.cursor }),
            }
        }
        Ok(None)
    }

    /// Whether what was just read at the cursor may have been overwritten. Then the cursor is at
    /// the oldest frame that was not.
    fn was_lapped(&mut self) -> Result<bool, Tampered> {
        // [floor]: whoever has read what was stored after the floor was raised sees it raised.
        fence(Ordering::Acquire);
        if self.lane.header().loss.floor.load(Ordering::Relaxed) <= self.cursor {
            return Ok(false);
        }
        // [raised]: the generation is at least this floor's.
        fence(Ordering::Acquire);
        // Else the next call tries again: the cursor stands below the floor still.
        if let Some((floor, dropped)) = self.last_note() {
            let possible = self.cursor < floor && floor <= POSITION_MAX && floor & 7 == 0;
            if !possible || dropped < self.passed {
                return Err(Tampered { position: self.cursor });
            }
            self.lost += dropped - self.passed;
            self.passed = dropped;
            self.cursor = floor;
        }
        Ok(true)
    }

    /// The floor, and how many frames begin below it. `None` when it is raised too fast for that.
    fn last_note(&self) -> Option<(u64, u64)> {
        let loss = &self.lane.header().loss;
        for _ in 0..NOTES_MAX {
            // [generation]: the note is there, and the frame at the floor.
            let generation = loss.generation.load(Ordering::Acquire);
            let note = &loss.notes[(generation & 1) as usize];
            let seen = (note.floor.load(Ordering::Relaxed), note.dropped.load(Ordering::Relaxed));
            // [floor]: a note that was overwritten since has another generation.
            fence(Ordering::Acquire);
            if loss.generation.load(Ordering::Relaxed) == generation {
                return Some(seen);
            }
        }
        None
    }
}
