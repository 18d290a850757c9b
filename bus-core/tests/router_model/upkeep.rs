//! What the router keeps and forgets beside the messages: timers, and lists of deliveries.

use std::time::Duration;

use bus_core::Selector;
use bus_core::router::{AdminAction, Command, ConsumeOptions, QueueOptions};

use crate::bus::{Bus, credit, kind};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A session with a queue on channel 0 and a consumer on channel 1.
fn with_consumer(options: ConsumeOptions) -> Bus {
    let mut bus = Bus::new("A");
    bus.queue('A', 0, "jobs", QueueOptions::default());
    bus.consume('A', 1, options);
    bus
}

/// Sends a message, which comes back at once with a delay.
fn delay(bus: &mut Bus, number: u64, time: Duration) {
    bus.send('A', 0, 1, number);
    bus.nack('A', number, time);
}

#[test]
fn delayed_messages_of_a_queue_have_one_deadline() {
    let mut bus = with_consumer(credit(1));
    delay(&mut bus, 1, 3 * HOUR);
    delay(&mut bus, 2, HOUR);
    delay(&mut bus, 3, 2 * HOUR);
    assert_eq!(bus.deadline(), Some(HOUR));
    assert_eq!(bus.tick(HOUR), ["A got 2 on 1 as 4 again 1"]);
    assert_eq!(bus.deadline(), Some(HOUR));
    bus.ack('A', 4);
    assert_eq!(bus.tick(HOUR), ["A got 3 on 1 as 5 again 1"]);
    bus.ack('A', 5);
    assert_eq!(bus.tick(HOUR), ["A got 1 on 1 as 6 again 1"]);
    bus.ack('A', 6);
    bus.tick(HOUR);
    assert_eq!(bus.deadline(), None);
}

#[test]
fn the_deadline_of_delayed_messages_goes_with_them() {
    for action in [AdminAction::Purge, AdminAction::Remove] {
        let mut bus = with_consumer(credit(1));
        delay(&mut bus, 1, DAY);
        assert!(bus.deadline().is_some());
        bus.admin('A', "jobs", action);
        assert_eq!(bus.deadline(), None, "{action:?}");
    }
}

/// Of four deliveries the consumer that is gone has said nothing of; they are taken in parts.
#[test]
fn deliveries_of_a_closed_consumer_are_taken_up_to_the_one_named() {
    let mut bus = with_consumer(credit(4));
    for number in 1..=4 {
        bus.send('A', 0, 1, number);
    }
    bus.close('A', 1);
    assert_eq!(bus.deadline(), None);
    bus.taken('A', 1, 2);
    bus.ack('A', 1);
    let lease = Duration::from_secs(30);
    bus.tick(lease / 2);
    bus.taken('A', 1, 3);
    bus.receive('A', 9, Selector::Any);
    // Lease 2 ends; 3 has as long again, and of 4 nothing was said.
    assert_eq!(bus.tick(lease / 2), ["A got 2 on 9 as 5 again 1"]);
    assert!(bus.tick(lease / 4).is_empty());
}

#[test]
fn deliveries_of_a_removed_queue_are_taken_as_others_are() {
    let mut bus = with_consumer(ConsumeOptions { auto_ack: true, ..credit(2) });
    bus.send('A', 0, 1, 1);
    bus.send('A', 0, 1, 2);
    bus.admin('A', "jobs", AdminAction::Remove);
    assert_eq!(bus.leases('A'), 2);
    bus.taken('A', 1, 2);
    assert_eq!(bus.leases('A'), 0);
}

#[test]
fn a_peek_at_the_highest_index_finds_nothing() {
    let mut bus = with_consumer(credit(0));
    bus.send('A', 0, 1, 1);
    bus.send('A', 0, 2, 2);
    for selector in [Selector::Any, Selector::Except(kind(9)), Selector::Upto(kind(9))] {
        let peek = Command::Peek { request: 8, queue: 0, selector, index: u64::MAX };
        assert_eq!(bus.tell('A', peek), ["A refused 8 Empty"], "{selector}");
    }
}
