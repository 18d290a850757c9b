//! What the router keeps beside the messages, and tells of itself: timers, lists, listings.

use std::time::Duration;

use bus_core::router::{
    AdminAction, Command, ConsumeOptions, Identity, ObjectKind, QueueOptions, SubscribeOptions,
    TopicOptions,
};
use bus_core::{LEASES_MAX, LISTING_ROWS_MAX, Selector};

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

/// A session may have so many deliveries that it has not settled; then each of its receivers
/// stands back, and has what it missed when there is room again: those of a queue by turns.
#[test]
fn receivers_that_were_passed_over_get_what_they_missed() {
    let mut bus =
        with_consumer(ConsumeOptions { selector: Selector::Eq(kind(1)), ..credit(u32::MAX) });
    bus.queue('A', 10, "other", QueueOptions::default());
    let consume = |channel, queue, wanted| Command::Consume {
        request: 0,
        channel,
        queue,
        options: ConsumeOptions { selector: Selector::Eq(kind(wanted)), ..credit(1) },
    };
    bus.tell('A', consume(2, 0, 2));
    bus.tell('A', consume(3, 10, 2));
    bus.tell('A', consume(4, 0, 3));
    bus.tell('A', consume(5, 0, 4));
    for number in 1..=LEASES_MAX as u64 + 1 {
        bus.send('A', 0, 1, number);
    }
    assert_eq!(bus.leases('A'), LEASES_MAX as u64);
    for (channel, wanted, number) in [(0, 3, 100_001), (10, 2, 100_002), (0, 2, 100_003)] {
        assert_eq!(bus.send('A', channel, wanted, number), [format!("A accepted {number}")]);
    }
    let mut got = |lease| bus.ack('A', lease).into_iter().skip(1).collect::<Vec<_>>();
    assert_eq!(got(1), ["A got 65537 on 1 as 65537"]);
    assert_eq!(got(2), ["A got 100003 on 2 as 65538"]);
    assert_eq!(got(3), ["A got 100001 on 4 as 65539"]);
    assert_eq!(got(4), ["A got 100002 on 3 as 65540"]);
    assert!(got(5).is_empty());
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

#[test]
fn a_retired_queue_is_listed_under_its_old_name_until_it_goes() {
    let mut bus = with_consumer(credit(0));
    bus.send('A', 0, 1, 1);
    bus.admin('A', "jobs", AdminAction::Retire);
    let told = bus.stat("jobs").map(|stat| (stat.retired, stat.messages, stat.handles));
    assert_eq!(told, Some((true, 1, 2)));
    bus.queue('A', 2, "jobs", QueueOptions::default());
    let page = bus.page("jobs", ObjectKind::Queue, None);
    let told: Vec<_> = page.queues.iter().map(|stat| (stat.retired, stat.messages)).collect();
    assert_eq!(told, [(false, 0), (true, 1)], "the one that has the name comes first");
    bus.close('A', 0);
    bus.close('A', 1);
    let page = bus.page("jobs", ObjectKind::Queue, None);
    assert_eq!(page.queues.iter().map(|stat| stat.retired).collect::<Vec<_>>(), [false]);
}

#[test]
fn pages_tell_each_queue_once_also_those_that_had_the_same_name() {
    let mut bus = Bus::new("A");
    for channel in 0..350 {
        let name = if channel % 3 == 0 { format!("queue{channel:03}") } else { "jobs".into() };
        bus.queue('A', channel, &name, QueueOptions::default());
        if channel % 2 == 0 {
            bus.admin('A', &name, AdminAction::Retire);
        }
    }
    let pages = bus.pages(">", ObjectKind::Queue);
    let rows = pages.iter().flat_map(|page| &page.queues);
    let rows: Vec<_> = rows.map(|stat| (stat.name.clone(), stat.retired, stat.id)).collect();
    assert!(rows.is_sorted(), "{rows:?}");
    let mut ids: Vec<_> = rows.iter().map(|(.., id)| *id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((pages.len(), rows.len()), (rows.len().div_ceil(LISTING_ROWS_MAX), ids.len()));
    assert_eq!(ids.len() as u64, bus.router.broker_info().queues);
    // Of one name they are the same, on as many pages as it takes.
    for name in ["jobs", "queue000", "a", "z"] {
        let pages = bus.pages(name, ObjectKind::Queue);
        let told: Vec<_> = pages.iter().flat_map(|page| &page.queues).map(|stat| stat.id).collect();
        let meant = rows.iter().filter(|(other, ..)| other.as_str() == name);
        assert_eq!(told, meant.map(|(.., id)| *id).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn pages_tell_each_topic_once_from_wherever_they_begin() {
    let mut bus = Bus::new("A");
    let count = 5 * LISTING_ROWS_MAX + 7;
    for channel in 0..count as u32 {
        bus.publisher('A', channel, &format!("topic{channel:04}"), TopicOptions::default());
    }
    let pages = bus.pages("*", ObjectKind::Topic);
    let told: Vec<_> = pages.iter().map(|page| page.topics.len()).collect();
    assert_eq!(told, [[LISTING_ROWS_MAX; 5].as_slice(), &[7]].concat());
    let before = format!("topic{:04} and no name", count - 2);
    let page = bus.page(">", ObjectKind::Topic, Some(before));
    let names: Vec<_> = page.topics.iter().map(|stat| stat.name.as_str()).collect();
    assert_eq!(names, [format!("topic{:04}", count - 1)]);
    // One by its name is found among them at once, and only behind what stands before it.
    let page = bus.page("topic0099", ObjectKind::Topic, None);
    assert_eq!((page.topics.len(), page.next), (1, None));
    let page = bus.page("topic0099", ObjectKind::Topic, Some("topic0099".into()));
    assert_eq!((page.topics.len(), page.next), (0, None));
}

/// Session numbers of the clients on all pages, while `between` has its way with the bus after each.
fn clients_over_pages(bus: &mut Bus, mut between: impl FnMut(&mut Bus, usize)) -> Vec<u64> {
    let (mut told, mut next) = (Vec::new(), None);
    for number in 0.. {
        let page = bus.page(">", ObjectKind::Client, next);
        assert!(page.clients.len() <= LISTING_ROWS_MAX);
        told.extend(page.clients.iter().map(|client| client.sender.session));
        next = page.next;
        if next.is_none() {
            break;
        }
        between(bus, number);
    }
    told.sort_unstable();
    told
}

#[test]
fn clients_who_stay_are_listed_once_while_others_come_and_go() {
    let letters: Vec<char> = ('\u{4e00}'..).take(5 * LISTING_ROWS_MAX).collect();
    let mut bus = Bus::new("S");
    bus.join('S', Identity { system: true, ..Identity::default() });
    letters.iter().for_each(|letter| bus.join(*letter, Identity::default()));
    let numbers = |bus: &Bus, step| -> Vec<u64> {
        letters.iter().step_by(step).map(|letter| bus.session(*letter).serial()).collect()
    };
    let all = clients_over_pages(&mut bus, |_, _| ());
    let first = all.iter().filter(|it| numbers(&bus, 1).binary_search(it).is_err()).count();
    assert_eq!((first, all.len()), (1, letters.len() + 1), "who was there first, and all others");
    let stay = numbers(&bus, 2);
    let mut gone = letters.iter().skip(1).step_by(2).copied();
    let told = clients_over_pages(&mut bus, |bus, _| {
        for letter in gone.by_ref().take(20) {
            // One goes and another one comes, mostly to the same place.
            bus.end(letter);
            bus.join(letter, Identity::default());
        }
    });
    let of_those = told.iter().copied().filter(|it| stay.binary_search(it).is_ok());
    assert_eq!(of_those.collect::<Vec<_>>(), stay);
    assert!(told.iter().any(|it| all.binary_search(it).is_err()), "others came meanwhile");
}

/// Whoever lists has the router's thread for himself meanwhile: what costs more to tell of is told in more pages.
#[test]
fn a_page_has_few_rows_of_what_is_much_and_few_names_of_what_is_not_meant() {
    let mut bus = Bus::new("A");
    for channel in 0..8 {
        bus.queue('A', channel, &format!("queue{channel}"), QueueOptions::default());
        (1..=100).for_each(|number| drop(bus.send('A', channel, number, number)));
    }
    let pages = bus.pages("*", ObjectKind::Queue);
    let told: Vec<_> = pages.iter().map(|page| page.queues.len()).collect();
    assert_eq!(told, [4, 4], "a hundred types each");
    for channel in 10..1010 {
        bus.publisher('A', channel, &format!("topic{channel:04}.a"), TopicOptions::default());
    }
    bus.publisher('A', 9, "z", TopicOptions::default());
    for channel in 2000..2256 {
        bus.subscribe('A', channel, "z", SubscribeOptions::default());
    }
    bus.publisher('A', 8, "zz", TopicOptions::default());
    let pages = bus.pages("*", ObjectKind::Topic);
    let names = pages.iter().map(|page| page.topics.iter().map(|it| it.name.to_string()).collect());
    let names: Vec<Vec<String>> = names.collect();
    assert_eq!(names.concat(), ["z", "zz"]);
    assert_eq!(names.len(), 3, "a page looks at no thousand names: {names:?}");
    for channel in 3000..4000 {
        bus.queue('A', channel, &format!("work{channel}.a"), QueueOptions::default());
        if channel % 2 == 0 {
            bus.admin('A', &format!("work{channel}.a"), AdminAction::Retire);
        }
    }
    let pages = bus.pages("queue7.>", ObjectKind::Queue);
    let told: Vec<_> = pages.iter().map(|page| page.queues.len()).collect();
    assert_eq!(told, [0, 0], "nor for queues");
}

#[test]
fn the_broker_counts_messages_that_are_delayed_or_delivered_too() {
    let mut bus = with_consumer(credit(1));
    delay(&mut bus, 1, DAY);
    bus.send('A', 0, 1, 2);
    bus.send('A', 0, 1, 3);
    assert_eq!(bus.router.broker_info().messages, 3);
    bus.ack('A', 2);
    assert_eq!(bus.router.broker_info().messages, 2);
}
