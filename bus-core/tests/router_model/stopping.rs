//! Topics that a subscription of a bridge has stopped, case by case.

use std::time::Duration;

use bus_core::Pattern;
use bus_core::router::{
    AdminAction, Answer, BridgeCommand, Command, Identity, Interest, ObjectKind, Output,
    RouterConfig, SlowPolicy, SubscribeOptions, TopicChange, TopicOptions,
};

use crate::bus::{Bus, name, user};

pub const SECOND: Duration = Duration::from_secs(1);

/// A publishes `t.0` and `t.1` on channels 0 and 1, C hears all of it; B is a bridge.
pub fn stage() -> Bus {
    let mut bus = Bus::with(RouterConfig { epoch: 7, ..RouterConfig::default() });
    bus.join('A', user(1, 1));
    bus.join('C', user(1, 1));
    bus.join('B', Identity { admin: true, ..user(1, 1) });
    for topic in 0..2 {
        bus.publisher('A', topic, &format!("t.{topic}"), TopicOptions::default());
    }
    bus.subscribe('C', 5, ">", SubscribeOptions::default());
    bus
}

pub fn interest(text: &str) -> Interest {
    Interest { pattern: Pattern::new(text).expect("a pattern"), path: vec![9] }
}

/// B is subscribed on channel 5, with window and backlog for two messages each.
pub fn beyond(bus: &mut Bus, letter: char, policy: SlowPolicy, few: bool) {
    let bytes = if few { 144 } else { 1 << 20 };
    let (window_bytes, backlog_bytes) = (bytes, bytes);
    let options =
        SubscribeOptions { policy, window_bytes, backlog_bytes, ..SubscribeOptions::default() };
    let (pattern, beyond) = (Pattern::new("t.>").expect("a pattern"), vec![interest("t.>")]);
    let command =
        BridgeCommand::SubscribeBeyond { request: 0, channel: 5, pattern, options, beyond };
    bus.tell(letter, Command::Bridge(command));
}

pub fn stop(bus: &mut Bus, letter: char, topic: &str, hold: bool) -> Vec<String> {
    let (request, channel, topic) = (0, 5, name(topic));
    let command = BridgeCommand::HoldBeyond { request, channel, topic, hold };
    bus.tell(letter, Command::Bridge(command))
}

fn held(bus: &mut Bus, topic: &str) -> Option<u64> {
    bus.topic_stat(topic).map(|stat| stat.held)
}

#[test]
fn a_stopped_topic_waits_and_another_one_goes_on() {
    let mut bus = stage();
    beyond(&mut bus, 'B', SlowPolicy::Hold, false);
    assert!(stop(&mut bus, 'B', "t.0", true).is_empty());
    assert!(bus.publish('A', 0, 1, 1).is_empty());
    let told = bus.publish('A', 1, 1, 2);
    assert_eq!(told, ["C heard 2 on 5", "B heard 2 on 5", "A accepted 2"]);
    let told = stop(&mut bus, 'B', "t.0", false);
    assert_eq!(told, ["C heard 1 on 5", "B heard 1 on 5", "A accepted 1"]);
    assert_eq!(bus.deadline(), None);
}

#[test]
fn what_waits_too_long_passes_by_and_no_other_topic_does() {
    let mut bus = stage();
    beyond(&mut bus, 'B', SlowPolicy::Hold, false);
    stop(&mut bus, 'B', "t.0", true);
    assert!(bus.tick(100 * SECOND).is_empty());
    assert!(bus.publish('A', 0, 1, 1).is_empty());
    assert!(bus.tick(SECOND - Duration::from_nanos(1)).is_empty());
    assert_eq!(bus.tick(Duration::from_nanos(1)), ["C heard 1 on 5", "A accepted 1"]);
    assert_eq!(bus.publish('A', 0, 1, 2), ["C heard 2 on 5", "A accepted 2"]);
    let told = bus.publish('A', 1, 1, 3);
    assert_eq!(told, ["C heard 3 on 5", "B heard 3 on 5", "A accepted 3"]);
    let stat = bus.topic_stat("t.0").expect("it is there");
    assert_eq!((stat.dropped, stat.too_slow, stat.held), (2, 1, 0));
    // To stop it again changes nothing; to resume it does.
    stop(&mut bus, 'B', "t.0", true);
    assert_eq!(bus.publish('A', 0, 1, 4), ["C heard 4 on 5", "A accepted 4"]);
    // So many have passed by.
    let (request, channel, topic, hold) = (1, 5, name("t.0"), false);
    let resume = BridgeCommand::HoldBeyond { request, channel, topic, hold };
    let effects = bus.effects('B', Command::Bridge(resume));
    let outputs: Vec<_> = effects.into_iter().map(|effect| effect.output).collect();
    let is_told =
        |it: &Output| matches!(it, Output::Reply { result: Ok(Answer::Done { count: 3 }), .. });
    assert!(outputs.len() == 1 && is_told(&outputs[0]), "{outputs:?}");
    let told = bus.publish('A', 0, 1, 5);
    assert_eq!(told, ["C heard 5 on 5", "B heard 5 on 5", "A accepted 5"]);
}

#[test]
fn a_full_subscription_and_a_stopped_topic_are_let_go_each_by_itself() {
    for resumes_first in [true, false] {
        let mut bus = stage();
        beyond(&mut bus, 'B', SlowPolicy::Hold, true);
        (1..=4).for_each(|number| drop(bus.publish('A', 1, 1, number)));
        stop(&mut bus, 'B', "t.0", true);
        for topic in 0..2 {
            assert!(bus.publish('A', topic, 1, 5 + u64::from(topic)).is_empty());
        }
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (resumes, told) in [(resumes_first, &mut first), (!resumes_first, &mut second)] {
            *told = match resumes {
                true => stop(&mut bus, 'B', "t.0", false),
                false => bus.consumed('B', 5, 144),
            };
            told.retain(|told| told.starts_with('A'));
        }
        match resumes_first {
            // It is still held, by the subscription that is full.
            true => assert_eq!((first, second.len()), (Vec::new(), 2)),
            false => assert_eq!(
                (first[0].as_str(), second[0].as_str()),
                ("A accepted 6", "A accepted 5")
            ),
        }
        assert_eq!((held(&mut bus, "t.0"), held(&mut bus, "t.1")), (Some(0), Some(0)));
    }
}

#[test]
fn a_full_subscription_is_not_too_slow_for_what_it_has_stopped() {
    let mut bus = stage();
    beyond(&mut bus, 'B', SlowPolicy::Hold, true);
    stop(&mut bus, 'B', "t.0", true);
    (1..=4).for_each(|number| drop(bus.publish('A', 1, 1, number)));
    bus.publish('A', 0, 1, 5);
    let told = bus.tick(SECOND);
    assert_eq!(told, ["C heard 5 on 5", "A accepted 5"]);
    [144, 288].into_iter().for_each(|used| drop(bus.consumed('B', 5, used)));
    assert_eq!(bus.publish('A', 1, 1, 6).len(), 3);
}

#[test]
fn whatever_takes_the_link_away_lets_the_topic_go() {
    type Act = fn(&mut Bus) -> Vec<String>;
    let acts: [Act; 5] = [
        |bus| bus.end('B'),
        |bus| bus.close('B', 5),
        |bus| {
            let (added, removed) = (vec![interest("t.1")], vec![interest("t.>")]);
            let change = BridgeCommand::ChangeBeyond { request: 0, channel: 5, added, removed };
            bus.tell('B', Command::Bridge(change))
        },
        |bus| {
            let (name, object, action) = (name("t.0"), ObjectKind::Topic, AdminAction::Retire);
            bus.tell('A', Command::Admin { request: 0, name, object, action })
        },
        |bus| bus.tick(SECOND),
    ];
    for (at, act) in acts.into_iter().enumerate() {
        let mut bus = stage();
        beyond(&mut bus, 'B', SlowPolicy::Hold, false);
        stop(&mut bus, 'B', "t.0", true);
        assert!(bus.publish('A', 0, 1, 1).is_empty());
        let told = act(&mut bus);
        assert!(told.contains(&"A accepted 1".to_owned()), "{at}: {told:?}");
        assert_eq!(bus.deadline().filter(|_| at != 2), None, "{at}");
    }
}

#[test]
fn rights_that_change_leave_a_stopped_topic_as_it_was() {
    let mut bus = stage();
    beyond(&mut bus, 'B', SlowPolicy::Hold, false);
    stop(&mut bus, 'B', "t.0", true);
    bus.publish('A', 0, 1, 1);
    for mode in [0o700, 0o744] {
        let change = TopicChange { mode: Some(mode), ..TopicChange::default() };
        let told = bus.tell('A', Command::SetTopic { request: 0, name: name("t.0"), change });
        assert!(told.is_empty(), "{told:?}");
    }
    assert_eq!(stop(&mut bus, 'B', "t.0", false).len(), 3);
}

#[test]
fn a_topic_that_comes_again_is_not_stopped() {
    let mut bus = stage();
    beyond(&mut bus, 'B', SlowPolicy::Hold, false);
    stop(&mut bus, 'B', "t.0", true);
    bus.close('A', 0);
    assert_eq!(bus.topic_stat("t.0"), None);
    bus.publisher('A', 0, "t.0", TopicOptions::default());
    assert_eq!(bus.publish('A', 0, 1, 1).len(), 3);
}

#[test]
fn only_a_bridge_that_holds_may_stop_a_topic_and_only_one_that_it_has() {
    let mut bus = stage();
    let ask = |bus: &mut Bus, letter, channel, topic| {
        let (request, topic) = (3, name(topic));
        let command = BridgeCommand::HoldBeyond { request, channel, topic, hold: true };
        bus.tell(letter, Command::Bridge(command)).pop().expect("an answer")
    };
    assert_eq!(ask(&mut bus, 'C', 5, "t.0"), "C refused 3 Closed");
    assert_eq!(ask(&mut bus, 'B', 5, "t.0"), "B refused 3 Closed");
    beyond(&mut bus, 'B', SlowPolicy::DropOldest, false);
    assert_eq!(ask(&mut bus, 'B', 5, "t.0"), "B refused 3 InvalidArgument");
    bus.close('B', 5);
    beyond(&mut bus, 'B', SlowPolicy::Hold, false);
    for topic in ["nothing", "t.2"] {
        assert_eq!(ask(&mut bus, 'B', 5, topic), "B done 3");
    }
    bus.publisher('A', 2, "t.2", TopicOptions::default());
    assert_eq!(bus.publish('A', 2, 1, 1).len(), 3);
}
