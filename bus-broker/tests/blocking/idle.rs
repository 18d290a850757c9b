//! Blocking clients that make no call while their broker is replaced by another one.

use bus_client::blocking::{Client, Events};
use bus_client::{ClientEvent, ErrorKind, Selector};

use crate::{SOON, Stage};

/// The next event that is of interest.
fn event(events: &mut Events, wanted: impl Fn(&ClientEvent) -> bool) -> ClientEvent {
    loop {
        let event = events.next_timeout(SOON).expect("it comes").expect("goes on");
        if wanted(&event) {
            return event;
        }
    }
}

/// Until a client of the new broker sees that the topic is subscribed to: whose client makes no
/// call for it.
fn await_subscriber(witness: &Client, topic: &str) {
    loop {
        let topics = witness.admin().topics(topic).expect("answers");
        if topics.iter().any(|topic| topic.subscribers == 1) {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn idle_client_finds_the_new_broker_by_itself_and_its_next_calls_work() {
    for scheme in ["shm", "unix"] {
        let mut stage = Stage::new();
        let client = stage.client(scheme);
        let mut events = client.events();
        let mut subscriber = client.subscribe("news").expect("subscribes");
        let queue = client.queue("jobs").expect("opens");
        queue.send("before").expect("there is room");
        let delivery = queue.receive(Selector::Any).expect("is there");
        let broker = &mut stage.broker;
        stage.runtime.block_on(broker.replace());
        let witness = stage.client(scheme);
        let publisher = witness.publisher("news").expect("opens");
        await_subscriber(&witness, "news");
        publisher.publish("after").expect("is handed over");
        let news = subscriber.next_timeout(SOON).expect("goes on").expect("comes");
        assert_eq!(news.payload(), "after");
        // What it missed nobody knows: it is told that it may have missed something.
        let gap = event(&mut events, |event| matches!(event, ClientEvent::Gap { .. }));
        assert_eq!(gap, ClientEvent::Gap { pattern: "news".into() });
        // The lease was the old broker's, as was what lay in the queue.
        let stale = delivery.ack().expect("is handed over").wait().expect_err("it is gone");
        assert_eq!(stale.kind(), ErrorKind::StaleLease, "{stale}");
        let nothing = queue.try_receive(Selector::Any).expect_err("the queue is a new one");
        assert_eq!(nothing.kind(), ErrorKind::Empty, "{nothing}");
        queue.send("after").expect("there is room");
        let delivery = queue.receive(Selector::Any).expect("is there");
        assert_eq!(delivery.payload(), "after");
    }
}

#[test]
fn thread_that_waits_is_told_at_once_when_the_broker_dies() {
    let mut stage = Stage::new();
    let options = bus_client::ClientOptions::default().reconnect(false);
    let url = stage.broker.url("shm");
    let client = Client::connect_with(&url, options).expect("connects");
    let queue = client.queue("jobs").expect("opens");
    let waiting = std::thread::spawn(move || queue.receive(Selector::Any).map(drop));
    while client.admin().queues("jobs").expect("answers")[0].waiting == 0 {
        std::thread::yield_now();
    }
    stage.runtime.block_on(stage.broker.replace());
    let lost = waiting.join().expect("does not panic").expect_err("nobody is there");
    assert_eq!(lost.kind(), ErrorKind::Disconnected, "{lost}");
}
