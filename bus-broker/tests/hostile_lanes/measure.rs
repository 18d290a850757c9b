//! How much of their throughput honest clients keep beside each attack.
//!
//! An honest pair streams small messages over lanes as fast as it can. Times with and without the
//! attack take turns, so that what else the machine does meets both; the median counts.

use std::time::Duration;

use bus_client::{Client, PublisherOptions, SlowPolicy, SubscribeOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::attacks::ATTACKS;
use crate::broker::BrokerProcess;
use crate::dice::given;
use crate::process::{Process, User};

/// How often each attack is measured, and for how long, with as much time without it.
const ROUNDS: u64 = 5;
const MILLIS: u64 = 400;
const BYTES: usize = 64;

/// Measures all attacks, and prints a line for each.
pub async fn all(user: Option<User>, seed: u64) {
    let time = Duration::from_millis(given("BUS_HOSTILE_MILLIS", MILLIS));
    let broker = BrokerProcess::start().await;
    let (tasks, count) = stream(&broker).await;
    let rounds = given("BUS_HOSTILE_ROUNDS", ROUNDS);
    println!("honest messages of {BYTES} bytes a second, medians of {rounds} times {time:?}");
    for attack in ATTACKS {
        let (mut alone, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            alone.push(rate(&count, time).await);
            let path = broker.path();
            let task = format!("attack|{}|{}|{}", attack.name, path.display(), seed ^ round);
            let Some(mut child) = Process::start(user, &task) else { return };
            assert_eq!(child.line().await.as_deref(), Some("begins"));
            let hearing = async { while child.line().await.is_some() {} };
            tokio::select! {
                rate = rate(&count, time) => beside.push(rate),
                () = hearing => panic!("{} has ended: {}", attack.name, broker.log()),
            }
            child.kill().await;
            ratios.extend(beside.last().zip(alone.last()).map(|(beside, alone)| beside / alone));
        }
        println!(
            "{:<42} alone {:>9.0}, beside {:>9.0}, ratio {:.2}",
            attack.name,
            median(&mut alone),
            median(&mut beside),
            median(&mut ratios)
        );
    }
    assert!(tasks.iter().all(|task| !task.is_finished()), "the honest ones go on");
    tasks.iter().for_each(JoinHandle::abort);
    broker.ends_cleanly().await;
}

/// A publisher and a subscriber, and how many messages have come.
async fn stream(broker: &BrokerProcess) -> ([JoinHandle<()>; 2], watch::Receiver<u64>) {
    let url = broker.url("shm");
    let client = Client::connect(&url).await.expect("connects");
    let patient = PublisherOptions::default().hold(Duration::from_secs(60));
    let publisher = client.publisher_with("stream", patient).await.expect("opens");
    let reader = Client::connect(&url).await.expect("connects");
    let hold = SubscribeOptions::default().policy(SlowPolicy::Hold);
    let mut all = reader.subscribe_with("stream", hold).await.expect("subscribes");
    let (told, count) = watch::channel(0);
    let publishing = tokio::spawn(async move {
        for number in 0u64.. {
            let mut body = [0; BYTES];
            body[..8].copy_from_slice(&number.to_le_bytes());
            publisher.publish(body.to_vec()).await.expect("there is a broker");
        }
    });
    let reading = tokio::spawn(async move {
        let mut number = 0u64;
        while let Some(batch) = all.next_batch().await {
            for message in batch.expect("there is a broker").iter() {
                assert_eq!(message.payload()[..8], number.to_le_bytes(), "none is lost");
                number += 1;
            }
            told.send_replace(number);
        }
    });
    ([publishing, reading], count)
}

async fn rate(count: &watch::Receiver<u64>, time: Duration) -> f64 {
    let (began, before) = (Instant::now(), *count.borrow());
    tokio::time::sleep(time).await;
    (*count.borrow() - before) as f64 / began.elapsed().as_secs_f64()
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
