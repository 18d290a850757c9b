//! Regions in shared memory: made and sealed here, or verified when a peer hands one over.
//!
//! A region is a memfd. Its maker reserves all pages, maps it, and seals it before anybody
//! else has the descriptor: nobody can resize it, and nobody but the maker's own mapping can
//! write it any more. Whoever takes one over verifies all of that first: a sparse one could
//! make a read fail with SIGBUS when memory runs out, and one that can shrink at any time.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, SeekFrom, fallocate, fcntl_add_seals, fcntl_get_seals,
    fstat, fstatfs, ftruncate, memfd_create, seek,
};
use rustix::io::pwrite;

use crate::sync::Ordering;

use super::layout::{
    CURSOR_REGION_BYTES, Geometry, LANE_BYTES_MAX, LANE_BYTES_MIN, LANE_READERS_MAX, READER_MAGIC,
    RING_OFFSET, WRITER_MAGIC,
};
use super::memory::{CursorMemory, LaneMemory};
use super::reader::LaneReader;
use super::writer::LaneWriter;

/// The file system that memfds live in.
const TMPFS_MAGIC: u64 = 0x0102_1994;
/// What a new region is filled with, part by part.
const ZEROS: &[u8] = &[0; 64 * 1024];

/// The largest region that is mapped page by page in advance: it takes about a tenth of a
/// millisecond for each mebibyte.
const POPULATE_BYTES_MAX: usize = 4 * 1024 * 1024 + RING_OFFSET;

/// Why a region cannot be had, or is not used.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// The system refused.
    #[error("cannot {what} shared memory: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        #[source]
        error: io::Error,
    },
    /// A peer handed over something that is not to be trusted.
    #[error("the peer's shared memory is not used: {0}")]
    Unsafe(&'static str),
    /// The lane has as many readers as it may have.
    #[error("the lane has {LANE_READERS_MAX} readers, and may have no more")]
    TooManyReaders,
}

fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> RegionError {
    move |error| RegionError::System { what, error: error.into() }
}

/// What keeps everybody else from resizing and writing it, and from taking that back.
fn seals() -> SealFlags {
    SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL
}

/// One side's half of a pair of lanes, one in each direction, before the other side's is there.
#[derive(Debug)]
pub struct LaneOffer {
    writer: LaneWriter,
    cursor: CursorMemory,
    /// Of the lane that it writes, and of its cursor in the other one.
    descriptors: [OwnedFd; 2],
}

/// The other side's half, verified and mapped.
#[derive(Debug)]
pub struct PeerLanes {
    lane: LaneMemory,
    cursor: CursorMemory,
}

impl PeerLanes {
    /// Verifies and maps what a peer has handed over, whose lane has so many bytes. The
    /// descriptors are not kept: the mappings stay.
    ///
    /// # Errors
    /// When the peer's memory is not to be trusted, or cannot be mapped.
    pub fn verify(
        lane: BorrowedFd<'_>,
        cursor: BorrowedFd<'_>,
        capacity: usize,
    ) -> Result<PeerLanes, RegionError> {
        Ok(PeerLanes { lane: verify_lane(lane, capacity)?, cursor: verify_cursor(cursor)? })
    }
}

impl LaneOffer {
    /// Descriptors that each side hands to the other.
    pub const DESCRIPTORS: usize = 2;

    /// Whether this system can have lanes at all.
    ///
    /// # Errors
    /// Never, on this one.
    pub fn supported() -> Result<(), RegionError> {
        Ok(())
    }

    /// Makes a lane with a ring of so many bytes, and a cursor for the peer's.
    ///
    /// # Errors
    /// When the capacity is not allowed, or the system has no memory, no seals, or no descriptor.
    pub fn new(capacity: usize) -> Result<LaneOffer, RegionError> {
        let (memory, lane) = create_lane(capacity)?;
        let (own, cursor) = create_cursor()?;
        Ok(LaneOffer { writer: LaneWriter::new(memory), cursor: own, descriptors: [lane, cursor] })
    }

    /// What the peer must be handed, in this order.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; LaneOffer::DESCRIPTORS] {
        self.descriptors.each_ref().map(OwnedFd::as_fd)
    }

    /// Joins it with what the peer has handed over, whose lane has so many bytes. The
    /// descriptors are closed: the mappings stay.
    ///
    /// # Errors
    /// When the peer's memory is not to be trusted, or cannot be mapped.
    pub fn join(
        self,
        lane: BorrowedFd<'_>,
        cursor: BorrowedFd<'_>,
        capacity: usize,
    ) -> Result<(LaneWriter, LaneReader), RegionError> {
        Ok(self.join_verified(PeerLanes::verify(lane, cursor, capacity)?))
    }

    /// Joins it with what was verified before: whoever is asked need not make anything for a peer
    /// whose memory is not to be trusted.
    pub fn join_verified(self, theirs: PeerLanes) -> (LaneWriter, LaneReader) {
        let LaneOffer { mut writer, cursor, .. } = self;
        writer.add_reader(theirs.cursor, false);
        (writer, LaneReader::new(theirs.lane, cursor, 0))
    }
}

/// A new lane, with the descriptor that readers are handed.
pub(super) fn create_lane(capacity: usize) -> Result<(LaneMemory, OwnedFd), RegionError> {
    check_capacity(capacity)?;
    let (mapping, descriptor) = create(c"bus-lane", RING_OFFSET + capacity)?;
    let memory = lane_memory(mapping, capacity);
    memory.header().capacity.store(capacity as u64, Ordering::Relaxed);
    memory.header().magic.store(WRITER_MAGIC, Ordering::Release);
    Ok((memory, descriptor))
}

/// A new reader's region, with the descriptor that the writer is handed.
pub(super) fn create_cursor() -> Result<(CursorMemory, OwnedFd), RegionError> {
    let (mapping, descriptor) = create(c"bus-cursor", CURSOR_REGION_BYTES)?;
    let memory = cursor_memory(mapping);
    memory.header().magic.store(READER_MAGIC, Ordering::Release);
    Ok((memory, descriptor))
}

/// A peer's lane, if it is what it must be.
pub(super) fn verify_lane(
    descriptor: BorrowedFd<'_>,
    capacity: usize,
) -> Result<LaneMemory, RegionError> {
    check_capacity(capacity)?;
    let lane = lane_memory(verify(descriptor, RING_OFFSET + capacity)?, capacity);
    let header = lane.header();
    let magic = header.magic.load(Ordering::Acquire);
    if magic != WRITER_MAGIC || header.capacity.load(Ordering::Relaxed) != capacity as u64 {
        return Err(RegionError::Unsafe("it does not begin as a lane"));
    }
    Ok(lane)
}

/// A peer's region as a reader, if it is what it must be.
pub(super) fn verify_cursor(descriptor: BorrowedFd<'_>) -> Result<CursorMemory, RegionError> {
    let theirs = cursor_memory(verify(descriptor, CURSOR_REGION_BYTES)?);
    if theirs.header().magic.load(Ordering::Acquire) != READER_MAGIC {
        return Err(RegionError::Unsafe("it does not begin as a reader's region"));
    }
    Ok(theirs)
}

fn check_capacity(capacity: usize) -> Result<(), RegionError> {
    let allowed = (LANE_BYTES_MIN..=LANE_BYTES_MAX).contains(&capacity);
    match allowed && capacity.is_power_of_two() {
        true => Ok(()),
        false => Err(RegionError::Unsafe("a lane has a power of two of bytes, within the limits")),
    }
}

/// A sealed memfd with all its pages, mapped for writing before it was sealed.
fn create(name: &CStr, length: usize) -> Result<(MmapRaw, OwnedFd), RegionError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create(name, flags).map_err(system("make"))?;
    ftruncate(&file, length as u64).map_err(system("size"))?;
    // A hole would be filled on first touch; when memory has run out by then, with SIGBUS.
    fallocate(&file, FallocateFlags::empty(), 0, length as u64).map_err(system("reserve"))?;
    // A page that is only reserved looks like a hole to whoever verifies it.
    let mut filled = 0;
    while filled < length {
        let part = &ZEROS[..ZEROS.len().min(length - filled)];
        match pwrite(&file, part, filled as u64) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(system("fill")(error)),
        }
    }
    let mapping = mapping_of(length).map_raw(file.as_raw_fd());
    let mapping = mapping.map_err(system("map"))?;
    keep_from_children(&mapping)?;
    fcntl_add_seals(&file, seals()).map_err(system("seal"))?;
    Ok((mapping, file))
}

/// Maps a peer's memfd for reading, if it is what it must be.
fn verify(file: BorrowedFd<'_>, length: usize) -> Result<MmapRaw, RegionError> {
    // Of tmpfs, which huge pages are not: those are another file system.
    let system_of = fstatfs(file).map_err(system("look at"))?;
    if u64::try_from(system_of.f_type).ok() != Some(TMPFS_MAGIC) {
        return Err(RegionError::Unsafe("it is no memfd with ordinary pages"));
    }
    // Only what can be sealed answers; the seals cannot be taken off again.
    let found = fcntl_get_seals(file).map_err(system("ask for the seals of"))?;
    if !found.contains(seals()) {
        return Err(RegionError::Unsafe("it is not sealed against resizing and writing"));
    }
    // After the seals: from here on it has this size for good.
    let stat = fstat(file).map_err(system("look at"))?;
    if u64::try_from(stat.st_size).ok() != Some(length as u64) {
        return Err(RegionError::Unsafe("it has another size than was said"));
    }
    // The number of its blocks does not tell: some can be reserved behind its end.
    let hole = seek(file, SeekFrom::Hole(0)).map_err(system("look for holes in"))?;
    if hole != length as u64 {
        return Err(RegionError::Unsafe("not all of its pages are there"));
    }
    let mapping = mapping_of(length).map_raw_read_only(file.as_raw_fd());
    let mapping = mapping.map_err(system("map"))?;
    keep_from_children(&mapping)?;
    Ok(mapping)
}

/// Its pages are mapped at once, unless it is so large that this would stand in the way: else
/// each costs a fault at its first use.
fn mapping_of(length: usize) -> MmapOptions {
    let mut options = MmapOptions::new();
    options.len(length);
    if length <= POPULATE_BYTES_MAX {
        options.populate();
    }
    options
}

/// A child after fork has none of it: it would be a second process that writes.
fn keep_from_children(mapping: &MmapRaw) -> Result<(), RegionError> {
    mapping.advise(Advice::DontFork).map_err(system("keep children from"))
}

fn lane_memory(mapping: MmapRaw, capacity: usize) -> LaneMemory {
    let start = mapping.as_mut_ptr();
    // SAFETY: the mapping has the header's page and then the ring, by the lengths above.
    let ring = unsafe { start.add(RING_OFFSET) };
    // SAFETY: a mapping is not at address 0.
    let header = unsafe { NonNull::new_unchecked(start) };
    // SAFETY: neither is what lies behind it.
    let ring = unsafe { NonNull::new_unchecked(ring) };
    let keeper = Arc::new(mapping);
    // SAFETY: the mapping lives as long as its keeper, begins at a page, and is as long as
    // header and ring. Its pages are all there and cannot be taken away: it is sealed. Only the
    // writer, whose mapping can be written, stores.
    unsafe { LaneMemory::new(header.cast(), ring.cast(), Geometry::new(capacity), keeper) }
}

fn cursor_memory(mapping: MmapRaw) -> CursorMemory {
    // SAFETY: a mapping is not at address 0.
    let header = unsafe { NonNull::new_unchecked(mapping.as_mut_ptr()) };
    // SAFETY: as in `lane_memory`; only the reader stores.
    unsafe { CursorMemory::new(header.cast(), Arc::new(mapping)) }
}
