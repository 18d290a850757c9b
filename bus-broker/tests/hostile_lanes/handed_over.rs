//! What a client may not hand over with its Hello: each is refused by name, and never mapped.
//!
//! Each region that is unsafe has a name of its own, by which the broker's map would show it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags};

use crate::by_hand::{Answer, CAPACITY, LANE_BYTES, Pages, Region, all_seals, open};
use crate::layout::CURSOR_BYTES;
use crate::process::say;

/// How the names of regions begin that must never be mapped.
pub const UNSAFE: &str = "unsafe-";

/// What the broker says to each: a part of its reason, or that the connection ends.
pub const ENDS: &str = "the connection ends";

/// One thing that is handed over.
struct Case {
    what: &'static str,
    lane_bytes: u64,
    descriptors: Vec<OwnedFd>,
}

/// What is expected of each case. Those that a machine may not have are told as skipped.
pub fn expected() -> Vec<(&'static str, &'static str)> {
    let mut all = vec![
        ("no descriptor", "0 descriptors came along"),
        ("one descriptor", "1 descriptors came along"),
        ("three descriptors", "3 descriptors came along"),
        ("four descriptors", ENDS),
        ("253 descriptors", ENDS),
        ("descriptors without lanes", ""),
        ("sparse", "not all of its pages are there"),
        ("sparse with blocks behind its end", "not all of its pages are there"),
        ("sparse cursor", "not all of its pages are there"),
        ("unsealed", "not sealed"),
        ("unsealed cursor", "not sealed"),
        ("without SHRINK", "not sealed"),
        ("without GROW", "not sealed"),
        ("without FUTURE_WRITE", "not sealed"),
        ("without SEAL", "not sealed"),
        ("huge pages", "no memfd with ordinary pages"),
        ("too small", "another size"),
        ("too large", "another size"),
        ("cursor too large", "another size"),
        ("cursor and lane the other way round", "another size"),
        ("no lane", "does not begin as a lane"),
        ("a file of a disk", "shared memory"),
        ("a file of the folder of shared memory", "not sealed"),
        ("a device", "shared memory"),
        ("a socket", "shared memory"),
        ("a folder", "shared memory"),
    ];
    all.extend(SIZES.iter().map(|(what, _)| (*what, "a power of two")));
    all
}

/// Sizes that no lane has.
const SIZES: &[(&str, u64)] = &[
    ("1 byte", 1),
    ("three pages", 3 * 4096),
    ("2 KiB", 2048),
    ("32 MiB", 32 << 20),
    ("all of memory", 1 << 40),
    ("the largest number", u64::MAX),
];

/// Makes them all, hands each over on a connection of its own, and says what came of it. The
/// connections stay until the end.
pub fn hand_over(path: &Path) -> io::Result<()> {
    let mut connections = Vec::new();
    for case in cases()? {
        let descriptors: Vec<_> = case.descriptors.iter().map(AsFd::as_fd).collect();
        let (socket, answer) = open(path, case.lane_bytes, &descriptors)?;
        let told = match answer {
            Answer::Ended => ENDS.to_owned(),
            Answer::Welcome(welcome, files) if welcome.lane_bytes == 0 && files.is_empty() => {
                welcome.no_lanes
            }
            Answer::Welcome(..) => "it is taken".into(),
        };
        say(format_args!("{}: {told}", case.what));
        connections.push(socket);
    }
    say("holding");
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn cases() -> io::Result<Vec<Case>> {
    let mut all = vec![
        case("no descriptor", []),
        case("one descriptor", [wrong_lane("unsafe-one", Pages::All, all_seals())?]),
        case("three descriptors", (0..3).map(|_| good_lane()).collect::<io::Result<Vec<_>>>()?),
        case("four descriptors", (0..4).map(|_| good_lane()).collect::<io::Result<Vec<_>>>()?),
        case("253 descriptors", (0..253).map(|_| good_cursor()).collect::<io::Result<Vec<_>>>()?),
        Case { lane_bytes: 0, ..case("descriptors without lanes", [good_lane()?, good_cursor()?]) },
    ];
    for (what, pages) in
        [("sparse", Pages::None), ("sparse with blocks behind its end", Pages::Beyond)]
    {
        let lane = wrong_lane("unsafe-sparse", pages, all_seals())?;
        all.push(case(what, [lane, good_cursor()?]));
    }
    let none = SealFlags::empty();
    let cursors = [
        ("sparse cursor", CURSOR_BYTES, Pages::None, all_seals()),
        ("unsealed cursor", CURSOR_BYTES, Pages::All, none),
        ("cursor too large", 2 * CURSOR_BYTES, Pages::All, all_seals()),
    ];
    for (what, bytes, pages, seals) in cursors {
        let flags = MemfdFlags::empty();
        let cursor = Region::new("unsafe-cursor", bytes, pages, flags, seals, &[])?.file;
        all.push(case(what, [good_lane()?, cursor]));
    }
    all.push(case("unsealed", [wrong_lane("unsafe-unsealed", Pages::All, none)?, good_cursor()?]));
    for (what, seal) in [
        ("without SHRINK", SealFlags::SHRINK),
        ("without GROW", SealFlags::GROW),
        ("without FUTURE_WRITE", SealFlags::FUTURE_WRITE),
        ("without SEAL", SealFlags::SEAL),
    ] {
        let lane = wrong_lane("unsafe-partly", Pages::All, all_seals().difference(seal))?;
        all.push(case(what, [lane, good_cursor()?]));
    }
    for (what, bytes) in [("too small", LANE_BYTES - 4096), ("too large", LANE_BYTES + 4096)] {
        let flags = MemfdFlags::empty();
        let lane = Region::new("unsafe-size", bytes, Pages::All, flags, all_seals(), &[])?.file;
        all.push(case(what, [lane, good_cursor()?]));
    }
    all.push(case("cursor and lane the other way round", [good_cursor()?, good_lane()?]));
    all.push(case("no lane", [wrong_lane("good-empty", Pages::All, all_seals())?, good_cursor()?]));
    all.extend(huge_pages()?);
    all.extend(foreign_files()?);
    for (what, lane_bytes) in SIZES {
        all.push(Case { lane_bytes: *lane_bytes, ..case(what, [good_lane()?, good_cursor()?]) });
    }
    Ok(all)
}

/// A memfd with huge pages, if the machine has some.
fn huge_pages() -> io::Result<Option<Case>> {
    let flags = MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB;
    match Region::new("unsafe-huge", 2 << 20, Pages::All, flags, all_seals(), &[]) {
        Ok(region) => Ok(Some(case("huge pages", [region.file, good_cursor()?]))),
        Err(error) => {
            say(format_args!("huge pages: skipped: the machine has none: {error}"));
            Ok(None)
        }
    }
}

/// What is no memfd at all.
fn foreign_files() -> io::Result<Vec<Case>> {
    let mut all = Vec::new();
    let disk = tempfile::tempfile()?;
    disk.set_len(LANE_BYTES as u64)?;
    all.push(case("a file of a disk", [disk.into(), good_cursor()?]));
    match tempfile::tempfile_in("/dev/shm") {
        Ok(file) => {
            file.set_len(LANE_BYTES as u64)?;
            let what = "a file of the folder of shared memory";
            all.push(case(what, [file.into(), good_cursor()?]));
        }
        Err(error) => say(format_args!("a file of the folder of shared memory: skipped: {error}")),
    }
    let device = std::fs::File::open("/dev/zero")?;
    all.push(case("a device", [device.into(), good_cursor()?]));
    let (socket, _) = std::os::unix::net::UnixStream::pair()?;
    all.push(case("a socket", [socket.into(), good_cursor()?]));
    all.push(case("a folder", [std::fs::File::open("/")?.into(), good_cursor()?]));
    Ok(all)
}

fn case(what: &'static str, descriptors: impl Into<Vec<OwnedFd>>) -> Case {
    Case { what, lane_bytes: CAPACITY as u64, descriptors: descriptors.into() }
}

fn good_lane() -> io::Result<OwnedFd> {
    Region::lane("good-lane", CAPACITY).map(|region| region.file)
}

fn good_cursor() -> io::Result<OwnedFd> {
    Region::cursor("good-cursor").map(|region| region.file)
}

/// A region as long as a lane, which is none.
fn wrong_lane(name: &str, pages: Pages, seals: SealFlags) -> io::Result<OwnedFd> {
    Region::new(name, LANE_BYTES, pages, MemfdFlags::empty(), seals, &[]).map(|region| region.file)
}
