//! Taking connections from a TCP listener, by what all systems have.
//!
//! Nothing is read of what they say.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

/// The next connection of a listener that does not block; it does not block either.
///
/// # Errors
/// `WouldBlock` when none has come; else what the system says.
pub fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, address) = listener.accept()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// Whether the peer has ended its side, whatever it has said before: that cannot be looked at here, so its time for a
/// handshake runs out instead.
pub fn will_say_no_more(_socket: &TcpStream) -> bool {
    false
}

/// A listener that the runtime watches: it wakes for each connection.
#[derive(Debug)]
pub struct Accepting(tokio::net::TcpListener);

impl Accepting {
    /// Has the runtime watch it.
    ///
    /// # Errors
    /// When the runtime or the system refuses.
    pub fn new(listener: &TcpListener) -> io::Result<Accepting> {
        tokio::net::TcpListener::from_std(listener.try_clone()?).map(Accepting)
    }

    /// The next connection. Cancelling loses none.
    ///
    /// # Errors
    /// As [`accept`], but for `WouldBlock`.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, address) = self.0.accept().await?;
        Ok((socket.into_std()?, address))
    }
}
