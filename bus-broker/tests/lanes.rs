//! Shared memory between client and broker: when it is used, when not and why, and that none
//! of it stays behind.

use std::time::{Duration, Instant};

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, ClientOptions, ErrorKind, Selector, Transport, Waiting};
use tempfile::TempDir;

/// A broker on a local socket: its handle, and the path of that.
async fn broker(config: BrokerConfig) -> (Broker, String, TempDir) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("bus.sock").display().to_string();
    let config = config.listen(format!("local:{path}").parse().expect("a URL"));
    (Broker::start(config).await.expect("starts"), path, home)
}

fn unwilling() -> ClientOptions {
    ClientOptions::default().shared_memory(false)
}

async fn transport_is_what_was_asked_for_and_says_why() {
    let (_broker, path, _home) = broker(BrokerConfig::default()).await;
    let cases = [
        (format!("local:{path}"), ClientOptions::default(), Transport::SharedMemory, ""),
        (format!("shm:{path}"), unwilling(), Transport::SharedMemory, ""),
        (format!("local:{path}"), unwilling(), Transport::Local, "told to use no shared memory"),
        (format!("unix:{path}"), ClientOptions::default(), Transport::Local, "asks for it"),
    ];
    for (url, options, wanted, why) in cases {
        let client = Client::connect_with(&url, options).await.expect("connects");
        let info = client.transport();
        assert_eq!(info.transport, Some(wanted), "{url}");
        assert!(info.reason.contains(why), "{url}: {}", info.reason);
        client.ping().await.expect("answers");
    }
}

async fn broker_without_shared_memory_says_so() {
    let (_broker, path, _home) = broker(BrokerConfig::default().shared_memory(false)).await;
    let client = Client::connect(&format!("local:{path}")).await;
    let info = client.expect("over the socket").transport();
    assert_eq!(info.transport, Some(Transport::Local));
    assert!(info.reason.contains("told to use no shared memory"), "{}", info.reason);
    let error = Client::connect(&format!("shm:{path}")).await.expect_err("it must have it");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("told to use no shared memory"), "{error}");
}

/// Kilobytes of shared memory that this process has touched, and its open descriptors.
fn held() -> (u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("RssShmem:")).expect("it is told");
    let kib = line.split_whitespace().nth(1).and_then(|number| number.parse().ok());
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("this is Linux").count();
    (kib.expect("a number"), descriptors)
}

async fn lanes_bear_messages_of_all_lengths_and_leave_nothing() {
    let (_broker, path, _home) = broker(BrokerConfig::default()).await;
    let url = format!("shm:{path}");
    let mut before = 0;
    for round in 0..4 {
        let (sender, receiver) = (Client::connect(&url).await, Client::connect(&url).await);
        let (sender, receiver) = (sender.expect("connects"), receiver.expect("connects"));
        let queue = sender.queue("lengths").await.expect("opens");
        let same = receiver.queue("lengths").await.expect("opens");
        for length in [0, 1, 63, 64, 1000, 32 << 10, 300 << 10, 16 << 20] {
            let body = vec![length as u8 ^ round; length];
            queue.send(body.clone()).await.expect("there is room");
            let delivery = same.receive(Selector::Any).await.expect("it comes");
            assert!(delivery.payload() == &body[..], "{length} bytes");
            delivery.ack().await.expect("in time");
        }
        assert!(held().0 > 0, "it went through shared memory");
        for client in [sender, receiver] {
            client.drain(Duration::from_secs(5)).await;
        }
        drop((queue, same));
        let deadline = Instant::now() + Duration::from_secs(10);
        // What is made once, on first use, belongs to the first round.
        while held().0 > 0 || (round > 0 && held().1 > before) {
            assert!(Instant::now() < deadline, "{:?} is left, not {before}", held());
            tokio::task::yield_now().await;
        }
        before = held().1;
    }
}

/// One after the other: the last one counts what the whole process holds.
/// However it waits: what is read where it is looked for is answered, and ended, as what a
/// connection's own task reads.
async fn pings_are_answered_and_goodbyes_heard_however_the_broker_waits() {
    for waiting in [Waiting::Spin, Waiting::Adaptive, Waiting::Park] {
        let (broker, path, _home) = broker(BrokerConfig::default().waiting(waiting)).await;
        let options = ClientOptions::default().waiting(Waiting::Park);
        let client = Client::connect_with(&format!("shm:{path}"), options).await.expect("connects");
        let before = broker.registry().len();
        for number in 0..300 {
            let answer = tokio::time::timeout(Duration::from_secs(10), client.ping()).await;
            answer.unwrap_or_else(|_| panic!("{waiting}: ping {number}")).expect("answers");
        }
        drop(client);
        let gone = async {
            while broker.registry().len() == before {
                tokio::task::yield_now().await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(10), gone).await;
        assert!(gone.is_ok(), "{waiting}: it is still there after its goodbye");
    }
}

#[tokio::test]
async fn shared_memory_between_client_and_broker() {
    transport_is_what_was_asked_for_and_says_why().await;
    broker_without_shared_memory_says_so().await;
    pings_are_answered_and_goodbyes_heard_however_the_broker_waits().await;
    lanes_bear_messages_of_all_lengths_and_leave_nothing().await;
}
