//! TCP links.
//!
//! Small frames are not delayed (`TCP_NODELAY`): batching is done above, where it is known
//! what is still to come.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::listen;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_nodelay};

use super::arrival::Arrival;
use super::stream::StreamLink;
use super::{Link, Peer, Transport};
use crate::sys::{Accepting, OwnedFd, accept, bound_retransmission};

/// The longest pause before TCP sends again what was lost: so long after its healing a wire may lie
/// idle. It is the shortest that the kernel takes.
const RETRANSMISSION_MAX: Duration = Duration::from_secs(1);

/// Connections that the system keeps until they are accepted; it may allow fewer. Whoever comes when there
/// are so many is not answered at all, and tries again after a second, then two, then four.
const WAITING_MAX: i32 = 4096;

/// Accepts TCP connections.
pub struct TcpListener {
    socket: Arc<std::net::TcpListener>,
    transport: Transport,
    /// While somebody waits for connections: the runtime then wakes for each.
    watched: Option<Accepting>,
}

impl TcpListener {
    /// Listens on `HOST:PORT`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the host is unknown or the address cannot be had.
    pub async fn bind(address: &str) -> io::Result<TcpListener> {
        TcpListener::bind_for(address, Transport::Tcp).await
    }

    /// The same, for what goes over TCP.
    pub(super) async fn bind_for(address: &str, transport: Transport) -> io::Result<TcpListener> {
        let listener = tokio::net::TcpListener::bind(address).await?.into_std()?;
        listen(&listener, WAITING_MAX)?;
        TcpListener::over(listener, transport)
    }

    /// Listens with a socket that is bound and listens already, made by somebody else.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn adopt(socket: OwnedFd) -> io::Result<TcpListener> {
        TcpListener::adopt_for(socket, Transport::Tcp)
    }

    /// The same, for what goes over TCP.
    pub(super) fn adopt_for(socket: OwnedFd, transport: Transport) -> io::Result<TcpListener> {
        TcpListener::over(socket.into(), transport)
    }

    fn over(socket: std::net::TcpListener, transport: Transport) -> io::Result<TcpListener> {
        socket.set_nonblocking(true)?;
        let mut listener = TcpListener { socket: Arc::new(socket), transport, watched: None };
        listener.watched()?;
        Ok(listener)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection, as it has come. Cancelling loses none.
    ///
    /// # Errors
    /// When accepting fails, as without free descriptors. The listener stays usable.
    pub async fn arrival(&mut self) -> io::Result<Arrival> {
        let transport = self.transport;
        let (socket, address) = self.watched()?.accept().await?;
        Ok(Arrival::new(socket, address, transport))
    }

    /// What has come and is not taken yet, to be taken by any thread. Until [`TcpListener::arrival`] is asked
    /// again nobody is woken for those that come: to be woken for each costs as much as to accept it, and all
    /// that have come meanwhile can be taken together.
    pub fn backlog(&mut self) -> Backlog {
        self.watched = None;
        Backlog { socket: self.socket.clone(), transport: self.transport }
    }

    /// The link over a connection that has come.
    ///
    /// # Errors
    /// When the system refuses, as it may when the peer is gone.
    pub fn link(&self, arrival: Arrival) -> io::Result<Box<dyn Link>> {
        Ok(Box::new(arrival.stream()?))
    }

    /// The next connection. Cancelling loses none.
    ///
    /// # Errors
    /// When accepting fails, as without free descriptors. The listener stays usable.
    pub async fn accept(&mut self) -> io::Result<Box<dyn Link>> {
        let arrival = self.arrival().await?;
        self.link(arrival)
    }

    fn watched(&mut self) -> io::Result<&Accepting> {
        let watched = match self.watched.take() {
            Some(watched) => watched,
            None => Accepting::new(&self.socket)?,
        };
        Ok(self.watched.insert(watched))
    }
}

/// The connections that have come to a listener. As long as it is there the listener's address is taken.
#[derive(Clone, Debug)]
pub struct Backlog {
    socket: Arc<std::net::TcpListener>,
    transport: Transport,
}

impl Backlog {
    /// The next connection, if one has come.
    ///
    /// # Errors
    /// When accepting fails, as without free descriptors. It can be tried again.
    pub fn take(&self) -> io::Result<Option<Arrival>> {
        match accept(&*self.socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
            Ok((socket, address)) => Ok(Some(Arrival::new(socket, address, self.transport))),
        }
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
    let socket = tokio::net::TcpStream::connect(address).await?;
    let address = socket.peer_addr()?;
    stream(socket.into_std()?, address, transport)
}

/// A connected socket that does not block, as a stream of this transport.
pub(super) fn stream(
    socket: TcpStream,
    address: SocketAddr,
    transport: Transport,
) -> io::Result<StreamLink> {
    set_tcp_nodelay(&socket, true)?;
    // A peer whose host is gone is found out by the kernel, without timers of our own.
    set_socket_keepalive(&socket, true)?;
    // An older kernel doubles the pauses between its attempts as far as it likes: all works there, and
    // goes on later after a cut.
    let _ = bound_retransmission(&socket, RETRANSMISSION_MAX);
    StreamLink::tcp(socket, transport, peer(address, transport))
}

/// Somebody at this address.
pub(super) fn peer(address: SocketAddr, transport: Transport) -> Peer {
    let (ip, address) = (Some(address.ip()), format!("{transport}://{address}"));
    Peer { address, ip, ..Peer::default() }
}
