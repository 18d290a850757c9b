//! Where a socket listens that somebody else has made.
//!
//! Said by the kernel; nothing is tried.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listening {
    /// At a path of this machine.
    Path(PathBuf),
    /// At an address of TCP.
    Network(SocketAddr),
}
