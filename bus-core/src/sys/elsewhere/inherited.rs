//! What a service manager leaves to a process: that of systemd is on Linux alone.
//!
//! There is never anything here, and the environment stays as it is.

use std::ffi::OsString;
use std::io;

use super::OwnedFd;

/// A socket that was handed over to this process.
#[derive(Debug)]
pub struct Inherited {
    /// The socket.
    pub descriptor: OwnedFd,
    /// Its number.
    pub number: i32,
    /// What whoever has handed it over calls it.
    pub name: String,
}

/// Takes words out of the environment that a service manager has put there: none.
///
/// # Errors
/// Never.
pub fn take_words<const N: usize>(names: [&str; N]) -> io::Result<[Option<OsString>; N]> {
    Ok(names.map(|_| None))
}

/// Takes over the sockets that a service manager has opened for this process: none.
///
/// # Errors
/// Never.
pub fn take_inherited() -> io::Result<Vec<Inherited>> {
    Ok(Vec::new())
}
