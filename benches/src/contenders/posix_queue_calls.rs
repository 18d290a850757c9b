//! The library calls of POSIX message queues, made safe.
//!
//! A queue is a descriptor here and ends with it; its name is removed by whoever made it. The
//! calls copy, so no pointer outlives them.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// An open queue.
pub struct PosixQueue(OwnedFd);

impl PosixQueue {
    /// Makes a queue of this name, which nobody may have made before.
    pub fn create(name: &CStr, messages: usize, bytes: usize) -> io::Result<PosixQueue> {
        // SAFETY: all fields are integers, for which zero is a value.
        let mut limits: libc::mq_attr = unsafe { std::mem::zeroed() };
        let too_large = |_| io::Error::from(ErrorKind::InvalidInput);
        limits.mq_maxmsg = messages.try_into().map_err(too_large)?;
        limits.mq_msgsize = bytes.try_into().map_err(too_large)?;
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
        let mode: libc::mode_t = 0o600;
        // SAFETY: with `O_CREAT` the call takes a mode and a pointer to limits, which it only
        // reads; name and limits live through it.
        adopt(unsafe { libc::mq_open(name.as_ptr(), flags, mode, &raw const limits) })
    }

    /// Opens the queue of this name.
    pub fn open(name: &CStr) -> io::Result<PosixQueue> {
        // SAFETY: without `O_CREAT` the call takes nothing else; the name lives through it.
        adopt(unsafe { libc::mq_open(name.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) })
    }

    /// Takes the name away; who has the queue open keeps it.
    pub fn remove(name: &CStr) -> io::Result<()> {
        // SAFETY: the name lives through the call.
        match unsafe { libc::mq_unlink(name.as_ptr()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sends a message. Waits while the queue is full.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        retry(|| {
            // SAFETY: the message is readable for its length and lives through the call.
            let result = unsafe {
                libc::mq_send(self.0.as_raw_fd(), message.as_ptr().cast(), message.len(), 0)
            };
            if result == 0 { Ok(0) } else { Err(io::Error::last_os_error()) }
        })
        .map(drop)
    }

    /// Waits for the oldest message and returns its length. The buffer must have room for the
    /// longest that the queue allows.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        retry(|| {
            let priority = std::ptr::null_mut();
            let start = buffer.as_mut_ptr().cast();
            // SAFETY: the buffer is writable for its length and borrowed through the call; the
            // priority is not asked for.
            let length =
                unsafe { libc::mq_receive(self.0.as_raw_fd(), start, buffer.len(), priority) };
            usize::try_from(length).map_err(|_| io::Error::last_os_error())
        })
    }
}

/// On Linux a queue is a descriptor.
fn adopt(descriptor: libc::mqd_t) -> io::Result<PosixQueue> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the library has just opened it, and nobody else knows of it.
    Ok(PosixQueue(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
