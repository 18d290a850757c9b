//! Taking connections from a TCP listener, with one system call each.
//!
//! Nothing is read of what they say.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::watch::watch;
use super::{AsFd, OwnedFd};

/// The next connection of a listener that does not block; it does not block either, and children do not get it.
///
/// # Errors
/// `WouldBlock` when none has come; else what the kernel says.
pub fn accept(listener: &impl AsFd) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, address) = acceptfrom_with(listener, flags)?;
    // One that is gone may have none any more.
    let address = address.ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((socket.into(), address.try_into()?))
}

/// Whether the peer has ended its side, whatever it has said before.
pub fn will_say_no_more(socket: &TcpStream) -> bool {
    let mut socket = [PollFd::new(socket, PollFlags::RDHUP)];
    matches!(poll(&mut socket, Some(&Timespec::default())), Ok(1))
}

/// A listener that the runtime watches: it wakes for each connection.
#[derive(Debug)]
pub struct Accepting(AsyncFd<OwnedFd>);

impl Accepting {
    /// Has the runtime watch it.
    ///
    /// # Errors
    /// When the runtime or the kernel refuses, as without free descriptors.
    pub fn new(listener: &TcpListener) -> io::Result<Accepting> {
        Ok(Accepting(watch(listener.try_clone()?.into(), Interest::READABLE)?))
    }

    /// The next connection. Cancelling loses none.
    ///
    /// # Errors
    /// As [`accept`], but for `WouldBlock`.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.async_io(Interest::READABLE, accept).await
    }
}
