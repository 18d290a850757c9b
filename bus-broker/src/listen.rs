//! The broker's listeners: each accepts, and hands every connection to a task of its own.
//!
//! A listener outlives errors of accepting: without free descriptors it pauses and goes on. It also
//! takes a breath after a few connections from where too many come: to take and to end
//! connections is all that somebody needs to keep the broker busy.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bus_core::BusUrl;
#[cfg(feature = "tls")]
use bus_core::transport::TlsListener;
use bus_core::transport::{Link, LocalListener, MemListener, TcpListener, default_path};
use tracing::warn;

use crate::broker::StartError;
use crate::certificates::Certificates;
use crate::config::BrokerConfig;
use crate::handshakes::Handshakes;
use crate::hub::SharedHub;
use crate::log_bound::LogBound;
use crate::{connection, exposure};

/// Pause after accepting has failed.
const PAUSE: Duration = Duration::from_millis(50);

/// Pause after accepting a few connections whose sources owe too much (`charges`): about two thousand of
/// them are accepted in a second, since a timer's tick comes on top of it. Others that connect meanwhile wait
/// behind them, in the system's list.
const BREATH: Duration = Duration::from_millis(1);
const FEW: u32 = 4;
/// Of such connections, without that tick.
pub(crate) const ACCEPTED_PER_SECOND_MAX: usize = FEW as usize * 1000 / BREATH.as_millis() as usize;

/// Something that accepts connections.
pub(crate) enum Listener {
    Local(LocalListener),
    Tcp(TcpListener),
    #[cfg(feature = "tls")]
    Tls(TlsListener),
    Mem(MemListener),
}

impl Listener {
    /// Listens where a URL says.
    pub async fn bind(
        url: &BusUrl,
        config: &BrokerConfig,
        certificates: &Certificates,
    ) -> Result<Listener, StartError> {
        let failed = |error: io::Error| StartError::Listen { url: url.to_string(), error };
        match url {
            BusUrl::Local(path) | BusUrl::Unix(path) => {
                let path: PathBuf = path.clone().unwrap_or_else(default_path);
                LocalListener::bind(&path).map(Listener::Local).map_err(|error| {
                    StartError::Listen { url: format!("local:{}", path.display()), error }
                })
            }
            BusUrl::Tcp(address) => {
                if exposure::check(url, address, config)? {
                    warn!(%url, "it is not encrypted: what goes over it, tokens too, can be read on the way");
                }
                TcpListener::bind(address).await.map(Listener::Tcp).map_err(failed)
            }
            #[cfg(feature = "tls")]
            BusUrl::Tls(address) => {
                let Some(server) = certificates.server() else {
                    return Err(StartError::NoCertificate { url: url.to_string() });
                };
                exposure::check(url, address, config)?;
                TlsListener::bind(address, server.clone()).await.map(Listener::Tls).map_err(failed)
            }
            #[cfg(not(feature = "tls"))]
            BusUrl::Tls(_) => {
                let Certificates {} = certificates;
                Err(StartError::Unsupported { url: url.to_string() })
            }
            BusUrl::Shm(_) | BusUrl::Mem(_) => {
                Err(StartError::Unsupported { url: url.to_string() })
            }
        }
    }

    /// Where it listens, as clients write it.
    pub fn url(&self) -> String {
        match self {
            Listener::Local(listener) => format!("local:{}", listener.path().display()),
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("tcp://{address}"),
                Err(_) => "tcp:".into(),
            },
            #[cfg(feature = "tls")]
            Listener::Tls(listener) => match listener.local_addr() {
                Ok(address) => format!("tls://{address}"),
                Err(_) => "tls:".into(),
            },
            Listener::Mem(_) => "mem:".into(),
        }
    }

    /// Accepts for ever, or until nobody can connect any more.
    pub async fn run(mut self, hub: SharedHub, handshakes: Handshakes) {
        let mut owing = 0;
        let mut bound = LogBound::of_one();
        loop {
            match self.accept().await {
                Ok(Some(link)) => {
                    let handshake = handshakes.begin(link.peer(), hub.borrow().now());
                    owing += u32::from(!handshake.wait().is_zero());
                    tokio::task::spawn_local(connection::serve(hub.clone(), link, handshake));
                    if owing == FEW {
                        owing = 0;
                        tokio::time::sleep(BREATH).await;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    if let Some(left_out) = bound.take(hub.borrow().now()) {
                        warn!(listener = self.url(), %error, left_out, "cannot accept");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn accept(&mut self) -> io::Result<Option<Box<dyn Link>>> {
        match self {
            Listener::Local(listener) => listener.accept().await.map(Some),
            Listener::Tcp(listener) => listener.accept().await.map(Some),
            #[cfg(feature = "tls")]
            Listener::Tls(listener) => listener.accept().await.map(Some),
            Listener::Mem(listener) => Ok(listener.accept().await),
        }
    }
}
