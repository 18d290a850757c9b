//! Lanes in shared memory, on a system that has no memory which can be sealed: there are none.
//!
//! Types without values, and errors of the kind `Unsupported`: both sides then go on over their socket, and say why.

use std::io;

#[cfg(feature = "net")]
use crate::sys::{BorrowedFd, not_available};

/// The default size of a lane's ring, where there are lanes.
pub const LANE_BYTES_DEFAULT: usize = 256 * 1024;

/// Why a region cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RegionError(#[from] io::Error);

/// What there is none of.
#[derive(Debug)]
enum Never {}

/// A lane's writing side: there is none.
#[derive(Debug)]
pub struct LaneWriter(Never);

/// A lane's reading side: there is none.
#[derive(Debug)]
pub struct LaneReader(Never);

/// One side's half of a pair of lanes: there is none.
#[derive(Debug)]
pub struct LaneOffer(Never);

/// The other side's half: there is none.
#[derive(Debug)]
pub struct PeerLanes(Never);

#[cfg(feature = "net")]
impl PeerLanes {
    /// Verifies and maps what a peer has handed over.
    ///
    /// # Errors
    /// Shared memory is not available.
    pub fn verify(
        _lane: BorrowedFd<'_>,
        _cursor: BorrowedFd<'_>,
        _capacity: usize,
    ) -> Result<PeerLanes, RegionError> {
        Err(not_available("shared memory").into())
    }
}

#[cfg(feature = "net")]
impl LaneOffer {
    /// Descriptors that each side hands to the other, where there are lanes.
    pub const DESCRIPTORS: usize = 2;

    /// Whether this system can have lanes at all.
    ///
    /// # Errors
    /// Shared memory is not available.
    pub fn supported() -> Result<(), RegionError> {
        Err(not_available("shared memory").into())
    }

    /// Makes a lane.
    ///
    /// # Errors
    /// Shared memory is not available.
    pub fn new(_capacity: usize) -> Result<LaneOffer, RegionError> {
        Err(not_available("shared memory").into())
    }

    /// What the peer must be handed.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; LaneOffer::DESCRIPTORS] {
        match self.0 {}
    }

    /// Joins it with what the peer has handed over.
    ///
    /// # Errors
    /// There is none of which that could be asked.
    pub fn join(
        self,
        _lane: BorrowedFd<'_>,
        _cursor: BorrowedFd<'_>,
        _capacity: usize,
    ) -> Result<(LaneWriter, LaneReader), RegionError> {
        match self.0 {}
    }

    /// Joins it with what was verified before.
    pub fn join_verified(self, _theirs: PeerLanes) -> (LaneWriter, LaneReader) {
        match self.0 {}
    }
}
