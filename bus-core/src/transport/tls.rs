//! TLS links: TCP streams, encrypted, whose peers show certificates.
//!
//! TLS 1.3 and nothing older, the bus protocol and no other one, and never the clear. What a
//! certificate says of the peer stands in [`Peer::certificate`](super::Peer); what follows from
//! it is not decided here.

mod afterwards;
mod bounds;
mod chain;
mod cipher;
mod date;
mod engine;
mod failure;
mod handshake;
mod link;
mod passage;
mod pem;
mod reading;
mod records;
mod settings;
mod source;
mod x509;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use rustls::pki_types::ServerName;

pub use date::Moment;
pub use failure::{Side, TlsError, TlsFailure};
pub use pem::{InvalidTlsFile, TlsFile, common_name};
pub use settings::{TlsClient, TlsServer};

use engine::Engine;
use link::TlsLink;

use super::arrival::Arrival;
use super::tcp::{Backlog, TcpListener, connect_stream};
use super::{Link, Transport};
use crate::sys::OwnedFd;

/// Accepts TLS connections.
pub struct TlsListener {
    tcp: TcpListener,
    server: TlsServer,
}

impl TlsListener {
    /// Listens on `HOST:PORT`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the host is unknown or the address cannot be had.
    pub async fn bind(address: &str, server: TlsServer) -> io::Result<TlsListener> {
        Ok(TlsListener { tcp: TcpListener::bind_for(address, Transport::Tls).await?, server })
    }

    /// Listens with a socket that is bound and listens already, made by somebody else.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn adopt(socket: OwnedFd, server: TlsServer) -> io::Result<TlsListener> {
        Ok(TlsListener { tcp: TcpListener::adopt_for(socket, Transport::Tls)?, server })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The next connection, on which nothing was said: its handshake is done as it is polled.
    /// Cancelling loses none.
    ///
    /// # Errors
    /// When accepting fails, as without free descriptors. The listener stays usable.
    pub async fn accept(&mut self) -> io::Result<Box<dyn Link>> {
        let arrival = self.arrival().await?;
        self.link(arrival)
    }

    /// The next connection, as it has come. Cancelling loses none.
    ///
    /// # Errors
    /// When accepting fails, as without free descriptors. The listener stays usable.
    pub async fn arrival(&mut self) -> io::Result<Arrival> {
        self.tcp.arrival().await
    }

    /// What has come and is not taken yet; see [`TcpListener::backlog`].
    pub fn backlog(&mut self) -> Backlog {
        self.tcp.backlog()
    }

    /// The link over a connection that has come: its handshake is done as it is polled.
    ///
    /// # Errors
    /// When the system refuses, as it may when the peer is gone, or the TLS library does.
    pub fn link(&self, arrival: Arrival) -> io::Result<Box<dyn Link>> {
        let stream = arrival.stream()?;
        let engine = Engine::server(self.server.config()).map_err(io::Error::other)?;
        Ok(Box::new(TlsLink::new(stream, engine, Side::Broker)))
    }
}

/// Connects to `HOST:PORT`, and agrees on TLS: the broker is then who its certificate says. That
/// it accepts this side's certificate is only known when it has said something.
///
/// # Errors
/// When nobody answers there; [`TlsFailure::of`] the error when TLS does not come to be.
pub async fn connect_tls(address: &str, client: &TlsClient) -> io::Result<Box<dyn Link>> {
    let name = expected_name(address, client.server_name.as_deref())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let engine = Engine::client(client.config.clone(), name).map_err(io::Error::other)?;
    let stream = connect_stream(address, Transport::Tls).await?;
    let mut link = TlsLink::new(stream, engine, Side::Client);
    poll_fn(|cx| link.poll_writable(cx)).await?;
    Ok(Box::new(link))
}

/// Why a broker's certificate cannot be looked for a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name that a certificate can be for")]
pub struct InvalidServerName(String);

/// Whether a broker at `HOST:PORT`, of which this name is expected or else the host, can have a certificate
/// that is for it.
///
/// # Errors
/// When no certificate can be.
pub fn check_server_name(address: &str, expected: Option<&str>) -> Result<(), InvalidServerName> {
    expected_name(address, expected).map(drop)
}

fn expected_name(
    address: &str,
    expected: Option<&str>,
) -> Result<ServerName<'static>, InvalidServerName> {
    let name = expected.unwrap_or_else(|| host(address));
    ServerName::try_from(name.to_owned()).map_err(|_| InvalidServerName(name.to_owned()))
}

/// The host of `HOST:PORT`; an IPv6 address without its brackets.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_host_is_what_stands_before_the_port() {
        assert_eq!(host("bus.example:4551"), "bus.example");
        assert_eq!(host("127.0.0.1:1"), "127.0.0.1");
        assert_eq!(host("[::1]:4551"), "::1");
    }
}
