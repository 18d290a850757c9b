//! TCP links.
//!
//! Small frames are not delayed (`TCP_NODELAY`): batching is done above, where it is known
//! what is still to come.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt::set_socket_keepalive;
use tokio::net::TcpStream;

use super::stream::StreamLink;
use super::{Link, Peer, Transport};
use crate::sys::bound_retransmission;

/// The longest pause before TCP sends again what was lost: so long after its healing a wire may lie
/// idle. It is the shortest that the kernel takes.
const RETRANSMISSION_MAX: Duration = Duration::from_secs(1);

/// Accepts TCP connections.
pub struct TcpListener(tokio::net::TcpListener);

impl TcpListener {
    /// Listens on `HOST:PORT`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the host is unknown or the address cannot be had.
    pub async fn bind(address: &str) -> io::Result<TcpListener> {
        tokio::net::TcpListener::bind(address).await.map(TcpListener)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The next connection. Cancelling loses none.
    ///
    /// # Errors
    /// When accepting fails, as without free descriptors. The listener stays usable.
    pub async fn accept(&self) -> io::Result<Box<dyn Link>> {
        let (socket, address) = self.0.accept().await?;
        Ok(Box::new(stream(socket, address, Transport::Tcp)?))
    }
}

/// Connects to `HOST:PORT`.
///
/// # Errors
/// When nobody answers there.
pub async fn connect_tcp(address: &str) -> io::Result<Box<dyn Link>> {
    Ok(Box::new(connect_stream(address, Transport::Tcp).await?))
}

/// A TCP stream to `HOST:PORT`, of this transport.
pub(super) async fn connect_stream(address: &str, transport: Transport) -> io::Result<StreamLink> {
    let socket = TcpStream::connect(address).await?;
    let address = socket.peer_addr()?;
    stream(socket, address, transport)
}

/// A connected socket as a stream of this transport.
pub(super) fn stream(
    socket: TcpStream,
    address: SocketAddr,
    transport: Transport,
) -> io::Result<StreamLink> {
    socket.set_nodelay(true)?;
    // A peer whose host is gone is found out by the kernel, without timers of our own.
    set_socket_keepalive(&socket, true)?;
    // An older kernel doubles the pauses between its attempts as far as it likes: all works there, and
    // goes on later after a cut.
    let _ = bound_retransmission(socket.as_fd(), RETRANSMISSION_MAX);
    let (ip, address) = (Some(address.ip()), format!("{transport}://{address}"));
    let peer = Peer { address, ip, ..Peer::default() };
    StreamLink::new(socket.into_std()?.into(), transport, peer)
}
