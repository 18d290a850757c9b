//! How long TCP waits at the most until it sends again what was not acknowledged.
//!
//! It doubles that time with each attempt, and a wire that is whole again after some seconds is not
//! used for as many more. Asked of the kernel once for each socket; older ones cannot do it.

#![allow(unsafe_code)]

use std::io;
use std::mem::size_of_val;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// The number of the option, which is Linux's own (`TCP_RTO_MAX_MS`, since 6.15). The crate of the C
/// library does not name it yet.
const TCP_RTO_MAX_MS: libc::c_int = 44;

/// Lets a TCP socket wait no longer than this between two attempts. The kernel takes 1 to 120 s.
///
/// # Errors
/// When the kernel does not know of that.
pub fn bound_retransmission(socket: &TcpStream, longest: Duration) -> io::Result<()> {
    let millis = libc::c_int::try_from(longest.as_millis()).unwrap_or(libc::c_int::MAX);
    let length = size_of_val(&millis) as libc::socklen_t;
    // SAFETY: the option's value is one `int`, and the kernel reads as many bytes from `millis` as
    // it has; the descriptor is borrowed, so it is open.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_RTO_MAX_MS,
            (&raw const millis).cast(),
            length,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
