//! Points 12 to 16 of the contract, one short case each: topics, services.

use std::time::Duration;

use bus_core::router::{
    AdminAction, Command, ObjectKind, SlowPolicy, SubscribeOptions, TopicChange, TopicOptions,
};
use bus_core::{KEPT_TYPES_MAX, Message, SERVICE_PENDING_MAX};

use crate::bus::{Bus, kind, message, name, user};
use crate::events::payload;

const SECOND: Duration = Duration::from_secs(1);

/// A publisher A on channel 0 and subscribers B and C on channel 5, with window for two messages
/// and a backlog of two.
fn news(policy: SlowPolicy) -> Bus {
    let mut bus = Bus::new("ABC");
    bus.publisher('A', 0, "news", TopicOptions::default());
    bus.subscribe('B', 5, "news", small(policy));
    bus.subscribe('C', 5, "*", SubscribeOptions::default());
    bus
}

fn small(policy: SlowPolicy) -> SubscribeOptions {
    SubscribeOptions {
        policy,
        window_bytes: 144,
        backlog_bytes: 144,
        ..SubscribeOptions::default()
    }
}

/// Publishes these, and gives what B was told.
fn publish(bus: &mut Bus, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let told: Vec<String> = numbers.flat_map(|number| bus.publish('A', 0, 1, number)).collect();
    told.into_iter().filter(|told| told.starts_with('B')).collect()
}

// Points 12 and 13.

#[test]
fn each_subscriber_hears_a_publisher_in_order() {
    let mut bus = news(SlowPolicy::Hold);
    let told = bus.publish('A', 0, 1, 1);
    assert_eq!(told, ["B heard 1 on 5", "C heard 1 on 5", "A accepted 1"]);
    let told = bus.publish('A', 0, 2, 2);
    assert_eq!(told, ["B heard 2 on 5", "C heard 2 on 5", "A accepted 2"]);
}

#[test]
fn drop_oldest_tells_how_many_were_lost_before_the_next() {
    let mut bus = news(SlowPolicy::DropOldest);
    assert_eq!(publish(&mut bus, 1..=7), ["B heard 1 on 5", "B heard 2 on 5"]);
    assert_eq!(bus.topic_stat("news").map(|stat| stat.dropped), Some(3));
    let told = bus.consumed('B', 5, 144);
    assert_eq!(told, ["B lost 3 on 5", "B heard 6 on 5", "B heard 7 on 5"]);
}

#[test]
fn a_subscriber_that_asked_for_it_ends_as_too_slow_and_the_others_go_on() {
    let mut bus = news(SlowPolicy::End);
    publish(&mut bus, 1..=4);
    let told = bus.publish('A', 0, 1, 5);
    assert_eq!(told, ["C heard 5 on 5", "A accepted 5", "B ended 5 TooSlow"]);
}

#[test]
fn a_slow_subscriber_holds_the_publisher_back_until_it_reads() {
    let mut bus = news(SlowPolicy::Hold);
    publish(&mut bus, 1..=4);
    assert!(bus.publish('A', 0, 1, 5).is_empty());
    let told = bus.consumed('B', 5, 144);
    let expected =
        ["B heard 3 on 5", "B heard 4 on 5", "C heard 5 on 5", "A accepted 5"].map(str::to_owned);
    assert_eq!(told, expected);
}

#[test]
fn holding_back_has_a_ceiling_after_which_all_goes_on() {
    let mut bus = news(SlowPolicy::Hold);
    publish(&mut bus, 1..=4);
    assert!(bus.tick(100 * SECOND).is_empty());
    assert!(bus.publish('A', 0, 1, 5).is_empty());
    assert!(bus.publish('A', 0, 1, 6).is_empty());
    assert!(bus.tick(SECOND - Duration::from_nanos(1)).is_empty());
    // What it held back does not go to the one that ends, and so does not fill it again.
    let told = bus.tick(Duration::from_nanos(1));
    let expected =
        ["B ended 5 TooSlow", "C heard 5 on 5", "A accepted 5", "C heard 6 on 5", "A accepted 6"];
    assert_eq!(told, expected);
    assert_eq!(bus.publish('A', 0, 1, 7), ["C heard 7 on 5", "A accepted 7"]);
}

#[test]
fn a_subscriber_that_fills_again_has_a_ceiling_without_another_publish() {
    let mut bus = news(SlowPolicy::Hold);
    publish(&mut bus, 1..=8);
    bus.consumed('B', 5, 144);
    assert_eq!(bus.topic_stat("news").map(|stat| stat.held), Some(2));
    let told = bus.tick(SECOND);
    assert_eq!(told.first().map(String::as_str), Some("B ended 5 TooSlow"));
    assert_eq!(told.last().map(String::as_str), Some("A accepted 8"));
}

#[test]
fn a_full_subscriber_that_is_let_in_while_something_waits_has_a_ceiling_too() {
    let mut bus = news(SlowPolicy::Hold);
    bus.join('D', user(2, 2));
    bus.subscribe('D', 5, ">", small(SlowPolicy::Hold));
    let mode = |mode: u16| TopicChange { mode: Some(mode), ..TopicChange::default() };
    let set = |change| Command::SetTopic { request: 0, name: name("news"), change };
    bus.tell('A', set(mode(0o700)));
    bus.publisher('A', 1, "other", TopicOptions::default());
    (1..=4).for_each(|number| drop(bus.publish('A', 1, 1, number)));
    publish(&mut bus, 5..=9);
    bus.tell('A', set(mode(0o755)));
    let told = bus.tick(SECOND);
    let ended: Vec<&String> = told.iter().filter(|told| told.contains("TooSlow")).collect();
    assert_eq!(ended, ["B ended 5 TooSlow", "D ended 5 TooSlow"]);
    assert_eq!(told.last().map(String::as_str), Some("A accepted 9"));
}

#[test]
fn a_subscriber_of_another_user_does_not_hold_back_by_default() {
    let mut bus = news(SlowPolicy::Hold);
    bus.join('D', user(2, 2));
    bus.subscribe('D', 5, "news", small(SlowPolicy::Auto));
    bus.consumed('B', 5, 0);
    bus.close('B', 5);
    publish(&mut bus, 1..=4);
    let told = bus.publish('A', 0, 1, 5);
    assert_eq!(told, ["C heard 5 on 5", "A accepted 5", "D ended 5 TooSlow"]);
}

#[test]
fn a_flush_waits_for_what_was_published_before_it_and_for_nothing_else() {
    let mut bus = news(SlowPolicy::Hold);
    publish(&mut bus, 1..=4);
    let flush = |request: u32| Command::Flush { request, channel: 0 };
    assert_eq!(bus.tell('A', flush(1)), ["A done 1"]);
    (5..=6).for_each(|number| drop(bus.publish('A', 0, 1, number)));
    assert!(bus.tell('A', flush(2)).is_empty());
    // 5 and 6 fill it again, and the flush is done all the same.
    assert_eq!(bus.consumed('B', 5, 144).last().map(String::as_str), Some("A done 2"));
}

#[test]
fn a_subscriber_of_many_topics_is_not_ended_for_one_that_is_gone() {
    let mut bus = news(SlowPolicy::Hold);
    publish(&mut bus, 1..=5);
    let (name, object, action) = (name("news"), ObjectKind::Topic, AdminAction::Remove);
    let told = bus.tell('A', Command::Admin { request: 9, name, object, action });
    assert_eq!(told, ["A ended 0 Removed", "A failed 5 Removed", "A done 9"]);
    assert!(bus.tick(SECOND).is_empty());
    assert_eq!(bus.consumed('B', 5, 144), ["B heard 3 on 5", "B heard 4 on 5"]);
}

// Points 14 and 15.

#[test]
fn a_late_joiner_gets_the_last_message_of_each_type_in_their_order() {
    let mut bus = Bus::new("AB");
    let options = TopicOptions { keep_last: true, ..TopicOptions::default() };
    bus.publisher('A', 0, "state", options);
    for (type_number, number) in [(1, 1), (2, 2), (1, 3)] {
        bus.publish('A', 0, type_number, number);
    }
    let told = bus.subscribe('B', 5, "state", SubscribeOptions::default());
    assert_eq!(told, ["B heard 2 on 5", "B heard 3 on 5"]);
    // It stays without its publisher.
    bus.close('A', 0);
    let told = bus.subscribe('A', 5, ">", SubscribeOptions::default());
    assert_eq!(told, ["A heard 2 on 5", "A heard 3 on 5"]);
}

#[test]
fn what_is_kept_is_bounded_and_the_oldest_goes_and_is_counted() {
    let mut bus = Bus::new("AB");
    let options = TopicOptions { keep_last: true, ..TopicOptions::default() };
    bus.publisher('A', 0, "state", options);
    let long = |number: u64| {
        let message = Message::new(kind(number), payload(number, 30 << 20));
        Command::Publish { channel: 0, message, ticket: None }
    };
    // Two of them find room; of a type that has one the new one takes its place.
    for number in [3, 2, 3, 1] {
        bus.tell('A', long(number));
    }
    let options = SubscribeOptions { window_bytes: 16 << 20, ..Default::default() };
    let told = bus.subscribe('B', 5, "state", options);
    assert_eq!(told, ["B heard 3 on 5", "B heard 1 on 5"]);
    let stat = bus.topic_stat("state").expect("there");
    assert_eq!((stat.kept, stat.dropped), (2, 1));
    bus.close('B', 5);
    for number in 1..=KEPT_TYPES_MAX as u64 + 1 {
        bus.publish('A', 0, 10 + number, number);
    }
    let stat = bus.topic_stat("state").expect("there");
    assert_eq!((stat.kept, stat.dropped), (KEPT_TYPES_MAX as u64, 4));
}

#[test]
fn each_group_gets_each_message_once() {
    let mut bus = Bus::new("ABCD");
    bus.publisher('A', 0, "work", TopicOptions::default());
    for (letter, group) in [('B', "one"), ('C', "one"), ('D', "two")] {
        let options =
            SubscribeOptions { group: Some(crate::bus::group(group)), ..Default::default() };
        bus.subscribe(letter, 5, "work", options);
    }
    let told = bus.publish('A', 0, 1, 1);
    assert_eq!(told, ["B heard 1 on 5", "D heard 1 on 5", "A accepted 1"]);
    let told = bus.publish('A', 0, 1, 2);
    assert_eq!(told, ["C heard 2 on 5", "D heard 2 on 5", "A accepted 2"]);
}

// Point 16.

/// A caller A with the service `sums` on channel 0, and a server B of credit 1 on channel 5.
fn sums() -> Bus {
    let mut bus = Bus::new("AB");
    bus.tell('A', Command::OpenService { request: 0, channel: 0, name: name("sums") });
    let (name, credit, mode) = (name("sums"), 1, None);
    bus.tell('B', Command::Serve { request: 0, channel: 5, name, credit, mode });
    bus
}

fn call(bus: &mut Bus, number: u64) -> Vec<String> {
    let (ticket, message, timeout) = (number, message(1, number), SECOND);
    bus.tell('A', Command::Call { channel: 0, ticket, message, timeout })
}

#[test]
fn no_responder_is_an_answer() {
    let mut bus = sums();
    assert_eq!(call(&mut bus, 1), ["B invoked 1 on 5 as 1"]);
    assert!(call(&mut bus, 2).is_empty());
    assert_eq!(bus.close('B', 5), ["A failed 1 Unreachable", "A failed 2 Unreachable"]);
    assert_eq!(call(&mut bus, 3), ["A failed 3 Unreachable"]);
}

#[test]
fn a_late_reply_is_dropped_and_gives_the_credit_back() {
    let mut bus = sums();
    call(&mut bus, 1);
    assert_eq!(bus.tick(SECOND), ["A failed 1 TimedOut"]);
    assert!(call(&mut bus, 2).is_empty());
    let reply = |call: u64| Command::CallReply { call, result: Ok(message(2, 9)) };
    assert_eq!(bus.tell('B', reply(1)), ["B invoked 2 on 5 as 2"]);
    assert_eq!(bus.tell('B', reply(2)), ["A result 2 is 9"]);
    assert!(bus.tell('B', reply(2)).is_empty());
}

#[test]
fn calls_to_servers_that_are_away_are_bounded() {
    let mut bus = sums();
    bus.suspend('B');
    bus.join('C', user(1, 1));
    bus.tell('C', Command::OpenService { request: 0, channel: 0, name: name("sums") });
    for number in 1..=SERVICE_PENDING_MAX as u64 {
        assert!(call(&mut bus, number).is_empty());
    }
    let (message, timeout) = (message(1, 1), SECOND);
    let one_more = Command::Call { channel: 0, ticket: 1, message, timeout };
    assert_eq!(bus.tell('C', one_more), ["C failed 1 QuotaExceeded"]);
}
