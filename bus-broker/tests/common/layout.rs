//! The layout of lanes as these tests see it: a second picture of it, by which a change of the
//! first one is noticed.

#![allow(dead_code, reason = "no test needs all of it")]

/// Where a writer's region has its magic, the ring's size, when it wants to be woken, how many
/// frames are committed, and the ring.
pub const MAGIC_AT: usize = 0;
pub const CAPACITY_AT: usize = 8;
pub const ROOM_AT: usize = 256;
pub const FRAMES_AT: usize = 136;
pub const RING_AT: usize = 4096;
pub const LANE_MAGIC: u64 = u64::from_le_bytes(*b"buslane1");

/// Where a reader's region has its cursor, the tail that shall wake it, and how long it is.
pub const CURSOR_AT: usize = 128;
pub const WAKE_AT: usize = 256;
pub const CURSOR_BYTES: usize = 4096;
pub const CURSOR_MAGIC: u64 = u64::from_le_bytes(*b"buscurs1");

/// The commit word of a frame at a position of a ring.
pub fn commit_word(position: u64, length: u64, capacity: u64) -> u64 {
    (position / capacity) << 32 | 1 << 30 | length
}
