//! Who is at the other end of a local socket, where the kernel tells less than Linux.
//!
//! Its user and process come from the socket itself; what more there could be is an error here.

use std::io;

use super::{AsFd, not_available};

/// The supplementary groups that the peer of a local socket had when it connected.
///
/// # Errors
/// `Unsupported`.
pub fn peer_groups(_socket: impl AsFd) -> io::Result<Vec<u32>> {
    Err(not_available("a peer's supplementary groups"))
}

/// Waits until a process has ended.
///
/// # Errors
/// `Unsupported`: the end of its connection tells of it.
pub async fn process_ended(_pid: u32) -> io::Result<()> {
    Err(not_available("watching a process by its number"))
}
