//! A service manager's address, where it hears how the service stands.
//!
//! What is said there is the caller's. Nobody is waited for.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

/// Whoever listens at that address.
#[derive(Debug)]
pub struct Notify(UnixDatagram);

impl Notify {
    /// At this address: a path, or with `@` a name in the abstract namespace. The descriptor stays open, so
    /// that it hears of a process also that has no other one left.
    ///
    /// # Errors
    /// When it is no address, or nobody listens there.
    pub fn at(address: &OsStr) -> io::Result<Notify> {
        let socket = UnixDatagram::unbound()?;
        // Whoever does not listen holds up nothing.
        socket.set_nonblocking(true)?;
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(Path::new(address))?,
            _ => {
                let text = "it is neither a path nor `@` and a name";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        };
        socket.connect_addr(&address)?;
        Ok(Notify(socket))
    }

    /// Says this, in one message.
    ///
    /// # Errors
    /// When it is not taken at once.
    pub fn send(&self, text: &[u8]) -> io::Result<()> {
        self.0.send(text).map(drop)
    }
}
