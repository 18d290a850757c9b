//! Points 7 to 9 and 11 of the contract: leases, peeking, the life of a queue, statistics.

use std::time::Duration;

use bus_core::Selector;
use bus_core::router::{
    AdminAction, Answer, Command, ConsumeOptions, Lifetime, OpenMode, Output, QueueOptions,
};

use crate::bus::{Bus, credit, kind, name, once, room_for, user};
use crate::events::number_of;

const ANY: Selector = Selector::Any;
const NOW: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

/// A sender A and a receiver B that has taken message 1 as lease 1; message 2 waits.
fn one_taken(options: QueueOptions) -> Bus {
    let mut bus = Bus::new("AB");
    bus.queue('A', 0, "jobs", options.clone());
    bus.queue('B', 0, "jobs", options);
    bus.send('A', 0, 1, 1);
    bus.send('A', 0, 1, 2);
    bus.receive('B', 5, ANY);
    bus.taken('B', 5, 1);
    bus
}

fn living(lifetime: Lifetime) -> QueueOptions {
    QueueOptions { lifetime, ..QueueOptions::default() }
}

// Point 7.

#[test]
fn the_clock_of_a_lease_starts_when_the_application_has_the_message() {
    let mut bus = Bus::new("AB");
    bus.queue('A', 0, "jobs", QueueOptions::default());
    bus.queue('B', 0, "jobs", QueueOptions::default());
    bus.consume('B', 5, credit(1));
    bus.send('A', 0, 1, 1);
    assert!(bus.tick(100 * SECOND).is_empty());
    bus.taken('B', 5, 1);
    assert!(bus.tick(29 * SECOND).is_empty());
    assert_eq!(bus.stat("jobs").map(|stat| stat.leased), Some(1));
    assert_eq!(bus.tick(SECOND), ["B got 1 on 5 as 2 again 1"]);
    assert_eq!(bus.ack('B', 1), ["B unsettled 1 StaleLease"]);
}

#[test]
fn a_receive_that_never_looks_has_its_message_for_one_lease() {
    let mut bus = Bus::new("AB");
    bus.queue('A', 0, "jobs", QueueOptions::default());
    bus.queue('B', 0, "jobs", QueueOptions::default());
    bus.receive('B', 5, ANY);
    bus.send('A', 0, 1, 1);
    bus.receive('A', 5, ANY);
    assert!(bus.tick(29 * SECOND).is_empty());
    assert_eq!(bus.tick(SECOND), ["A got 1 on 5 as 1 again 1"]);
    // The hand-over starts the clock anew.
    bus.tick(29 * SECOND);
    bus.taken('A', 5, 1);
    assert!(bus.tick(29 * SECOND).is_empty());
    assert_eq!(bus.ack('A', 1), ["A settled 1"]);
}

#[test]
fn a_consumer_that_does_not_answer_a_recall_loses_the_message_after_one_lease() {
    let mut bus = Bus::new("AB");
    bus.queue('A', 0, "jobs", QueueOptions::default());
    bus.queue('B', 0, "jobs", QueueOptions::default());
    bus.consume('B', 5, credit(9));
    bus.send('A', 0, 1, 1);
    bus.tick(100 * SECOND);
    assert_eq!(bus.receive('A', 5, ANY), ["B recalled 1"]);
    assert!(bus.tick(29 * SECOND).is_empty());
    // The consumer has credit, and has waited longer; it does not get it back.
    assert_eq!(bus.tick(SECOND), ["A got 1 on 5 as 1 again 1"]);
}

#[test]
fn a_nack_puts_the_message_back_at_its_old_place_marked() {
    let mut bus = one_taken(room_for(9));
    bus.nack('B', 1, NOW);
    let got = bus.consume('B', 5, credit(2));
    assert_eq!(got, ["B got 1 on 5 as 2 again 1", "B got 2 on 5 as 3"]);
}

#[test]
fn a_nack_with_a_delay_keeps_the_message_away_for_so_long() {
    let mut bus = one_taken(room_for(9));
    bus.nack('B', 1, SECOND);
    assert_eq!(bus.receive('B', 5, ANY), ["B got 2 on 5 as 2"]);
    bus.receive('B', 5, ANY);
    assert_eq!(bus.tick(SECOND), ["B got 1 on 5 as 3 again 1"]);
}

#[test]
fn an_extended_lease_ends_so_long_from_then() {
    let mut bus = one_taken(room_for(9));
    bus.tick(29 * SECOND);
    let answer = bus.tell('B', Command::Extend { request: 8, lease: 1, by: 60 * SECOND });
    assert_eq!(answer, ["B done 8"]);
    bus.tick(59 * SECOND);
    assert_eq!(bus.ack('B', 1), ["B settled 1"]);
    let answer = bus.tell('B', Command::Extend { request: 8, lease: 1, by: SECOND });
    assert_eq!(answer, ["B refused 8 StaleLease"]);
}

#[test]
fn a_rejected_message_goes_to_the_dead_letters_with_the_reason() {
    let mut bus = one_taken(room_for(9));
    bus.reject('B', 1, "unreadable");
    bus.queue('B', 1, "jobs.dead", QueueOptions::default());
    let peek = Command::Peek { request: 8, queue: 1, selector: ANY, index: 0 };
    let output = bus.effects('B', peek).pop().map(|effect| effect.output);
    let Some(Output::Reply { result: Ok(Answer::Peeked(peeked)), .. }) = output else {
        panic!("{output:?}");
    };
    let header = |key: &str| peeked.message.headers().get(key).map(<[u8]>::to_vec);
    assert_eq!(number_of(peeked.message.payload()), 1);
    assert_eq!(header("bus-dead-reason"), Some(b"unreadable".to_vec()));
    assert_eq!(header("bus-dead-queue"), Some(b"jobs".to_vec()));
    assert_eq!(peeked.sender.session, bus.session('A').serial());
}

#[test]
fn after_too_many_deliveries_messages_are_dead_in_the_order_of_the_queue() {
    let mut bus = one_taken(QueueOptions { deliveries_max: 1, ..QueueOptions::default() });
    bus.receive('B', 6, ANY);
    bus.taken('B', 6, 2);
    bus.tick(30 * SECOND);
    let stat = bus.stat("jobs").expect("the queue");
    assert_eq!((stat.messages, stat.leased, stat.dead), (0, 0, 2));
    bus.queue('A', 1, "jobs.dead", QueueOptions::default());
    let options = credit(9);
    let got = bus.tell('A', Command::Consume { request: 0, channel: 5, queue: 1, options });
    assert_eq!(got, ["A got 1 on 5 as 1", "A got 2 on 5 as 2"]);
}

#[test]
fn a_session_that_ends_gives_all_back_marked_only_where_it_has_looked() {
    let mut bus = one_taken(room_for(9));
    bus.receive('B', 6, ANY);
    bus.end('B');
    let got = bus.consume('A', 5, credit(9));
    assert_eq!(got, ["A got 1 on 5 as 1 again 1", "A got 2 on 5 as 2"]);
}

#[test]
fn a_session_that_is_lost_has_looked_at_what_was_alone_and_at_what_it_says() {
    let mut bus = one_taken(room_for(9));
    for number in 3..=7 {
        bus.send('A', 0, 1, number);
    }
    bus.consume('B', 5, credit(2));
    bus.consume('B', 6, credit(2));
    bus.consume('B', 7, credit(1));
    bus.taken('B', 6, 4);
    bus.kill('B');
    let mut got = bus.consume('A', 5, credit(9));
    for lease in 1..=6 {
        got.extend(bus.ack('A', lease));
    }
    got.retain(|text| text.contains("got"));
    // 1 and 4 were taken, 6 was alone. 2 and 3 may have been handed over, 5 and 7 too.
    let marked: Vec<bool> = got.iter().map(|text| text.ends_with("again 1")).collect();
    assert_eq!(marked, [true, false, false, true, false, true, false], "{got:?}");
}

#[test]
fn a_message_that_kills_whoever_takes_it_ends_among_the_dead_letters() {
    let mut bus = Bus::new("A");
    bus.queue('A', 0, "jobs", QueueOptions { deliveries_max: 3, ..QueueOptions::default() });
    bus.send('A', 0, 1, 1);
    bus.send('A', 0, 1, 2);
    // The first one leaves two suspects, and each one after that finds the first of them alone.
    for round in 0..4 {
        assert_eq!(bus.stat("jobs").map(|stat| stat.dead), Some(0), "round {round}");
        bus.join('B', user(1, 1));
        bus.queue('B', 0, "jobs", QueueOptions::default());
        bus.consume('B', 5, credit(2));
        bus.kill('B');
    }
    let stat = bus.stat("jobs").expect("the queue");
    assert_eq!((stat.messages, stat.dead), (1, 1));
    assert_eq!(bus.receive('A', 5, ANY), ["A got 2 on 5 as 1"]);
}

#[test]
fn a_lease_outlives_the_connection_for_the_grace() {
    let mut bus = one_taken(room_for(9));
    bus.suspend('B');
    bus.tick(9 * SECOND);
    bus.resume('B');
    assert_eq!(bus.ack('B', 1), ["B settled 1"]);
    bus.receive('B', 5, ANY);
    bus.suspend('B');
    assert_eq!(bus.tick(10 * SECOND), ["B expired Disconnected"]);
    assert_eq!(bus.receive('A', 5, ANY), ["A got 2 on 5 as 1 again 1"]);
}

// Point 8.

#[test]
fn a_peek_by_index_takes_nothing() {
    let mut bus = one_taken(room_for(9));
    for (selector, index, seen) in [
        (ANY, 0, "B done 8"),
        (ANY, 1, "B refused 8 Empty"),
        (Selector::Eq(kind(9)), 0, "B refused 8 Empty"),
    ] {
        let peek = Command::Peek { request: 8, queue: 0, selector, index };
        assert_eq!(bus.tell('B', peek), [seen]);
    }
    assert_eq!(bus.stat("jobs").map(|stat| stat.messages), Some(1));
}

// Point 9.

#[test]
fn create_is_exclusive_and_open_needs_the_queue() {
    let mut bus = Bus::new("A");
    let mut open = |channel: u32, text: &str, open: OpenMode| {
        let (name, options) = (name(text), QueueOptions::default());
        bus.tell('A', Command::OpenQueue { request: 8, channel, name, open, options })
    };
    assert_eq!(open(0, "jobs", OpenMode::Open), ["A refused 8 NotFound"]);
    assert_eq!(open(0, "jobs", OpenMode::Create), ["A done 8"]);
    assert_eq!(open(1, "jobs", OpenMode::Create), ["A refused 8 AlreadyExists"]);
    assert_eq!(open(0, "jobs", OpenMode::Open), ["A refused 8 Protocol"]);
    assert_eq!(open(1, "jobs", OpenMode::Open), ["A done 8"]);
}

#[test]
fn removing_tells_everyone_who_waits_and_an_old_handle_never_reaches_a_new_queue() {
    let mut bus = one_taken(room_for(1));
    bus.receive('B', 6, Selector::Eq(kind(9)));
    assert!(bus.send('A', 0, 1, 3).is_empty());
    let told = bus.admin('A', "jobs", AdminAction::Remove);
    assert_eq!(told, ["B ended 6 Removed", "A failed 3 Removed", "A done 9"]);
    bus.queue('A', 1, "jobs", room_for(9));
    assert_eq!(bus.send('A', 0, 1, 4), ["A failed 4 Removed"]);
    assert_eq!(bus.ack('B', 1), ["B unsettled 1 StaleLease"]);
    assert_eq!(bus.receive('B', 6, ANY), ["B ended 6 Removed"]);
    assert_eq!(bus.stat("jobs").map(|stat| (stat.messages, stat.leased)), Some((0, 0)));
}

#[test]
fn retiring_takes_the_name_now_and_the_contents_with_the_last_holder() {
    let mut bus = one_taken(room_for(9));
    bus.admin('A', "jobs", AdminAction::Retire);
    assert_eq!(bus.stat("jobs").map(|stat| stat.retired), Some(true));
    let (name, open) = (name("jobs"), OpenMode::Open);
    let open =
        Command::OpenQueue { request: 7, channel: 9, name, open, options: QueueOptions::default() };
    assert_eq!(bus.tell('A', open), ["A refused 7 NotFound"]);
    assert_eq!(bus.receive('B', 5, ANY), ["B got 2 on 5 as 2"]);
    for letter in ['A', 'B'] {
        bus.close(letter, 0);
    }
    assert_eq!(bus.router.broker_info().queues, 1);
    bus.ack('B', 1);
    assert_eq!(bus.ack('B', 2), ["B settled 2"]);
    assert_eq!(bus.router.broker_info().queues, 0);
    assert!(bus.stat("jobs").is_none());
}

#[test]
fn a_queue_lives_with_its_creator_or_its_last_holder() {
    let mut bus = Bus::new("AB");
    bus.queue('A', 0, "mine", living(Lifetime::Session));
    bus.queue('A', 1, "ours", living(Lifetime::LastHolder));
    bus.queue('B', 0, "mine", living(Lifetime::Session));
    bus.queue('B', 1, "ours", living(Lifetime::LastHolder));
    bus.receive('B', 5, ANY);
    assert_eq!(bus.end('A'), ["B ended 5 Removed"]);
    bus.join('A', user(1, 1));
    assert!(bus.stat("mine").is_none());
    assert!(bus.stat("ours").is_some());
    bus.close('B', 1);
    assert!(bus.stat("ours").is_none());
}

#[test]
fn a_queue_goes_with_its_last_receiver_too() {
    for delay in [NOW, SECOND] {
        let mut bus = one_taken(living(Lifetime::LastHolder));
        bus.consume('B', 6, ConsumeOptions { bytes_max: 7, ..once(Selector::Eq(kind(9))) });
        bus.consume('B', 7, ConsumeOptions { auto_ack: true, ..once(ANY) });
        bus.taken('B', 7, 2);
        bus.consume('B', 5, ConsumeOptions { bytes_max: 7, ..once(ANY) });
        bus.close('A', 0);
        bus.close('B', 0);
        bus.close('B', 6);
        let mut seen = bus.nack('B', 1, delay);
        assert_eq!(bus.stat("jobs").is_some(), !delay.is_zero());
        seen.extend(bus.tick(delay));
        assert_eq!(seen, ["B ended 5 TooBig"]);
        assert!(bus.stat("jobs").is_none());
    }
}

#[test]
fn a_durable_queue_is_refused_by_name() {
    let mut bus = Bus::new("A");
    let (name, open, options) = (name("jobs"), OpenMode::Create, living(Lifetime::Durable));
    let command = Command::OpenQueue { request: 8, channel: 0, name, open, options };
    assert_eq!(bus.tell('A', command), ["A refused 8 Unsupported"]);
}

// Point 11.

#[test]
fn statistics_tell_what_there_is_and_what_was() {
    let mut bus = one_taken(room_for(2));
    bus.nack('B', 1, NOW);
    bus.send('A', 0, 1, 3);
    bus.receive('B', 5, ANY);
    bus.receive('B', 6, Selector::Eq(kind(9)));
    bus.tick(SECOND);
    let stat = bus.stat("jobs").expect("the queue");
    assert_eq!((stat.messages, stat.bytes, stat.leased), (2, 144, 1));
    assert_eq!((stat.accepted, stat.delivered, stat.redelivered, stat.acked), (3, 2, 1, 0));
    assert_eq!((stat.waiting, stat.blocked, stat.handles), (1, 0, 3));
    assert_eq!(stat.creator.session, bus.session('A').serial());
    let touch = |touch: Option<bus_core::router::Touch>| touch.map(|t| (t.sender.session, t.age));
    assert_eq!(touch(stat.last_send), Some((bus.session('A').serial(), SECOND)));
    assert_eq!(touch(stat.last_receive), Some((bus.session('B').serial(), SECOND)));
}
