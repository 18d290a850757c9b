//! The bytes of a lane, drawn.
//!
//! The writer's region (one memfd, written by the writer alone):
//!
//! ```text
//!      0  magic      u64   says what it is, and in which version
//!      8  capacity   u64   bytes of the ring, a power of two
//!     16  base       u64   the position at which it begins: where an older lane was left, or 0
//!    128  tail       u64   position behind the last committed frame, when sleepers were last asked
//!    136  frames     u64   committed by then, for people
//!    256  room_at    u64   the cursor at which the writer wants to be woken; 0 is never
//!    384  floor      u64   positions below it may be overwritten under a reader that may be lapped
//!    392  generation u64   how often it was raised; the last bit says which of these holds:
//!    400  notes      2 times:  floor u64, and dropped u64, the frames that begin below it
//!   4096  ring       capacity bytes of frames, each at a multiple of 8:
//!
//!           0  commit   u64   lap << 32 | kind << 30 | length; 0 while it is not committed
//!           8  payload  length bytes, then up to 7 of nothing
//! ```
//!
//! | kind | the word says |
//! | --- | --- |
//! | 1 | a frame with so many bytes |
//! | 2 | padding: the rest of the ring is skipped |
//! | 3 | moved: what follows is in another lane, whose base is this position |
//!
//! A reader's region (one memfd each, written by that reader alone):
//!
//! ```text
//!      0  magic      u64
//!    128  cursor     u64   position behind the last frame that it is done with
//!    256  wake_at    u64   the tail at which it wants to be woken; 0 is never
//! ```
//!
//! Positions count bytes from the first lane's beginning and never wrap, and go on in the next
//! one; a position's lap is the number of times that a ring of this size fits below it. Behind
//! the last frame there is always room for one more word, which is 0.

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

/// Readers of one lane.
pub const LANE_READERS_MAX: usize = 256;

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

/// How far the writer is: stored now and then, for people and for whoever comes late.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(super) struct TailLine {
    pub tail: AtomicU64,
    pub frames: AtomicU64,
}

/// What is gone for readers that may be lapped.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(super) struct FloorLine {
    pub floor: AtomicU64,
    pub generation: AtomicU64,
    pub notes: [FloorNote; 2],
}

/// A floor, and the frames that begin below it.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct FloorNote {
    pub floor: AtomicU64,
    pub dropped: AtomicU64,
}

/// The head of the writer's region.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct WriterHeader {
    pub magic: AtomicU64,
    pub capacity: AtomicU64,
    pub base: AtomicU64,
    pub progress: TailLine,
    pub room_at: Line,
    pub loss: FloorLine,
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
    assert!(std::mem::offset_of!(WriterHeader, base) == 16);
    assert!(std::mem::offset_of!(WriterHeader, progress.tail) == 128);
    assert!(std::mem::offset_of!(WriterHeader, progress.frames) == 136);
    assert!(std::mem::offset_of!(WriterHeader, room_at) == 256);
    assert!(std::mem::offset_of!(WriterHeader, loss.floor) == 384);
    assert!(std::mem::offset_of!(WriterHeader, loss.generation) == 392);
    assert!(std::mem::offset_of!(WriterHeader, loss.notes) == 400);
    assert!(size_of::<WriterHeader>() <= RING_OFFSET);
    assert!(std::mem::offset_of!(ReaderHeader, cursor) == 128);
    assert!(std::mem::offset_of!(ReaderHeader, wake_at) == 256);
    assert!(size_of::<ReaderHeader>() <= CURSOR_REGION_BYTES);
    assert!(LANE_BYTES_MIN.is_power_of_two() && LANE_BYTES_MAX.is_power_of_two());
    assert!(LANE_BYTES_MIN <= LANE_BYTES_DEFAULT && LANE_BYTES_DEFAULT <= LANE_BYTES_MAX);
    // A length fits beside the lap and the kind.
    assert!(LANE_BYTES_MAX < 1 << KIND_SHIFT);
};

/// Positions end here: no honest writer comes so far, and what is beyond is not believed.
pub(super) const POSITION_MAX: u64 = 1 << 62;

/// Where something is in a ring of this capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    capacity: u64,
    /// Of positions, to get the lap.
    lap_shift: u32,
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
    /// The writer goes on in another lane.
    Moved,
    /// What no honest writer stores there.
    Nonsense,
}

const KIND_SHIFT: u32 = 30;
const FRAME: u64 = 1 << KIND_SHIFT;
const PADDING: u64 = 2 << KIND_SHIFT;
const MOVED: u64 = 3 << KIND_SHIFT;

impl Geometry {
    /// Of a ring with so many bytes: a power of two.
    pub const fn new(capacity: usize) -> Geometry {
        Geometry { capacity: capacity as u64, lap_shift: capacity.trailing_zeros() }
    }

    #[inline]
    pub const fn capacity(self) -> u64 {
        self.capacity
    }

    /// The index of a position's byte in the ring.
    #[inline]
    pub const fn index(self, position: u64) -> usize {
        (position & (self.capacity - 1)) as usize
    }

    /// Bytes from a position to the ring's end.
    #[inline]
    pub const fn to_end(self, position: u64) -> u64 {
        self.capacity - (position & (self.capacity - 1))
    }

    /// Bytes that a frame takes, with its commit word.
    #[inline]
    pub const fn frame_bytes(length: usize) -> u64 {
        ((COMMIT_BYTES + length + 7) & !7) as u64
    }

    /// The longest payload of one frame.
    #[inline]
    pub const fn payload_max(self) -> usize {
        self.capacity as usize / FRAME_PART - COMMIT_BYTES
    }

    /// The commit word of a frame at this position.
    #[inline]
    pub const fn commit(self, position: u64, length: usize) -> u64 {
        self.lap(position) | FRAME | length as u64
    }

    /// The commit word of a padding frame at this position.
    pub const fn padding(self, position: u64) -> u64 {
        self.lap(position) | PADDING
    }

    /// The word that leads from this position to another lane.
    pub const fn moved(self, position: u64) -> u64 {
        self.lap(position) | MOVED
    }

    /// What the word at a position says. It may come from a hostile writer.
    #[inline]
    pub const fn read(self, position: u64, word: u64) -> Commit {
        // The lap and the kind of a frame fall away; of all else something stays above a length.
        let length = word ^ (self.lap(position) | FRAME);
        if length <= self.payload_max() as u64 {
            let length = length as usize;
            if Geometry::frame_bytes(length) <= self.to_end(position) {
                return Commit::Frame { length };
            }
            return Commit::Nonsense;
        }
        self.read_other(position, word)
    }

    const fn read_other(self, position: u64, word: u64) -> Commit {
        match word ^ self.lap(position) {
            _ if word == 0 => Commit::Nothing,
            // Never at the ring's beginning, where every frame fits: so a frame follows it.
            PADDING if self.index(position) != 0 => Commit::Padding,
            MOVED => Commit::Moved,
            _ => Commit::Nonsense,
        }
    }

    /// In the upper half of a word. It comes round after 2^32 laps; a word is never 0, since a
    /// kind is not.
    #[inline]
    const fn lap(self, position: u64) -> u64 {
        (position >> self.lap_shift) << 32
    }
}
