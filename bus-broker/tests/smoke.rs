//! The thinnest path through everything, over every transport.

use std::time::Duration;

use bus_broker::{Broker, BrokerConfig, Surroundings};
use bus_client::{Client, Selector};

async fn check(url: &str, jobs_name: &str) {
    let one = Client::connect(url).await.expect("connects");
    let two = Client::connect(url).await.expect("connects");
    let mut subscriber = two.subscribe("a.*").await.expect("subscribes");
    let publisher = one.publisher("a.b").await.expect("opens");
    publisher.publish("hello").await.expect("publishes");
    let received = subscriber.next().await.expect("open").expect("received");
    assert_eq!(received.payload(), "hello");
    assert_eq!(received.topic(), "a.b");
    let queue = one.queue(jobs_name).await.expect("opens");
    queue.send("job").await.expect("sends");
    let big = vec![7u8; 12 << 20];
    let sending = queue.send(big.clone());
    let jobs = two.queue(jobs_name).await.expect("opens");
    let receiving = async {
        let first = jobs.receive(Selector::Any).await.expect("receives");
        assert_eq!(first.payload(), "job");
        first.ack().await.expect("acks");
        let second = jobs.receive(Selector::Any).await.expect("receives");
        assert_eq!(second.payload().len(), big.len());
        second.ack().await.expect("acks");
    };
    let (sent, ()) = tokio::join!(sending, receiving);
    sent.expect("sends");
    let mut server = two.serve("echo", 4).await.expect("serves");
    let serving = tokio::spawn(async move {
        while let Some(Ok(call)) = server.next().await {
            let payload = call.payload().clone();
            call.reply(payload).expect("replies");
        }
    });
    let reply = one.request("echo", "ping", Duration::from_secs(5)).await.expect("replies");
    assert_eq!(reply.payload(), "ping");
    serving.abort();
    one.ping().await.expect("pongs");
}

#[tokio::test]
async fn a_message_goes_all_the_way_over_every_transport() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bus.sock");
    let config = BrokerConfig::default()
        .listen(format!("local:{}", path.display()).parse().expect("a URL"))
        .listen("tcp://127.0.0.1:0".parse().expect("a URL"));
    let broker = Broker::start(config).await.expect("starts");
    check(broker.url(), "jobs").await;
    for (number, url) in broker.urls().iter().enumerate() {
        check(url, &format!("jobs-{number}")).await;
    }
    broker.drain(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn whoever_comes_first_finds_the_names_of_the_broker_itself() {
    for _ in 0..50 {
        let broker = Broker::start(BrokerConfig::default()).await.expect("starts");
        let client = Client::connect(broker.url()).await.expect("connects");
        let list = br#"{"action":"list"}"#.to_vec();
        for (name, asked) in [("$bus.bridge", list), ("$bus.stat", Vec::new())] {
            let reply = client.request(name, asked, Duration::from_secs(60)).await;
            let reply = reply.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(reply.payload().starts_with(b"{"), "{name} answers with an object");
        }
    }
}

#[tokio::test]
async fn signs_of_life_come_from_the_thread_that_routes_and_end_when_it_is_stuck() {
    let (tell, mut told) = tokio::sync::mpsc::channel(64);
    let (go_on, stuck) = std::sync::mpsc::sync_channel::<()>(0);
    let mut signs = 0;
    let beat = move || {
        let name = std::thread::current().name().map(str::to_owned);
        // Nobody may listen any more.
        let _ = tell.try_send(name);
        signs += 1;
        if signs == 3 {
            // What is stuck on that thread keeps it from everything, and from the next sign.
            let _ = stuck.recv();
        }
    };
    let surroundings = Surroundings::default().beat(Duration::from_millis(1), beat);
    let broker = Broker::start_within(BrokerConfig::default(), surroundings).await.expect("starts");
    for _ in 0..3 {
        assert_eq!(told.recv().await.expect("a sign").as_deref(), Some("bus-broker"));
    }
    let connecting = Client::connect(broker.url());
    tokio::pin!(connecting);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut connecting).await;
    assert!(early.is_err() && told.try_recv().is_err(), "it is stuck, and gives a sign");
    go_on.send(()).expect("it waits for that");
    connecting.await.expect("it goes on");
    told.recv().await.expect("a sign");
}
