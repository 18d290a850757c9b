//! A broker on a thread of its own: start, address, drain, end.
//!
//! The thread runs one single-threaded runtime; everything that it owns ends with it. Dropping
//! the handle stops the broker without waiting.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use bus_core::sys::{Inherited, aside};
use bus_core::transport::{TlsServerFiles, mem_listener, register_mem, unregister_mem};
use tokio::runtime::{self, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, spawn_local};
use tracing::error;

use crate::bridge::SharedBridges;
use crate::certificates::Certificates;
use crate::config::BrokerConfig;
use crate::handshakes::Handshakes;
use crate::hub::{Hub, SharedHub};
use crate::listen::Listener;
use crate::metrics::Metrics;
use crate::preflight::{of_bridge, preflight};
use crate::registry::Registry;
use crate::reload::{Reading, ReloadError, Reloaded};
use crate::start_error::StartError;
use crate::surroundings::Surroundings;
use crate::system::System;
use crate::{elbow_room, gate, handed_over, lobby, reload, system, vigil};

/// How long a broker that ends waits for those who have connected and not said who they are.
const LAST_HEARD: Duration = Duration::from_millis(500);

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
    metrics: Option<Metrics>,
    changes: mpsc::Sender<Change>,
    stop: mpsc::Sender<Stop>,
}

/// What the thread is told to become. It may take long: the end waits for none of it.
enum Change {
    /// To take over what can change while it runs.
    Reload(Reading, oneshot::Sender<Result<Reloaded, ReloadError>>),
    /// To exchange the certificates of its listeners.
    Certificates(TlsServerFiles, oneshot::Sender<Result<(), ReloadError>>),
}

/// It is to end within so long, and to say what was left.
type Stop = (Duration, oneshot::Sender<DrainReport>);

/// What the thread tells when it is up.
type Started = Result<Vec<String>, StartError>;

impl Broker {
    /// Starts a broker: when this returns, it listens on all of its addresses, and answers to its
    /// own names (`$bus.stat` and others).
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub async fn start(config: BrokerConfig) -> Result<Broker, StartError> {
        Broker::start_within(config, Surroundings::default()).await
    }

    /// Starts a broker that is given more than its configuration.
    ///
    /// # Errors
    /// As [`Broker::start`], and when one of the sockets cannot be used or is left over.
    pub async fn start_within(
        config: BrokerConfig,
        surroundings: Surroundings,
    ) -> Result<Broker, StartError> {
        let wanted = config.metrics;
        // Files may be slow to read: whoever starts a broker may have others on his thread.
        let checked = aside(move || {
            let certificates = preflight(&config)?;
            Ok::<_, StartError>((config, certificates))
        });
        let (config, certificates) = checked.await??;
        let registry = Registry::default();
        let (connector, inside) = mem_listener();
        let ((changes, changed), (stop, stopped)) = (mpsc::channel(1), mpsc::channel(1));
        let (tell, told) = oneshot::channel();
        let url = register_mem(connector);
        let shared = Shared { registry: registry.clone(), certificates, surroundings };
        thread::Builder::new().name("bus-broker".into()).spawn(move || {
            let mut builder = runtime::Builder::new_current_thread();
            builder.enable_all().on_thread_park(vigil::before_sleep);
            let runtime = match builder.build_local(LocalOptions::default()) {
                Ok(runtime) => runtime,
                // Whoever waits for the start sees that it was dropped, or gets the error.
                Err(error) => return drop(tell.send(Err(elbow_room::of(error)))),
            };
            let main = run(config, shared, Listener::Mem(inside), tell, (changed, stopped));
            // In a task: what is awaited here is polled whenever any task is.
            let main = async { spawn_local(main).await };
            if let Err(error) = runtime.block_on(main) {
                error!(%error, "the broker has failed");
            }
        })?;
        let urls = told.await.map_err(|_| io::Error::other("the broker's thread ended"))??;
        let mut broker = Broker { url, urls, registry, metrics: None, changes, stop };
        if let Some(address) = wanted {
            let failed = |error| StartError::Listen { url: format!("http://{address}"), error };
            broker.metrics = Some(Metrics::start(address, &broker.url).map_err(failed)?);
        }
        Ok(broker)
    }

    /// The URL for clients in this process.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens for others, with the ports that it got.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Where it serves its metrics, with the port that it got.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(Metrics::address)
    }

    /// The connected clients.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes over what can change while a broker runs: users, with their tokens and certificates,
    /// the policy, bridges, and what the listeners' certificates are. It acts on those who are connected: who is
    /// no longer who he was loses the session, and what is no longer allowed ends. All of it, or
    /// nothing. One at a time, in order. Cancelling lets it be done.
    ///
    /// # Errors
    /// When something that it names cannot be read, when it would leave the broker open to other hosts, or the
    /// broker has ended.
    pub async fn reload(&self, config: BrokerConfig) -> Result<Reloaded, ReloadError> {
        self.reload_from(move || Ok(config)).await
    }

    /// The same, with a configuration that is still to be read, which may take for ever: it is done on a thread of
    /// its own. What went wrong there is told as anything else that goes wrong, in the log and as an event.
    ///
    /// # Errors
    /// As [`Broker::reload`], and when the configuration cannot be had.
    pub async fn reload_from(
        &self,
        read: impl FnOnce() -> Result<BrokerConfig, String> + Send + 'static,
    ) -> Result<Reloaded, ReloadError> {
        let (tell, told) = oneshot::channel();
        let change = Change::Reload(Box::new(read), tell);
        self.changes.send(change).await.map_err(|_| ReloadError::Ended)?;
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
        let change = Change::Certificates(files.clone(), tell);
        self.changes.send(change).await.map_err(|_| ReloadError::Ended)?;
        told.await.map_err(|_| ReloadError::Ended)?
    }

    /// Stops: no new clients, what is to be written is written until the deadline, then all
    /// clients are told. Cancelling lets the broker go on stopping.
    pub async fn drain(mut self, deadline: Duration) -> DrainReport {
        // Its client is none that is to be waited for.
        drop(self.metrics.take());
        let (tell, told) = oneshot::channel();
        if self.stop.send((deadline, tell)).await.is_err() {
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
    surroundings: Surroundings,
}

async fn run(
    config: BrokerConfig,
    shared: Shared,
    inside: Listener,
    tell: oneshot::Sender<Started>,
    (changes, stopped): (mpsc::Receiver<Change>, mpsc::Receiver<Stop>),
) {
    let mut epoch = [0u8; 8];
    if let Err(error) = getrandom::fill(&mut epoch) {
        return drop(tell.send(Err(io::Error::other(error.to_string()).into())));
    }
    let settings = config.clone();
    let (events, system_events) = system::events();
    let epoch = u64::from_le_bytes(epoch) | 1;
    let hub = Rc::new(RefCell::new(Hub::new(config, shared.registry, epoch, events)));
    vigil::keep_for(&hub);
    let Surroundings { sockets, beat } = shared.surroundings;
    let listeners = match bind_all(&settings, &shared.certificates, inside, sockets).await {
        Ok(listeners) => listeners,
        Err(error) => return drop(tell.send(Err(error))),
    };
    let urls: Vec<String> = listeners.iter().skip(1).map(Listener::url).collect();
    hub.borrow_mut().listeners = urls.clone();
    hub.borrow().warn_if_open();
    // Before anybody is accepted: the broker's own names are there for whoever comes first.
    let own = System::open(&hub).await.map_err(|error| io::Error::other(error.to_string()).into());
    let own = match own.and_then(|own| elbow_room::check(&settings).map(|()| own)) {
        Ok(own) => own,
        Err(error) => return drop(tell.send(Err(error))),
    };
    let handshakes = Handshakes::new(hub.borrow().config.throttle);
    let listening = Listening::begin(listeners, &hub, &handshakes, settings.listen.len());
    let (mut tasks, bridges) = (JoinSet::new(), SharedBridges::default());
    beat.into_iter().for_each(|beat| drop(tasks.spawn_local(beat.go_on())));
    tasks.spawn_local(keep_time(hub.clone()));
    for bridge in settings.bridges {
        if let Err(failure) = bridges.borrow_mut().add(&hub, bridge, true) {
            return drop(tell.send(Err(of_bridge(failure))));
        }
    }
    tasks.spawn_local(own.run(hub.clone(), bridges.clone(), system_events));
    // Nobody waits for the start any more: there is no handle, so there is no broker.
    if tell.send(Ok(urls)).is_err() {
        return;
    }
    let stop = tokio::select! {
        stop = until_stopped(stopped) => stop,
        () = follow(&hub, &bridges, &shared.certificates, changes) => None,
    };
    let ended = bridges.borrow_mut().end();
    futures::future::join_all(ended).await;
    listening.close(&handshakes, stop.as_ref().map_or(Duration::ZERO, |stop| stop.0)).await;
    tasks.shutdown().await;
    if let Some((deadline, answer)) = stop {
        let report = end(&hub, deadline).await;
        // Whoever asked may have given up waiting.
        let _ = answer.send(report);
    }
}

/// The listeners, each in a task of its own.
struct Listening {
    close: watch::Sender<bool>,
    accepting: JoinSet<()>,
}

impl Listening {
    /// Connections are accepted from now on. So many of the listeners are for others.
    fn begin(
        listeners: Vec<Listener>,
        hub: &SharedHub,
        handshakes: &Handshakes,
        for_others: usize,
    ) -> Listening {
        let (close, closing) = watch::channel(false);
        let (places, mut accepting) = (lobby::places(for_others), JoinSet::new());
        for listener in listeners {
            let (hub, handshakes) = (hub.clone(), handshakes.clone());
            accepting.spawn_local(gate::run(listener, hub, handshakes, places, closing.clone()));
        }
        Listening { close, accepting }
    }

    /// Closes them. The sockets are gone before anybody is told that the broker has ended; who has come by then gets
    /// in, and is told: he might find nobody if he had to come again.
    async fn close(mut self, handshakes: &Handshakes, deadline: Duration) {
        self.close.send_replace(true);
        while self.accepting.join_next().await.is_some() {}
        let over = async {
            while !handshakes.are_over() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // Those who say nothing are not waited for any longer.
        let _ = tokio::time::timeout(LAST_HEARD.min(deadline), over).await;
    }
}

/// The listener inside the process, and then those that are configured, with the sockets that there are for them.
async fn bind_all(
    settings: &BrokerConfig,
    certificates: &Certificates,
    inside: Listener,
    sockets: Vec<Inherited>,
) -> Result<Vec<Listener>, StartError> {
    let sockets = handed_over::assign(sockets, &settings.listen)?;
    let mut listeners = vec![inside];
    for (url, socket) in settings.listen.iter().zip(sockets) {
        listeners.push(Listener::bind(url, settings, certificates, socket).await?);
    }
    Ok(listeners)
}

/// Waits until it is to end, or there is no handle any more.
async fn until_stopped(mut stopped: mpsc::Receiver<Stop>) -> Option<Stop> {
    stopped.recv().await
}

/// Becomes what the handle orders, one after the other, until there is no handle any more.
async fn follow(
    hub: &SharedHub,
    bridges: &SharedBridges,
    certificates: &Certificates,
    mut changes: mpsc::Receiver<Change>,
) {
    while let Some(change) = changes.recv().await {
        // Whoever asked may have given up waiting.
        match change {
            Change::Reload(read, answer) => {
                let _ = answer.send(reload::reload(hub, bridges, certificates, read).await);
            }
            Change::Certificates(files, answer) => {
                let _ = answer.send(reload::certificates(hub, certificates, files).await);
            }
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
