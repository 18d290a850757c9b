//! What comes in over a bridge while it is away: the bridge's own settings say what waits at the other
//! broker, and what becomes of the rest.

use bus_broker::{BridgeConfig, Broker, SpoolPolicy};
use bus_client::{Client, Publisher, Subscriber};
use bus_core::WINDOW_BYTES_DEFAULT;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::stage::*;

const MIB: u64 = 1024 * 1024;

/// A bridge by which a topic comes in, and then it is away.
struct Away {
    _there: Broker,
    _here: Broker,
    near: Client,
    far: Client,
    publisher: Publisher,
    subscriber: Subscriber,
    /// The first number that was not published before.
    next: u64,
}

impl Away {
    async fn with(settings: impl FnOnce(BridgeConfig) -> BridgeConfig) -> Away {
        let there = broker("there", Vec::new()).await;
        let way = settings(bridge("b", &there.urls()[0], &[], &["in.>"]));
        let here = broker("here", vec![way]).await;
        let (near, far) = (client(&here).await, client(&there).await);
        let mut subscriber = near.subscribe("in.a").await.expect("subscribes");
        let publisher = far.publisher("in.a").await.expect("opens");
        let next = find_way(&publisher, &mut subscriber, 0).await;
        let away = Away { _there: there, _here: here, near, far, publisher, subscriber, next };
        away.ask("pause").await;
        // The other broker has noticed.
        let deadline = Instant::now() + PATIENCE;
        while away
            .far
            .admin()
            .clients()
            .await
            .expect("lists")
            .iter()
            .any(|client| client.connected && client.sender.name.starts_with("bridge "))
        {
            assert!(Instant::now() < deadline, "it stays connected");
        }
        away
    }

    async fn ask(&self, action: &str) {
        let done = ask_bridges(&self.near, json!({ "action": action, "name": "b" })).await;
        assert_eq!(done["done"], true, "{done}");
    }

    async fn publish(&self, count: u64, length: usize) {
        for number in self.next..self.next + count {
            let mut payload = number.to_le_bytes().to_vec();
            payload.resize(length, 0);
            self.publisher.publish(payload).await.expect("publishes");
        }
        self.publisher.flush().await.expect("all of it has come");
    }

    async fn dropped(&self) -> u64 {
        let topics = self.far.admin().topics("in.a").await.expect("lists");
        topics.iter().map(|topic| topic.dropped).sum()
    }
}

#[tokio::test]
async fn as_much_waits_there_as_the_spool_says() {
    // More than any subscription of others may ask for.
    const MANY: u64 = 72;
    let mut away = Away::with(|way| way.spool(None, None, Some(80 * MIB))).await;
    away.publish(MANY, MIB as usize).await;
    away.ask("resume").await;
    let numbers = away.next..away.next + MANY;
    hears_all(&mut away.subscriber, numbers).await;
    assert_eq!(away.dropped().await, 0);
}

#[tokio::test]
async fn a_small_spool_is_small_there_too_and_the_oldest_go_counted() {
    const MANY: u64 = 256;
    const ROOM: u64 = 256 * 1024;
    let settings =
        |way: BridgeConfig| way.spool(None, None, Some(ROOM)).policy(SpoolPolicy::DropOldest);
    let mut away = Away::with(settings).await;
    timeout(PATIENCE, away.publish(MANY, LONG)).await.expect("nobody is held back");
    let dropped = away.dropped().await;
    // Beside the spool there is one window.
    let most = (ROOM + WINDOW_BYTES_DEFAULT) / LONG as u64;
    assert!(dropped >= MANY - most, "{dropped}");
    away.ask("resume").await;
    let (mut last, mut count) = (away.next - 1, 0);
    while last + 1 < away.next + MANY {
        let number = heard(&mut away.subscriber).await;
        assert!(number > last, "{number} after {last}");
        (last, count) = (number, count + 1);
    }
    // The spool here is as small: what comes all at once may lose some more to it.
    let lost = away.subscriber.lost();
    assert_eq!(count + lost, MANY);
    assert!(lost >= dropped, "{lost} of which {dropped} there");
}
