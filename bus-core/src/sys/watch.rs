//! Descriptors that the runtime watches, and reading from them.

#![allow(unsafe_code)]

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use bytes::{BufMut, BytesMut};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::limits::HANDSHAKE_FRAME_BYTES_MAX;

/// Descriptors that a peer may hand over in its handshake: lane, cursor, bell.
const DESCRIPTORS_MAX: usize = 3;

/// What came along with bytes.
#[derive(Debug, Default)]
pub struct Passed {
    /// The descriptors, closed on exec.
    pub files: Vec<OwnedFd>,
    /// Some were lost: this process may open no more. Then none are kept.
    pub lost: bool,
}

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

/// Reads once, into the spare capacity of a buffer, at most so many bytes. Returns how many came.
///
/// # Errors
/// `WouldBlock` when nothing is there; else what the kernel says.
pub fn read_into(descriptor: &OwnedFd, buffer: &mut BytesMut, most: usize) -> io::Result<usize> {
    loop {
        let spare = buffer.spare_capacity_mut();
        let room = spare.len().min(most);
        let count = match rustix::io::read(descriptor.as_fd(), &mut spare[..room]) {
            Ok((read, _)) => read.len(),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        // SAFETY: the kernel has just written so many bytes at the start of the spare capacity.
        unsafe { buffer.advance_mut(count) };
        return Ok(count);
    }
}

/// As [`read_into`]; descriptors that come along are kept, up to a few. That there is no room for them in this process is
/// no fault of the peer's, and the bytes count.
///
/// # Errors
/// As [`read_into`], and when more came than a handshake has.
pub fn read_with_descriptors(
    descriptor: &OwnedFd,
    buffer: &mut BytesMut,
    passed: &mut Passed,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let length = buffer.len();
    // The kernel writes into initialised bytes only; a handshake is short.
    buffer.resize(length + HANDSHAKE_FRAME_BYTES_MAX, 0);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let result = loop {
        let slices = &mut [IoSliceMut::new(&mut buffer[length..])];
        match recvmsg(descriptor.as_fd(), slices, &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other,
        }
    };
    buffer.truncate(length + result.as_ref().map_or(0, |message| message.bytes));
    let message = result?;
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = part {
            passed.files.extend(files);
        }
    }
    let cut = message.flags.contains(ReturnFlags::CTRUNC);
    // The kernel fills the space there is, unless it runs out of numbers before.
    if passed.files.len() > DESCRIPTORS_MAX || (cut && passed.files.len() == DESCRIPTORS_MAX) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too many descriptors came along"));
    }
    if cut {
        passed.files.clear();
        passed.lost = true;
    }
    Ok(message.bytes)
}
