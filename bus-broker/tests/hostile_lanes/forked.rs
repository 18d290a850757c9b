//! A client that forks: its child has none of its lanes, or there would be two writers; and a child
//! that holds its socket does not hold what it was given.

use std::time::Duration;

use bus_client::{Client, QueueOptions, Selector};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::bare_memory::{fork_and_hold, fork_and_look_for};
use crate::broker::BrokerProcess;
use crate::by_hand::{Pages, Region};
use crate::process::{Process, say};

/// Names in the map: of what a client on lanes has, and of a region that is kept from nobody.
const NAMES: &[&[u8]] = &[b"memfd:bus-lane", b"memfd:bus-cursor", b"memfd:control"];

/// What is said of a process and its forked child: whether each name stands in their maps.
pub const EXPECTED: &str = "the client has [true, true, true], its child [false, false, true]";

pub async fn fork(url: &str) {
    let client = Client::connect(url).await.expect("connects");
    let none = (MemfdFlags::empty(), SealFlags::empty());
    let control = Region::new("control", 4096, Pages::All, none.0, none.1, &[]);
    let control = control.expect("a region");
    let maps = std::fs::read("/proc/self/maps").expect("this is Linux");
    let has = |name: &&[u8]| maps.windows(name.len()).any(|part| part == *name);
    let own: Vec<bool> = NAMES.iter().map(has).collect();
    let child = fork_and_look_for(NAMES).expect("it forks");
    say(format_args!("the client has {own:?}, its child {child:?}"));
    drop((client, control));
}

const QUEUE: &str = "forked";
/// Longer than anybody here waits.
const LEASE: Duration = Duration::from_secs(3600);
/// Longer than anything takes that works, also where the machine has much else to do.
const SOON: Duration = Duration::from_secs(60);

/// Takes a message, forks, and lives until it is killed.
pub async fn take_and_fork(url: &str) {
    let client = Client::connect(url).await.expect("connects");
    let queue = client.queue(QUEUE).await.expect("opens");
    let delivery = queue.receive(Selector::Any).await.expect("it is there");
    say(fork_and_hold().expect("it forks"));
    std::future::pending::<()>().await;
    drop(delivery);
}

/// A client that has a message dies, and its child, which has its socket, lives on: the message
/// comes back, long before its lease is over and without a hang-up.
pub async fn hold_the_socket_of_a_dead_client(broker: &BrokerProcess) {
    let client = Client::connect(&broker.url("unix")).await.expect("connects");
    let options = QueueOptions::default().lease(LEASE);
    let queue = client.queue_with(QUEUE, options).await.expect("opens");
    queue.send("once").await.expect("there is room");
    let mut taker = Process::start(None, &format!("take and fork|{}", broker.url("shm")))
        .expect("it is this user's");
    let child = taker.line().await.expect("it says its child's number");
    let child = child.parse().ok().and_then(Pid::from_raw).expect("a number");
    let sockets = sockets_of(child.as_raw_pid());
    assert!(!sockets.is_empty(), "the child has nothing open");
    let of_the_taker = sockets_of(taker.pid().try_into().expect("a number"));
    assert!(of_the_taker.iter().all(|socket| sockets.contains(socket)), "it has all of them");
    taker.kill().await;
    let back = queue.receive_timeout(Selector::Any, SOON).await.expect("it comes back");
    assert_eq!(back.payload()[..], *b"once");
    assert_eq!(sockets_of(child.as_raw_pid()), sockets, "the child still has its sockets");
    back.ack().await.expect("in time");
    kill_process(child, Signal::KILL).expect("it lives until now");
    // Its parent is gone: whoever has taken it over sees to the rest.
    while test_kill_process(child).is_ok() && !sockets_of(child.as_raw_pid()).is_empty() {
        tokio::task::yield_now().await;
    }
}

/// The sockets that a process has open, by their numbers.
fn sockets_of(pid: i32) -> Vec<String> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let names = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let mut sockets: Vec<String> = names.filter(|name| name.starts_with("socket:")).collect();
    sockets.sort();
    sockets
}
