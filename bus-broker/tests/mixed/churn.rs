//! Clients that come, say one thing and go, one after the other: what both brokers keep of them is bounded.
//!
//! They keep a mark of each source for an hour (some 65,000 of them), and names of senders for each session that
//! sees them (some 4,096). So their memory rises for long under a load that lasts, and then no more.

use bus_client::Client;
use futures::StreamExt;
use futures::stream::iter;
use tokio::task::JoinHandle;

use crate::brokers::{Brokers, Place};
use crate::member::{ECHO, TOPIC};
use crate::survivors::patient;

/// So many clients between two looks: more than names are kept.
const STEP: u64 = 10_000;
/// Steps after which all that is bounded by a number is full.
const FULL: u64 = 3;
/// What may come to either broker after that for each client: half of them are sources from beyond the bridge, and a
/// mark takes some 350 bytes.
const BYTES_MAX: u64 = 300;
/// At a time.
const AT_A_TIME: usize = 8;

/// So many steps, and what both brokers hold after each.
pub async fn run(steps: u64) -> Vec<[u64; 2]> {
    let brokers = Brokers::start().await;
    let server = brokers.client(Place::Far, "unix").await;
    let mut calls = server.serve(ECHO, 64).await.expect("serves");
    let answering = tokio::spawn(async move {
        while let Some(Ok(call)) = calls.next().await {
            let question = call.message().clone();
            // Who has asked waits for it.
            let _ = call.reply(question);
        }
    });
    let mut readers = Vec::new();
    for place in [Place::Near, Place::Far] {
        let reader = brokers.client(place, "shm").await;
        let mut all = reader.subscribe(TOPIC).await.expect("subscribes");
        readers.push(tokio::spawn(async move { while all.next().await.is_some() {} }));
    }
    let mut held = Vec::new();
    for _ in 0..steps {
        iter(0..STEP).for_each_concurrent(AT_A_TIME, |number| visit(&brokers, number)).await;
        held.push(brokers.figures().map(|figures| figures.memory_kib));
        eprintln!("{} clients: near and far hold {:?} KiB", held.len() as u64 * STEP, held.last());
    }
    answering.abort();
    readers.iter().for_each(JoinHandle::abort);
    drop(server);
    brokers.end().await;
    held
}

async fn visit(brokers: &Brokers, number: u64) {
    let place = [Place::Near, Place::Far][number as usize % 2];
    let client: Client = brokers.client(place, "unix").await;
    let publisher = client.publisher_with(TOPIC, patient()).await.expect("opens");
    publisher.publish("seen").await.expect("there is a broker");
    publisher.flush().await.expect("there is a broker");
    let answer = client.request(ECHO, "heard", crate::cast::SOON).await.expect("an answer");
    assert_eq!(&answer.payload()[..], b"heard");
    client.drain(crate::cast::SOON).await;
}

/// Whether it has stopped growing, but for marks.
pub fn is_bounded(held: &[[u64; 2]]) -> Result<(), String> {
    let after = held.get(FULL as usize - 1..).unwrap_or_default();
    let [first, .., last] = after else {
        return Err("too few steps".into());
    };
    let clients = (after.len() as u64 - 1) * STEP;
    for (first, last) in first.iter().zip(last) {
        let bytes = last.saturating_sub(*first) * 1024 / clients.max(1);
        if bytes > BYTES_MAX {
            return Err(format!("{bytes} bytes for each client: {held:?}"));
        }
    }
    Ok(())
}
