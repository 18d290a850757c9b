//! Bells, on systems without lanes: nobody is rung.
//!
//! What is asked of a peer is answered as it is where there are some.

use std::io;

use super::Peer;
use crate::sys::{OwnedFd, effective_uid, not_available};

/// The bells of one side: none.
#[derive(Debug, Default)]
pub struct Bells {
    /// Made here.
    pub own: Option<OwnedFd>,
    /// Made by the peer.
    pub theirs: Option<OwnedFd>,
}

/// Makes a bell.
///
/// # Errors
/// `Unsupported`.
pub fn make_bell() -> io::Result<OwnedFd> {
    Err(not_available("a bell"))
}

/// Whether a peer is of the same user.
pub fn is_same_user(peer: &Peer) -> bool {
    peer.credentials.as_ref().is_some_and(|found| found.uid == effective_uid())
}

/// Whether a peer could stop this process anyway: nobody is trusted with that where nothing hangs on it.
pub fn could_stop_us(_peer: &Peer) -> bool {
    false
}

/// What a trusted peer has handed over, if it is a bell: none is.
pub fn take_bell(_descriptor: OwnedFd) -> Option<OwnedFd> {
    None
}
