//! What the kernel refuses a client that wants to write, resize or empty what the broker has
//! handed over to be read.
//!
//! Each thing is tried on a region of its own as well, which is not sealed: there it works.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::MmapOptions;
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, ftruncate};
use rustix::io::pwrite;

use crate::bare_memory::{allow_writing, remove_pages};
use crate::by_hand::{Lanes, Pages, Region};
use crate::layout::CURSOR_BYTES;
use crate::process::say;

type Attempt = fn(BorrowedFd<'_>) -> io::Result<()>;

const ATTEMPTS: &[(&str, Attempt)] = &[
    ("write to the descriptor", |file| Ok(pwrite(file, b"x", 0).map(drop)?)),
    ("write to one opened again", |file| again(file)?.write_all_at(b"x", 0)),
    ("map it for writing", |file| MmapOptions::new().map_raw(file.as_raw_fd()).map(drop)),
    ("map one opened again", |file| MmapOptions::new().map_raw(&again(file)?).map(drop)),
    ("let a mapping be written", |file| {
        allow_writing(&MmapOptions::new().map_raw_read_only(file.as_raw_fd())?)
    }),
    ("write to the mapping through the process's memory", |file| {
        let mapping = MmapOptions::new().map_raw_read_only(file.as_raw_fd())?;
        let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
        memory.write_all_at(b"x", mapping.as_ptr() as u64)
    }),
    ("take its pages away", |file| {
        remove_pages(&MmapOptions::new().map_raw_read_only(file.as_raw_fd())?)
    }),
    ("punch a hole", |file| {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(file, hole, 0, 4096)?)
    }),
    ("make it longer", |file| Ok(ftruncate(file, 1 << 20)?)),
    ("make it shorter", |file| Ok(ftruncate(file, 0)?)),
    ("empty it by opening it again", |file| {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        OpenOptions::new().write(true).truncate(true).open(path).map(drop)
    }),
    ("seal it further", |file| Ok(rustix::fs::fcntl_add_seals(file, SealFlags::WRITE)?)),
];

/// What no region of its own allows either: a mapping made for reading stays that in `mem`, and
/// pages are taken away through mappings that can be written.
const NEVER: &[&str] =
    &["write to the mapping through the process's memory", "take its pages away"];

/// Tries it all, and says what came of it.
pub fn try_all(path: &Path) -> io::Result<()> {
    let lanes = Lanes::open(path)?;
    for (what, attempt) in ATTEMPTS {
        for (whose, file) in [("lane", &lanes.theirs[0]), ("cursor", &lanes.theirs[1])] {
            match attempt(file.as_fd()) {
                Ok(()) => say(format_args!("DONE on the broker's {whose}: {what}")),
                Err(error) => say(format_args!("refused on the broker's {whose}: {what}: {error}")),
            }
        }
        let (none, flags) = (SealFlags::empty(), MemfdFlags::empty());
        let own = Region::new("own", CURSOR_BYTES, Pages::All, flags, none, &[])?;
        match attempt(own.file.as_fd()) {
            Ok(()) => {}
            // Its own mapping can be written.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(_) if NEVER.contains(what) => {}
            Err(error) => say(format_args!("DONE nothing, not even on its own: {what}: {error}")),
        }
    }
    say("tried");
    Ok(())
}

pub fn attempts() -> usize {
    2 * ATTEMPTS.len()
}

fn again(file: BorrowedFd<'_>) -> io::Result<std::fs::File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    OpenOptions::new().read(true).write(true).open(path)
}
