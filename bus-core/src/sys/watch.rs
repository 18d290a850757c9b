//! Descriptors that the runtime watches, and reading from them.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use bytes::{BufMut, BytesMut};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch a descriptor for this.
///
/// # Errors
/// When the runtime or the kernel refuses, as without free descriptors.
pub fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the `AsyncFd` that is made here, so it stays open and
    // stays the same file until it is taken off the runtime's list.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, interest) };
    watched.map_err(io::Error::from)
}

/// Reads once, into the spare capacity of a buffer. Returns how many bytes came.
///
/// # Errors
/// `WouldBlock` when nothing is there; else what the kernel says.
pub fn read_into(descriptor: &OwnedFd, buffer: &mut BytesMut) -> io::Result<usize> {
    loop {
        let count = match rustix::io::read(descriptor.as_fd(), buffer.spare_capacity_mut()) {
            Ok((read, _)) => read.len(),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        // SAFETY: the kernel has just written so many bytes at the start of the spare capacity.
        unsafe { buffer.advance_mut(count) };
        return Ok(count);
    }
}
