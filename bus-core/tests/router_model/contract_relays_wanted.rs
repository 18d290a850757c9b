//! What the router tells bridges of what is wanted, case by case, and what they may want.

use std::time::Duration;

use bus_core::Pattern;
use bus_core::router::{BridgeCommand, Command, Deed, Interest, Output, SubscribeOptions};

use crate::bus::name;
use crate::contract_relays::{Broker, OWN, Told, open, policy, subscribe, texts};

#[test]
fn a_bridge_gets_what_is_wanted_beyond_it_and_nothing_else() {
    let mut broker = Broker::new();
    let (bridge, publisher) = (broker.bridge(), open(&mut broker.router, false));
    for (channel, topic) in [(0, "a.b"), (1, "a.c")] {
        let (options, exclusive) = (Default::default(), false);
        let topic = name(topic);
        let open = Command::OpenPublisher { request: 0, channel, topic, options, exclusive };
        broker.router.handle(broker.now, publisher, open);
    }
    let want = |broker: &mut Broker, wanted: &[&str]| {
        let interest = |text: &&str| Interest {
            pattern: Pattern::new(text).expect("a pattern"),
            path: vec![5],
        };
        let beyond = wanted.iter().map(interest).collect();
        let (pattern, options) = (Pattern::new(">").expect("a pattern"), Default::default());
        let command =
            BridgeCommand::SubscribeBeyond { request: 0, channel: 0, pattern, options, beyond };
        broker.router.handle(broker.now, bridge, Command::Bridge(command));
    };
    let both = |broker: &mut Broker| {
        let told = [broker.publish(publisher, 0, 1), broker.publish(publisher, 1, 2)].concat();
        let of_bridge = told.into_iter().filter(|(session, _)| *session == bridge);
        of_bridge.map(|(_, text)| text).collect::<Vec<_>>()
    };
    want(&mut broker, &["a.b"]);
    assert_eq!(both(&mut broker), ["1 as 1"]);
    want(&mut broker, &["*.c"]);
    assert_eq!(both(&mut broker), ["2 as 2"]);
    let paths = |broker: &Broker, peer| {
        let offered = broker.router.interest_for(peer).interests.into_iter();
        offered.map(|one| (one.pattern.to_string(), one.path)).collect::<Vec<_>>()
    };
    let own = ("a.>".to_owned(), vec![OWN]);
    assert_eq!(paths(&broker, 9), [("*.c".into(), vec![5, OWN]), own.clone()]);
    assert_eq!(paths(&broker, 5), [own]);
    want(&mut broker, &[]);
    assert_eq!(both(&mut broker), [""; 0]);
    assert_eq!(broker.router.interest_count(), 1);
}

#[test]
fn a_bridge_is_told_what_is_wanted_and_what_changes_and_nothing_at_rest() {
    let mut broker = Broker::new();
    let (bridge, other) = (broker.bridge(), open(&mut broker.router, false));
    let wanted = |told: Told| {
        told.into_iter().filter(|(session, _)| *session == bridge).map(|(_, text)| text).collect()
    };
    let watch = BridgeCommand::WatchInterest { request: 0, channel: 3, peer: 9 };
    broker.router.handle(broker.now, bridge, Command::Bridge(watch.clone()));
    let told: Vec<String> = wanted(broker.told());
    assert_eq!(told, ["wanted 1 more, 0 less on 3"]);
    // Changes of one moment are told together; what nobody outside would see is not.
    for (channel, text) in [(0, "b"), (1, "c"), (2, "b"), (3, "a.>")] {
        subscribe(&mut broker, other, channel, text);
    }
    let told: Vec<String> = wanted(broker.pass(Duration::from_millis(10)));
    assert_eq!(told, ["wanted 2 more, 0 less on 3"]);
    broker.router.handle(broker.now, other, Command::Close { request: 0, channel: 2 });
    let told: Vec<String> = wanted(broker.pass(Duration::from_secs(10)));
    assert_eq!(told, [""; 0]);
    assert_eq!(broker.router.next_deadline(), None);
    broker.router.handle(broker.now, other, Command::Close { request: 0, channel: 0 });
    let told: Vec<String> = wanted(broker.pass(Duration::from_millis(10)));
    assert_eq!(told, ["wanted 0 more, 1 less on 3"]);
    // Whoever may not bridge is not told.
    broker.router.handle(broker.now, other, Command::Bridge(watch));
    let kinds: Vec<String> = broker.told().into_iter().map(|(_, text)| text).collect();
    assert_eq!(kinds, [""; 0]);
}

#[test]
fn what_a_bridge_may_want_and_watch_is_bounded() {
    let mut broker = Broker::new();
    let bridge = broker.bridge();
    let (options, request) = (SubscribeOptions::default(), 1);
    let want = |broker: &mut Broker, channel: u32, count: usize| {
        let interest = |number: usize| Interest {
            pattern: Pattern::new(&format!("w{number}")).expect("a pattern"),
            path: vec![9],
        };
        let beyond = (0..count).map(interest).collect();
        let (pattern, options) = (Pattern::new(">").expect("a pattern"), options.clone());
        let command = BridgeCommand::SubscribeBeyond { request, channel, pattern, options, beyond };
        broker.router.handle(broker.now, bridge, Command::Bridge(command));
        texts(broker.told())
    };
    assert_eq!(want(&mut broker, 0, 65_000), ["done"]);
    assert_eq!(want(&mut broker, 1, 537), ["QuotaExceeded"]);
    assert_eq!(want(&mut broker, 1, 536), ["done"]);
    for (channel, answer) in [(2, "done"), (3, "QuotaExceeded")] {
        let watch = BridgeCommand::WatchInterest { request, channel, peer: 9 };
        broker.router.handle(broker.now, bridge, Command::Bridge(watch));
        assert_eq!(texts(broker.told())[0], answer);
    }
}

#[test]
fn a_bridge_is_told_of_nothing_that_it_may_not_bridge() {
    let mut broker = Broker::new();
    let (bridge, subscriber) = (open(&mut broker.router, false), broker.subscriber);
    for (channel, text) in [(1, "b.x"), (2, "c"), (3, "*.x")] {
        subscribe(&mut broker, subscriber, channel, text);
    }
    let may = |text| policy(&[(Deed::Bridge, text), (Deed::Subscribe, ">")]);
    let told = |broker: &mut Broker| {
        broker.router.advance(broker.now);
        let effects = broker.router.take_effects(Vec::new()).into_iter();
        let wanted = effects.filter_map(|effect| match effect.output {
            Output::Wanted { added, removed, .. } => Some([added, removed]),
            _ => None,
        });
        let patterns = |all: Vec<Interest>| all.into_iter().map(|one| one.pattern.to_string());
        wanted.map(|both| both.map(|all| patterns(all).collect::<Vec<_>>())).collect::<Vec<_>>()
    };
    broker.router.set_policy(broker.now, may("a.>"));
    let watch = BridgeCommand::WatchInterest { request: 0, channel: 3, peer: 9 };
    broker.router.handle(broker.now, bridge, Command::Bridge(watch));
    assert_eq!(told(&mut broker), [[vec!["*.x", "a.>"], vec![]]]);
    // Another policy, and no change of what is wanted.
    broker.router.set_policy(broker.now, may("b.>"));
    broker.now = broker.router.next_deadline().expect("it is told");
    assert_eq!(told(&mut broker), [[vec!["b.x"], vec!["a.>"]]]);
}
