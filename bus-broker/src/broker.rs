//! A broker on a thread of its own: start, address, drain, end.
//!
//! The thread runs one single-threaded runtime; everything that it owns ends with it. Dropping
//! the handle stops the broker without waiting.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use bus_core::transport::{TlsServerFiles, mem_listener, register_mem, unregister_mem};
use tokio::runtime::{self, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_local};
use tracing::error;

use crate::bridge::SharedBridges;
use crate::certificates::Certificates;
use crate::config::BrokerConfig;
use crate::handshakes::Handshakes;
use crate::hub::{Hub, SharedHub};
use crate::listen::Listener;
use crate::registry::Registry;
use crate::reload::{ReloadError, Reloaded};
use crate::system::System;
use crate::{lobby, reload, system, vigil};

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be had.
    #[error("cannot listen on {url}: {error}")]
    Listen {
        /// Which.
        url: String,
        /// Why.
        error: io::Error,
    },
    /// Anybody on the network could do anything.
    #[error(
        "{url} is reachable from other hosts, and nobody can show there who he is: listen on loopback, configure users who show credentials ([[user]]; over tcp:// that is a token), listen on tls:// with client_certificates = \"required\", or say --insecure if everybody on that network may use this bus"
    )]
    Insecure {
        /// Which.
        url: String,
    },
    /// Not built in this version.
    #[error(
        "{url}: this version cannot listen there (unsupported): it can on local:, tcp:// and tls://"
    )]
    Unsupported {
        /// Which.
        url: String,
    },
    /// A TLS listener has nothing to show.
    #[error(
        "{url}: there is no certificate to listen with: name it and its key in [tls] of the configuration, or with --tls-server-cert and --tls-server-key (`bus cert` makes some for trying it out)"
    )]
    NoCertificate {
        /// Which.
        url: String,
    },
    /// The files of certificates and keys cannot be used.
    #[error("{0}")]
    Certificate(String),
    /// A bridge cannot be run.
    #[error("{0}")]
    Bridge(String),
    /// The operating system refuses a thread, or randomness.
    #[error("cannot start the broker: {0}")]
    System(#[from] io::Error),
}

/// What was left when a broker stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Clients that were connected.
    pub clients: usize,
    /// Bytes that could not be written to them in time.
    pub unsent_bytes: usize,
    /// Messages in queues, which end with the broker.
    pub messages: u64,
}

/// A running broker.
pub struct Broker {
    url: String,
    urls: Vec<String>,
    registry: Registry,
    orders: mpsc::Sender<Order>,
}

/// What the thread is told.
enum Order {
    /// To take over what can change while it runs, certificates aside.
    Reload(Box<BrokerConfig>, oneshot::Sender<Result<Reloaded, ReloadError>>),
    /// To exchange the certificates of its listeners.
    Certificates(TlsServerFiles, oneshot::Sender<Result<(), ReloadError>>),
    /// To end.
    Stop(Duration, oneshot::Sender<DrainReport>),
}

/// What the thread tells when it is up.
type Started = Result<Vec<String>, StartError>;

impl Broker {
    /// Starts a broker: when this returns, it listens on all of its addresses, and answers to its
    /// own names (`$bus.stat` and others).
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub async fn start(config: BrokerConfig) -> Result<Broker, StartError> {
        let certificates = Certificates::read(&config)?;
        let registry = Registry::default();
        let (connector, inside) = mem_listener();
        let (orders, ordered) = mpsc::channel(1);
        let (tell, told) = oneshot::channel();
        let url = register_mem(connector);
        let shared = Shared { registry: registry.clone(), certificates };
        thread::Builder::new().name("bus-broker".into()).spawn(move || {
            let mut builder = runtime::Builder::new_current_thread();
            builder.enable_all().on_thread_park(vigil::before_sleep);
            let runtime = match builder.build_local(LocalOptions::default()) {
                Ok(runtime) => runtime,
                // Whoever waits for the start sees that it was dropped, or gets the error.
                Err(error) => return drop(tell.send(Err(error.into()))),
            };
            let main = run(config, shared, Listener::Mem(inside), tell, ordered);
            // In a task: what is awaited here is polled whenever any task is.
            let main = async { spawn_local(main).await };
            if let Err(error) = runtime.block_on(main) {
                error!(%error, "the broker has failed");
            }
        })?;
        let urls = told.await.map_err(|_| io::Error::other("the broker's thread ended"))??;
        Ok(Broker { url, urls, registry, orders })
    }

    /// The URL for clients in this process.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens for others, with the ports that it got.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The connected clients.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes over what can change while a broker runs: users, with their tokens and certificates,
    /// and the policy. It acts on those who are connected: who is no longer who he was loses the
    /// session, and what is no longer allowed ends. All of it, or nothing. The listeners' own
    /// certificates are another thing ([`Broker::reload_certificates`]). Cancelling lets it be done.
    ///
    /// # Errors
    /// When it would leave the broker open to other hosts, or the broker has ended.
    pub async fn reload(&self, config: BrokerConfig) -> Result<Reloaded, ReloadError> {
        let (tell, told) = oneshot::channel();
        let order = Order::Reload(Box::new(config), tell);
        self.orders.send(order).await.map_err(|_| ReloadError::Ended)?;
        told.await.map_err(|_| ReloadError::Ended)?
    }

    /// Reads certificates anew, from these files. Connections from now on see them, others stay.
    /// Cancelling lets it be done.
    ///
    /// # Errors
    /// When they cannot be used, would leave the broker open to other hosts, or the broker has
    /// ended: then nothing has changed.
    pub async fn reload_certificates(&self, files: &TlsServerFiles) -> Result<(), ReloadError> {
        let (tell, told) = oneshot::channel();
        let order = Order::Certificates(files.clone(), tell);
        self.orders.send(order).await.map_err(|_| ReloadError::Ended)?;
        told.await.map_err(|_| ReloadError::Ended)?
    }

    /// Stops: no new clients, what is to be written is written until the deadline, then all
    /// clients are told. Cancelling lets the broker go on stopping.
    pub async fn drain(self, deadline: Duration) -> DrainReport {
        let (tell, told) = oneshot::channel();
        if self.orders.send(Order::Stop(deadline, tell)).await.is_err() {
            return DrainReport::default();
        }
        told.await.unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        unregister_mem(&self.url);
    }
}

/// What the thread is given.
struct Shared {
    registry: Registry,
    certificates: Certificates,
}

async fn run(
    config: BrokerConfig,
    shared: Shared,
    inside: Listener,
    tell: oneshot::Sender<Started>,
    orders: mpsc::Receiver<Order>,
) {
    let mut epoch = [0u8; 8];
    if let Err(error) = getrandom::fill(&mut epoch) {
        return drop(tell.send(Err(io::Error::other(error.to_string()).into())));
    }
    let settings = config.clone();
    let (events, system_events) = system::events();
    let hub = Rc::new(RefCell::new(Hub::new(
        config,
        shared.registry,
        u64::from_le_bytes(epoch) | 1,
        events,
    )));
    vigil::keep_for(&hub);
    let listeners = match bind_all(&settings, &shared.certificates, inside).await {
        Ok(listeners) => listeners,
        Err(error) => return drop(tell.send(Err(error))),
    };
    let urls: Vec<String> = listeners.iter().skip(1).map(Listener::url).collect();
    hub.borrow_mut().listeners = urls.clone();
    hub.borrow().warn_if_open();
    // Before anybody is accepted: the broker's own names are there for whoever comes first.
    let own = match System::open(&hub).await {
        Ok(own) => own,
        Err(error) => return drop(tell.send(Err(io::Error::other(error.to_string()).into()))),
    };
    let handshakes = Handshakes::new(hub.borrow().config.throttle);
    let (mut tasks, places) = (JoinSet::new(), lobby::places(settings.listen.len()));
    for listener in listeners {
        tasks.spawn_local(listener.run(hub.clone(), handshakes.clone(), places));
    }
    tasks.spawn_local(keep_time(hub.clone()));
    let bridges = SharedBridges::default();
    for bridge in settings.bridges {
        if let Err(failure) = bridges.borrow_mut().add(&hub, bridge, true) {
            return drop(tell.send(Err(StartError::Bridge(failure.to_string()))));
        }
    }
    tasks.spawn_local(own.run(hub.clone(), bridges.clone(), system_events));
    // Nobody waits for the start any more: there is no handle, so there is no broker.
    if tell.send(Ok(urls)).is_err() {
        return;
    }
    let stop = follow(&hub, &bridges, &shared.certificates, orders).await;
    let ended = bridges.borrow_mut().end();
    futures::future::join_all(ended).await;
    // Their sockets are gone before anybody is told that the broker has ended.
    tasks.shutdown().await;
    if let Some((deadline, answer)) = stop {
        let report = end(&hub, deadline).await;
        // Whoever asked may have given up waiting.
        let _ = answer.send(report);
    }
}

/// The listener inside the process, and then those that are configured.
async fn bind_all(
    settings: &BrokerConfig,
    certificates: &Certificates,
    inside: Listener,
) -> Result<Vec<Listener>, StartError> {
    let mut listeners = vec![inside];
    for url in &settings.listen {
        listeners.push(Listener::bind(url, settings, certificates).await?);
    }
    Ok(listeners)
}

/// Does what the handle orders, until it is to end, or there is no handle any more.
async fn follow(
    hub: &SharedHub,
    bridges: &SharedBridges,
    certificates: &Certificates,
    mut orders: mpsc::Receiver<Order>,
) -> Option<(Duration, oneshot::Sender<DrainReport>)> {
    loop {
        match orders.recv().await {
            Some(Order::Reload(config, answer)) => {
                let result = reload::reload(hub, bridges, *config);
                // Whoever asked may have given up waiting.
                let _ = answer.send(result);
            }
            Some(Order::Certificates(files, answer)) => {
                let result = reload::certificates(hub, certificates, files).await;
                // The same holds here.
                let _ = answer.send(result);
            }
            Some(Order::Stop(deadline, answer)) => return Some((deadline, answer)),
            None => return None,
        }
    }
}

/// Lets the router do what is due, when it is due.
async fn keep_time(hub: SharedHub) {
    let timer = hub.borrow().timer.clone();
    loop {
        let next = hub.borrow_mut().advance();
        let wake = next.map(|next| hub.borrow().instant(next));
        tokio::select! {
            () = timer.notified() => {}
            () = sleep_until(wake) => {}
        }
    }
}

async fn sleep_until(wake: Option<std::time::Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}

/// Writes what is to be written, then lets all clients go.
async fn end(hub: &SharedHub, deadline: Duration) -> DrainReport {
    let until = tokio::time::Instant::now() + deadline;
    let (clients, _) = hub.borrow().unsent();
    let messages = hub.borrow().messages();
    hub.borrow_mut().announce_end();
    loop {
        let (connected, unsent_bytes) = hub.borrow().unsent();
        if connected == 0 || tokio::time::Instant::now() >= until {
            return DrainReport { clients, unsent_bytes, messages };
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
