//! Points 1 to 6 of the contract, one short case each: order, receivers, room, cancelling.

use bus_core::router::{Command, ConsumeOptions, QueueOptions, RouterConfig};
use bus_core::{Message, MessageType, Selector};

use crate::bus::{Bus, credit, kind, message, once, room_for, user};
use crate::events::payload;

const ANY: Selector = Selector::Any;

/// A sender A and receivers B and C, with the queue `jobs` on channel 0 of each.
fn jobs(options: QueueOptions) -> Bus {
    let mut bus = Bus::new("ABC");
    for letter in "ABC".chars() {
        bus.queue(letter, 0, "jobs", options.clone());
    }
    bus
}

fn eq(number: u64) -> Selector {
    Selector::Eq(kind(number))
}

// Point 1.

#[test]
fn messages_come_in_the_order_of_their_arrival() {
    let mut bus = jobs(room_for(9));
    for number in 1..=3 {
        bus.send(if number == 2 { 'C' } else { 'A' }, 0, number, number);
    }
    let got = bus.consume('B', 5, credit(9));
    assert_eq!(got, ["B got 1 on 5 as 1", "B got 2 on 5 as 2", "B got 3 on 5 as 3"]);
}

#[test]
fn each_selector_takes_its_own_first_match_and_leaves_the_rest_in_order() {
    let cases =
        [(ANY, 1), (eq(2), 2), (Selector::Upto(kind(2)), 3), (Selector::Except(kind(4)), 2)];
    for (selector, first) in cases {
        let mut bus = jobs(room_for(9));
        for (type_number, number) in [(4, 1), (2, 2), (1, 3), (2, 4)] {
            bus.send('A', 0, type_number, number);
        }
        assert_eq!(bus.receive('B', 5, selector), [format!("B got {first} on 5 as 1")]);
        let rest: Vec<u64> = (1..=4).filter(|number| *number != first).collect();
        let expected =
            rest.iter().zip(1..).map(|(number, at)| format!("C got {number} on 6 as {at}"));
        assert_eq!(bus.consume('C', 6, credit(9)), expected.collect::<Vec<_>>());
    }
}

// Point 2.

#[test]
fn the_longest_waiting_receiver_that_matches_wins_over_a_more_exact_one() {
    let mut bus = jobs(room_for(9));
    bus.receive('B', 5, eq(9));
    bus.receive('B', 6, ANY);
    bus.receive('C', 5, eq(1));
    assert_eq!(bus.send('A', 0, 1, 1), ["B got 1 on 6 as 1", "A accepted 1"]);
    assert_eq!(bus.send('A', 0, 1, 2), ["C got 2 on 5 as 1", "A accepted 2"]);
}

#[test]
fn a_consumer_goes_to_the_back_after_each_delivery() {
    let mut bus = jobs(room_for(9));
    bus.consume('B', 5, credit(9));
    bus.consume('C', 5, credit(9));
    assert_eq!(bus.send('A', 0, 1, 1), ["B got 1 on 5 as 1", "A accepted 1"]);
    assert_eq!(bus.send('A', 0, 1, 2), ["C got 2 on 5 as 1", "A accepted 2"]);
    assert_eq!(bus.send('A', 0, 1, 3), ["B got 3 on 5 as 2", "A accepted 3"]);
}

#[test]
fn what_a_consumer_has_not_looked_at_goes_to_one_who_comes_and_has_nothing() {
    let mut bus = jobs(room_for(9));
    bus.consume('B', 5, credit(9));
    bus.send('A', 0, 1, 1);
    // B has credit left and has waited for longer than C; it must not get back what it returns.
    assert_eq!(bus.receive('C', 5, ANY), ["B recalled 1"]);
    assert_eq!(bus.give_back('B', &[1]), ["C got 1 on 5 as 1"]);
}

#[test]
fn a_delivery_that_was_looked_at_is_not_given_to_another() {
    let mut bus = jobs(room_for(9));
    bus.consume('B', 5, credit(9));
    bus.send('A', 0, 1, 1);
    bus.taken('B', 5, 1);
    assert!(bus.receive('C', 5, ANY).is_empty());
    let unlucky = ConsumeOptions { wait: false, ..once(ANY) };
    assert_eq!(bus.consume('C', 6, unlucky), ["C ended 6 Empty"]);
}

#[test]
fn deliveries_that_are_returned_together_go_on_in_the_order_of_the_queue() {
    let mut bus = jobs(room_for(9));
    bus.consume('B', 5, credit(3));
    (1..=3).for_each(|number| drop(bus.send('A', 0, 1, number)));
    bus.consume('B', 5, credit(0));
    bus.give_back('B', &[3, 1, 2]);
    let got = bus.consume('C', 5, credit(3));
    assert_eq!(got, ["C got 1 on 5 as 1", "C got 2 on 5 as 2", "C got 3 on 5 as 3"]);
}

#[test]
fn a_session_that_comes_back_is_asked_for_what_it_has_not_looked_at() {
    let mut bus = jobs(room_for(9));
    bus.consume('B', 5, credit(1));
    bus.send('A', 0, 1, 1);
    bus.suspend('B');
    assert!(bus.receive('C', 5, ANY).is_empty());
    assert_eq!(bus.resume('B'), ["B recalled 1"]);
}

#[test]
fn a_message_does_not_wander_between_consumers_that_are_idle() {
    let mut bus = jobs(room_for(9));
    bus.consume('B', 5, credit(2));
    bus.send('A', 0, 1, 1);
    assert_eq!(bus.consume('C', 5, credit(2)), ["B recalled 1"]);
    assert_eq!(bus.give_back('B', &[1]), ["C got 1 on 5 as 1"]);
    // Somebody who receives wants it more than a consumer does.
    assert_eq!(bus.receive('B', 6, ANY), ["C recalled 1"]);
}

// Point 3.

#[test]
fn full_of_type_1_does_not_stop_type_2() {
    let mut bus = jobs(room_for(1));
    bus.receive('B', 5, eq(2));
    assert_eq!(bus.send('A', 0, 1, 1), ["A accepted 1"]);
    assert!(bus.send('A', 0, 1, 2).is_empty());
    assert_eq!(bus.send('A', 0, 2, 3), ["B got 3 on 5 as 1", "A accepted 3"]);
}

// Point 4.

#[test]
fn a_queue_is_bounded_in_bytes_and_empty_messages_count() {
    let mut bus = jobs(QueueOptions { bytes_max: 3 * 72, ..QueueOptions::default() });
    (1..=3).for_each(|number| assert_eq!(bus.send('A', 0, 1, number).len(), 1));
    assert_eq!(bus.try_send('A', 0, 1, 4), ["A failed 4 QueueFull"]);
    let large = Message::new(MessageType::ONE, payload(5, 200));
    assert_eq!(bus.send_message('A', 0, large, false), ["A failed 5 TooBig"]);
}

#[test]
fn a_small_send_does_not_overtake_a_large_one() {
    let mut bus = jobs(QueueOptions { bytes_max: 300, ..QueueOptions::default() });
    bus.send_message('A', 0, Message::new(kind(1), payload(1, 100)), false);
    let large = Message::new(kind(1), payload(2, 200));
    assert!(bus.send_message('A', 0, large, false).is_empty());
    assert!(bus.send('C', 0, 1, 3).is_empty());
    assert_eq!(bus.try_send('C', 0, 1, 4), ["C failed 4 QueueFull"]);
    assert_eq!(bus.receive('B', 5, ANY), ["B got 1 on 5 as 1", "A accepted 2"]);
}

#[test]
fn a_receive_sees_blocked_sends_after_what_is_queued_and_lets_others_in() {
    let mut bus = jobs(QueueOptions { bytes_max: 300, ..QueueOptions::default() });
    bus.send_message('A', 0, Message::new(kind(1), payload(1, 100)), false);
    bus.send_message('A', 0, Message::new(kind(2), payload(2, 200)), false);
    bus.send('C', 0, 1, 3);
    // 2 needs no room, and does not stand before 3 any more.
    assert_eq!(bus.receive('B', 5, eq(2)), ["A accepted 2", "B got 2 on 5 as 1", "C accepted 3"]);
}

#[test]
fn a_blocked_send_stalls_nothing_else_of_its_session() {
    let mut bus = jobs(room_for(1));
    bus.queue('A', 1, "other", room_for(1));
    bus.send('A', 0, 1, 1);
    assert!(bus.send('A', 0, 1, 2).is_empty());
    assert_eq!(bus.send('A', 1, 1, 3), ["A accepted 3"]);
}

#[test]
fn a_large_message_is_offered_and_waits_for_its_grant() {
    let mut bus = jobs(room_for(1));
    bus.send('A', 0, 1, 1);
    assert!(bus.offer('A', 0, 2, 100_000).is_empty());
    assert_eq!(bus.receive('B', 5, ANY), ["B got 1 on 5 as 1", "A granted 2"]);
    // Its room is kept for it, until it comes or is taken back.
    assert_eq!(bus.try_send('C', 0, 1, 3), ["C failed 3 QueueFull"]);
    assert_eq!(bus.granted('A', 2, 100_000), ["A accepted 2"]);
    assert_eq!(bus.receive('B', 5, ANY), ["B got 2 on 5 as 2"]);
    assert_eq!(bus.offer('A', 0, 4, 100_000), ["A granted 4"]);
    assert_eq!(bus.withdraw('A', 4), ["A failed 4 Withdrawn"]);
    assert_eq!(bus.try_send('C', 0, 1, 5), ["C accepted 5"]);
}

#[test]
fn an_offer_for_a_waiting_receiver_needs_no_room_and_keeps_its_place_without_it() {
    let mut bus = jobs(room_for(1));
    bus.send('C', 0, 2, 1);
    bus.receive('B', 5, eq(1));
    assert_eq!(bus.offer('A', 0, 2, 100_000), ["A granted 2"]);
    bus.close('B', 5);
    assert!(bus.offer('A', 0, 3, 100_000).is_empty());
    assert_eq!(bus.granted('A', 2, 100_000), ["A accepted 2"]);
    assert_eq!(bus.receive('B', 5, eq(1)), ["B got 2 on 5 as 1"]);
    assert_eq!(bus.receive('B', 5, eq(1)), ["A granted 3"]);
}

#[test]
fn room_is_kept_in_bytes_too() {
    let mut bus = jobs(QueueOptions { bytes_max: 300, ..QueueOptions::default() });
    assert_eq!(bus.offer('A', 0, 1, 200), ["A granted 1"]);
    assert_eq!(bus.try_send('C', 0, 1, 2), ["C failed 2 QueueFull"]);
}

#[test]
fn an_offer_that_is_taken_back_lets_its_receiver_have_the_next() {
    let mut bus = jobs(room_for(1));
    bus.send('C', 0, 2, 1);
    bus.receive('B', 5, eq(1));
    assert_eq!(bus.offer('A', 0, 2, 100_000), ["A granted 2"]);
    assert!(bus.offer('A', 0, 3, 100_000).is_empty());
    assert_eq!(bus.withdraw('A', 2), ["A failed 2 Withdrawn", "A granted 3"]);
}

#[test]
fn a_receiver_does_not_wait_for_a_sender_that_was_granted_and_is_slow() {
    let mut bus = jobs(room_for(1));
    bus.send('C', 0, 2, 1);
    bus.receive('B', 5, eq(1));
    bus.offer('A', 0, 2, 100_000);
    assert_eq!(bus.send('C', 0, 1, 3), ["B got 3 on 5 as 1", "C accepted 3"]);
}

#[test]
fn a_consumer_takes_blocked_sends_while_a_granted_sender_is_slow() {
    let mut bus = jobs(room_for(1));
    bus.send('C', 0, 2, 1);
    bus.consume('B', 5, ConsumeOptions { selector: eq(1), ..credit(1) });
    bus.send('C', 0, 1, 2);
    bus.offer('A', 0, 3, 100_000);
    bus.send('C', 0, 1, 4);
    bus.taken('B', 5, 1);
    assert_eq!(
        bus.ack('B', 1),
        ["B settled 1", "A granted 3", "C accepted 4", "B got 4 on 5 as 2"]
    );
}

#[test]
fn an_offer_too_big_for_a_receiver_ends_it_as_the_message_would() {
    let mut bus = jobs(room_for(1));
    bus.send('C', 0, 2, 1);
    bus.consume('B', 5, ConsumeOptions { bytes_max: 100, ..once(eq(1)) });
    assert_eq!(bus.offer('A', 0, 2, 100_000), ["B ended 5 TooBig"]);
    assert!(bus.offer('A', 0, 3, 50).is_empty());
}

#[test]
fn what_a_session_has_waiting_is_charged_to_it() {
    let mut bus = Bus::with(RouterConfig { parked_bytes_max: 150, ..RouterConfig::default() });
    bus.join('A', user(1, 1));
    bus.queue('A', 0, "jobs", room_for(1));
    (1..=3).for_each(|number| drop(bus.send('A', 0, 1, number)));
    assert_eq!(bus.send('A', 0, 1, 4), ["A failed 4 QuotaExceeded"]);
}

#[test]
fn a_delayed_message_that_finds_a_receiver_leaves_room_behind() {
    let mut bus = jobs(room_for(1));
    let second = std::time::Duration::from_secs(1);
    bus.send('A', 0, 1, 1);
    bus.receive('B', 5, ANY);
    bus.taken('B', 5, 1);
    bus.nack('B', 1, second);
    assert!(bus.send('A', 0, 2, 2).is_empty());
    bus.receive('B', 5, eq(1));
    assert_eq!(bus.tick(second), ["B got 1 on 5 as 2 again 1", "A accepted 2"]);
}

// Points 5 and 6.

#[test]
fn a_withdrawn_send_leaves_nothing_and_an_accepted_one_stays_once() {
    let mut bus = jobs(room_for(1));
    bus.send('A', 0, 1, 1);
    bus.send('A', 0, 1, 2);
    assert_eq!(bus.withdraw('A', 2), ["A failed 2 Withdrawn"]);
    assert!(bus.withdraw('A', 1).is_empty());
    assert_eq!(bus.consume('B', 5, credit(9)), ["B got 1 on 5 as 1"]);
}

#[test]
fn the_blocked_sends_of_a_session_that_ends_leave_nothing() {
    let mut bus = jobs(QueueOptions { bytes_max: 300, ..QueueOptions::default() });
    bus.send('C', 0, 1, 1);
    bus.send_message('A', 0, Message::new(kind(1), payload(2, 200)), false);
    bus.send('A', 0, 1, 3);
    bus.end('A');
    let stat = bus.stat("jobs").expect("the queue");
    assert_eq!((stat.messages, stat.blocked, stat.accepted), (1, 0, 1));
}

#[test]
fn a_cancelled_receive_puts_the_message_back_at_its_place_unmarked() {
    let mut bus = jobs(room_for(9));
    bus.receive('B', 5, ANY);
    bus.send('A', 0, 1, 1);
    bus.send('A', 0, 1, 2);
    assert!(bus.close('B', 5).is_empty());
    bus.give_back('B', &[1]);
    assert_eq!(bus.receive('C', 5, ANY), ["C got 1 on 5 as 1"]);
}

#[test]
fn auto_ack_acknowledges_when_the_message_is_looked_at() {
    let mut bus = jobs(room_for(9));
    bus.consume('B', 5, ConsumeOptions { auto_ack: true, ..once(ANY) });
    bus.send('A', 0, 1, 1);
    assert_eq!(bus.stat("jobs").map(|stat| (stat.leased, stat.acked)), Some((1, 0)));
    bus.taken('B', 5, 1);
    assert_eq!(bus.stat("jobs").map(|stat| (stat.leased, stat.acked)), Some((0, 1)));
}

#[test]
fn too_big_ends_that_receiver_and_the_message_goes_to_the_next() {
    let mut bus = jobs(room_for(9));
    bus.consume('B', 5, ConsumeOptions { bytes_max: 7, ..once(ANY) });
    bus.receive('C', 5, ANY);
    let seen = bus.send_message('A', 0, message(1, 1), false);
    assert_eq!(seen, ["B ended 5 TooBig", "C got 1 on 5 as 1", "A accepted 1"]);
    bus.send('A', 0, 1, 2);
    let short = ConsumeOptions { bytes_max: 7, ..once(ANY) };
    assert_eq!(bus.consume('B', 5, short), ["B ended 5 TooBig"]);
    assert_eq!(bus.receive('C', 5, ANY), ["C got 2 on 5 as 2"]);
}

#[test]
fn receive_that_does_not_wait_ends_whatever_others_do() {
    let mut bus = Bus::new("ABC");
    bus.queue('A', 0, "jobs", room_for(9));
    bus.queue('B', 0, "jobs", room_for(9));
    bus.queue('C', 0, "jobs", room_for(9));
    bus.consume('B', 5, credit(1));
    bus.send('A', 0, 1, 1);
    let options = ConsumeOptions { wait: false, ..once(Selector::Any) };
    let ask = Command::Consume { request: 0, channel: 5, queue: 0, options };
    assert_eq!(bus.tell('C', ask), ["B recalled 1"]);
    let told = bus.tick(std::time::Duration::from_secs(1));
    assert_eq!(told, ["C ended 5 Empty"]);
}
