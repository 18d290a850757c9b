//! TCP links.
//!
//! Small frames are not delayed (`TCP_NODELAY`): batching is done above, where it is known
//! what is still to come.

use std::io;
use std::net::SocketAddr;

use rustix::net::sockopt::set_socket_keepalive;
use tokio::net::TcpStream;

use super::stream::StreamLink;
use super::{Link, Peer, Transport};

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
        let (stream, address) = self.0.accept().await?;
        link(stream, address)
    }
}

/// Connects to `HOST:PORT`.
///
/// # Errors
/// When nobody answers there.
pub async fn connect_tcp(address: &str) -> io::Result<Box<dyn Link>> {
    let stream = TcpStream::connect(address).await?;
    let address = stream.peer_addr()?;
    link(stream, address)
}

fn link(stream: TcpStream, address: SocketAddr) -> io::Result<Box<dyn Link>> {
    stream.set_nodelay(true)?;
    // A peer whose host is gone is found out by the kernel, without timers of our own.
    set_socket_keepalive(&stream, true)?;
    let peer =
        Peer { credentials: None, address: format!("tcp://{address}"), ip: Some(address.ip()) };
    Ok(Box::new(StreamLink::new(stream.into_std()?.into(), Transport::Tcp, peer)?))
}
