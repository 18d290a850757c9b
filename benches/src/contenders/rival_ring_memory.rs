//! The memory of the bare ring: one memfd that both processes map and may write.
//!
//! ```text
//!      0  cursor   u64   messages that the reader is done with
//!    128  bell     u32   what the reader sleeps on
//!    256  room     u32   what the writer sleeps on
//!   1024  spare    what another way to wait needs
//!   4096  slots    each a sequence number (u64) and a payload of one size
//! ```
//!
//! It is the least that a ring can be, to compare with: it trusts the other process wholly, and
//! has no seals and no limits. Nothing of the bus is built on it.
//! Invariant: a slot's payload is touched only by the side whose turn its number says it is.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::{Context, Result};
use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};

/// Where the spare bytes begin.
const SPARE_OFFSET: usize = 1024;
/// Where the slots begin.
const SLOTS_OFFSET: usize = 4096;
/// Bytes of a slot's number.
const NUMBER_BYTES: usize = size_of::<u64>();

/// A word alone on its cache lines.
#[repr(C, align(128))]
struct Line<T>(T);

#[repr(C)]
struct Header {
    cursor: Line<AtomicU64>,
    bell: Line<AtomicU32>,
    room: Line<AtomicU32>,
}

/// The size of a ring. Both sides make the same of the same payload.
#[derive(Clone, Copy)]
pub struct Shape {
    payload_bytes: usize,
    stride: usize,
    slots: u64,
}

impl Shape {
    /// Of a ring for payloads of this size: large ones do not walk a large ring.
    pub fn of(payload_bytes: usize) -> Shape {
        const SMALL_BYTES: usize = 4 << 10;
        const SLOTS_MIN: usize = 2;
        let ring_bytes = if payload_bytes <= SMALL_BYTES { 4 << 20 } else { 1 << 20 };
        let stride = (NUMBER_BYTES + payload_bytes).next_multiple_of(NUMBER_BYTES);
        let fitting = (ring_bytes / stride).max(SLOTS_MIN);
        // A power of two: the highest that is not above it.
        Shape { payload_bytes, stride, slots: 1 << fitting.ilog2() }
    }

    /// Messages that it holds.
    pub fn slots(self) -> u64 {
        self.slots
    }

    fn bytes(self) -> usize {
        SLOTS_OFFSET + self.stride * self.slots as usize
    }
}

/// One side's mapping.
pub struct RingMemory {
    mapping: Arc<MmapRaw>,
    shape: Shape,
}

/// Spare bytes of a mapping, which they keep alive.
pub struct Spare {
    pub start: NonNull<u8>,
    _mapping: Arc<MmapRaw>,
}

impl RingMemory {
    /// Makes the memory of a ring.
    pub fn create(shape: Shape) -> Result<(RingMemory, OwnedFd)> {
        let file = memfd_create("bare-ring", MemfdFlags::CLOEXEC)?;
        fallocate(&file, FallocateFlags::empty(), 0, shape.bytes() as u64)?;
        Ok((RingMemory::open(&file, shape)?, file))
    }

    /// Maps what the other side has made, of the same shape.
    pub fn open(file: &OwnedFd, shape: Shape) -> Result<RingMemory> {
        let mapping = MmapOptions::new().len(shape.bytes()).map_raw(file.as_raw_fd());
        Ok(RingMemory { mapping: Arc::new(mapping.context("mapping a ring")?), shape })
    }

    /// Its size.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Messages that the reader is done with.
    pub fn cursor(&self) -> &AtomicU64 {
        &self.header().cursor.0
    }

    /// What the reader sleeps on.
    pub fn bell(&self) -> &AtomicU32 {
        &self.header().bell.0
    }

    /// What the writer sleeps on.
    pub fn room(&self) -> &AtomicU32 {
        &self.header().room.0
    }

    /// 3 KiB at a multiple of 1024, all zero at first, for another way to wait.
    pub fn spare(&self) -> Spare {
        // SAFETY: the spare bytes lie in the mapping.
        let start = unsafe { self.mapping.as_mut_ptr().add(SPARE_OFFSET) };
        // SAFETY: a mapping is not at address 0.
        let start = unsafe { NonNull::new_unchecked(start) };
        Spare { start, _mapping: Arc::clone(&self.mapping) }
    }

    /// Whether message `number` is there.
    #[inline]
    pub fn is_there(&self, number: u64) -> bool {
        // Pairs with the release in `write`: the payload.
        self.number_of(number).load(Ordering::Acquire) == number + 1
    }

    /// Writes message `number`; its slot must be free, by the cursor.
    #[inline]
    pub fn write(&mut self, number: u64, fill: impl FnOnce(&mut [u8])) {
        let start = self.payload(number);
        // SAFETY: the slot lies in the mapping. The reader is done with it, by its cursor, and
        // looks at it again only after the number below is there; that is its good will.
        fill(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), self.shape.payload_bytes) });
        self.number_of(number).store(number + 1, Ordering::Release);
    }

    /// Reads message `number`, which must be there.
    #[inline]
    pub fn read<R>(&self, number: u64, visit: impl FnOnce(&[u8]) -> R) -> R {
        let start = self.payload(number);
        // SAFETY: the slot lies in the mapping. The writer leaves it alone until the cursor has
        // passed it; that is its good will.
        visit(unsafe { std::slice::from_raw_parts(start.as_ptr(), self.shape.payload_bytes) })
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping begins at a page, is longer than a header, and lives as long as
        // this; all fields are atomic, and any bytes are valid in them.
        unsafe { &*self.mapping.as_ptr().cast::<Header>() }
    }

    #[inline]
    fn number_of(&self, number: u64) -> &AtomicU64 {
        // SAFETY: the slot lies in the mapping, at a multiple of 8, and begins with its number.
        unsafe { self.slot(number).cast::<AtomicU64>().as_ref() }
    }

    #[inline]
    fn payload(&self, number: u64) -> NonNull<u8> {
        // SAFETY: a slot is longer than its number.
        unsafe { self.slot(number).add(NUMBER_BYTES) }
    }

    #[inline]
    fn slot(&self, number: u64) -> NonNull<u8> {
        let index = (number & (self.shape.slots - 1)) as usize;
        // SAFETY: the index is below the number of slots, for which the mapping was made.
        let slot =
            unsafe { self.mapping.as_mut_ptr().add(SLOTS_OFFSET + index * self.shape.stride) };
        // SAFETY: a mapping is not at address 0.
        unsafe { NonNull::new_unchecked(slot) }
    }
}

const _: () = {
    assert!(std::mem::offset_of!(Header, bell) == 128);
    assert!(std::mem::offset_of!(Header, room) == 256);
    assert!(size_of::<Header>() <= SPARE_OFFSET);
};
