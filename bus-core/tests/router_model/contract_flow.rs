//! A session whose connection has too much to write is given no more, and goes on afterwards.

use bus_core::Selector;
use bus_core::router::{
    Command, ConsumeOptions, QueueOptions, RouterConfig, SubscribeOptions, TopicOptions,
};

use crate::bus::{Bus, credit, message, name, user};

/// Each message here costs 72 bytes, so that a third one passes the limit.
const LIMIT: u64 = 200;

fn narrow_bus() -> Bus {
    let config = RouterConfig { unwritten_bytes_max: LIMIT, ..RouterConfig::default() };
    let mut bus = Bus::with(config);
    for letter in "ABC".chars() {
        bus.join(letter, user(1, 1));
    }
    bus
}

#[test]
fn consumer_is_handed_what_its_connection_can_write() {
    let mut bus = narrow_bus();
    for letter in "ABC".chars() {
        bus.queue(letter, 0, "jobs", QueueOptions::default());
    }
    for number in 1..=8 {
        bus.send('A', 0, 1, number);
    }
    let got = bus.consume('B', 5, credit(100));
    assert_eq!(got.len(), 3, "{got:?}");
    // Nobody else has to wait for it.
    assert_eq!(bus.receive('C', 5, Selector::Any), ["C got 4 on 5 as 1"]);
    assert!(bus.written('B', 150).is_empty(), "more than half is left");
    let got = bus.written('B', 100);
    assert_eq!(got, ["B got 5 on 5 as 4", "B got 6 on 5 as 5"]);
    assert_eq!(bus.written('B', 0), ["B got 7 on 5 as 6", "B got 8 on 5 as 7"]);
}

#[test]
fn subscriptions_wait_together_for_one_connection() {
    let mut bus = narrow_bus();
    for (channel, text) in [(1, "a"), (2, "b")] {
        let (options, pattern) =
            (SubscribeOptions::default(), bus_core::Pattern::new(text).expect("a pattern"));
        bus.tell('B', Command::Subscribe { request: 0, channel, pattern, options });
        bus.publisher('A', channel, text, TopicOptions::default());
    }
    let mut heard = Vec::new();
    for number in 1..=3 {
        for channel in [1, 2] {
            let message = message(1, 10 * u64::from(channel) + number);
            heard.extend(bus.tell('A', Command::Publish { channel, message, ticket: None }));
        }
    }
    assert_eq!(heard.len(), 3, "{heard:?}");
    let rest = bus.written('B', 0);
    assert_eq!(rest.len(), 3, "{rest:?}");
}

#[test]
fn calls_wait_for_a_server_whose_connection_can_write() {
    let mut bus = narrow_bus();
    let (service, credit) = (name("sums"), 100);
    bus.tell('B', Command::Serve { request: 0, channel: 1, name: service, credit, mode: None });
    bus.tell('A', Command::OpenService { request: 0, channel: 0, name: name("sums") });
    let mut served = Vec::new();
    for ticket in 1..=5 {
        let (message, timeout) = (message(1, ticket), std::time::Duration::from_secs(9));
        served.extend(bus.tell('A', Command::Call { channel: 0, ticket, message, timeout }));
    }
    assert_eq!(served.len(), 3, "{served:?}");
    assert_eq!(bus.written('B', 0).len(), 2);
}

#[test]
fn single_receive_is_served_when_there_is_less_to_write() {
    let mut bus = narrow_bus();
    bus.queue('A', 0, "jobs", QueueOptions::default());
    bus.queue('B', 0, "jobs", QueueOptions::default());
    bus.consume('B', 5, ConsumeOptions { credit: 3, ..credit(3) });
    for number in 1..=4 {
        bus.send('A', 0, 1, number);
    }
    assert!(bus.receive('B', 6, Selector::Any).is_empty());
    assert_eq!(bus.written('B', 0), ["B got 4 on 6 as 4"]);
}
