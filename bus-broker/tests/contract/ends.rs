//! Point 17: every call ends, with a result, a typed error, or its deadline.

use std::time::Duration;

use bus_broker::{Broker, BrokerConfig};
use bus_client::{
    Client, ClientEvent, ClientOptions, Error, ErrorKind, Publisher, PublisherOptions, Queue,
    QueueOptions, Selector, SlowPolicy, SubscribeOptions,
};
use tokio::task::JoinHandle;

use crate::bus::{Bus, SOON, everywhere, failed, home, soon, start, until, until_stat};

/// One of each call that waits for ever if nothing happens.
struct Waiting(Vec<(&'static str, JoinHandle<Result<(), Error>>)>);

impl Waiting {
    /// Leaves all of them waiting over this client.
    async fn start(bus: &Bus, client: &Client) -> Waiting {
        let full = QueueOptions::default().count_max(1);
        let queue = bus.queue_with(client, "q", full).await;
        queue.send("fills").await.expect("there is room");
        let empty = bus.queue(client, "empty").await;
        let mut waiting = Waiting(Vec::new());
        waiting.queues(&queue, &empty).await;
        waiting.topics(bus, client).await;
        let mut server = client.serve(&bus.name("s"), 1).await.expect("serves");
        waiting.add("serve", async move { server.next().await.expect("an end").map(drop) });
        let quiet = client.clone();
        let held = bus.client().await;
        let busy = held.serve_with(&bus.name("busy"), 1, Some(0o777)).await.expect("serves");
        let service = client.service(&bus.name("busy")).await.expect("opens");
        waiting.add("call", async move {
            let (_held, _busy) = (held, busy);
            service.call("?", Duration::from_secs(3600)).await.map(drop)
        });
        until_stat(&quiet, &queue, |stat| stat.blocked == 3).await;
        until_stat(&quiet, &empty, |stat| stat.waiting == 2).await;
        waiting
    }

    fn add(
        &mut self,
        what: &'static str,
        future: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) {
        self.0.push((what, tokio::spawn(future)));
    }

    async fn queues(&mut self, full: &Queue, empty: &Queue) {
        let (a, b, c) = (full.clone(), full.clone(), full.clone());
        self.add("send", async move { a.send("small").await.map(drop) });
        self.add("offer", async move { b.send(vec![0; 100_000]).await.map(drop) });
        self.add("post", async move { c.post("posted").await?.await.map(drop) });
        let receiver = empty.clone();
        self.add("receive", async move { receiver.receive(Selector::Any).await.map(drop) });
        let mut consumer = empty.consumer(Selector::Any, 4).await.expect("consumes");
        self.add("consume", async move { consumer.next().await.expect("an end").map(drop) });
    }

    async fn topics(&mut self, bus: &Bus, client: &Client) {
        let mut quiet = client.subscribe(&bus.name("quiet")).await.expect("subscribes");
        self.add("subscription", async move { quiet.next().await.expect("an end").map(drop) });
        let mut quiet = client.subscribe(&bus.name("quiet")).await.expect("subscribes");
        self.add("batch", async move { quiet.next_batch().await.expect("an end").map(drop) });
        let options = PublisherOptions::default().hold(Duration::from_secs(60));
        let topic: Publisher =
            client.publisher_with(&bus.name("held"), options).await.expect("opens");
        let narrow = SubscribeOptions::default().window_bytes(4096).backlog_bytes(4096);
        let narrow = narrow.policy(SlowPolicy::Hold);
        let slow = client.subscribe_with(&bus.name("held"), narrow).await.expect("subscribes");
        self.add("publish", async move {
            let _slow = slow;
            for _ in 0..1000 {
                topic.publish(vec![0; 3000]).await?;
            }
            topic.flush().await
        });
    }

    /// All of them must have ended with an error.
    async fn all_end(self, kinds: &[ErrorKind]) {
        for (what, task) in self.0 {
            let ended = tokio::time::timeout(SOON, task).await;
            let ended = ended.unwrap_or_else(|_| panic!("{what} did not end within {SOON:?}"));
            let kind = failed(ended.unwrap_or_else(|_| panic!("{what} panicked")));
            assert!(kinds.contains(&kind), "{what} ended as {kind:?}");
        }
    }
}

const LOST: &[ErrorKind] =
    &[ErrorKind::Disconnected, ErrorKind::OutcomeUnknown, ErrorKind::ShuttingDown];

#[tokio::test]
async fn point_17_every_call_ends_when_the_broker_does_and_the_client_stays_away() {
    for index in 0..5 {
        let bus = start().await.into_iter().nth(index).expect("one of five");
        let client = bus.client_with(ClientOptions::default().reconnect(false)).await;
        let waiting = Waiting::start(&bus, &client).await;
        let mut events = client.events();
        let Bus { broker, .. } = bus;
        let broker = std::sync::Arc::into_inner(broker).expect("nobody else holds it");
        broker.drain(Duration::from_secs(1)).await;
        waiting.all_end(LOST).await;
        assert_eq!(failed(client.ping().await), ErrorKind::Disconnected);
        assert_eq!(failed(client.queue("any").await), ErrorKind::Disconnected);
        let mut last = None;
        while let Some(event) = soon(events.next()).await {
            last = Some(event);
        }
        assert!(matches!(last, Some(ClientEvent::Closed { .. })), "the last one is {last:?}");
        let late = soon(client.events().next()).await;
        assert!(matches!(late, Some(ClientEvent::Closed { .. })), "{late:?}");
    }
}

#[tokio::test]
async fn point_17_every_call_ends_when_the_client_is_drained() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let waiting = Waiting::start(&bus, &client).await;
        let report = soon(client.clone().drain(Duration::from_millis(50))).await;
        assert!(report.undecided >= 4, "{report:?}");
        waiting.all_end(&[ErrorKind::Closed, ErrorKind::OutcomeUnknown]).await;
        assert_eq!(failed(client.ping().await), ErrorKind::Closed);
        assert_eq!(failed(client.publisher("t").await), ErrorKind::Closed);
    })
    .await;
}

#[tokio::test]
async fn point_17_a_broker_that_drains_says_what_is_left() {
    let broker = Broker::start(BrokerConfig::default()).await.expect("starts");
    let client = Client::connect(broker.url()).await.expect("connects");
    let queue = client.queue("q").await.expect("opens");
    for body in ["a", "b", "c"] {
        queue.send(body).await.expect("sends");
    }
    let report = soon(broker.drain(Duration::from_secs(5))).await;
    assert_eq!((report.clients, report.unsent_bytes, report.messages), (1, 0, 3));
}

#[tokio::test]
async fn point_17_connecting_where_nobody_answers_ends_with_a_typed_error() {
    let home = home();
    let quick = || ClientOptions::default().connect_timeout(Duration::from_millis(200));
    let connect = async |url: &str| soon(Client::connect_with(url, quick())).await;
    let there = |name: &str| format!("local:{}/{name}", home.path().display());
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let closed_at = closed.local_addr().expect("an address");
    drop(closed);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent_at = silent.local_addr().expect("an address");
    let mute = tokio::net::UnixListener::bind(home.path().join("mute")).expect("a socket");
    std::fs::write(home.path().join("file"), "not a socket").expect("writes");
    let cases = [
        (there("missing"), ErrorKind::NoBroker),
        (there("no/such/folder"), ErrorKind::NoBroker),
        (there("file"), ErrorKind::NoBroker),
        (there("mute"), ErrorKind::NoBroker),
        (format!("tcp://{closed_at}"), ErrorKind::NoBroker),
        (format!("tcp://{silent_at}"), ErrorKind::NoBroker),
        ("mem:none-of-that-name".into(), ErrorKind::NoBroker),
        (there(&"x".repeat(200)), ErrorKind::InvalidUrl),
        ("shm:/nowhere/bus".into(), ErrorKind::NoBroker),
        (format!("tls://{closed_at}"), ErrorKind::NoBroker),
        (format!("tls://{silent_at}"), ErrorKind::NoBroker),
        ("pigeon:coop".into(), ErrorKind::InvalidUrl),
        ("nothing".into(), ErrorKind::InvalidUrl),
        ("tcp://no-port".into(), ErrorKind::InvalidUrl),
    ];
    for (url, kind) in cases {
        let error = connect(&url).await.expect_err("nobody is there");
        assert_eq!(error.kind(), kind, "{url}: {error}");
        let shown = url.split_once(':').map_or(url.as_str(), |(_, rest)| rest);
        assert!(error.to_string().contains(shown), "`{error}` does not name `{url}`");
    }
    drop((silent, mute));
}

#[tokio::test]
async fn point_17_deadlines_end_what_has_one() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue_with(&client, "q", QueueOptions::default().count_max(1)).await;
        let none = queue.receive_timeout(Selector::Any, Duration::from_millis(20)).await;
        assert_eq!(failed(none), ErrorKind::TimedOut);
        assert_eq!(failed(queue.try_receive(Selector::Any).await), ErrorKind::Empty);
        queue.send("fills").await.expect("there is room");
        for limit in [Duration::ZERO, Duration::from_millis(20)] {
            assert_eq!(failed(queue.send_timeout("late", limit).await), ErrorKind::TimedOut);
        }
        until("nothing waits", async || {
            let stat = crate::bus::stat(&client, &queue).await;
            (stat.waiting, stat.blocked, stat.leased) == (0, 0, 0)
        })
        .await;
    })
    .await;
}
