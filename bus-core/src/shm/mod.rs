//! Lanes: rings in shared memory with one writing process and one or more readers.
//!
//! A lane is two kinds of region. The writer's holds the frames, and its readers map it without
//! the right to write; each reader's holds its cursor, and the writer maps that without the
//! right to write. So each byte has one writing process, there is no lock, and a process that
//! is killed at any instruction needs no repair: a frame that was not committed is not there.
//! The other side is hostile: what it stores is loaded once, checked, and used as loaded.
//!
//! A writer commits frames one by one or in a [`WriteBatch`], and can go on in a [`NextLane`]. A
//! [`LaneReader`] gets every frame, and the writer waits for it; a [`LossyReader`] may be lapped
//! and counts what it loses. Readers copy frames out; only those of one user ([`SameUser`])
//! borrow them where they stand.
//!
//! Where one side stores what the other loads, both places bear the same label in a comment:
//! `[commit]`, `[cursor]`, `[wake]`, `[room]`, `[floor]`, `[raised]`, `[generation]`, `[moved]`.

#[cfg(not(busbar_loom))]
mod borrow;
mod fault;
mod floor;
mod grant;
mod heap;
mod layout;
mod lossy;
mod memory;
mod reader;
mod region;
mod reservation;
mod rolling;
mod writer;

#[cfg(test)]
mod tests;

#[cfg(not(busbar_loom))]
pub use borrow::{FrameBatch, SameUser};
pub use grant::{Admission, ReaderOffer};
pub use heap::heap_lane;
pub use layout::{LANE_BYTES_DEFAULT, LANE_BYTES_MAX, LANE_BYTES_MIN, LANE_READERS_MAX};
pub use lossy::LossyReader;
pub use reader::{LaneReader, Tampered};
pub use region::{LaneOffer, PeerLanes, RegionError};
pub use reservation::{Reservation, WriteBatch};
pub use rolling::NextLane;
pub use writer::{LaneWriter, Refused};
