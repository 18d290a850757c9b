//! Metrics over HTTP: what they say is what `bus stat` says, and whoever asks badly harms nobody.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bus_broker::{BridgeConfig, Broker, BrokerConfig, StartError};
use bus_client::{Client, Pattern, QueueOptions, Selector, SubscribeOptions};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

/// Longer than anything takes that works, also where the machine has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

async fn start() -> (Broker, SocketAddr, Client) {
    let config = BrokerConfig::default().metrics("127.0.0.1:0".parse().expect("an address"));
    let broker = Broker::start(config).await.expect("starts");
    let address = broker.metrics_address().expect("it serves them");
    let client = Client::connect(broker.url()).await.expect("connects");
    (broker, address, client)
}

/// Asks as it stands, and reads to the end: the first line, and what stands behind the headers.
async fn ask(address: SocketAddr, request: &'static str) -> (String, String) {
    let asked = spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it listens");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("text");
        text
    });
    let text = timeout(PATIENCE, asked).await.expect("an answer").expect("it runs");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

async fn scrape(address: SocketAddr) -> Samples {
    let (status, body) = ask(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    Samples::parse(&body)
}

/// Each series with its value.
struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// Every line is a comment of its family or a sample of it, and none comes twice.
    fn parse(text: &str) -> Samples {
        let (mut all, mut family, mut helped) = (BTreeMap::new(), String::new(), String::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                helped = rest.split_once(' ').expect("a sentence").0.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert_eq!(name, helped, "a family without help");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                family = name.to_owned();
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let name = series.split('{').next().expect("a name");
                assert_eq!(name, family, "a sample outside of its family");
                let value = value.parse().expect("a number");
                assert!(all.insert(series.to_owned(), value).is_none(), "{series} comes twice");
            }
        }
        Samples(all)
    }

    #[track_caller]
    fn is(&self, series: &str, value: u64) {
        assert_eq!(self.0.get(series), Some(&(value as f64)), "{series}");
    }
}

#[tokio::test]
async fn what_is_told_is_what_the_statistics_say() {
    let (_broker, address, client) = start().await;
    let jobs = client.queue("jobs").await.expect("opens");
    for number in 0..5 {
        jobs.send(format!("{number}")).await.expect("sends");
    }
    let delivery = jobs.receive(Selector::Any).await.expect("receives");
    delivery.ack().await.expect("acks");
    let held = jobs.receive(Selector::Any).await.expect("receives");
    let mut news = client.subscribe("news").await.expect("subscribes");
    let publisher = client.publisher("news").await.expect("opens");
    publisher.publish("a").await.expect("publishes");
    timeout(PATIENCE, news.next()).await.expect("it comes");
    let server = client.serve_with("sums", 1, None).await.expect("serves");
    let samples = scrape(address).await;
    let stat = client.admin().queues("jobs").await.expect("lists").remove(0);
    let expected = [
        ("messages", stat.messages, 3),
        ("leased", stat.leased, 1),
        ("accepted_total", stat.accepted, 5),
        ("delivered_total", stat.delivered, 2),
        ("acked_total", stat.acked, 1),
        ("bytes", stat.bytes, stat.bytes),
        ("bytes_max", stat.options.bytes_max, stat.options.bytes_max),
    ];
    for (name, told, known) in expected {
        assert_eq!(told, known, "{name}");
        samples.is(&format!("busbar_queue_{name}{{queue=\"jobs\"}}"), told);
    }
    samples.is("busbar_topic_published_total{topic=\"news\"}", 1);
    samples.is("busbar_topic_subscribers{topic=\"news\"}", 1);
    samples.is("busbar_service_servers{service=\"sums\"}", 1);
    let info = client.admin().broker().await.expect("tells");
    samples.is("busbar_queues", info.queues);
    samples.is("busbar_messages", info.messages);
    samples.is("busbar_sessions", info.sessions);
    samples.is("busbar_dropped_series", 0);
    drop((held, publisher, server));
}

#[tokio::test]
async fn it_says_whether_the_broker_is_well_and_nothing_else_is_answered() {
    let (broker, address, _client) = start().await;
    let cases = [
        ("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "200"),
        ("GET /health/ready HTTP/1.0\r\n\r\n", "200"),
        ("GET /health/alive HTTP/1.1\r\nHost: [::1]:9464\r\n\r\n", "200"),
        ("GET / HTTP/1.0\r\n\r\n", "200"),
        ("HEAD /main.js HTTP/1.0\r\n\r\n", "200"),
        ("GET /snapshot.json?table=lanes HTTP/1.0\r\n\r\n", "200"),
        ("GET /snapshot.json?table=secrets HTTP/1.0\r\n\r\n", "400"),
        ("GET /elsewhere HTTP/1.0\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.0\r\n\r\n", "405"),
        // A name of somebody else's that leads here.
        ("GET /snapshot.json HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"),
        ("GET /metrics HTTP/1.1\r\n\r\n", "400"),
        ("hello\r\n\r\n", "400"),
    ];
    for (request, expected) in cases {
        let (status, _) = ask(address, request).await;
        assert_eq!(status.split(' ').nth(1), Some(expected), "{request}");
    }
    broker.drain(PATIENCE).await;
    // The thread ends in its own time.
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "it listens on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn other_hosts_see_nothing_without_a_word() {
    let open = || BrokerConfig::default().metrics("0.0.0.0:0".parse().expect("an address"));
    let refused = Broker::start(open()).await.err();
    assert!(matches!(refused, Some(StartError::MetricsOpen { .. })), "{refused:?}");
    Broker::start(open().metrics_open(true)).await.expect("they may");
}

#[tokio::test]
async fn who_asks_slowly_or_without_end_keeps_nobody_from_being_answered() {
    let (_broker, address, client) = start().await;
    client.queue("jobs").await.expect("opens").send("a").await.expect("sends");
    let mut hostile = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(address).expect("it listens");
        // It may have been cut off for another one already.
        let _ = match number % 3 {
            0 => stream.write_all(b"GET /metr"),
            1 => stream.write_all(&[b'a'; 20_000]),
            _ => stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n"),
        };
        hostile.push(stream);
    }
    scrape(address).await.is("busbar_queue_messages{queue=\"jobs\"}", 1);
    client.ping().await.expect("the broker goes on");
    drop(hostile);
    scrape(address).await.is("busbar_queue_messages{queue=\"jobs\"}", 1);
}

#[tokio::test]
async fn a_snapshot_says_who_holds_what_up_and_shows_no_more_rows_than_asked_for() {
    let (_broker, address, client) = start().await;
    let small = client.queue_with("full", QueueOptions::default().count_max(1)).await;
    let small = small.expect("opens");
    small.send("a").await.expect("there is room");
    let waits = tokio::spawn({
        let small = small.clone();
        async move { small.send("b").await }
    });
    for number in 0..120 {
        client.queue(&format!("q{number}")).await.expect("opens");
    }
    let told = told_when(address, |it| {
        // The send is under way.
        it["totals"]["blocked"] == 1 && it["counts"]["queues"] == 121
    });
    let told = told.await;
    let part = &told["part"];
    assert_eq!(part["matching"], 121);
    let rows = part["rows"].as_array().expect("rows");
    assert_eq!((rows.len(), &rows[0]["cells"][0]), (7, &json!("full")));
    assert_eq!(rows[0]["mark"], "bad");
    let held = &told["held"];
    assert_eq!((&held["bad"], &held["first"][0]["name"]), (&json!(1), &json!("full")));
    let text = held["first"][0]["text"].as_str().expect("a sentence");
    assert!(text.starts_with("1 send waits for room (1 of 1 messages, "), "{text}");
    // Nobody holds anything up any more.
    small.receive(Selector::Any).await.expect("receives").ack().await.expect("acks");
    waits.await.expect("it runs").expect("there was room");
    told_when(address, |it| it["held"]["bad"] == 0).await;
}

#[tokio::test]
async fn groups_and_subscribers_by_wildcard_are_told_of() {
    let (_broker, address, client) = start().await;
    let group = SubscribeOptions::default().group("workers");
    let _one = client.subscribe_with("news.*", group.clone()).await.expect("subscribes");
    let _other = client.subscribe_with("news.*", group).await.expect("subscribes");
    let small = SubscribeOptions::default().window_bytes(4096).backlog_bytes(1 << 16);
    let _slow = client.subscribe_with("news.>", small).await.expect("subscribes");
    let publisher = client.publisher("news.eu").await.expect("opens");
    // More than half of what may wait for it, and less than all of it.
    for _ in 0..250 {
        publisher.publish(vec![0; 100]).await.expect("publishes");
    }
    publisher.flush().await.expect("they are accepted");
    let told = told_when(address, |it| it["counts"]["subscriptions"] == 3).await;
    assert_eq!(told["counts"]["groups"], 1);
    let first = &told["held"]["first"][0];
    let name = first["name"].as_str().expect("a name");
    assert!(name.starts_with("news.> ") && first["table"] == "subscriptions", "{told}");
    assert!(first["text"].as_str().is_some_and(|it| it.starts_with("is slow: ")), "{told}");
    let query = "GET /snapshot.json?table=subscriptions&filter=workers HTTP/1.0\r\n\r\n";
    let (_, body) = ask(address, query).await;
    let told: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(told["part"]["matching"], 2, "only the group's members: {told}");
    let samples = scrape(address).await;
    samples.is("busbar_subscribers", 3);
    samples.is("busbar_groups", 1);
    let labels = r#"{subscription="1",pattern="news.*",group="workers",client=""}"#;
    samples.is(&format!("busbar_subscription_members{labels}"), 2);
    samples.is(&format!("busbar_subscription_topics{labels}"), 1);
}

/// Nothing of the broker's own is counted, and a bridge once, however many ways it has.
#[tokio::test]
async fn counts_are_those_of_the_lists() {
    let bridge = BridgeConfig::new("b", "local:/nowhere/bus.sock".parse().expect("a URL"));
    let all = || Pattern::new(">").expect("a pattern");
    let bridge = bridge.expect("a bridge").outgoing(all()).incoming(all());
    let config = BrokerConfig::default().metrics("127.0.0.1:0".parse().expect("an address"));
    let broker = Broker::start(config.bridge(bridge)).await.expect("starts");
    let address = broker.metrics_address().expect("it serves them");
    let client = Client::connect(broker.url()).await.expect("connects");
    let _topic = client.publisher("news").await.expect("opens");
    let told = told_when(address, |it| it["counts"]["topics"] == 1).await;
    assert_eq!(told["counts"]["bridges"], 1);
    let query = "GET /snapshot.json?table=bridges HTTP/1.0\r\n\r\n";
    let (_, body) = ask(address, query).await;
    let part: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(part["part"]["matching"], 2, "it has two ways: {part}");
    let samples = scrape(address).await;
    let listed = client.admin().topics(">").await.expect("lists").len() as u64;
    samples.is("busbar_topics", listed);
    samples.is("busbar_services", 0);
    assert!(!client.admin().services("$bus.>").await.expect("lists").is_empty());
}

/// Where cores are few, what is told to people and scrapers comes behind messages.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_thread_that_tells_gives_way_to_the_one_that_routes() {
    let (_broker, address, _client) = start().await;
    // How far threads with this name stand behind: other tests of this process have some of these too.
    let steps = |wanted: &str| -> Vec<i64> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
        let stats = tasks.filter_map(|it| std::fs::read_to_string(it.path().join("stat")).ok());
        let of = |stat: &str| {
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
            (name == wanted).then(|| rest.split(' ').nth(16)?.parse().ok())?
        };
        stats.filter_map(|stat| of(&stat)).collect()
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Once it has answered it has its name, and has stepped back; those of other tests may be about to.
        scrape(address).await;
        let (telling, routing) = (steps("bus-metrics"), steps("bus-broker"));
        let last = routing.iter().max().copied().expect("a broker routes here");
        if !telling.is_empty() && telling.iter().all(|it| *it > last || *it == 19) {
            return;
        }
        assert!(Instant::now() < deadline, "{routing:?}, {telling:?}");
    }
}

/// The first snapshot of which that is so.
async fn told_when(address: SocketAddr, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let query = "GET /snapshot.json?sort=blocked&rows=7 HTTP/1.0\r\n\r\n";
        let (status, body) = ask(address, query).await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        let told: Value = serde_json::from_str(&body).expect("JSON");
        if is_so(&told) {
            return told;
        }
        assert!(Instant::now() < deadline, "never: {told}");
    }
}

/// The measure: `cargo test --release -p bus-broker --test metrics -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement, to be read by people"]
async fn measure_what_the_page_costs_with_a_thousand_queues() {
    const ASKED: u32 = 40;
    let (_broker, address, client) = start().await;
    for number in 0..1000 {
        client.queue(&format!("q{number}")).await.expect("opens").send("a").await.expect("sends");
    }
    let (mut all, mut bytes, began) = (Vec::new(), 0, Instant::now());
    let before = on_processors();
    for number in 0..ASKED {
        tokio::time::sleep_until(began + number * Duration::from_millis(500)).await;
        let asked = Instant::now();
        let (_, body) = ask(address, "GET /snapshot.json?rows=50 HTTP/1.0\r\n\r\n").await;
        all.push(asked.elapsed());
        bytes = body.len();
    }
    let (took, spent) = (began.elapsed(), on_processors());
    all.sort();
    println!(
        "a picture: {bytes} bytes, p50 {:?}, longest {:?}",
        all[all.len() / 2],
        all[all.len() - 1]
    );
    for (name, nanos) in spent {
        let part = (nanos - before[&name]) as f64 / took.as_nanos() as f64;
        println!("{name}: {:.2} % of a core, twice a second for {took:?}", 100.0 * part);
    }
}

/// What the broker's threads have been given of the processors, in nanoseconds, by the kernel's word.
fn on_processors() -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").expect("Linux").flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let (name, times) = (read("comm"), read("schedstat"));
        if name.starts_with("bus-") {
            let nanos = times.split(' ').next().and_then(|text| text.parse().ok());
            all.insert(name.trim().to_owned(), nanos.unwrap_or_default());
        }
    }
    all
}
