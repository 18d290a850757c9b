//! The broker's listeners: each accepts, and hands every connection to a task of its own.
//!
//! A listener outlives errors of accepting: without free descriptors it pauses and goes on. To take
//! and to end connections is all that somebody needs to keep the broker busy: so those from where too
//! many come wait on the doorstep, where a few are heard at a time, while all others pass them by.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use bus_core::BusUrl;
#[cfg(feature = "tls")]
use bus_core::transport::TlsListener;
use bus_core::transport::{Arrival, Link, LocalListener, MemListener, TcpListener, default_path};
use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::certificates::Certificates;
use crate::config::BrokerConfig;
use crate::doorstep::{Arrived, Doorstep, Newcomer};
use crate::handshakes::{Handshakes, Source};
use crate::hub::SharedHub;
use crate::log_bound::LogBound;
use crate::start_error::StartError;
use crate::{connection, exposure};

/// Pause after accepting has failed.
const PAUSE: Duration = Duration::from_millis(50);

/// So many are taken in a row before those who are connected have a turn.
const IN_A_ROW_MAX: u32 = 32;

/// How connections are treated whose sources owe too much (`charges`), and those that come meanwhile.
struct Pace {
    /// Between two times of taking what is there off the system's list; a timer's tick comes on top of it. Over
    /// networks nobody is woken meanwhile.
    breath: Duration,
    /// So many are taken each time, if they owe.
    many: u32,
    /// So many of those that wait are heard each time.
    few: u32,
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

impl Listener {
    /// Listens where a URL says, with a socket that does so already if there is one.
    pub async fn bind(
        url: &BusUrl,
        config: &BrokerConfig,
        certificates: &Certificates,
        socket: Option<OwnedFd>,
    ) -> Result<Listener, StartError> {
        let failed = |error: io::Error| StartError::Listen { url: url.to_string(), error };
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
                if exposure::check(url, address, config)? {
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
                exposure::check(url, address, config)?;
                let listener = match socket {
                    Some(socket) => TlsListener::adopt(socket, server.clone()),
                    None => TlsListener::bind(address, server.clone()).await,
                };
                listener.map(Listener::Tls).map_err(failed)
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

    /// Accepts until it is told to close, or nobody can connect any more. So many connections may wait before it;
    /// those that do when it closes are heard.
    pub async fn run(
        mut self,
        hub: SharedHub,
        handshakes: Handshakes,
        places: usize,
        mut closing: watch::Receiver<bool>,
    ) {
        let mut doorstep = Doorstep::new((&hub, &handshakes), self.url(), self.is_clear(), places);
        tokio::select! {
            () = self.accept_all(&mut doorstep, &hub, &handshakes) => {}
            // Whoever could tell it to close is gone.
            _ = closing.wait_for(|closes| *closes) => {}
        }
        let now = hub.borrow().now();
        for heard in doorstep.last_heard(now) {
            // It has ended: the others are heard all the same.
            let _ = self.hear(heard, &hub, &handshakes);
        }
    }

    /// Cancelling loses nobody who has been accepted.
    async fn accept_all(
        &mut self,
        doorstep: &mut Doorstep,
        hub: &SharedHub,
        handshakes: &Handshakes,
    ) {
        let (pace, url) = (self.pace(), self.url());
        // How many had to wait there since the last turn, and when the next one is.
        let (mut entered, mut turn) = (0, Instant::now());
        let (mut errors, mut accepted) = (LogBound::of_one(), 0_u32);
        loop {
            if accepted >= IN_A_ROW_MAX {
                accepted = 0;
                yield_now().await;
            }
            let next = match doorstep.is_empty() {
                true => Some(self.accept().await),
                false if entered < pace.many => self.accept_now(),
                false => None,
            };
            let result = match next {
                Some(Ok(Some((source, arrived)))) => {
                    accepted += 1;
                    let now = hub.borrow().now();
                    let wait = handshakes.arrives(source, now);
                    let newcomer = Newcomer { source, arrived, wait };
                    if wait.is_zero() {
                        self.hear(newcomer, hub, handshakes)
                    } else {
                        entered += 1;
                        doorstep.enter(newcomer, now);
                        Ok(())
                    }
                }
                Some(Ok(None)) => return,
                Some(Err(error)) => Err(error),
                None => {
                    sleep_until(turn).await;
                    (entered, turn) = (0, Instant::now() + pace.breath);
                    let (now, mut result) = (hub.borrow().now(), Ok(()));
                    // One that cannot be heard keeps no other one from it.
                    for heard in doorstep.next_heard(pace.few, now) {
                        result = result.and(self.hear(heard, hub, handshakes));
                    }
                    result
                }
            };
            if let Err(error) = result {
                if let Some(left_out) = errors.take(hub.borrow().now()) {
                    warn!(listener = url, %error, left_out, "cannot accept");
                }
                // Those who wait may have what is missing: they are looked at before the next one.
                entered = pace.many;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Hands a connection to a task of its own.
    fn hear(&self, heard: Newcomer, hub: &SharedHub, handshakes: &Handshakes) -> io::Result<()> {
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
    fn is_clear(&self) -> bool {
        match self {
            Listener::Local(_) | Listener::Mem(_) | Listener::Tcp(_) => true,
            #[cfg(feature = "tls")]
            Listener::Tls(_) => false,
        }
    }

    fn pace(&self) -> Pace {
        match self {
            Listener::Local(_) | Listener::Mem(_) => LOCAL,
            Listener::Tcp(_) => NETWORK,
            #[cfg(feature = "tls")]
            Listener::Tls(_) => NETWORK,
        }
    }

    /// The next one, if it has come.
    fn accept_now(&mut self) -> Option<io::Result<Option<(Source, Arrived)>>> {
        let arrival = match self {
            Listener::Local(_) | Listener::Mem(_) => return self.accept().now_or_never(),
            Listener::Tcp(listener) => listener.arrived(),
            #[cfg(feature = "tls")]
            Listener::Tls(listener) => listener.arrived(),
        };
        let arrival = arrival.transpose()?;
        Some(arrival.map(|arrival| Some(of_socket(arrival))))
    }

    async fn accept(&mut self) -> io::Result<Option<(Source, Arrived)>> {
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

fn of_socket(arrival: Arrival) -> (Source, Arrived) {
    (Source::of_ip(arrival.ip()), Arrived::Socket(arrival))
}

fn of_link(link: Box<dyn Link>) -> (Source, Arrived) {
    (Source::of(link.peer()), Arrived::Link(link))
}
