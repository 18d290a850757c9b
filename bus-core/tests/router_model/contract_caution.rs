//! What becomes of the deliveries of a session that was lost: the one that has killed it is
//! found, and nothing else is blamed for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bus_core::router::{AdminAction, Command, Effect, Fault, Output, QueueOptions};
use bus_core::{Message, Selector, Time};

use crate::batch_side::parcel;
use crate::bus::{Bus, credit, message, user};
use crate::events::number_of;

const ANY: Selector = Selector::Any;
const COUNT: u64 = 100;
const POISON: u64 = 57;

/// When the broker hears of what the application has done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tells {
    /// When it has done all that it was given.
    AtTheEnd,
    /// That it has a message when it is done with it, and that it is done with the next one.
    OneLate,
}

/// A queue with the messages 1 to `COUNT` that A has sent, and whose receivers die of `POISON`.
struct Crashes {
    bus: Bus,
    kills: u64,
    /// The highest mark that each message was handed out with.
    marks: BTreeMap<u64, u32>,
    done: BTreeSet<u64>,
}

impl Crashes {
    fn new(deliveries_max: u32, together: bool, fault: Option<Fault>) -> Crashes {
        let mut bus = Bus::new("A");
        bus.queue('A', 0, "jobs", QueueOptions { deliveries_max, ..QueueOptions::default() });
        if let Some(fault) = fault {
            bus.router.plant(fault);
        }
        let messages: Vec<Message> = (1..=COUNT).map(|number| message(1, number)).collect();
        if together {
            let (now, session) = (Time::ZERO, bus.session('A'));
            bus.router.send_parcel(now, session, 0, 1, parcel(&messages));
        }
        for number in (1..=COUNT).filter(|_| !together) {
            bus.send('A', 0, 1, number);
        }
        Crashes { bus, kills: 0, marks: BTreeMap::new(), done: BTreeSet::new() }
    }

    /// Receivers come, one after the other, until all is done or so many have died.
    fn run(&mut self, tells: Tells, kills_max: u64) {
        while self.kills < kills_max && self.receiver_dies(tells) {}
    }

    /// A receiver works until it dies, or nothing is left.
    fn receiver_dies(&mut self, tells: Tells) -> bool {
        self.bus.join('B', user(1, 1));
        self.bus.queue('B', 0, "jobs", QueueOptions::default());
        self.bus.router.take_effects(Vec::new());
        let (request, channel, queue, options) = (0, 5, 0, credit(COUNT as u32));
        let consume = Command::Consume { request, channel, queue, options };
        let mut given = VecDeque::from(leased(self.bus.effects('B', consume)));
        let (mut untold, mut first_untold) = (0, 0);
        while let Some((lease, number, mark)) = given.pop_front() {
            let highest = self.marks.entry(number).or_default();
            *highest = mark.max(*highest);
            if number == POISON {
                self.kills += 1;
                self.bus.kill('B');
                return true;
            }
            self.done.insert(number);
            if tells == Tells::OneLate {
                self.bus.taken('B', channel, lease);
            }
            if untold == 0 {
                first_untold = lease;
            }
            untold += 1;
            let told = match tells {
                Tells::AtTheEnd if given.is_empty() => untold,
                Tells::AtTheEnd => 0,
                Tells::OneLate if given.is_empty() => untold,
                Tells::OneLate => untold - 1,
            };
            if told > 0 {
                let taken = Command::Taken { channel, lease: first_untold + told - 1 };
                given.extend(leased(self.bus.effects('B', taken)));
                let ack = Command::Ack { first: first_untold, count: told as u32 };
                given.extend(leased(self.bus.effects('B', ack)));
                (first_untold, untold) = (first_untold + told, untold - told);
            }
        }
        false
    }

    /// What lies among the dead letters.
    fn dead(&mut self) -> Vec<u64> {
        self.bus.queue('A', 1, "jobs.dead", QueueOptions::default());
        self.bus.router.take_effects(Vec::new());
        let (request, channel, queue, options) = (0, 9, 1, credit(COUNT as u32));
        let consume = Command::Consume { request, channel, queue, options };
        let dead = leased(self.bus.effects('A', consume));
        dead.into_iter().map(|(_, number, _)| number).collect()
    }
}

/// The deliveries among the effects: lease, message, and mark.
fn leased(effects: Vec<Effect>) -> Vec<(u64, u64, u32)> {
    let mut leased = Vec::new();
    for effect in effects {
        match effect.output {
            Output::Lease { lease, attempt, message, .. } => {
                leased.push((lease, number_of(message.payload()), attempt));
            }
            Output::LeaseParcel { first, mut parcel, .. } => {
                let messages = std::iter::from_fn(|| parcel.pop_front());
                let numbers = messages.map(|message| number_of(message.payload()));
                leased.extend((first..).zip(numbers).map(|(lease, number)| (lease, number, 0)));
            }
            _ => {}
        }
    }
    leased
}

#[test]
fn whatever_a_receiver_tells_the_message_that_kills_it_is_the_only_dead_one() {
    for together in [false, true] {
        for tells in [Tells::AtTheEnd, Tells::OneLate] {
            for deliveries_max in [2, 3, 16] {
                let mut crashes = Crashes::new(deliveries_max, together, None);
                // The first one leaves many suspects; each one after that finds it alone.
                crashes.run(tells, u64::from(deliveries_max) + 1);
                assert!(!crashes.receiver_dies(tells), "{tells:?}: it is gone");
                assert_eq!(crashes.done.len() as u64, COUNT - 1);
                let marked = crashes.marks.iter().filter(|(_, mark)| **mark > 0);
                let marked: Vec<u64> = marked.map(|(number, _)| *number).collect();
                match tells {
                    Tells::AtTheEnd => assert_eq!(marked, [POISON]),
                    // It was with the application, and nobody knew that it was done with it.
                    Tells::OneLate => assert_eq!(marked, [POISON - 1, POISON]),
                }
                assert_eq!(crashes.dead(), [POISON]);
            }
        }
    }
}

#[test]
fn without_caution_it_is_never_found() {
    let mut crashes = Crashes::new(2, true, Some(Fault::SuspectsTogether));
    crashes.run(Tells::AtTheEnd, 50);
    assert_eq!((crashes.kills, crashes.dead()), (50, vec![]));
}

#[test]
fn a_queue_is_as_fast_as_before_when_the_suspects_are_settled() {
    for (fault, wanted) in [(None, "B got 50 together"), (Some(Fault::SuspectForEver), "")] {
        let mut crashes = Crashes::new(2, true, fault);
        crashes.run(Tells::AtTheEnd, 3);
        crashes.receiver_dies(Tells::AtTheEnd);
        let messages: Vec<Message> = (201..=250).map(|number| message(1, number)).collect();
        let bus = &mut crashes.bus;
        let (now, session) = (Time::ZERO, bus.session('A'));
        bus.seen();
        bus.router.send_parcel(now, session, 0, 201, parcel(&messages));
        let seen = bus.seen();
        let got = seen.iter().find(|text| text.starts_with("B got"));
        assert!(got.map_or("", String::as_str).starts_with(wanted), "{seen:?}");
        assert_eq!(got.is_some(), fault.is_none(), "{seen:?}");
    }
}

/// A queue with the messages 1 to 4, of which C had 2 to 4 when it was lost. B is busy with 1.
fn three_suspects() -> Bus {
    let mut bus = Bus::new("ABC");
    for letter in ['A', 'B', 'C'] {
        bus.queue(letter, 0, "jobs", QueueOptions::default());
    }
    for number in 1..=4 {
        bus.send('A', 0, 1, number);
    }
    bus.consume('B', 5, credit(1));
    bus.consume('C', 5, credit(3));
    bus.consume('B', 5, credit(9));
    bus.kill('C');
    bus.seen();
    bus
}

#[test]
fn a_receiver_gets_a_suspect_when_it_has_nothing_else_and_then_nothing_else() {
    let mut bus = three_suspects();
    assert_eq!(bus.send('A', 0, 1, 5), ["A accepted 5"]);
    assert_eq!(bus.ack('B', 1), ["B settled 1", "B got 2 on 5 as 2"]);
    bus.taken('B', 5, 2);
    // However it is settled.
    assert_eq!(bus.nack('B', 2, Duration::from_secs(1)), ["B got 3 on 5 as 3"]);
    assert_eq!(bus.give_back('B', &[3]), ["B got 3 on 5 as 4"]);
    bus.reject('B', 4, "no");
    bus.ack('B', 5);
    // Nothing is suspected any more.
    assert_eq!(bus.seen(), [] as [&str; 0]);
    assert_eq!(bus.send('A', 0, 1, 6), ["B got 6 on 5 as 7", "A accepted 6"]);
    assert_eq!(bus.tick(Duration::from_secs(1)), ["B got 2 on 5 as 8 again 1"]);
}

#[test]
fn who_waits_for_a_suspect_gets_what_lies_behind_it_when_another_one_has_it() {
    let mut bus = three_suspects();
    bus.send('A', 0, 1, 5);
    assert_eq!(bus.stat("jobs").map(|stat| stat.waiting), Some(0));
    assert_eq!(bus.receive('A', 5, ANY), ["A got 2 on 5 as 1"]);
    assert_eq!(bus.receive('A', 6, ANY), ["A got 3 on 6 as 2"]);
    assert_eq!(bus.receive('A', 7, ANY), ["A got 4 on 7 as 3", "B got 5 on 5 as 2"]);
}

#[test]
fn a_purge_takes_the_suspects_away() {
    let mut bus = three_suspects();
    bus.admin('A', "jobs", AdminAction::Purge);
    assert_eq!(bus.send('A', 0, 1, 5), ["B got 5 on 5 as 2", "A accepted 5"]);
}

#[test]
fn who_keeps_several_messages_at_a_time_gets_them_after_one_lease() {
    let mut bus = three_suspects();
    bus.taken('B', 5, 1);
    let told = bus.tick(Duration::from_secs(30));
    let wanted = [
        "B got 1 on 5 as 2 again 1",
        "B got 2 on 5 as 3",
        "B got 3 on 5 as 4",
        "B got 4 on 5 as 5",
    ];
    assert_eq!(told, wanted);
}

fn extend(bus: &mut Bus, lease: u64, seconds: u64) -> Vec<String> {
    let by = Duration::from_secs(seconds);
    bus.tell('B', Command::Extend { request: 0, lease, by })
}

#[test]
fn who_extends_what_it_works_on_is_held_back_for_one_lease_and_no_longer() {
    for fault in [None, Some(Fault::CautionForEver)] {
        let mut bus = three_suspects();
        if let Some(fault) = fault {
            bus.router.plant(fault);
        }
        bus.send('A', 0, 1, 5);
        bus.taken('B', 5, 1);
        extend(&mut bus, 1, 3600);
        assert_eq!(bus.tick(Duration::from_millis(29_999)), [] as [&str; 0]);
        let told = bus.tick(Duration::from_millis(1));
        let wanted =
            ["B got 2 on 5 as 2", "B got 3 on 5 as 3", "B got 4 on 5 as 4", "B got 5 on 5 as 5"];
        match fault {
            None => assert_eq!(told, wanted),
            Some(_) => assert_eq!(told, [] as [&str; 0]),
        }
    }
}

#[test]
fn who_extends_a_suspect_gets_others_one_lease_after_it_was_handed_it() {
    let mut bus = three_suspects();
    bus.tick(Duration::from_secs(10));
    // The time that it was held back for does not count.
    assert_eq!(bus.ack('B', 1), ["B settled 1", "B got 2 on 5 as 2"]);
    assert_eq!(bus.tick(Duration::from_secs(10)), [] as [&str; 0]);
    bus.taken('B', 5, 2);
    extend(&mut bus, 2, 3600);
    assert_eq!(bus.tick(Duration::from_millis(29_999)), [] as [&str; 0]);
    let told = bus.tick(Duration::from_millis(1));
    assert_eq!(told, ["B got 3 on 5 as 3", "B got 4 on 5 as 4"]);
}

#[test]
fn who_has_not_looked_at_a_suspect_gets_nothing_beside_it_however_long_that_lasts() {
    let mut bus = three_suspects();
    assert_eq!(bus.ack('B', 1), ["B settled 1", "B got 2 on 5 as 2"]);
    assert_eq!(bus.tick(Duration::from_secs(3600)), [] as [&str; 0]);
    // So it is alone, and marked, when it has killed who hangs.
    bus.kill('B');
    assert_eq!(bus.receive('A', 5, ANY), ["A got 2 on 5 as 1 again 1"]);
}

#[test]
fn the_time_of_who_has_waited_for_messages_meanwhile_begins_anew() {
    let mut bus = three_suspects();
    for channel in 5..8 {
        bus.receive('A', channel, ANY);
    }
    // B stands in line, with one message that it works on.
    bus.taken('B', 5, 1);
    extend(&mut bus, 1, 3600);
    bus.tick(Duration::from_secs(20));
    bus.kill('A');
    assert_eq!(bus.seen(), [] as [&str; 0]);
    assert_eq!(bus.tick(Duration::from_millis(29_999)), [] as [&str; 0]);
    assert_eq!(bus.tick(Duration::from_millis(1)).len(), 3);
}

#[test]
fn receivers_that_come_and_vanish_hold_up_nobody_for_more_than_what_they_had() {
    let mut bus = three_suspects();
    for round in 0..20 {
        bus.join('C', user(1, 1));
        bus.queue('C', 0, "jobs", QueueOptions::default());
        // The first of the suspects, alone, and so it is marked.
        let (number, mark) = (2 + round / 16, round % 16);
        let again = if mark > 0 { format!(" again {mark}") } else { String::new() };
        assert_eq!(bus.consume('C', 5, credit(4096)), [format!("C got {number} on 5 as 1{again}")]);
        bus.kill('C');
    }
    bus.ack('B', 1);
    let waiting = bus.stat("jobs").map(|stat| (stat.messages, stat.leased, stat.dead));
    assert_eq!(waiting, Some((1, 1, 1)));
}
