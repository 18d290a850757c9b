//! Bells: how one side of a pair of lanes wakes the other, if it sleeps.
//!
//! A bell is an eventfd. Whoever sleeps makes it, watches it and never reads it: each ring is an
//! event of its own. It belongs to everybody who has it, and a peer could make a write to it
//! block for good. So nobody rings one that was made by a process which he would not trust with
//! his life: who has no bell of a peer's sends it a byte over the socket.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;

use super::Peer;
use crate::sys::{effective_uid, sees_our_processes};

/// The bells of one side.
#[derive(Debug, Default)]
pub struct Bells {
    /// Made here, if the peer rings it.
    pub own: Option<OwnedFd>,
    /// Made by the peer, if this side trusts it.
    pub theirs: Option<OwnedFd>,
}

/// Makes a bell, to be handed to the peer.
///
/// # Errors
/// When the system has no descriptor.
pub fn make_bell() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Whether a peer is of the same user.
pub fn is_same_user(peer: &Peer) -> bool {
    peer.credentials.as_ref().is_some_and(|found| found.uid == effective_uid())
}

/// Whether a peer could stop this process anyway: it is of root or of the same user, and not shut
/// in where it cannot reach this one, as in a container. A process of root may speak to anybody's
/// broker or client, which could not stop it.
pub fn could_stop_us(peer: &Peer) -> bool {
    let Some(found) = &peer.credentials else { return false };
    let reaches_us = || found.pid.is_some_and(sees_our_processes);
    (found.uid == 0 || is_same_user(peer)) && reaches_us()
}

/// What a trusted peer has handed over, if it is a bell: what else is written to could take the
/// bytes for something, or wait.
pub fn take_bell(descriptor: OwnedFd) -> Option<OwnedFd> {
    let link = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    let is_eventfd =
        std::fs::read_link(link).is_ok_and(|kind| kind.as_os_str() == "anon_inode:[eventfd]");
    let waits = fcntl_getfl(&descriptor).is_ok_and(|flags| !flags.contains(OFlags::NONBLOCK));
    (is_eventfd && !waits).then_some(descriptor)
}

/// Rings. Whoever has filled his own bell does not hear it.
///
/// # Errors
/// What the kernel says.
pub(super) fn ring(bell: &OwnedFd) -> io::Result<()> {
    match rustix::io::write(bell, &1_u64.to_ne_bytes()) {
        Ok(_) | Err(Errno::AGAIN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use rustix::fs::fcntl_setfl;

    use super::*;
    use crate::sys::Credentials;

    #[test]
    fn only_an_eventfd_that_does_not_block_is_taken_for_a_bell() {
        let bell = make_bell().expect("an eventfd");
        let again = bell.try_clone().expect("a descriptor");
        assert!(take_bell(bell).is_some());
        fcntl_setfl(&again, OFlags::empty()).expect("it is open");
        assert!(take_bell(again).is_none(), "a write to it could wait");
        let (socket, _other) = UnixStream::pair().expect("sockets");
        socket.set_nonblocking(true).expect("it is open");
        assert!(take_bell(socket.into()).is_none());
        assert!(take_bell(tempfile::tempfile().expect("a file").into()).is_none());
    }

    #[test]
    fn only_who_could_stop_us_is_trusted_with_a_write_that_may_block() {
        let of = |uid, pid| Peer {
            credentials: Some(Credentials { uid, gid: uid, pid, groups: Vec::new() }),
            ..Peer::default()
        };
        let (own, pid) = (effective_uid(), Some(std::process::id()));
        assert!(could_stop_us(&of(own, pid)) && could_stop_us(&of(0, pid)));
        assert!(!could_stop_us(&of(own + 1, pid)));
        // It may be where it cannot reach this process, whoever it is.
        assert!(!could_stop_us(&of(own, Some(u32::MAX))) && !could_stop_us(&of(0, Some(u32::MAX))));
        assert!(!could_stop_us(&of(own, None)));
        assert!(is_same_user(&of(own, None)) && !is_same_user(&of(own + 1, pid)));
        let unknown = Peer::default();
        assert!(!could_stop_us(&unknown) && !is_same_user(&unknown), "the kernel has not told");
    }

    #[test]
    fn full_bell_is_as_good_as_rung() {
        let bell = make_bell().expect("an eventfd");
        rustix::io::write(&bell, &(u64::MAX - 1).to_ne_bytes()).expect("it was empty");
        ring(&bell).expect("nothing to complain of");
    }
}
