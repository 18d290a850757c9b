//! Topics of one route, one of which nobody takes at the far side.

use std::time::Duration;

use bus_broker::Broker;
use bus_client::{Client, Publisher, PublisherOptions, SlowPolicy, SubscribeOptions, Subscriber};
use tokio::time::timeout;

use crate::stage::*;

/// More long messages than all windows, backlogs and spools on the way have room for.
const MANY: u64 = 320;

/// As long as a topic may, so that nothing is let go for want of time.
async fn patient(client: &Client, topic: &str) -> Publisher {
    // The bridge has shown nobody who it is, and publishes as others do.
    let options = PublisherOptions::default().hold(Duration::from_secs(60)).mode(0o777);
    client.publisher_with(topic, options).await.expect("opens")
}

/// A subscriber with little room, who holds back.
async fn reluctant(client: &Client, topic: &str) -> Subscriber {
    let options = SubscribeOptions::default().policy(SlowPolicy::Hold);
    let options = options.window_bytes(64 * 1024).backlog_bytes(64 * 1024);
    client.subscribe_with(topic, options).await.expect("subscribes")
}

/// Two brokers, and a bridge between them that has little room; a topic at the far one that does not go, and
/// somebody who takes nothing of it for now.
struct Narrow {
    _brokers: [Broker; 2],
    near: Client,
    far: Client,
    _stays: Publisher,
    slow: Subscriber,
}

async fn narrow() -> Narrow {
    let there = broker("there", Vec::new()).await;
    let way = bridge("b", &there.urls()[0], &["x.>"], &[]);
    let way = way.spool(Some(256 * 1024), None, Some(1024 * 1024));
    let here = broker("here", vec![way]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let stays = patient(&far, "x.slow").await;
    let slow = reluctant(&far, "x.slow").await;
    Narrow { _brokers: [here, there], near, far, _stays: stays, slow }
}

/// Until messages wait at a topic.
async fn until_held(client: &Client, topic: &str) {
    let looks = async {
        loop {
            let topics = client.admin().topics(topic).await.expect("lists");
            if topics.iter().any(|topic| topic.held > 0) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, looks).await.expect("it is held back");
}

#[tokio::test]
async fn a_topic_that_nobody_takes_there_holds_up_no_other_and_loses_nothing() {
    let Narrow { _brokers, near, far, _stays, mut slow } = narrow().await;
    let mut fast = far.subscribe("x.fast").await.expect("subscribes");
    let (stuck, quick) = (patient(&near, "x.slow").await, patient(&near, "x.fast").await);
    let from = find_way(&stuck, &mut slow, 0).await;
    let fast_from = find_way(&quick, &mut fast, 0).await;
    let stuck = tokio::spawn(async move {
        publish_long(&stuck, from..from + MANY).await;
        stuck
    });
    until_held(&near, "x.slow").await;
    until("the topic is not named", async || {
        let asked = serde_json::json!({ "action": "list" });
        let out = ask_bridges(&near, asked).await["bridges"][0]["out"].clone();
        (&out["held_topics"], &out["held_names"]) == (&1.into(), &serde_json::json!(["x.slow"]))
    })
    .await;
    let numbers = fast_from..fast_from + MANY;
    tokio::join!(publish_long(&quick, numbers.clone()), hears_all(&mut fast, numbers));
    assert!(!stuck.is_finished(), "all of it has found room somewhere, which shows nothing");
    hears_all(&mut slow, from..from + MANY).await;
    let stuck = stuck.await.expect("publishes");
    stuck.flush().await.expect("all are accepted");
    // And it goes on as if nothing had been.
    publish(&stuck, from + MANY..from + MANY + 100).await;
    hears_all(&mut slow, from + MANY..from + MANY + 100).await;
}

#[tokio::test]
async fn what_passes_by_of_a_publisher_that_ends_is_counted() {
    let Narrow { _brokers, near, far: _far, _stays, mut slow } = narrow().await;
    // Without options of its own the topic goes with its publisher.
    let stuck = near.publisher("x.slow").await.expect("opens");
    let from = find_way(&stuck, &mut slow, 0).await;
    publish_long(&stuck, from..from + MANY).await;
    stuck.flush().await.expect("all are accepted");
    drop(stuck);
    let missed = timeout(PATIENCE, async {
        loop {
            let list = ask_bridges(&near, serde_json::json!({ "action": "list" })).await;
            let missed = list["bridges"][0]["out"]["missed"].as_u64().expect("a number");
            if missed > 0 {
                return missed;
            }
            tokio::task::yield_now().await;
        }
    });
    let missed = missed.await.expect("it is counted");
    // It is the last ones that have passed by.
    assert!(missed < MANY, "{missed}");
    hears_all(&mut slow, from..from + MANY - missed).await;
}
