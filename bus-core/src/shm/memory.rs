//! Where the regions of a lane are, and how their bytes are reached.
//!
//! Pointers into a mapping or into the heap, and whoever keeps that alive. The header words are
//! atomics, so a reference to them is fine whatever the other process stores; payload bytes are
//! only ever copied, never referred to.

#![allow(unsafe_code)]

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use crate::sync::{AtomicU64, Ordering};

use super::layout::{Geometry, ReaderHeader, WriterHeader};

/// Bytes that go from core to core at a time.
#[cfg(all(target_arch = "x86_64", not(busbar_loom), not(miri)))]
const CACHE_LINE: u64 = 64;

/// Keeps the memory behind the pointers: a mapping, or a part of the heap.
pub(super) type Keeper = Arc<dyn Send + Sync>;

/// A writer's region, as its writer or a reader sees it.
pub(super) struct LaneMemory {
    header: NonNull<WriterHeader>,
    ring: NonNull<AtomicU64>,
    /// For each word of the ring, where a model has its payload.
    #[cfg(busbar_loom)]
    pub cells: NonNull<loom::cell::UnsafeCell<u64>>,
    pub geometry: Geometry,
    _keeper: Keeper,
}

/// A reader's region, as that reader or the writer sees it.
pub(super) struct CursorMemory {
    header: NonNull<ReaderHeader>,
    _keeper: Keeper,
}

// SAFETY: the pointers lead to memory that the keeper holds, wherever it is moved to; what is
// reached by reference there is atomic.
unsafe impl Send for LaneMemory {}
// SAFETY: as above.
unsafe impl Send for CursorMemory {}

impl LaneMemory {
    /// # Safety
    /// For as long as the keeper lives, `header` and then `capacity` bytes from `ring` on must be
    /// readable, both aligned to 8, and writable for whoever calls [`LaneMemory::put`] or stores.
    pub unsafe fn new(
        header: NonNull<WriterHeader>,
        ring: NonNull<AtomicU64>,
        geometry: Geometry,
        keeper: Keeper,
    ) -> LaneMemory {
        LaneMemory {
            header,
            ring,
            #[cfg(busbar_loom)]
            cells: NonNull::dangling(),
            geometry,
            _keeper: keeper,
        }
    }

    #[inline]
    pub fn header(&self) -> &WriterHeader {
        // SAFETY: `new` was promised that the keeper keeps it readable; all fields are atomic.
        unsafe { self.header.as_ref() }
    }

    /// The word at a position that is a multiple of 8.
    #[inline]
    pub fn word(&self, position: u64) -> &AtomicU64 {
        let index = self.geometry.index(position) / 8;
        // SAFETY: the index is below the ring's number of words, which `new` was promised.
        let word = unsafe { self.ring.add(index) };
        // SAFETY: the keeper keeps it readable, and it is atomic.
        unsafe { word.as_ref() }
    }

    /// Copies bytes into the ring: from a position on, not beyond the ring's end. (Blocks of 16
    /// bytes copied in place, for what is short, were slower between two cores than the call: the
    /// system's copy stores wider ones, and stores are what waits for the lines.)
    #[inline]
    #[cfg(not(busbar_loom))]
    pub fn put(&self, position: u64, bytes: &[u8]) {
        let target = self.bytes(position, bytes.len()).cast_mut();
        // SAFETY: both are valid for so many bytes, and the ring is no part of a slice that is
        // still looked at: nobody reads what is not committed.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }

    /// Copies so many bytes out of the ring: from a position on, not beyond the ring's end.
    ///
    /// # Safety
    /// `target` must be writable for so many bytes.
    #[inline]
    #[cfg(not(busbar_loom))]
    pub unsafe fn get(&self, position: u64, target: *mut u8, count: usize) {
        let source = self.bytes(position, count);
        // SAFETY: the source is readable for so many bytes, and the caller says the same of the
        // target. An honest writer does not write what it has committed; what a hostile one
        // makes of the copy is only bytes.
        unsafe { std::ptr::copy_nonoverlapping(source, target, count) };
    }

    /// Asks for the cache lines that begin in so many bytes from a position on, which will be
    /// written soon. The readers' caches have them still from the last lap, and each would else
    /// be waited for when it is stored to.
    #[inline]
    #[cfg(all(target_arch = "x86_64", not(busbar_loom), not(miri)))]
    pub fn expect_writes(&self, position: u64, count: u64) {
        let mut line = (position + CACHE_LINE - 1) & !(CACHE_LINE - 1);
        while line < position + count {
            let target = self.bytes(line, 1);
            // SAFETY: it stores nothing, and faults nowhere; every processor that this runs on
            // knows it, or takes it for an instruction that does nothing.
            unsafe {
                std::arch::asm!("prefetchw [{}]", in(reg) target, options(nostack, preserves_flags));
            }
            line += CACHE_LINE;
        }
    }

    #[inline]
    #[cfg(not(all(target_arch = "x86_64", not(busbar_loom), not(miri))))]
    pub fn expect_writes(&self, _position: u64, _count: u64) {}

    /// Asks for the first few cache lines that begin in so many bytes from a position on, which
    /// will be read at once. The processor itself asks for those that follow.
    #[inline]
    #[cfg(all(target_arch = "x86_64", not(busbar_loom), not(miri)))]
    pub fn expect_reads(&self, position: u64, count: usize) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let end = position + count.min(4 * CACHE_LINE as usize) as u64;
        let mut line = (position + CACHE_LINE - 1) & !(CACHE_LINE - 1);
        while line < end {
            let source = self.bytes(line, 1);
            // SAFETY: it loads nothing into a register, and faults nowhere.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(source.cast()) };
            line += CACHE_LINE;
        }
    }

    #[inline]
    #[cfg(not(any(all(target_arch = "x86_64", not(miri)), busbar_loom)))]
    pub fn expect_reads(&self, _position: u64, _count: usize) {}

    /// Where so many bytes of the ring begin, which do not go beyond its end.
    #[inline]
    #[cfg(not(busbar_loom))]
    pub fn bytes(&self, position: u64, count: usize) -> *const u8 {
        let index = self.geometry.index(position);
        assert!(count as u64 <= self.geometry.to_end(position), "a frame has no break");
        // SAFETY: the bytes lie within the ring, by the line above.
        unsafe { self.ring.as_ptr().cast::<u8>().add(index).cast_const() }
    }

    /// Copies bytes into the ring, a word at a time, for readers that may look at them at any
    /// time.
    pub fn put_words(&self, position: u64, bytes: &[u8]) {
        assert!(bytes.len() as u64 <= self.geometry.to_end(position), "a frame has no break");
        let lead = (position.wrapping_neg() & 7) as usize;
        let (lead, rest) = bytes.split_at(lead.min(bytes.len()));
        self.put_part(position, lead);
        let mut position = position + lead.len() as u64;
        let (words, last) = rest.as_chunks::<8>();
        for word in words {
            self.word(position).store(u64::from_ne_bytes(*word), Ordering::Relaxed);
            position += 8;
        }
        self.put_part(position, last);
    }

    /// Less than a word: what the writer has put before stays beside it.
    fn put_part(&self, position: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (word, skipped) = (self.word(position & !7), (position & 7) as usize);
        let mut value = word.load(Ordering::Relaxed).to_ne_bytes();
        value[skipped..skipped + bytes.len()].copy_from_slice(bytes);
        word.store(u64::from_ne_bytes(value), Ordering::Relaxed);
    }

    /// Adds so many bytes of the ring to a buffer, a word at a time, while the writer may
    /// overwrite them. From a position on that is a multiple of 8.
    pub fn get_words(&self, position: u64, buffer: &mut BytesMut, count: usize) {
        assert!(count as u64 <= self.geometry.to_end(position), "a frame has no break");
        // The last word is copied wholly, and may be longer than what it is about.
        buffer.reserve(count + 7);
        let target = buffer.spare_capacity_mut().as_mut_ptr();
        for at in (0..count).step_by(8) {
            let word = self.word(position + at as u64).load(Ordering::Relaxed);
            // SAFETY: a word from here on ends within the reservation above.
            let target = unsafe { target.add(at) };
            // SAFETY: as above.
            unsafe { target.cast::<u64>().write_unaligned(word) };
        }
        // SAFETY: so many bytes were written just now.
        unsafe { buffer.advance_mut(count) };
    }

    /// As above, into cells that the model checker watches: whoever touches one without being
    /// ordered behind the other side is caught.
    #[cfg(busbar_loom)]
    pub fn put(&self, position: u64, bytes: &[u8]) {
        assert!(position % 8 == 0 && bytes.len() == 8, "models write one whole word");
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        // SAFETY: as in `word`; the checker watches over the access.
        self.cell(position).with_mut(|cell| unsafe { *cell = word });
    }

    /// # Safety
    /// As above.
    #[cfg(busbar_loom)]
    pub unsafe fn get(&self, position: u64, target: *mut u8, count: usize) {
        assert!(position % 8 == 0 && count == 8, "models read one whole word");
        // SAFETY: as in `put`.
        let word = self.cell(position).with(|cell| unsafe { *cell });
        // SAFETY: the caller says that the target has room for so many bytes.
        unsafe { std::ptr::copy_nonoverlapping(word.to_le_bytes().as_ptr(), target, count) };
    }

    #[cfg(busbar_loom)]
    fn cell(&self, position: u64) -> &loom::cell::UnsafeCell<u64> {
        let index = self.geometry.index(position) / 8;
        // SAFETY: there are as many cells as words, and the keeper keeps them.
        let cell = unsafe { self.cells.add(index) };
        // SAFETY: as above.
        unsafe { cell.as_ref() }
    }
}

impl CursorMemory {
    /// # Safety
    /// For as long as the keeper lives, `header` must be readable and aligned to 8, and writable
    /// for whoever stores.
    pub unsafe fn new(header: NonNull<ReaderHeader>, keeper: Keeper) -> CursorMemory {
        CursorMemory { header, _keeper: keeper }
    }

    #[inline]
    pub fn header(&self) -> &ReaderHeader {
        // SAFETY: `new` was promised that the keeper keeps it readable; all fields are atomic.
        unsafe { self.header.as_ref() }
    }
}

impl fmt::Debug for LaneMemory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "LaneMemory({} bytes)", self.geometry.capacity())
    }
}

impl fmt::Debug for CursorMemory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("CursorMemory")
    }
}
