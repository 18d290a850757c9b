//! Descriptors over a local socket, and waiting for its tokens or its end.
//!
//! By the bare system calls, so that a test can hand over what no client would.

#![allow(dead_code, reason = "no test needs all of it")]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, send, sendmsg,
};

/// Most descriptors of one message, by the kernel's word.
pub const AT_ONCE_MAX: usize = 253;
const SPACE: usize = rustix::cmsg_space!(ScmRights(AT_ONCE_MAX));
/// Longer than anything takes that works, also where the machine has much else to do.
const PATIENCE: Timespec = Timespec { tv_sec: 180, tv_nsec: 0 };

/// What comes through a socket beside bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Somebody rang.
    Rung,
    /// The other side is gone.
    Gone,
    /// Nothing came in all that time: whoever waits for it hangs.
    Silent,
}

/// Sends bytes, and hands over descriptors with them. Gives how many bytes went.
pub fn send_with(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Takes what is there, and the descriptors that come with it. No bytes: the other side is gone.
pub fn receive_with(socket: impl AsFd, most: usize) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; most];
    let slices = &mut [IoSliceMut::new(&mut bytes)];
    let message = recvmsg(socket, slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    bytes.truncate(message.bytes);
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = part {
            descriptors.extend(files);
        }
    }
    Ok((bytes, descriptors))
}

/// Rings. Whoever has not heard the last ones will look anyway, and whoever is gone need not.
pub fn ring(socket: impl AsFd) {
    let _ = send(socket, &[1], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// Waits until somebody rings, or is gone.
pub fn wait_at(socket: impl AsFd) -> io::Result<Door> {
    match is_readable(&socket, &PATIENCE)? {
        true => look_at(socket),
        false => Ok(Door::Silent),
    }
}

/// What is at the door now.
pub fn look_at(socket: impl AsFd) -> io::Result<Door> {
    let mut tokens = [0; 256];
    match recv(socket, &mut tokens[..], RecvFlags::DONTWAIT) {
        Ok((0, _)) | Err(rustix::io::Errno::CONNRESET) => Ok(Door::Gone),
        Ok(_) => Ok(Door::Rung),
        Err(rustix::io::Errno::AGAIN) => Ok(Door::Silent),
        Err(error) => Err(error.into()),
    }
}

/// Whether something can be read within this time.
pub fn readable_within(socket: impl AsFd, time: Duration) -> io::Result<bool> {
    let time = Timespec::try_from(time).map_err(io::Error::other)?;
    is_readable(&socket, &time)
}

fn is_readable(socket: &impl AsFd, time: &Timespec) -> io::Result<bool> {
    let mut all = [PollFd::new(socket, PollFlags::IN)];
    loop {
        match poll(&mut all, Some(time)) {
            Err(rustix::io::Errno::INTR) => {}
            found => return Ok(found? > 0),
        }
    }
}
