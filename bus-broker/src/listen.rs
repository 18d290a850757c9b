//! The broker's listeners: each accepts, and hands every connection to a task of its own.
//!
//! A listener outlives errors of accepting: without free descriptors it pauses and goes on. To take
//! and to end connections is all that somebody needs to keep the broker busy: so those from where too
//! many come wait on the doorstep, where a few are heard at a time, while all others pass them by.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bus_core::BusUrl;
#[cfg(feature = "tls")]
use bus_core::transport::TlsListener;
use bus_core::transport::{
    Arrival, Backlog, Link, LocalListener, MemListener, TcpListener, default_path,
};
use futures::FutureExt;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::broker::StartError;
use crate::certificates::Certificates;
use crate::config::BrokerConfig;
use crate::doorstep::{Arrived, Doorstep, Newcomer};
use crate::handshakes::{Handshakes, Source};
use crate::hub::SharedHub;
use crate::log_bound::LogBound;
use crate::porter::Porter;
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

    /// Accepts for ever, or until nobody can connect any more. So many connections may wait before it.
    pub async fn run(mut self, hub: SharedHub, handshakes: Handshakes, places: usize) {
        let url = self.url();
        let doorstep = Doorstep::new((&hub, &handshakes), url.clone(), self.is_clear(), places);
        let mut errors = LogBound::of_one();
        let mut gate = Gate { hub, handshakes, doorstep, accepted: 0 };
        let (mut porter, mut turn) = (Porter::default(), Instant::now());
        loop {
            let result = if gate.doorstep.is_empty() {
                match self.accept().await {
                    Ok(Some(one)) => gate.admit(&self, one).await.map(drop),
                    Ok(None) => return,
                    Err(error) => Err(error),
                }
            } else {
                sleep_until(turn).await;
                turn = Instant::now() + self.pace().breath;
                self.turn(&mut gate, &mut porter).await
            };
            if let Err(error) = result {
                if let Some(left_out) = errors.take(gate.hub.borrow().now()) {
                    warn!(listener = url, %error, left_out, "cannot accept");
                }
                // Those who wait may have what is missing: they are looked at before the next one.
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Somebody waits: those whose turn it is are heard, and what has come meanwhile is taken.
    async fn turn(&mut self, gate: &mut Gate, porter: &mut Porter) -> io::Result<()> {
        let Pace { many, few, .. } = self.pace();
        let mut errand = gate.doorstep.errand();
        let (mut taken, mut result) = (Vec::new(), Ok(()));
        if let Some(backlog) = self.backlog() {
            errand.take = many as usize;
            let report = porter.run(errand, backlog).await;
            let now = gate.hub.borrow().now();
            gate.doorstep.seen(report.seen, now);
            taken = report.taken;
            result = report.error.map_or(Ok(()), Err);
        }
        let now = gate.hub.borrow().now();
        // One that cannot be heard keeps no other one from it.
        for heard in gate.doorstep.next_heard(few, now) {
            result = result.and(self.hear(heard, &gate.hub, &gate.handshakes));
        }
        for arrival in taken {
            result = result.and(gate.admit(self, of_socket(arrival)).await.map(drop));
        }
        let mut entered = 0;
        while entered < many && self.has_links() && result.is_ok() {
            match self.accept().now_or_never() {
                Some(Ok(Some(one))) => entered += u32::from(gate.admit(self, one).await?),
                Some(Err(error)) => result = Err(error),
                Some(Ok(None)) | None => break,
            }
        }
        result
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

    /// What has come to it, if those are bare sockets.
    fn backlog(&mut self) -> Option<Backlog> {
        match self {
            Listener::Local(_) | Listener::Mem(_) => None,
            Listener::Tcp(listener) => Some(listener.backlog()),
            #[cfg(feature = "tls")]
            Listener::Tls(listener) => Some(listener.backlog()),
        }
    }

    fn has_links(&self) -> bool {
        matches!(self, Listener::Local(_) | Listener::Mem(_))
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

/// What a listener needs to let somebody in.
struct Gate {
    hub: SharedHub,
    handshakes: Handshakes,
    doorstep: Doorstep,
    accepted: u32,
}

impl Gate {
    /// One has come: it is heard, or waits. Tells whether it waits.
    async fn admit(
        &mut self,
        listener: &Listener,
        (source, arrived): (Source, Arrived),
    ) -> io::Result<bool> {
        self.accepted = self.accepted.wrapping_add(1);
        if self.accepted.is_multiple_of(IN_A_ROW_MAX) {
            yield_now().await;
        }
        let now = self.hub.borrow().now();
        let wait = self.handshakes.arrives(source, now);
        let newcomer = Newcomer { source, arrived, wait };
        if wait.is_zero() {
            return listener.hear(newcomer, &self.hub, &self.handshakes).map(|()| false);
        }
        self.doorstep.enter(newcomer, now);
        Ok(true)
    }
}

fn of_socket(arrival: Arrival) -> (Source, Arrived) {
    (Source::of_ip(arrival.ip()), Arrived::Socket(arrival))
}

fn of_link(link: Box<dyn Link>) -> (Source, Arrived) {
    (Source::of(link.peer()), Arrived::Link(link))
}
