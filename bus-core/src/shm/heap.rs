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
    let allowed = LANE_BYTES_MIN..=LANE_BYTES_MAX;
    assert!(capacity.is_power_of_two() && allowed.contains(&capacity), "capacity {capacity}");
    let ring = (0..capacity / 8).map(|_| AtomicU64::new(0)).collect();
    let lane = Arc::new(HeapLane {
        header: WriterHeader::default(),
        ring,
        #[cfg(busbar_loom)]
        cells: (0..capacity / 8).map(|_| loom::cell::UnsafeCell::new(0)).collect(),
    });
    let mut writer = LaneWriter::new(lane_memory(&lane, capacity));
    let mut all = Vec::with_capacity(readers);
    for _ in 0..readers {
        let cursor = Arc::new(HeapCursor { header: ReaderHeader::default() });
        let reader = LaneReader::new(lane_memory(&lane, capacity), cursor_memory(&cursor));
        writer.add_reader(cursor_memory(&cursor));
        all.push(reader);
    }
    (writer, all)
}

fn lane_memory(lane: &Arc<HeapLane>, capacity: usize) -> LaneMemory {
    let header = NonNull::from(&lane.header);
    let ring = NonNull::from(&*lane.ring).cast();
    let keeper = lane.clone();
    // SAFETY: both are part of what the keeper holds; every byte of them is inside an atomic,
    // so that it may be written through a shared reference.
    #[cfg_attr(not(busbar_loom), expect(unused_mut, reason = "models have cells beside it"))]
    let mut memory = unsafe { LaneMemory::new(header, ring, Geometry::new(capacity), keeper) };
    #[cfg(busbar_loom)]
    {
        memory.cells = NonNull::from(&*lane.cells).cast();
    }
    memory
}

fn cursor_memory(cursor: &Arc<HeapCursor>) -> CursorMemory {
    let header = NonNull::from(&cursor.header);
    // SAFETY: as above.
    unsafe { CursorMemory::new(header, cursor.clone()) }
}
