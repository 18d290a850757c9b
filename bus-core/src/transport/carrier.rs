//! How a link over a local socket becomes one over lanes.
//!
//! During the handshake each side hands the other the descriptors of its half, together with
//! the bytes of Hello or Welcome, and a bell, if the other side may trust it. When both have
//! verified what they got, the socket bears nothing but tokens.

use std::io;

use super::Link;
use super::bell::Bells;
use crate::shm::{LaneReader, LaneWriter};
use crate::sys::{BorrowedFd, OwnedFd};

/// A link that can carry descriptors, and be exchanged for lanes.
pub trait Carrier {
    /// Writes these bytes, and hands over descriptors with the first of them. All or nothing: a
    /// handshake fits into any socket that is empty.
    ///
    /// # Errors
    /// When the bytes do not go at once, or the link has ended.
    fn write_with(&mut self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()>;

    /// Takes the descriptors that came with what was read so far; `None` when they were lost, since this process may open
    /// no more files.
    fn take_descriptors(&mut self) -> Option<Vec<OwnedFd>>;

    /// The link over these lanes, with these bells, and this socket for tokens where there are
    /// none. The old link is of no more use.
    ///
    /// # Errors
    /// When the system has no descriptor.
    fn upgrade(
        &mut self,
        outgoing: LaneWriter,
        incoming: LaneReader,
        bells: Bells,
    ) -> io::Result<Box<dyn Link>>;
}
