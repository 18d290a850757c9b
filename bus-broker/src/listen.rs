//! The broker's listeners: what each of them is, and how a connection of it becomes a task of its own.
//!
//! To take and to end connections is all that somebody needs to keep the broker busy: so those from where too
//! many come wait, and a few of them are heard at a time, while all others pass them by (`gate`).

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bus_core::BusUrl;
use bus_core::sys::OwnedFd;
#[cfg(feature = "tls")]
use bus_core::transport::TlsListener;
use bus_core::transport::{
    Arrival, Backlog, Link, LocalListener, MemListener, TcpListener, default_path,
};
use tracing::warn;

use crate::certificates::Certificates;
use crate::config::BrokerConfig;
use crate::doorstep::{Arrived, Newcomer};
use crate::handshakes::{Handshakes, Source};
use crate::hub::SharedHub;
use crate::start_error::StartError;
use crate::{connection, exposure};

/// How connections are treated whose sources owe too much (`charges`), and those that come meanwhile.
pub(crate) struct Pace {
    /// Between two times of taking what is there off the system's list; a timer's tick comes on top of it. Over
    /// networks nobody is woken meanwhile.
    pub breath: Duration,
    /// So many are taken each time, if they owe.
    pub many: u32,
    /// So many of those that wait are heard each time.
    pub few: u32,
}

/// Local sockets: about two thousand are taken and heard in a second. Their list is short, and who finds it full
/// tries again soon, so that nothing is lost if they wait there.
const LOCAL: Pace = Pace { breath: Duration::from_millis(1), many: 4, few: 4 };

/// Networks: about three hundred are heard in a second, at each listener. Many more are taken, since the system
/// does not answer those for whom its list has no room, and they wait for seconds; in batches, which cost
/// much less than one at a time.
const NETWORK: Pace = Pace { breath: Duration::from_millis(5), many: 256, few: 2 };

/// Of such connections at one listener, without that tick.
pub(crate) const HEARD_PER_SECOND_MAX: usize = 4 * 1000;

const _: () = {
    assert!(LOCAL.few as usize * 1000 <= HEARD_PER_SECOND_MAX * LOCAL.breath.as_millis() as usize);
    assert!(
        NETWORK.few as usize * 1000 <= HEARD_PER_SECOND_MAX * NETWORK.breath.as_millis() as usize
    );
};

/// Something that accepts connections.
pub(crate) enum Listener {
    Local(LocalListener),
    Tcp(TcpListener),
    #[cfg(feature = "tls")]
    Tls(TlsListener),
    Mem(MemListener),
}

/// Whether a broker with this configuration may listen where a URL says, and can; tells whether other hosts reach it there.
///
/// # Errors
/// When it may not, or the host's name is not known.
pub(crate) fn check(
    url: &BusUrl,
    config: &BrokerConfig,
    certificates: &Certificates,
) -> Result<bool, StartError> {
    match url {
        BusUrl::Local(_) | BusUrl::Unix(_) => Ok(false),
        BusUrl::Tcp(address) => exposure::check(url, address, config),
        #[cfg(feature = "tls")]
        BusUrl::Tls(_) if certificates.server().is_none() => {
            Err(StartError::NoCertificate { url: url.to_string() })
        }
        #[cfg(feature = "tls")]
        BusUrl::Tls(address) => exposure::check(url, address, config),
        #[cfg(not(feature = "tls"))]
        BusUrl::Tls(_) => {
            let Certificates {} = certificates;
            Err(StartError::Unsupported { url: url.to_string() })
        }
        BusUrl::Shm(_) | BusUrl::Mem(_) => Err(StartError::Unsupported { url: url.to_string() }),
    }
}

impl Listener {
    /// Listens where a URL says, with a socket that does so already if there is one.
    pub async fn bind(
        url: &BusUrl,
        config: &BrokerConfig,
        certificates: &Certificates,
        socket: Option<OwnedFd>,
    ) -> Result<Listener, StartError> {
        let failed = |error: io::Error| StartError::Listen { url: url.to_string(), error };
        // Once more: what the name of a host means may have changed since the start began.
        let is_exposed = check(url, config, certificates)?;
        match url {
            BusUrl::Local(path) | BusUrl::Unix(path) => {
                let path: PathBuf = path.clone().unwrap_or_else(default_path);
                let listener = match socket {
                    Some(socket) => LocalListener::adopt(socket, &path),
                    None => LocalListener::bind(&path),
                };
                listener.map(Listener::Local).map_err(|error| StartError::Listen {
                    url: format!("local:{}", path.display()),
                    error,
                })
            }
            BusUrl::Tcp(address) => {
                if is_exposed {
                    warn!(%url, "it is not encrypted: what goes over it, tokens too, can be read on the way");
                }
                let listener = match socket {
                    Some(socket) => TcpListener::adopt(socket),
                    None => TcpListener::bind(address).await,
                };
                listener.map(Listener::Tcp).map_err(failed)
            }
            #[cfg(feature = "tls")]
            BusUrl::Tls(address) => {
                let Some(server) = certificates.server() else {
                    return Err(StartError::NoCertificate { url: url.to_string() });
                };
                let listener = match socket {
                    Some(socket) => TlsListener::adopt(socket, server.clone()),
                    None => TlsListener::bind(address, server.clone()).await,
                };
                listener.map(Listener::Tls).map_err(failed)
            }
            #[cfg(not(feature = "tls"))]
            BusUrl::Tls(_) => Err(StartError::Unsupported { url: url.to_string() }),
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

    /// Hands a connection to a task of its own.
    pub fn hear(
        &self,
        heard: Newcomer,
        hub: &SharedHub,
        handshakes: &Handshakes,
    ) -> io::Result<()> {
        let handshake = handshakes.begin(heard.source, heard.wait);
        let link = match (self, heard.arrived) {
            (_, Arrived::Link(link)) => link,
            (Listener::Tcp(listener), Arrived::Socket(arrival)) => listener.link(arrival)?,
            #[cfg(feature = "tls")]
            (Listener::Tls(listener), Arrived::Socket(arrival)) => listener.link(arrival)?,
            // No other one has bare sockets.
            (Listener::Local(_) | Listener::Mem(_), Arrived::Socket(_)) => return Ok(()),
        };
        tokio::task::spawn_local(connection::serve(hub.clone(), link, handshake));
        Ok(())
    }

    /// Whether what is said before any handshake is understood by those who connect.
    pub fn is_clear(&self) -> bool {
        match self {
            Listener::Local(_) | Listener::Mem(_) | Listener::Tcp(_) => true,
            #[cfg(feature = "tls")]
            Listener::Tls(_) => false,
        }
    }

    pub fn pace(&self) -> Pace {
        match self {
            Listener::Local(_) | Listener::Mem(_) => LOCAL,
            Listener::Tcp(_) => NETWORK,
            #[cfg(feature = "tls")]
            Listener::Tls(_) => NETWORK,
        }
    }

    /// Whether those who connect are links at once, and no bare sockets.
    pub fn has_links(&self) -> bool {
        matches!(self, Listener::Local(_) | Listener::Mem(_))
    }

    /// What has come to it, if those are bare sockets.
    pub fn backlog(&mut self) -> Option<Backlog> {
        match self {
            Listener::Local(_) | Listener::Mem(_) => None,
            Listener::Tcp(listener) => Some(listener.backlog()),
            #[cfg(feature = "tls")]
            Listener::Tls(listener) => Some(listener.backlog()),
        }
    }

    /// The next one; none if nobody can connect any more. Cancelling loses none.
    pub async fn accept(&mut self) -> io::Result<Option<(Source, Arrived)>> {
        let arrival = match self {
            Listener::Local(listener) => {
                return listener.accept().await.map(of_link).map(Some);
            }
            Listener::Mem(listener) => return Ok(listener.accept().await.map(of_link)),
            Listener::Tcp(listener) => listener.arrival().await?,
            #[cfg(feature = "tls")]
            Listener::Tls(listener) => listener.arrival().await?,
        };
        Ok(Some(of_socket(arrival)))
    }
}

/// A bare socket, and whom it is charged to.
pub(crate) fn of_socket(arrival: Arrival) -> (Source, Arrived) {
    (Source::of_ip(arrival.ip()), Arrived::Socket(arrival))
}

fn of_link(link: Box<dyn Link>) -> (Source, Arrived) {
    (Source::of(link.peer()), Arrived::Link(link))
}
