//! Where a socket listens that was handed over, by the kernel's word.
//!
//! Nothing is changed on it.

use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, getsockname};

use super::{Listening, OwnedFd};

/// Where a socket listens.
///
/// # Errors
/// Why nobody could connect there, for people.
pub fn listening_address(socket: &OwnedFd) -> Result<Listening, String> {
    match socket_type(socket) {
        Ok(SocketType::STREAM) => {}
        Ok(_) => return Err("is no stream socket (ListenStream=)".into()),
        Err(error) => return Err(format!("is no socket: {error}")),
    }
    match socket_acceptconn(socket) {
        Ok(true) => {}
        Ok(false) => return Err("does not listen (Accept=no is needed)".into()),
        Err(error) => return Err(format!("cannot be looked at: {error}")),
    }
    let address = getsockname(socket).map_err(|error| format!("has no address: {error}"))?;
    match address.address_family() {
        AddressFamily::UNIX => {
            let local = SocketAddrUnix::try_from(address).map_err(|error| error.to_string())?;
            let path = local.path().and_then(|path| path.to_str().map(PathBuf::from).ok());
            // Everybody can connect to an abstract one.
            path.map(Listening::Path).ok_or_else(|| "has no path in the file system".into())
        }
        AddressFamily::INET | AddressFamily::INET6 => {
            SocketAddr::try_from(address).map(Listening::Network).map_err(|error| error.to_string())
        }
        other => Err(format!("is neither local nor TCP (address family {})", other.as_raw())),
    }
}
