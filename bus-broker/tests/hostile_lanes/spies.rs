//! A process that wants to read somebody else's lane, and may not: it is another user's.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::bare_memory::{attach_to, read_memory_of};
use crate::process::say;

/// Descriptors of the victim that are tried, by number.
const NUMBERS: i32 = 64;

/// The first mapping of a lane in a process, as its map names it: `begin-end`.
pub fn lane_of(pid: u32) -> Option<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let line = maps.lines().find(|line| line.contains("/memfd:bus-lane"))?;
    line.split_whitespace().next().map(str::to_owned)
}

/// Tries every way that there is, and says of each whether it led to something.
pub fn spy(pid: u32, range: &str) {
    let begin = range.split('-').next().and_then(|begin| usize::from_str_radix(begin, 16).ok());
    let begin = begin.expect("a range of addresses");
    tell("list its descriptors", fs::read_dir(format!("/proc/{pid}/fd")).map(drop));
    tell(
        "open one of its descriptors",
        any(|number| fs::File::open(format!("/proc/{pid}/fd/{number}")).map(drop)),
    );
    tell("read its map", fs::read(format!("/proc/{pid}/maps")).and_then(not_empty));
    tell("list its mapped files", fs::read_dir(format!("/proc/{pid}/map_files")).map(drop));
    let file = format!("/proc/{pid}/map_files/{range}");
    tell("open its mapped lane", fs::File::open(file).map(drop));
    let mut word = [0; 8];
    tell("read its memory", read_memory_of(pid, begin, &mut word).map(drop));
    let memory = fs::File::open(format!("/proc/{pid}/mem"));
    let read = memory.and_then(|memory| memory.read_exact_at(&mut word, begin as u64));
    tell("read its memory as a file", read);
    tell("take one of its descriptors", any(|number| take(pid, number)));
    tell("attach to it", attach_to(pid));
}

/// How many ways there are.
pub const WAYS: usize = 9;

/// Those that lead to something for whoever may do everything, wherever this runs.
pub const OPEN_TO_ROOT: &[&str] =
    &["list its descriptors", "read its map", "read its memory", "take one of its descriptors"];

fn tell(what: &str, result: io::Result<()>) {
    match result {
        Ok(()) => say(format_args!("DONE {what}")),
        Err(error) => say(format_args!("refused {what}: {error}")),
    }
}

fn not_empty(bytes: Vec<u8>) -> io::Result<()> {
    match bytes.is_empty() {
        true => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Ok(()),
    }
}

/// The first success, or the last failure.
fn any(mut attempt: impl FnMut(i32) -> io::Result<()>) -> io::Result<()> {
    let mut last = Err(io::ErrorKind::NotFound.into());
    for number in 0..NUMBERS {
        last = attempt(number);
        if last.is_ok() {
            break;
        }
    }
    last
}

fn take(pid: u32, number: i32) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).map(drop)?)
}
