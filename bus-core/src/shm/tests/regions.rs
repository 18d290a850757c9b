//! Regions as a peer would hand them over: good ones are mapped, all others refused.

use std::os::fd::{AsFd, OwnedFd};

use bytes::BytesMut;
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create,
};

use crate::shm::layout::RING_OFFSET;
use crate::shm::{LANE_BYTES_MIN, LaneOffer, LaneReader, LaneWriter, RegionError};

const CAPACITY: usize = 64 * 1024;
const LENGTH: u64 = (RING_OFFSET + CAPACITY) as u64;

/// Which pages a memfd has.
#[derive(Clone, Copy)]
enum Pages {
    None,
    /// As many as it should have, behind its end.
    Beyond,
    AllButTheLast,
    All,
}

/// A memfd with some of what a region needs.
fn memfd(pages: Pages, length: u64, seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create("test", flags).expect("a memfd");
    ftruncate(&file, length).expect("it has a size");
    let zeros = vec![0; length as usize];
    match pages {
        Pages::None => {}
        Pages::Beyond => fallocate(&file, FallocateFlags::KEEP_SIZE, length, length).expect("room"),
        Pages::AllButTheLast => {
            rustix::io::pwrite(&file, &zeros[4096..], 0).map(drop).expect("it has pages");
        }
        Pages::All => rustix::io::pwrite(&file, &zeros, 0).map(drop).expect("it has pages"),
    }
    fcntl_add_seals(&file, seals).expect("it is sealed");
    file
}

fn all_seals() -> SealFlags {
    SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL
}

fn offer() -> LaneOffer {
    LaneOffer::new(CAPACITY).expect("memory")
}

/// Joins two offers, as two processes do.
fn joined() -> [(LaneWriter, LaneReader); 2] {
    let (near, far) = (offer(), offer());
    let copies = |one: &LaneOffer| {
        one.descriptors().map(|file| file.try_clone_to_owned().expect("a descriptor"))
    };
    let ([near_lane, near_cursor], [far_lane, far_cursor]) = (copies(&near), copies(&far));
    [
        near.join(far_lane.as_fd(), far_cursor.as_fd(), CAPACITY).expect("a good peer"),
        far.join(near_lane.as_fd(), near_cursor.as_fd(), CAPACITY).expect("a good peer"),
    ]
}

#[track_caller]
fn refused(file: OwnedFd, why: &str) {
    let good = offer();
    match offer().join(file.as_fd(), good.descriptors()[1], CAPACITY) {
        Err(RegionError::Unsafe(text)) => assert!(text.contains(why), "{text}, not {why}"),
        other => panic!("{other:?} instead of {why}"),
    }
}

#[test]
fn frames_go_through_shared_memory() {
    let [(mut writer, _), (_, mut reader)] = joined();
    let mut sent = Vec::new();
    let mut got = BytesMut::new();
    for number in 0..2000u32 {
        let bytes = vec![number as u8; number as usize % 700 + 1];
        let mut frame = writer.reserve(bytes.len()).expect("it is read");
        frame.put(&bytes);
        frame.commit();
        sent.extend(bytes);
        got.reserve(1000);
        reader.read_into(&mut got).expect("an honest writer");
    }
    assert_eq!(got, sent);
}

#[test]
fn peers_memory_that_is_not_safe_is_refused() {
    let without = |seal| all_seals().difference(seal);
    refused(memfd(Pages::All, LENGTH, SealFlags::empty()), "sealed");
    for seal in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::FUTURE_WRITE, SealFlags::SEAL] {
        refused(memfd(Pages::All, LENGTH, without(seal)), "sealed");
    }
    for pages in [Pages::None, Pages::Beyond, Pages::AllButTheLast] {
        refused(memfd(pages, LENGTH, all_seals()), "pages");
    }
    refused(memfd(Pages::All, LENGTH - 4096, all_seals()), "size");
    refused(memfd(Pages::All, LENGTH + 4096, all_seals()), "size");
    refused(memfd(Pages::All, LENGTH, all_seals()), "begin");
    let file = tempfile::tempfile().expect("a file");
    file.set_len(LENGTH).expect("it has a size");
    let good = offer();
    match offer().join(file.as_fd(), good.descriptors()[1], CAPACITY) {
        Err(RegionError::Unsafe(_) | RegionError::System { .. }) => {}
        other => panic!("a file was taken: {other:?}"),
    }
    match offer().join(good.descriptors()[0], good.descriptors()[0], CAPACITY) {
        Err(RegionError::Unsafe(text)) => assert!(text.contains("size"), "{text}"),
        other => panic!("a lane was taken for a cursor: {other:?}"),
    }
}

#[test]
fn capacities_that_cannot_be_are_refused() {
    for capacity in [0, 1, LANE_BYTES_MIN / 2, LANE_BYTES_MIN + 1, 3 * LANE_BYTES_MIN, 1 << 40] {
        assert!(matches!(LaneOffer::new(capacity), Err(RegionError::Unsafe(_))), "{capacity}");
    }
}

/// What the kernel enforces: with the descriptor a reader can neither write nor resize.
#[test]
fn handed_over_lane_cannot_be_written() {
    let offer = offer();
    let lane = offer.descriptors()[0];
    assert!(rustix::io::pwrite(lane, b"x", 0).is_err(), "it was written");
    assert!(ftruncate(lane, 0).is_err() && ftruncate(lane, LENGTH * 2).is_err());
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    assert!(fallocate(lane, hole, 0, LENGTH).is_err(), "it has a hole");
    assert!(memmap2::MmapOptions::new().map_raw(&lane).is_err(), "it was mapped for writing");
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&lane));
    let again = std::fs::OpenOptions::new().read(true).write(true).open(path);
    let again = again.expect("a memfd can be opened again by its owner");
    assert!(memmap2::MmapOptions::new().map_raw(&again).is_err(), "by another way");
    assert!(rustix::io::pwrite(&again, b"x", 0).is_err());
}

#[test]
fn writer_that_stores_nonsense_is_found_out() {
    let [(writer, _), (_, mut reader)] = joined();
    let frame = 1 << 30;
    for word in [frame | 0xffff, frame | 1 << 29, 7 << 32 | frame | 8, u64::MAX, 1 << 31 | 1, 8] {
        writer.store_word(0, word);
        assert!(reader.has_frame().is_err(), "{word:x}");
    }
    writer.store_word(0, frame | 8);
    assert_eq!(reader.has_frame(), Ok(true));
}
