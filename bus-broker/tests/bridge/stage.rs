//! Brokers, publishers and subscribers for the tests of bridges.

use std::time::Duration;

use bus_broker::{BridgeConfig, Broker, BrokerConfig};
use bus_client::{BusUrl, Client, Pattern, Publisher, Subscriber};
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything takes that works, also where the machine has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of a long message.
pub const LONG: usize = 16 * 1024;

pub fn url(text: &str) -> BusUrl {
    text.parse().expect("a URL")
}

pub fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("a pattern")
}

/// A broker that others reach over TCP.
pub async fn broker(name: &str, bridges: Vec<BridgeConfig>) -> Broker {
    Broker::start(config(name, bridges)).await.expect("starts")
}

/// What it is configured to be.
pub fn config(name: &str, bridges: Vec<BridgeConfig>) -> BrokerConfig {
    let config = BrokerConfig::default().name(name).listen(url("tcp://127.0.0.1:0")).insecure(true);
    // On loopback nobody has to say who he is; the bridge is an administrator by policy.
    bridges.into_iter().fold(config.policy(everybody()), BrokerConfig::bridge)
}

/// Whoever comes may do everything.
fn everybody() -> bus_broker::Policy {
    let all = bus_broker::Deed::ALL.iter();
    let allowance = all.fold(bus_broker::Allowance::to(bus_broker::Who::Everybody), |it, deed| {
        it.grant(*deed, pattern(">"))
    });
    bus_broker::Policy::new(vec![allowance])
}

/// A bridge to there, for what matches on its way out and in.
pub fn bridge(name: &str, target: &str, out: &[&str], incoming: &[&str]) -> BridgeConfig {
    let bridge = BridgeConfig::new(name, url(target)).expect("a bridge");
    let bridge = out.iter().fold(bridge, |bridge, text| bridge.outgoing(pattern(text)));
    incoming.iter().fold(bridge, |bridge, text| bridge.incoming(pattern(text)))
}

pub async fn client(broker: &Broker) -> Client {
    Client::connect(broker.url()).await.expect("connects")
}

/// Publishes numbers until the subscriber has heard one: the way is there from then on. Gives the
/// next number.
pub async fn find_way(publisher: &Publisher, subscriber: &mut Subscriber, from: u64) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    let mut next = from;
    loop {
        assert!(Instant::now() < deadline, "nothing crosses");
        publisher.publish(next.to_le_bytes().to_vec()).await.expect("publishes");
        next += 1;
        if let Ok(Some(first)) = timeout(Duration::from_millis(50), subscriber.next()).await {
            let mut last = number(&first.expect("a message"));
            while last + 1 < next {
                let following = heard(subscriber).await;
                assert_eq!(following, last + 1, "one of those behind the first is missing");
                last = following;
            }
            return next;
        }
    }
}

pub async fn publish(publisher: &Publisher, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        publisher.publish(number.to_le_bytes().to_vec()).await.expect("publishes");
    }
}

/// The same in long messages.
pub async fn publish_long(publisher: &Publisher, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(LONG, 0);
        publisher.publish(payload).await.expect("publishes");
    }
}

/// The next number that a subscriber hears.
pub async fn heard(subscriber: &mut Subscriber) -> u64 {
    let next = timeout(PATIENCE, subscriber.next()).await.expect("in time");
    number(&next.expect("goes on").expect("a message"))
}

/// Each of these numbers arrives, once and in order, and nothing is lost.
pub async fn hears_all(subscriber: &mut Subscriber, numbers: impl Iterator<Item = u64>) {
    hears(subscriber, numbers).await;
    assert_eq!(subscriber.lost(), 0);
}

/// The same, where what came before may be told as lost.
pub async fn hears(subscriber: &mut Subscriber, numbers: impl Iterator<Item = u64>) {
    for expected in numbers {
        assert_eq!(heard(subscriber).await, expected);
    }
}

pub fn number(received: &bus_client::Received) -> u64 {
    let bytes: &[u8] = received.payload();
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

/// Asks the broker of this client about its bridges, or to change them.
pub async fn ask_bridges(client: &Client, asked: serde_json::Value) -> serde_json::Value {
    let answer = client.request("$bus.bridge", asked.to_string(), PATIENCE).await;
    serde_json::from_slice(answer.expect("it answers").payload()).expect("an answer")
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}
