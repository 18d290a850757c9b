//! A lane on the heap, for the model checker, miri, and tests.
//!
//! The same halves over the same words as in shared memory; only where those are differs.

#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;

use crate::sync::AtomicU64;

use super::layout::{Geometry, LANE_BYTES_MAX, LANE_BYTES_MIN, ReaderHeader, WriterHeader};
use super::memory::{CursorMemory, LaneMemory};
use super::reader::LaneReader;
use super::writer::LaneWriter;

/// A writer's region on the heap.
#[derive(Debug)]
pub(super) struct HeapLane {
    header: WriterHeader,
    ring: Box<[AtomicU64]>,
    #[cfg(busbar_loom)]
    cells: Box<[loom::cell::UnsafeCell<u64>]>,
}

// SAFETY: the model checker watches every access to the cells.
#[cfg(busbar_loom)]
unsafe impl Sync for HeapLane {}

/// A reader's region on the heap.
#[derive(Debug)]
pub(super) struct HeapCursor {
    header: ReaderHeader,
}

/// A lane with so many bytes, and so many readers, in this process.
///
/// # Panics
/// When the capacity is no power of two, or not within the limits.
pub fn heap_lane(capacity: usize, readers: usize) -> (LaneWriter, Vec<LaneReader>) {
    let lane = HeapLane::new(capacity);
    let mut writer = LaneWriter::new(lane_memory(&lane));
    let all = (0..readers).map(|_| heap_reader(&mut writer, &lane)).collect();
    (writer, all)
}

/// A reader more of a writer that is in this lane now.
pub(super) fn heap_reader(writer: &mut LaneWriter, lane: &Arc<HeapLane>) -> LaneReader {
    let cursor = Arc::new(HeapCursor { header: ReaderHeader::default() });
    writer.add_reader(cursor_memory(&cursor), false);
    LaneReader::new(lane_memory(lane), cursor_memory(&cursor), writer.head)
}

impl HeapLane {
    pub fn new(capacity: usize) -> Arc<HeapLane> {
        let allowed = LANE_BYTES_MIN..=LANE_BYTES_MAX;
        assert!(capacity.is_power_of_two() && allowed.contains(&capacity), "capacity {capacity}");
        Arc::new(HeapLane {
            header: WriterHeader::default(),
            ring: (0..capacity / 8).map(|_| AtomicU64::new(0)).collect(),
            #[cfg(busbar_loom)]
            cells: (0..capacity / 8).map(|_| loom::cell::UnsafeCell::new(0)).collect(),
        })
    }
}

pub(super) fn lane_memory(lane: &Arc<HeapLane>) -> LaneMemory {
    let header = NonNull::from(&lane.header);
    let ring = NonNull::from(&*lane.ring).cast();
    let (geometry, keeper) = (Geometry::new(lane.ring.len() * 8), lane.clone());
    // SAFETY: both are part of what the keeper holds; every byte of them is inside an atomic,
    // so that it may be written through a shared reference.
    #[cfg_attr(not(busbar_loom), expect(unused_mut, reason = "models have cells beside it"))]
    let mut memory = unsafe { LaneMemory::new(header, ring, geometry, keeper) };
    #[cfg(busbar_loom)]
    {
        memory.cells = NonNull::from(&*lane.cells).cast();
    }
    memory
}

pub(super) fn cursor_memory(cursor: &Arc<HeapCursor>) -> CursorMemory {
    let header = NonNull::from(&cursor.header);
    // SAFETY: as above.
    unsafe { CursorMemory::new(header, cursor.clone()) }
}

/// What tests add: the parts of a lane one by one.
#[cfg(test)]
pub(super) mod parts {
    use super::{HeapCursor, HeapLane, cursor_memory, heap_reader, lane_memory};
    use crate::shm::layout::ReaderHeader;
    use crate::shm::{LaneReader, LaneWriter, LossyReader, NextLane};
    use std::sync::Arc;

    /// A lane on the heap, which readers can join and follow.
    #[derive(Clone, Debug)]
    pub struct Lane(Arc<HeapLane>);

    impl Lane {
        pub fn new(capacity: usize) -> Lane {
            Lane(HeapLane::new(capacity))
        }

        pub fn writer(&self) -> LaneWriter {
            LaneWriter::new(lane_memory(&self.0))
        }

        pub fn next(&self) -> NextLane {
            NextLane { memory: lane_memory(&self.0) }
        }

        pub fn reader(&self, writer: &mut LaneWriter) -> LaneReader {
            let mut reader = heap_reader(writer, &self.0);
            reader.expect_moves();
            reader
        }

        pub fn lossy_reader(&self, writer: &mut LaneWriter) -> LossyReader {
            let cursor = Arc::new(HeapCursor { header: ReaderHeader::default() });
            writer.add_reader(cursor_memory(&cursor), true);
            let (own, start) = (cursor_memory(&cursor), writer.head);
            let mut reader = LossyReader::new(lane_memory(&self.0), own, start, writer.frames);
            reader.expect_moves();
            reader
        }

        pub fn follow(&self, reader: &mut LaneReader) -> Result<(), &'static str> {
            reader.go_on(lane_memory(&self.0))
        }

        #[cfg(not(busbar_loom))]
        pub fn follow_lossy(&self, reader: &mut LossyReader) -> Result<(), &'static str> {
            reader.go_on(lane_memory(&self.0))
        }
    }
}
