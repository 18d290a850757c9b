//! What sharing costs: messages a second over lanes to one consumer, to a group of one, and to a
//! group of eight, printed and not judged. That each arrives once is checked.
//!
//! `cargo test --release -p bus-broker --test group_rate -- --ignored --nocapture`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, MessageType, SlowPolicy, SubscribeOptions, Subscriber};

const PAYLOAD: [u8; 64] = [7; 64];
const MEASURED: Duration = Duration::from_secs(3);
/// Between two looks at the clock.
const STRIDE: u64 = 1024;

/// Counts what it reads until nothing more comes.
async fn count(mut member: Subscriber, counted: Arc<AtomicU64>) {
    while let Some(batch) = member.next_batch().await {
        // Its broker has ended.
        let Ok(batch) = batch else { return };
        counted.fetch_add(batch.iter().count() as u64, Ordering::Relaxed);
    }
}

/// Messages a second, from the first one published to the last one read.
async fn rate(url: &str, topic: &str, members: usize, group: bool) -> f64 {
    let counted = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..members {
        let client = Client::connect(url).await.expect("connects over lanes");
        let options = SubscribeOptions::default().policy(SlowPolicy::Hold);
        let options = if group { options.group("eight") } else { options };
        let member = client.subscribe_with(topic, options).await.expect("subscribes");
        tasks.push(tokio::spawn(count(member, counted.clone())));
    }
    let client = Client::connect(url).await.expect("connects over lanes");
    let publisher = client.publisher(topic).await.expect("opens");
    let kind = MessageType::new(1).expect("a type");
    let (start, mut published) = (Instant::now(), 0);
    while start.elapsed() < MEASURED {
        for _ in 0..STRIDE {
            publisher.publish_slice(kind, &PAYLOAD).await.expect("publishes");
        }
        published += STRIDE;
    }
    publisher.flush().await.expect("all are accepted");
    while counted.load(Ordering::Relaxed) < published {
        assert!(start.elapsed() < 4 * MEASURED, "some never came");
        tokio::task::yield_now().await;
    }
    let rate = published as f64 / start.elapsed().as_secs_f64();
    assert_eq!(counted.load(Ordering::Relaxed), published, "some came twice");
    tasks.iter().for_each(|task| task.abort());
    rate
}

#[tokio::test]
#[ignore = "measures"]
async fn measure_one_consumer_and_groups() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let local = format!("local:{}", home.path().join("bus.sock").display());
    let config = BrokerConfig::default().listen(local.parse().expect("a URL"));
    let broker = Broker::start(config).await.expect("starts");
    let lanes = broker.urls()[0].replacen("local:", "shm:", 1);
    for round in 0..3 {
        let one = rate(&lanes, &format!("one.{round}"), 1, false).await;
        let alone = rate(&lanes, &format!("alone.{round}"), 1, true).await;
        let eight = rate(&lanes, &format!("eight.{round}"), 8, true).await;
        let of_one = |rate: f64| rate / one;
        println!(
            "one consumer {:.2} M/s; group of one {:.2} M/s ({:.2}); group of eight {:.2} M/s ({:.2})",
            one / 1e6,
            alone / 1e6,
            of_one(alone),
            eight / 1e6,
            of_one(eight)
        );
    }
}
