//! What the writer says to readers that may be lapped: below this, nothing is to be trusted.
//!
//! The floor is always at a frame's beginning. It is raised, in steps, before anything that lies
//! below it is overwritten; so a reader that has copied a frame and then finds the floor not
//! beyond it has copied what was committed.

use crate::sync::{Ordering, fence};

use super::fault::{Fault, Planted};
use super::layout::{Commit, Geometry};
use super::memory::LaneMemory;

/// The floor is raised by at least this part of the ring at a time.
const STEP_PART: u64 = 16;

/// The writer's side of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    position: u64,
    /// Frames that begin below it.
    dropped: u64,
    generation: u64,
}

impl Floor {
    /// At the lane's head.
    pub fn new(lane: &LaneMemory, position: u64, dropped: u64) -> Floor {
        let mut floor = Floor { position, dropped, generation: 0 };
        floor.store(lane, Planted::default());
        floor
    }

    pub fn position(self) -> u64 {
        self.position
    }

    /// Gives up the oldest frames, so that what lies below a position can be overwritten.
    pub fn raise(&mut self, lane: &LaneMemory, needed: u64, head: u64, planted: Planted) {
        if needed <= self.position {
            return;
        }
        let geometry = lane.geometry;
        let goal = (needed + geometry.capacity() / STEP_PART).min(head);
        while self.position < goal {
            // The writer's own word: nobody else can store there.
            let word = lane.word(self.position).load(Ordering::Relaxed);
            match geometry.read(self.position, word) {
                Commit::Frame { length } => {
                    self.position += Geometry::frame_bytes(length);
                    self.dropped += 1;
                }
                Commit::Padding => self.position += geometry.to_end(self.position),
                Commit::Nothing | Commit::Moved | Commit::Nonsense => {
                    unreachable!("all frames below the head are committed")
                }
            }
        }
        self.store(lane, planted);
    }

    fn store(&mut self, lane: &LaneMemory, planted: Planted) {
        let loss = &lane.header().loss;
        self.generation += 1;
        // Whoever is at the other note now is not disturbed, however long this takes.
        let note = &loss.notes[(self.generation & 1) as usize];
        note.floor.store(self.position, Ordering::Relaxed);
        note.dropped.store(self.dropped, Ordering::Relaxed);
        // [generation]: whoever sees it sees the note, and the frame at the floor.
        loss.generation.store(self.generation, Ordering::Release);
        // [raised]: whoever sees the floor sees the generation.
        loss.floor.store(self.position, Ordering::Release);
        // [floor]: whoever copies a byte that is stored after this, and then looks at the floor,
        // finds it raised; and whoever reads a note that is stored after this finds another
        // generation.
        if !planted.has(Fault::OverwritesWithoutFence) {
            fence(Ordering::Release);
        }
    }
}
