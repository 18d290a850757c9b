//! What the other side's system has not taken yet of what was written to a socket.
//!
//! The kernel's word about TCP alone; nothing is sent or waited for.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes of a TCP socket that were written and are not acknowledged by the other side's system.
///
/// # Errors
/// When the kernel does not tell, as of sockets of another kind.
pub fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: for this request the kernel writes one `int`, and `bytes` is one; the descriptor is
    // borrowed, so it is open.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    match result {
        0 => Ok(u64::try_from(bytes).unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}
