//! What whoever started this process has left for it: words in the environment, and descriptors that are open.
//!
//! The words are taken out of the environment, so that children do not take them for theirs. That is for the
//! first moments of a program: it is refused as soon as there is a second thread.

#![allow(unsafe_code)]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// The first one; those before it are standard input, output and error.
const FIRST: RawFd = 3;
/// So many are taken over at the most: a broker has far fewer addresses.
const DESCRIPTORS_MAX: usize = 256;

/// A socket that was handed over to this process.
#[derive(Debug)]
pub struct Inherited {
    /// The socket. Children do not get it.
    pub descriptor: OwnedFd,
    /// Its number.
    pub number: RawFd,
    /// What whoever has handed it over calls it; mostly his file of the socket.
    pub name: String,
}

/// Takes words out of the environment.
///
/// # Errors
/// When there is one of them, and there are other threads, which might be reading the environment.
pub fn take_words<const N: usize>(names: [&str; N]) -> io::Result<[Option<OsString>; N]> {
    #[expect(clippy::disallowed_methods, reason = "what is left for this process stands there")]
    let words = names.map(env::var_os);
    if words.iter().all(Option::is_none) {
        return Ok(words);
    }
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("the environment cannot be changed beside other threads"));
    }
    for name in names {
        // SAFETY: this is the only thread, by the line above, so that nobody reads the environment
        // at this moment.
        #[expect(clippy::disallowed_methods, reason = "nobody else is there to race with")]
        unsafe {
            env::remove_var(name);
        }
    }
    Ok(words)
}

/// Takes over the sockets that the service manager has opened for this process (`LISTEN_FDS`, `LISTEN_PID`,
/// `LISTEN_FDNAMES`). None if there are none, or they are for another process. To be called before anything
/// else is opened; the second time there are none.
///
/// # Errors
/// When what stands in the environment makes no sense, or one is not open.
pub fn take_inherited() -> io::Result<Vec<Inherited>> {
    let words = take_words(["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"])?;
    let [pid, count, names] =
        words.map(|word| word.map(|word| word.to_string_lossy().into_owned()));
    let Some(pid) = pid else { return Ok(Vec::new()) };
    let pid: u32 = pid.parse().map_err(|_| wrong(format!("LISTEN_PID is `{pid}`")))?;
    if pid != std::process::id() {
        return Ok(Vec::new());
    }
    let count = count.unwrap_or_default();
    let count = count.parse().ok().filter(|count| *count <= DESCRIPTORS_MAX).ok_or_else(|| {
        wrong(format!("LISTEN_FDS is `{count}`, and not a number up to {DESCRIPTORS_MAX}"))
    })?;
    let names: Vec<&str> =
        names.as_deref().map(|names| names.split(':').collect()).unwrap_or_default();
    (FIRST..)
        .take(count)
        .enumerate()
        .map(|(index, number)| {
            let name = names.get(index).copied().unwrap_or("unknown").to_owned();
            take(number, name)
        })
        .collect()
}

fn take(number: RawFd, name: String) -> io::Result<Inherited> {
    // SAFETY: it is borrowed for the next lines alone, and nothing in this process closes what was open
    // before it began. Whether it is open at all is what is asked.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(borrowed);
    let flags = flags.map_err(|error| wrong(format!("descriptor {number} (`{name}`): {error}")))?;
    fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    // SAFETY: it is open, by the lines above, and whoever started this process has opened it for it alone: he has named
    // its number together with this process's. That word was taken out of the environment, so that it is taken over once.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    Ok(Inherited { descriptor, number, name })
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("sockets were handed over, but {what}"))
}

#[cfg(test)]
mod tests {
    use super::take_words;

    #[test]
    fn beside_other_threads_the_environment_is_left_alone() {
        // Tests run beside the thread that has started them.
        assert!(take_words(["PATH", "BUS_NO_SUCH_WORD"]).is_err());
        assert!(take_words(["PATH"]).is_err(), "it is gone");
        let words = take_words(["BUS_NO_SUCH_WORD"]).expect("there is nothing to take");
        assert_eq!(words, [None]);
    }
}
