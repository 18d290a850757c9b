//! Two processes meet at a Unix socket in the room and hand each other descriptors.
//!
//! For contenders whose memory has no name. The socket stays with both: as a bell, and as the
//! sign of life. Nothing but the descriptors and one byte passes here.
//! Invariant: what is received is exactly as many descriptors as were asked for.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::streams::{Unix, open};
use crate::cell::{Cell, Order, WorkloadKind};

/// Most descriptors that one side hands over.
const DESCRIPTORS_MAX: usize = 4;
/// Space for them beside the byte.
const SPACE: usize = rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX));

/// Why a contender of two processes does not take part, if so.
pub fn supports_pairs(cell: &Cell) -> Result<(), String> {
    match cell.workload {
        WorkloadKind::RoundTrip | WorkloadKind::OneWay | WorkloadKind::PublishCost => Ok(()),
        WorkloadKind::Idle | WorkloadKind::Memory => Err("it has no server".to_owned()),
        _ => Err("it has one sender and one receiver".to_owned()),
    }
}

/// Meets the other side of a cell of two.
pub fn meet(order: &Order) -> Result<UnixStream> {
    open::<Unix>(order)?.pop().context("nobody to meet")
}

/// Hands descriptors over and takes as many from the other side, which does the same.
pub fn exchange(socket: &UnixStream, own: &[BorrowedFd<'_>]) -> Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    ensure!(control.push(SendAncillaryMessage::ScmRights(own)), "too many descriptors");
    sendmsg(socket, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let slices = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(socket, slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut theirs = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = part {
            theirs.extend(files);
        }
    }
    ensure!(theirs.len() == own.len(), "{} descriptors came, not {}", theirs.len(), own.len());
    Ok(theirs)
}
