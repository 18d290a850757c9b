//! How long TCP waits at the most until it sends again: only Linux lets a program say that.
//!
//! Links work without it, and go on later after a cut.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use super::not_available;

/// Lets a TCP socket wait no longer than this between two attempts.
///
/// # Errors
/// `Unsupported`.
pub fn bound_retransmission(_socket: &TcpStream, _longest: Duration) -> io::Result<()> {
    Err(not_available("a bound on TCP's pauses"))
}
