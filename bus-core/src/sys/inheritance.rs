//! A local socket's file that a child process inherits: the right to connect, without a path.
//!
//! The descriptor is closed in every program that this process starts, but for the child that it
//! is left to: only there is it kept open, between fork and exec. So no other child gets it,
//! whatever other threads start meanwhile. It refers to the file alone: nothing can be read from it
//! or written to it, and a connection made through it is the child's own.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// Numbers below belong to a program's standard streams.
const NUMBER_MIN: i32 = 3;

/// A local socket's file, held by a descriptor.
#[derive(Debug)]
pub struct SocketFile {
    descriptor: OwnedFd,
    /// Which file of which device.
    identity: (u64, u64),
}

impl SocketFile {
    /// The socket at this path.
    ///
    /// # Errors
    /// When it cannot be opened, or is no socket.
    pub fn open(path: &Path) -> io::Result<SocketFile> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty())?;
        SocketFile::checked(fcntl_dupfd_cloexec(opened, NUMBER_MIN)?)
    }

    /// The one that this process has inherited under this number. It stays open, so that it can be
    /// taken more than once; programs that this process starts do not get it.
    ///
    /// # Errors
    /// When nothing is open under that number, or it is not a socket's file of this identity.
    pub fn inherited(number: i32, identity: (u64, u64)) -> io::Result<SocketFile> {
        // SAFETY: no memory of this process is handed over, and the kernel checks the number.
        let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, NUMBER_MIN) };
        if copy < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just opened it for this process, and nobody else knows it.
        let file = SocketFile::checked(unsafe { OwnedFd::from_raw_fd(copy) })?;
        if file.identity != identity {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is another file"));
        }
        // SAFETY: no memory is handed over. What stands under the number is what was left there
        // for this process, as has just been seen.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        Ok(file)
    }

    fn checked(descriptor: OwnedFd) -> io::Result<SocketFile> {
        let found = fstat(&descriptor)?;
        let is_path = rustix::fs::fcntl_getfl(&descriptor)?.contains(OFlags::PATH);
        if !is_path || FileType::from_raw_mode(found.st_mode) != FileType::Socket {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no socket's file"));
        }
        Ok(SocketFile { descriptor, identity: (found.st_dev, found.st_ino) })
    }

    /// The number by which a child knows it.
    pub fn number(&self) -> i32 {
        self.descriptor.as_raw_fd()
    }

    /// Device and number of the file.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Where it can be connected to, in this process.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.number()).into()
    }

    /// Leaves it to each child that this command starts.
    pub fn leave_to(self, command: &mut Command) {
        let keep_open = move || Ok(fcntl_setfd(&self.descriptor, FdFlags::empty())?);
        // SAFETY: between fork and exec it makes one system call, on a descriptor that the closure
        // owns; it allocates nothing and takes no lock.
        unsafe { command.pre_exec(keep_open) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::Stdio;

    use super::*;

    /// What a program started by this command has open under that number.
    fn has(command: &mut Command, number: i32) -> bool {
        let look = command
            .arg("-c")
            .arg(format!("test -e /proc/self/fd/{number} || test -L /proc/self/fd/{number}"));
        look.stdin(Stdio::null()).status().expect("it runs").success()
    }

    #[test]
    fn only_the_child_that_it_is_left_to_has_it() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let path = home.path().join("socket");
        let _listener = UnixListener::bind(&path).expect("it listens");
        let file = SocketFile::open(&path).expect("it is there");
        let (number, identity) = (file.number(), file.identity());
        assert!(number >= NUMBER_MIN);
        let mut heir = Command::new("sh");
        file.leave_to(&mut heir);
        assert!(!has(&mut Command::new("sh"), number), "another child");
        assert!(has(&mut heir, number), "the child that it is left to");
        assert!(!has(&mut Command::new("sh"), number), "another child afterwards");
        // The number is this process's own here: it is what a child would find.
        let taken = SocketFile::inherited(number, identity).expect("it is open");
        std::os::unix::net::UnixStream::connect(taken.path()).expect("somebody listens");
        SocketFile::inherited(number, (identity.0, identity.1 + 1)).expect_err("another file");
    }

    #[test]
    fn what_is_no_socket_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        SocketFile::open(file.path()).expect_err("it is an ordinary file");
        let number = file.as_file().as_raw_fd();
        SocketFile::inherited(number, (0, 0)).expect_err("it is an ordinary file");
        let closed = SocketFile::inherited(1_000_000, (0, 0)).expect_err("nothing is there");
        assert_eq!(closed.raw_os_error(), Some(libc::EBADF));
    }
}
