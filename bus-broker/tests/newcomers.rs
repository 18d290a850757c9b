//! New honest clients get in while somebody at another address connects as fast as he can and says nothing.
//!
//! The flood is a process of its own: it opens each of its connections again as soon as it is ended, and others
//! that it leaves at once. The control is a listener that is not protected: it accepts as slowly
//! as the broker hears such connections, and newcomers stay outside.

#[path = "common/authority.rs"]
mod authority;
#[path = "common/process.rs"]
mod child;
#[path = "common/source.rs"]
mod source;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, ClientOptions};
use futures::future::join_all;
use futures::{StreamExt, stream};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use child::{Process, say, task};
use source::{ELSEWHERE, connect_from};

/// The test that a child runs.
const CHILD: &str = "child_process";
/// Connections of the flood at a time: more than the system keeps until they are accepted.
const AT_A_TIME: usize = 6000;
/// When so many were ended, nothing is as it was before it.
const ESTABLISHED: usize = 3000;
/// What the system keeps for the listener that is not protected.
const LISTED: i32 = 1024;
/// Newcomers at each listener.
const NEWCOMERS: usize = 20;
/// In which each gets in: a connection that the system has once dropped takes longer than one second.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn child_process() {
    let Some(task) = task() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let addresses: Vec<&str> = task.split('|').collect();
    runtime.expect("a runtime").block_on(flood(&addresses));
}

/// Opens connections in vain, for ever. Every other one is left as soon as it is there.
async fn flood(addresses: &[&str]) {
    bus_core::sys::raise_file_limit();
    let one = async |number: usize| {
        let address = addresses[number / 2 % addresses.len()];
        let Ok(mut stream) = connect_from(ELSEWHERE, address).await else { return };
        if number.is_multiple_of(2) {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    };
    let mut all = stream::iter(0..usize::MAX).map(one).buffer_unordered(AT_A_TIME);
    let mut ended = 0;
    while let Some(()) = all.next().await {
        ended += 1;
        if ended == ESTABLISHED {
            say("established");
        }
    }
}

async fn begin_flood(task: &str) -> Process {
    let mut process = Process::start(None, task).expect("it is this user's");
    assert_eq!(process.line().await.as_deref(), Some("established"));
    process
}

#[tokio::test]
async fn newcomers_get_in_while_another_address_connects_as_fast_as_it_can() {
    let config = BrokerConfig::default()
        .listen("tcp://127.0.0.1:0".parse().expect("a URL"))
        .listen("tls://127.0.0.1:0".parse().expect("a URL"))
        .tls(authority::server_files());
    let broker = Broker::start(config).await.expect("starts");
    let addresses: Vec<&str> =
        broker.urls().iter().map(|url| url.split_once("//").expect("a URL").1).collect();
    let mut flood = begin_flood(&addresses.join("|")).await;
    for url in broker.urls() {
        let mut longest = Duration::ZERO;
        for number in 0..NEWCOMERS {
            let began = Instant::now();
            let options = authority::trusting(ClientOptions::default());
            let client = timeout(SOON, Client::connect_with(url, options)).await;
            let client = client.unwrap_or_else(|_| panic!("number {number} stands before {url}"));
            client.expect("connects").drain(Duration::from_secs(5)).await;
            longest = longest.max(began.elapsed());
        }
        eprintln!("{url}: {longest:?} at most");
    }
    flood.kill().await;
    broker.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_same_flood_keeps_newcomers_out_where_connections_are_accepted_slowly() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    rustix::net::listen(&listener, LISTED).expect("it listens already");
    let address = listener.local_addr().expect("an address").to_string();
    let (stop, stopped) = mpsc::sync_channel::<()>(1);
    // A thread of its own: newcomers would else be there just when there is room.
    let accepting = std::thread::spawn(move || {
        let pause = Duration::from_millis(6);
        while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            (0..2).for_each(|_| drop(listener.accept().expect("accepts")));
        }
    });
    let mut flood = begin_flood(&address).await;
    let one = || timeout(Duration::from_millis(900), TcpStream::connect(&address));
    let all = join_all((0..NEWCOMERS).map(|_| one())).await;
    let outside = all.iter().filter(|one| one.is_err()).count();
    eprintln!("{outside} of {NEWCOMERS} stay outside");
    drop(stop);
    accepting.join().expect("it has stopped");
    flood.kill().await;
    assert!(outside > NEWCOMERS / 2, "the flood lets {} in", NEWCOMERS - outside);
}
