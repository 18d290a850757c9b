//! A broker that is started anew while clients connect and work: with sockets that its manager keeps nobody is turned
//! away, and what was accepted arrives or is accounted for.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bus_client::{Client, ClientOptions, Error, ErrorKind, QueueOptions, Selector};
use rustix::process::Signal;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::activator::{Activator, Service};
use crate::stage::PATIENCE;

/// How often it is started anew.
const RESTARTS: usize = 4;
/// What is accepted and received between two of those at the least.
const BETWEEN: u64 = 100;

/// What all who load the broker count together.
#[derive(Debug, Default)]
struct Counts {
    over: AtomicBool,
    /// Connections that the system refused.
    refused: AtomicU64,
    /// Connections that were made, but no client came to be by them.
    turned_away: AtomicU64,
    connected: AtomicU64,
    clients: AtomicU64,
    accepted: AtomicU64,
    received: AtomicU64,
}

impl Counts {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until there is so much more of everything.
    async fn go_on(&self) {
        let all = [&self.connected, &self.clients, &self.accepted, &self.received];
        let wanted = all.map(|one| one.load(Ordering::Relaxed) + BETWEEN);
        let grown = async {
            while all.iter().zip(wanted).any(|(one, wanted)| one.load(Ordering::Relaxed) < wanted) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let grown = tokio::time::timeout(PATIENCE, grown).await;
        assert!(grown.is_ok(), "not all goes on: {self:?}, and {wanted:?} were to come");
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn options() -> ClientOptions {
    // A start may take longer where the machine has much else to do.
    ClientOptions::default().connect_timeout(PATIENCE)
}

/// Over TCP nobody is known, and whoever comes first makes the queue.
fn for_all() -> QueueOptions {
    QueueOptions::default().mode(0o777)
}

/// Connects without end, and says nothing.
async fn knock(counts: Arc<Counts>, path: PathBuf, address: SocketAddr) {
    while !counts.is_over() {
        let local = UnixStream::connect(&path).await.map(drop);
        let tcp = TcpStream::connect(address).await.map(drop);
        for connected in [local, tcp] {
            match connected {
                Ok(()) => add(&counts.connected),
                // There was no room for it at this moment.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => add(&counts.refused),
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Comes as a new client, asks something, and goes, without end.
async fn come_and_go(counts: Arc<Counts>, url: String) {
    while !counts.is_over() {
        match Client::connect_with(&url, options().reconnect(false)).await {
            Ok(client) => {
                add(&counts.clients);
                // The broker may end meanwhile.
                let _ = client.ping().await;
                client.drain(PATIENCE).await;
            }
            Err(_) => add(&counts.turned_away),
        }
    }
}

/// Sends numbers without end. Those that were accepted, and those of which that is not known.
async fn send(counts: Arc<Counts>, url: String) -> (BTreeSet<u64>, u64) {
    let client = Client::connect_with(&url, options()).await.expect("connects");
    let (mut accepted, mut unknown, mut number) = (BTreeSet::new(), 0, 0);
    while !counts.is_over() {
        // It is another queue with each broker.
        let Ok(queue) = client.queue_with("jobs", for_all()).await else { continue };
        while !counts.is_over() {
            number += 1;
            match queue.send(number.to_string()).await {
                Ok(_) => {
                    accepted.insert(number);
                    add(&counts.accepted);
                }
                Err(error) => {
                    unknown += u64::from(error.kind() == ErrorKind::OutcomeUnknown);
                    break;
                }
            }
        }
    }
    client.drain(PATIENCE).await;
    (accepted, unknown)
}

/// Receives without end, and keeps what it was given.
async fn receive(counts: Arc<Counts>, url: String, last: Arc<AtomicBool>) -> BTreeSet<u64> {
    let client = Client::connect_with(&url, options()).await.expect("connects");
    let mut received = BTreeSet::new();
    let mut take = async || -> Result<(), Error> {
        let queue = client.queue_with("jobs", for_all()).await?;
        loop {
            match queue.receive_timeout(Selector::Any, Duration::from_millis(50)).await {
                Ok(delivery) => {
                    let text = String::from_utf8_lossy(delivery.payload()).into_owned();
                    received.insert(text.parse().expect("a number"));
                    add(&counts.received);
                    delivery.ack().await?;
                }
                // Nothing has come, and nothing will any more.
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    if last.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    };
    while take().await.is_err() {}
    received
}

/// What stood in queues when a broker ended.
fn gone(said: &str) -> u64 {
    let (_, count) =
        said.rsplit_once("now gone: ").unwrap_or_else(|| panic!("it does not say: {said}"));
    count.lines().next().and_then(|count| count.parse().ok()).expect("a number")
}

#[tokio::test]
async fn a_restart_with_sockets_that_are_kept_refuses_nobody_and_loses_nothing_unsaid() {
    let activator = Activator::new();
    let [local, tcp] = activator.urls();
    let start = || activator.start(&["-l", &local, "-l", &tcp], &[]);
    let mut service = start();
    service.says("listening on tcp:").await;
    let (counts, last) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let (path, address): (PathBuf, SocketAddr) = (activator.path(), activator.address());
    let knocks = tokio::spawn(knock(counts.clone(), path, address));
    let mut visitors = JoinSet::new();
    for url in [&local, &tcp] {
        visitors.spawn(come_and_go(counts.clone(), url.clone()));
    }
    let sender = tokio::spawn(send(counts.clone(), tcp.clone()));
    let receiver = tokio::spawn(receive(counts.clone(), local.clone(), last.clone()));
    let mut left = 0;
    for _ in 0..RESTARTS {
        counts.go_on().await;
        service.signal(Signal::TERM);
        let (code, said) = service.end().await;
        assert_eq!(code, Some(0), "{said}");
        left += gone(&said);
        service = start();
    }
    counts.go_on().await;
    counts.over.store(true, Ordering::Relaxed);
    knocks.await.expect("it ends");
    visitors.join_all().await;
    let (accepted, unknown) = sender.await.expect("it ends");
    last.store(true, Ordering::Relaxed);
    let received = receiver.await.expect("it ends");
    let missing = accepted.difference(&received).count() as u64;
    let count = |one: &AtomicU64| one.load(Ordering::Relaxed);
    println!(
        "restarts: {RESTARTS}; connections: {}; clients: {}; accepted: {}; not known: {unknown}; \
         accepted and not received: {missing}; said to be gone: {left}",
        count(&counts.connected),
        count(&counts.clients),
        accepted.len()
    );
    assert_eq!(count(&counts.refused), 0, "connections were refused");
    assert_eq!(count(&counts.turned_away), 0, "clients were turned away");
    assert!(missing <= left, "{missing} are missing, and {left} were said to be gone");
    // What arrived without a receipt is what was reported as not known.
    let unasked = received.difference(&accepted).count() as u64;
    assert!(unasked <= unknown, "{unasked} arrived of {unknown} that were not known");
}

#[tokio::test]
async fn a_restart_of_a_broker_that_binds_its_addresses_itself_refuses_some() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bus.sock");
    let local = format!("local:{}", path.display());
    let mut service = Service::unassisted(&["-l", &local, "-l", "tcp://127.0.0.1:0"]);
    let line = service.says("listening on tcp:").await;
    let tcp = line.rsplit_once("listening on ").expect("an address").1.to_owned();
    let address = tcp.trim_start_matches("tcp://").parse().expect("an address");
    let counts = Arc::new(Counts::default());
    let knocks = tokio::spawn(knock(counts.clone(), path, address));
    let connected = async |more: u64| {
        let wanted = counts.connected.load(Ordering::Relaxed) + more;
        while counts.connected.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    connected(BETWEEN).await;
    service.signal(Signal::TERM);
    assert_eq!(service.end().await.0, Some(0));
    let mut service = Service::unassisted(&["-l", &local, "-l", &tcp]);
    service.says("listening on tcp:").await;
    connected(BETWEEN).await;
    counts.over.store(true, Ordering::Relaxed);
    knocks.await.expect("it ends");
    assert!(counts.refused.load(Ordering::Relaxed) > 0, "the same load has noticed nothing");
}
