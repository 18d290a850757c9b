//! Point 15 of the contract in short cases: who of a group gets what, and what those leave who go.

use std::time::Duration;

use bus_core::router::{Command, Fault, SlowPolicy, SubscribeOptions, TopicOptions};
use bus_core::{Message, Pattern, Selector};

use crate::bus::{Bus, group, kind, user};
use crate::events::payload;

/// As a member of the group `work` on the topic of that name.
fn member(selector: Selector) -> SubscribeOptions {
    SubscribeOptions { selector, group: Some(group("work")), ..Default::default() }
}

#[test]
fn a_member_gets_what_it_selects_and_waits_for_nothing_else() {
    let mut bus = Bus::new("ABC");
    bus.publisher('A', 0, "work", TopicOptions::default());
    // Window for two messages.
    let small = SubscribeOptions { window_bytes: 4096, ..member(Selector::Eq(kind(1))) };
    bus.subscribe('B', 5, "work", small);
    bus.subscribe('C', 5, "work", member(Selector::Eq(kind(2))));
    let long = |bus: &mut Bus, number: u64| {
        let message = Message::new(kind(1), payload(number, 4000));
        bus.tell('A', Command::Publish { channel: 0, message, ticket: None })
    };
    assert_eq!(long(&mut bus, 1), ["B heard 1 on 5"]);
    assert_eq!(long(&mut bus, 2), ["B heard 2 on 5"]);
    assert!(long(&mut bus, 3).is_empty(), "it waits for B");
    assert_eq!(bus.publish('A', 0, 2, 4), ["C heard 4 on 5", "A accepted 4"]);
    assert_eq!(bus.publish('A', 0, 3, 5), ["A accepted 5"], "nobody takes it");
    assert_eq!(bus.consumed('B', 5, 2048), ["B heard 3 on 5"]);
}

#[test]
fn what_a_member_has_not_used_up_goes_to_the_others_and_nothing_else_does() {
    let mut bus = Bus::new("ABC");
    bus.publisher('A', 0, "work", TopicOptions::default());
    bus.subscribe('B', 5, "work", member(Selector::Any));
    for number in 1..=3 {
        bus.publish('A', 0, 1, number);
    }
    assert!(bus.subscribe('C', 5, "work", member(Selector::Any)).is_empty());
    // Each of them counts 72 bytes: B has used up the first.
    assert!(bus.consumed('B', 5, 72).is_empty());
    assert_eq!(bus.close('B', 5), ["C heard 2 on 5", "C heard 3 on 5"]);
}

#[test]
fn a_member_that_is_away_is_given_nothing_until_it_is_back() {
    let mut bus = Bus::new("ABC");
    bus.publisher('A', 0, "work", TopicOptions::default());
    bus.subscribe('B', 5, "work", member(Selector::Any));
    bus.subscribe('C', 5, "work", member(Selector::Any));
    bus.suspend('B');
    assert_eq!(bus.publish('A', 0, 1, 1), ["C heard 1 on 5", "A accepted 1"]);
    assert_eq!(bus.publish('A', 0, 1, 2), ["C heard 2 on 5", "A accepted 2"]);
    bus.suspend('C');
    assert_eq!(bus.publish('A', 0, 1, 3), ["A accepted 3"]);
    assert_eq!(bus.resume('B'), ["B heard 3 on 5"]);
}

/// Who hears what of 30 messages that come together, after three members have each had one and were done with it
/// so much later.
fn shares_after(fault: Option<Fault>, each: Duration) -> Vec<String> {
    let mut bus = Bus::new("ABCD");
    fault.into_iter().for_each(|fault| bus.router.plant(fault));
    bus.publisher('A', 0, "work", TopicOptions::default());
    for letter in ['B', 'C', 'D'] {
        bus.subscribe(letter, 5, "work", member(Selector::Any));
    }
    for (number, letter) in (1..).zip(['B', 'C', 'D']) {
        let heard = bus.publish('A', 0, 1, number);
        assert_eq!(heard[0], format!("{letter} heard {number} on 5"));
    }
    bus.tick(each);
    // Each message counts 72 bytes.
    ['B', 'C', 'D'].into_iter().for_each(|letter| drop(bus.consumed(letter, 5, 72)));
    bus.publish_together('A', 0, 4..34)
}

const EVENLY: [&str; 3] =
    ["B heard 10 together on 5", "C heard 10 together on 5", "D heard 10 together on 5"];

#[test]
fn what_comes_together_is_shared_evenly_but_goes_to_the_quick_in_longer_runs() {
    assert_eq!(shares_after(None, Duration::from_millis(10)), EVENLY);
    // Twenty in two milliseconds.
    let some = shares_after(None, Duration::from_micros(100));
    assert_eq!(some, ["B heard 20 together on 5", "C heard 10 together on 5"]);
    assert_eq!(shares_after(None, Duration::from_micros(20)), ["B heard 30 together on 5"]);
}

#[test]
fn giving_all_of_it_to_one_who_is_slow_is_caught() {
    let shares = shares_after(Some(Fault::GroupIgnoresPace), Duration::from_millis(10));
    assert_ne!(shares, EVENLY);
}

#[test]
fn members_of_a_group_have_one_policy_and_one_user() {
    let mut bus = Bus::new("AB");
    bus.join('C', user(2, 2));
    bus.publisher('A', 0, "work", TopicOptions::default());
    bus.subscribe('A', 5, "work", member(Selector::Any));
    let subscribe = |options: SubscribeOptions| {
        let pattern = Pattern::new("work").expect("a pattern");
        Command::Subscribe { request: 9, channel: 5, pattern, options }
    };
    let other = SubscribeOptions { policy: SlowPolicy::DropOldest, ..member(Selector::Any) };
    assert_eq!(bus.tell('B', subscribe(other)), ["B refused 9 InvalidArgument"]);
    assert_eq!(bus.tell('C', subscribe(member(Selector::Any))), ["C refused 9 PermissionDenied"]);
}
