//! The bytes of a lane, drawn.
//!
//! The writer's region (one memfd, written by the writer alone):
//!
//! ```text
//!      0  magic      u64   says what it is, and in which version
//!      8  capacity   u64   bytes of the ring, a power of two
//!    128  tail       u64   position behind the last committed frame
//!    256  room_at    u64   the cursor at which the writer wants to be woken; 0 is never
//!    384  floor      u64   positions below it may be overwritten under a reader that may be lapped
//!    512  frames     u64   committed so far, for people
//!   4096  ring       capacity bytes of frames, each at a multiple of 8:
//!
//!           0  commit   u64   lap << 32 | padding << 31 | length; 0 while it is not committed
//!           8  payload  length bytes, then up to 7 of nothing
//! ```
//!
//! A reader's region (one memfd each, written by that reader alone):
//!
//! ```text
//!      0  magic      u64
//!    128  cursor     u64   position behind the last frame that it is done with
//!    256  wake_at    u64   the tail at which it wants to be woken; 0 is never
//! ```
//!
//! Positions count bytes from the lane's beginning and never wrap; a position's lap is the
//! number of times that the ring was passed, from 1. A padding frame fills what is left at the
//! ring's end.

use crate::sync::AtomicU64;

/// Bytes of a lane's ring, unless asked for otherwise.
pub const LANE_BYTES_DEFAULT: usize = 256 * 1024;
/// The largest ring.
pub const LANE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The smallest ring.
#[cfg(not(busbar_loom))]
pub const LANE_BYTES_MIN: usize = 4096;
/// The smallest ring: models are small.
#[cfg(busbar_loom)]
pub const LANE_BYTES_MIN: usize = 64;

/// Where the ring begins in the writer's region.
pub(super) const RING_OFFSET: usize = 4096;
/// Bytes of a reader's region.
pub(super) const CURSOR_REGION_BYTES: usize = 4096;
/// Bytes of a commit word.
pub(super) const COMMIT_BYTES: usize = 8;
/// A frame is at most this part of the ring, so that one always fits into an empty lane.
#[cfg(not(busbar_loom))]
pub(super) const FRAME_PART: usize = 8;
#[cfg(busbar_loom)]
pub(super) const FRAME_PART: usize = 2;

/// "bus lane", version 1.
pub(super) const WRITER_MAGIC: u64 = u64::from_le_bytes(*b"buslane1");
/// "bus curs", version 1.
pub(super) const READER_MAGIC: u64 = u64::from_le_bytes(*b"buscurs1");

/// A word alone on its cache lines: neighbours are fetched in pairs.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(super) struct Line(pub AtomicU64);

/// The head of the writer's region.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct WriterHeader {
    pub magic: AtomicU64,
    pub capacity: AtomicU64,
    pub tail: Line,
    pub room_at: Line,
    pub floor: Line,
    pub frames: Line,
}

/// A reader's region.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct ReaderHeader {
    pub magic: AtomicU64,
    pub cursor: Line,
    pub wake_at: Line,
}

#[cfg(not(busbar_loom))]
const _: () = {
    assert!(std::mem::offset_of!(WriterHeader, capacity) == 8);
    assert!(std::mem::offset_of!(WriterHeader, tail) == 128);
    assert!(std::mem::offset_of!(WriterHeader, room_at) == 256);
    assert!(std::mem::offset_of!(WriterHeader, floor) == 384);
    assert!(std::mem::offset_of!(WriterHeader, frames) == 512);
    assert!(size_of::<WriterHeader>() <= RING_OFFSET);
    assert!(std::mem::offset_of!(ReaderHeader, cursor) == 128);
    assert!(std::mem::offset_of!(ReaderHeader, wake_at) == 256);
    assert!(size_of::<ReaderHeader>() <= CURSOR_REGION_BYTES);
    assert!(LANE_BYTES_MIN.is_power_of_two() && LANE_BYTES_MAX.is_power_of_two());
    assert!(LANE_BYTES_MIN <= LANE_BYTES_DEFAULT && LANE_BYTES_DEFAULT <= LANE_BYTES_MAX);
    // A length fits beside the lap and the padding bit.
    assert!(LANE_BYTES_MAX < 1 << 31);
};

/// Where something is in a ring of this capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    capacity: u64,
}

/// What a commit word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    /// Nothing is committed there.
    Nothing,
    /// A frame with so many bytes.
    Frame { length: usize },
    /// The rest of the ring is skipped.
    Padding,
    /// What no honest writer stores there.
    Nonsense,
}

const PADDING: u64 = 1 << 31;

impl Geometry {
    /// Of a ring with so many bytes: a power of two.
    pub const fn new(capacity: usize) -> Geometry {
        Geometry { capacity: capacity as u64 }
    }

    pub const fn capacity(self) -> u64 {
        self.capacity
    }

    /// The index of a position's byte in the ring.
    pub const fn index(self, position: u64) -> usize {
        (position & (self.capacity - 1)) as usize
    }

    /// Bytes from a position to the ring's end.
    pub const fn to_end(self, position: u64) -> u64 {
        self.capacity - (position & (self.capacity - 1))
    }

    /// Bytes that a frame takes, with its commit word.
    pub const fn frame_bytes(length: usize) -> u64 {
        ((COMMIT_BYTES + length + 7) & !7) as u64
    }

    /// The longest payload of one frame.
    pub const fn payload_max(self) -> usize {
        self.capacity as usize / FRAME_PART - COMMIT_BYTES
    }

    /// The commit word of a frame at this position.
    pub const fn commit(self, position: u64, length: usize) -> u64 {
        self.lap(position) << 32 | length as u64
    }

    /// The commit word of a padding frame at this position.
    pub const fn padding(self, position: u64) -> u64 {
        self.lap(position) << 32 | PADDING
    }

    /// What the word at a position says. It may come from a hostile writer.
    pub const fn read(self, position: u64, word: u64) -> Commit {
        if word == 0 {
            return Commit::Nothing;
        }
        if word >> 32 != self.lap(position) {
            return Commit::Nonsense;
        }
        let low = word & 0xffff_ffff;
        if low == PADDING {
            return Commit::Padding;
        }
        // Nothing is never committed: a reader could follow it for ever.
        if low == 0 {
            return Commit::Nonsense;
        }
        let length = low as usize;
        let fits =
            length <= self.payload_max() && Geometry::frame_bytes(length) <= self.to_end(position);
        if fits { Commit::Frame { length } } else { Commit::Nonsense }
    }

    /// From 1 to 2^32 - 1 and round again: a commit word is never 0.
    const fn lap(self, position: u64) -> u64 {
        (position / self.capacity) % 0xffff_ffff + 1
    }
}
