//! Where bytes are on their way through a TLS link: memory that all links of a thread share, and what a
//! link keeps of them.
//!
//! An idle link keeps nothing, and one whose peer is not known yet no more than it has to.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;

use super::engine::WIRE_RECORD_BYTES_MAX;
use super::records::BATCH_BYTES;
use crate::limits::{HANDSHAKE_FRAME_BYTES_MAX, READ_BYTES};

/// Buffers that are larger are not kept while they are empty.
pub(super) const KEPT_BYTES: usize = 1024;

/// If no more than this is left of a batch, the link that waits to send it keeps a copy, and not the batch's room.
pub(super) const LITTLE_BYTES: usize = 8 * 1024;

/// Memory of a thread, for what passes through.
pub(super) struct Passage {
    pub incoming: BytesMut,
}

thread_local! {
    pub(super) static PASSAGE: RefCell<Passage> = RefCell::new(Passage {
        incoming: BytesMut::with_capacity(READ_BYTES + WIRE_RECORD_BYTES_MAX),
    });
    /// For a batch on its way out, while no link has it.
    static BATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Room for a batch.
pub(super) fn lend() -> Vec<u8> {
    match BATCH.take() {
        batch if batch.capacity() >= BATCH_BYTES => batch,
        _ => Vec::with_capacity(BATCH_BYTES),
    }
}

/// Keeps the room for the next batch, if that is what it is: mostly it has been lent.
pub(super) fn give_back(mut batch: Vec<u8>) {
    if batch.capacity() >= BATCH_BYTES {
        batch.clear();
        BATCH.set(batch);
    }
}

/// Puts what is decrypted where it belongs: behind what is kept, if anything is.
pub(super) fn give(bytes: &[u8], into: &mut Option<&mut BytesMut>, kept: &mut BytesMut) {
    let mut rest = bytes;
    if let (Some(into), true) = (into, kept.is_empty()) {
        let now;
        (now, rest) = bytes.split_at(bytes.len().min(into.capacity() - into.len()));
        into.extend_from_slice(now);
    }
    kept.extend_from_slice(rest);
}

/// How much more should come behind `before` bytes so that what is decrypted finds room there, and need not
/// be kept and copied again. Always some, and mostly enough for a record to become whole.
pub(super) fn room_to_read(into: &Option<&mut BytesMut>, before: usize) -> usize {
    let room = into.as_ref().map_or(usize::MAX, |into| into.capacity() - into.len());
    room.max(WIRE_RECORD_BYTES_MAX).saturating_sub(before).max(HANDSHAKE_FRAME_BYTES_MAX)
}

/// Keeps what is less than a record.
pub(super) fn keep(partial: &mut Vec<u8>, rest: &[u8], is_known: bool) {
    partial.clear();
    // No more than it takes: whoever is not known yet pays for this with his share of memory. Others keep
    // room for as long as there is something in it, at most a record's.
    let spare = partial.capacity().saturating_sub(rest.len());
    let is_kept = spare <= KEPT_BYTES || (is_known && !rest.is_empty());
    if partial.capacity() < rest.len() || !is_kept {
        *partial = Vec::with_capacity(rest.len());
    }
    partial.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_a_batch_is_lent_again() {
        let mut batch = lend();
        assert!(batch.capacity() >= BATCH_BYTES);
        batch.push(7);
        let place = batch.as_ptr();
        give_back(batch);
        // What is too small for one takes no place.
        give_back(vec![7; 100]);
        let again = lend();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        // Whoever comes meanwhile gets another one.
        assert!(lend().capacity() >= BATCH_BYTES);
    }

    #[test]
    fn what_is_read_finds_room_and_a_record_can_always_become_whole() {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let room = room_to_read(&Some(&mut buffer), 1000);
        assert_eq!(room, buffer.capacity() - 1000);
        buffer.resize(buffer.capacity() - 10, 0);
        assert_eq!(room_to_read(&Some(&mut buffer), 1000), WIRE_RECORD_BYTES_MAX - 1000);
        // Messages of the handshake may be longer than a record.
        assert!(room_to_read(&Some(&mut buffer), 3 * WIRE_RECORD_BYTES_MAX) > 0);
    }

    #[test]
    fn only_who_is_known_keeps_more_room_than_he_needs_and_nobody_while_there_is_nothing() {
        let mut partial = Vec::new();
        keep(&mut partial, &[7; 10_000], true);
        keep(&mut partial, &[8; 10], true);
        assert!(partial == [8; 10] && partial.capacity() >= 10_000);
        keep(&mut partial, &[9; 10], false);
        assert!(partial == [9; 10] && partial.capacity() <= 10 + KEPT_BYTES);
        keep(&mut partial, &[7; 10_000], true);
        keep(&mut partial, &[], true);
        assert!(partial.is_empty() && partial.capacity() <= KEPT_BYTES);
    }
}
