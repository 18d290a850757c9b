//! Clients that are stopped while they should read or write, and an honest one whose payloads
//! are full of words that would be commits.

use std::time::Duration;

use bus_client::{Client, SlowPolicy, SubscribeOptions, Transport};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use crate::broker::BrokerProcess;
use crate::dice::Dice;
use crate::layout::commit_word;
use crate::process::{Process, say};
use crate::scene::Scene;

const TOPIC: &str = "stopped";
/// Longer than anything takes that works, also where the machine has much else to do.
const SOON: Duration = Duration::from_secs(60);

/// Reads a topic, until it is stopped.
pub async fn read(url: &str) {
    let client = Client::connect(url).await.expect("connects");
    let options = SubscribeOptions::default().policy(SlowPolicy::End);
    let mut all = client.subscribe_with(TOPIC, options).await.expect("subscribes");
    say("begins");
    while all.next().await.is_some() {}
}

/// Writes to a topic messages that are longer than its lane, until it is stopped.
pub async fn write(url: &str) {
    let client = Client::connect(url).await.expect("connects");
    let publisher = client.publisher(TOPIC).await.expect("opens");
    say("begins");
    loop {
        publisher.publish(vec![7; 900_000]).await.expect("there is a broker");
    }
}

/// Stops a client at its work: the honest ones go on, also with what it reads or writes.
pub async fn stop(scene: &mut Scene, task: &str) {
    let url = scene.broker.url("shm");
    let mut child = Process::start(None, &format!("{task}|{url}")).expect("it is this user's");
    assert_eq!(child.line().await.as_deref(), Some("begins"));
    let pid = i32::try_from(child.pid()).ok().and_then(Pid::from_raw).expect("a pid");
    scene.goes_on(5).await;
    kill_process(pid, Signal::STOP).expect("it runs");
    let client = Client::connect(&url).await.expect("connects");
    let mut beside = client.subscribe(TOPIC).await.expect("subscribes");
    let publisher = client.publisher(TOPIC).await.expect("opens");
    // More than its lane, its window and its backlog take.
    for number in 0..60u8 {
        let whole = async {
            publisher.publish(vec![number; 100_000]).await.expect("there is a broker");
            loop {
                let found = beside.next().await.expect("it goes on").expect("a message");
                if found.payload().len() == 100_000 {
                    assert!(found.payload().iter().all(|byte| *byte == number), "{number}");
                    break;
                }
                // What the stopped one has written before.
                assert!(found.payload().iter().all(|byte| *byte == 7), "it is torn");
            }
        };
        timeout(SOON, whole).await.expect("nobody is stopped by it");
    }
    scene.goes_on(20).await;
    child.kill().await;
    drop((publisher, beside));
    client.drain(SOON).await;
    scene.returns(task).await;
}

/// Payloads full of commit words that fit where they will be laps later, in both directions.
pub async fn forge() {
    let broker = BrokerProcess::start().await;
    let url = broker.url("shm");
    let client = Client::connect(&url).await.expect("connects");
    assert_eq!(client.transport().transport, Some(Transport::SharedMemory));
    let reader = Client::connect(&url).await.expect("connects");
    let mut all = reader.subscribe("forged").await.expect("subscribes");
    let publisher = client.publisher("forged").await.expect("opens");
    let capacity = bus_core::shm::LANE_BYTES_DEFAULT as u64;
    let (mut dice, mut sent) = (Dice::new(crate::seed()), 0u64);
    while sent < 12 * capacity {
        let words = 1 + dice.below(400);
        // Of this lap or one of the next, for a short frame or an empty one; shifted, so that
        // each place of a frame is met.
        let lap = sent / capacity + dice.below(4);
        let forged = commit_word(lap * capacity, 8 * dice.below(3), capacity);
        let mut body = vec![0; dice.below(8) as usize];
        body.extend(std::iter::repeat_n(forged.to_le_bytes(), words as usize).flatten());
        sent += body.len() as u64;
        publisher.publish(body.clone()).await.expect("there is a broker");
        let found = timeout(SOON, all.next()).await.expect("it comes soon");
        let found = found.expect("it goes on").expect("a message");
        assert!(found.payload() == &body[..], "a payload has become a frame");
    }
    drop((publisher, all));
    broker.ends_cleanly().await;
}
