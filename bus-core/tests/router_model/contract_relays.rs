//! What the router does for bridges, case by case: marks, upstreams, rights, loops, wishes.

use std::sync::Arc;
use std::time::Duration;

use bus_core::router::{
    Allowance, BridgeCommand, Command, Deed, Identity, Interest, Output, Policy, Provenance,
    Router, RouterConfig, SessionEnd, SessionId, SubscribeOptions, Who,
};
use bus_core::{Arrival, ErrorKind, Kind, Pattern, Sender, Time};

use crate::bus::{arrival, message, name};
use crate::events::number_of;

const OWN: u64 = 1;
const ORIGIN: u64 = 2;

struct Broker {
    router: Router,
    now: Time,
    subscriber: SessionId,
}

/// What a session was told, in short.
type Told = Vec<(SessionId, String)>;

impl Broker {
    fn new() -> Broker {
        let config = RouterConfig { epoch: OWN, ..RouterConfig::default() };
        let mut router = Router::new(config);
        let subscriber = open(&mut router, false);
        let pattern = Pattern::new("a.>").expect("a pattern");
        let options = SubscribeOptions::default();
        let subscribe = Command::Subscribe { request: 0, channel: 0, pattern, options };
        router.handle(Time::ZERO, subscriber, subscribe);
        Broker { router, now: Time::ZERO, subscriber }
    }

    fn bridge(&mut self) -> SessionId {
        open(&mut self.router, true)
    }

    /// Opens a relay for publisher 7 of the origin, by these brokers after it.
    fn relay(&mut self, session: SessionId, channel: u32, via: &[u64], reach: u64) -> Told {
        let hops = [&[ORIGIN], via].concat();
        let sender = Arc::new(Sender::default());
        let broker = Arc::from("origin");
        let provenance = Arc::new(Provenance { epoch: ORIGIN, broker, publisher: 7, sender, hops });
        let topic = name("a.b");
        let open = BridgeCommand::OpenRelay { request: 9, channel, topic, provenance, reach };
        self.router.handle(self.now, session, Command::Bridge(open));
        self.told()
    }

    fn publish(&mut self, session: SessionId, channel: u32, number: u64) -> Told {
        let message = message(1, number);
        let command = Command::Publish { channel, message, ticket: None };
        self.router.handle(self.now, session, command);
        self.told()
    }

    fn skip(&mut self, session: SessionId, turn: u64, sequence: u64) -> Told {
        let skip = BridgeCommand::Skip { channel: 0, turn, sequence, lost: false };
        self.router.handle(self.now, session, Command::Bridge(skip));
        self.told()
    }

    fn pass(&mut self, time: Duration) -> Told {
        self.now = self.now.after(time);
        self.router.advance(self.now);
        self.told()
    }

    fn told(&mut self) -> Told {
        let effects = self.router.take_effects(Vec::new()).into_iter();
        effects.map(|effect| (effect.session, short(&effect.output))).collect()
    }

    /// What the subscriber sees of these.
    fn seen(&self, told: Told) -> Vec<String> {
        let mine = |(session, _): &(SessionId, String)| *session == self.subscriber;
        told.into_iter().filter(mine).map(|(_, text)| text).collect()
    }
}

fn open(router: &mut Router, admin: bool) -> SessionId {
    let sender = Sender { uid: Some(1), ..Sender::default() };
    let identity = Identity { sender, admin, ..Identity::default() };
    router.open_session(Time::ZERO, identity, Duration::from_secs(10)).expect("a session")
}

fn short(output: &Output) -> String {
    match output {
        Output::Deliver { stamp, message, .. } => {
            format!("{} as {}", number_of(message.payload()), stamp.sequence)
        }
        Output::DeliverParcel { stamp, parcel, .. } => {
            format!("{} from {}", parcel.count(), stamp.sequence)
        }
        Output::Lost { count, .. } => format!("lost {count}"),
        Output::Relay { state, .. } => {
            let active = if state.active { "active" } else { "stands by" };
            format!("{active} {} turn {} known {}", state.mark, state.turn, state.known)
        }
        Output::Reply { result: Ok(_), .. } => "done".into(),
        Output::Reply { result: Err(failure), .. } => format!("{:?}", failure.kind()),
        Output::Wanted { channel, added, removed, .. } => {
            format!("wanted {} more, {} less on {channel}", added.len(), removed.len())
        }
        other => format!("{other:?}"),
    }
}

fn texts(told: Told) -> Vec<String> {
    told.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn of_two_upstreams_the_shorter_goes_on_and_the_other_takes_over_at_the_mark() {
    let mut broker = Broker::new();
    let (far, near) = (broker.bridge(), broker.bridge());
    assert_eq!(texts(broker.relay(far, 0, &[3], 1)), ["done", "active 0 turn 1 known false"]);
    assert_eq!(broker.skip(far, 1, 1), []);
    let told = broker.publish(far, 0, 1);
    assert_eq!(broker.seen(told), ["1 as 1"]);
    // The shorter one cannot go on from here: it has only what comes later.
    assert_eq!(texts(broker.relay(near, 0, &[], 3)), ["done", "stands by 1 turn 0 known true"]);
    let told = broker.publish(far, 0, 2);
    assert_eq!(
        texts(told),
        ["stands by 2 turn 2 known true", "active 2 turn 1 known true", "2 as 2"]
    );
    assert_eq!(broker.skip(near, 1, 3), []);
    let told = broker.publish(near, 0, 3);
    assert_eq!(broker.seen(told), ["3 as 3"]);
    // What was under way from the other has been here; what is ahead of the mark must wait.
    assert_eq!(broker.publish(far, 0, 3), []);
    assert_eq!(broker.publish(far, 0, 4).len(), 1, "the next is right from whomever");
    broker.skip(far, 2, 9);
    assert_eq!(broker.publish(far, 0, 9), []);
    let stat = broker.router.relay_stat();
    assert_eq!((stat.duplicates, stat.strays, stat.gaps), (1, 1, 0));
    // The better one goes away. It can give what the other cannot, and so is waited for until
    // its session is over; marks are told meanwhile.
    broker.router.suspend(broker.now, near);
    assert_eq!(texts(broker.told()), ["stands by 4 turn 2 known true"]);
    let told = broker.pass(Duration::from_secs(9));
    assert!(told.iter().all(|(_, text)| text.starts_with("stands by")), "{told:?}");
    let told = broker.pass(Duration::from_secs(2));
    assert_eq!(told[0].1, "active 4 turn 3 known true");
}

#[test]
fn a_gap_is_told_and_a_duplicate_is_not_seen_after_the_relay_has_gone() {
    let mut broker = Broker::new();
    let bridge = broker.bridge();
    broker.relay(bridge, 0, &[], 1);
    broker.skip(bridge, 1, 1);
    broker.publish(bridge, 0, 1);
    // The topic goes with its last publisher; the mark does not.
    broker.router.close_session(broker.now, bridge, SessionEnd::Lost);
    let bridge = broker.bridge();
    assert_eq!(texts(broker.relay(bridge, 0, &[], 1)), ["done", "active 1 turn 1 known true"]);
    broker.skip(bridge, 1, 1);
    assert_eq!(broker.publish(bridge, 0, 1), []);
    broker.skip(bridge, 1, 5);
    let told = broker.publish(bridge, 0, 5);
    assert_eq!(broker.seen(told), ["lost 3", "5 as 5"]);
}

#[test]
fn a_parcel_of_a_relay_goes_whole_and_raises_the_mark() {
    let mut broker = Broker::new();
    let bridge = broker.bridge();
    broker.relay(bridge, 0, &[], 1);
    broker.skip(bridge, 1, 1);
    let messages: Vec<_> = (1..=20).map(|number| message(1, number)).collect();
    for expected in [vec!["20 from 1"], vec![]] {
        let arrived = arrival(Kind::Publish, &messages);
        let Some(Arrival::Parcel { parcel, .. }) = arrived else { panic!("no parcel") };
        assert!(broker.router.publish_parcel(broker.now, bridge, 0, parcel).is_none());
        let told = broker.told();
        assert_eq!(broker.seen(told), expected);
        // The second time all of it has been here.
        broker.skip(bridge, 1, 1);
    }
    assert_eq!(broker.router.relay_stat().duplicates, 20);
    assert_eq!(texts(broker.pass(Duration::from_secs(1))), ["active 20 turn 1 known true"]);
}

#[test]
fn an_upstream_that_brings_nothing_is_passed_over_for_one_that_could() {
    let mut broker = Broker::new();
    let (silent, other) = (broker.bridge(), broker.bridge());
    broker.relay(silent, 0, &[], 1);
    broker.relay(other, 0, &[3], 5);
    broker.skip(other, 0, 5);
    // Not at once: what lies between may yet come.
    assert_eq!(broker.pass(Duration::from_secs(20)), []);
    let told = broker.pass(Duration::from_secs(20));
    assert_eq!(broker.router.relay_stat().stalls, 1);
    assert_eq!(texts(told), ["stands by 0 turn 2 known true", "active 0 turn 1 known true"]);
}

#[test]
fn loops_and_those_without_the_right_are_refused() {
    let mut broker = Broker::new();
    let (bridge, subscriber) = (broker.bridge(), broker.subscriber);
    assert_eq!(texts(broker.relay(bridge, 0, &[3, OWN, 4], 1)), [format!("{:?}", ErrorKind::Loop)]);
    assert_eq!(broker.router.relay_stat().loops, 1);
    assert_eq!(texts(broker.relay(subscriber, 5, &[], 1)), ["PermissionDenied"]);
    assert_eq!(texts(broker.relay(bridge, 0, &[3, 3], 1)), ["InvalidArgument"]);
    assert_eq!(texts(broker.relay(bridge, 0, &[], u64::MAX)), ["InvalidArgument"]);
    let long: Vec<u64> = (10..30).collect();
    assert_eq!(texts(broker.relay(bridge, 0, &long, 1)), ["QuotaExceeded"]);
}

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
    let subscribe = |broker: &mut Broker, channel: u32, text: &str| {
        let (pattern, options) = (Pattern::new(text).expect("a pattern"), Default::default());
        let command = Command::Subscribe { request: 0, channel, pattern, options };
        broker.router.handle(broker.now, other, command);
        broker.told();
    };
    let wanted = |told: Told| {
        told.into_iter().filter(|(session, _)| *session == bridge).map(|(_, text)| text).collect()
    };
    let watch = BridgeCommand::WatchInterest { request: 0, channel: 3, peer: 9 };
    broker.router.handle(broker.now, bridge, Command::Bridge(watch.clone()));
    let told: Vec<String> = wanted(broker.told());
    assert_eq!(told, ["wanted 1 more, 0 less on 3"]);
    // Changes of one moment are told together; what nobody outside would see is not.
    for (channel, text) in [(0, "b"), (1, "c"), (2, "b"), (3, "a.>")] {
        subscribe(&mut broker, channel, text);
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
fn the_policy_says_who_may_bridge_what() {
    let mut broker = Broker::new();
    let bridge = open(&mut broker.router, false);
    assert_eq!(texts(broker.relay(bridge, 0, &[], 1)), ["PermissionDenied"]);
    let grant = |text: &str| {
        let pattern = Pattern::new(text).expect("a pattern");
        Policy::new(vec![Allowance::to(Who::Everybody).grant(Deed::Bridge, pattern)])
    };
    broker.router.set_policy(broker.now, grant("b.>"));
    broker.told();
    assert_eq!(texts(broker.relay(bridge, 0, &[], 1)), ["PermissionDenied"]);
    broker.router.set_policy(broker.now, grant("a.>"));
    broker.told();
    assert!(!texts(broker.relay(bridge, 0, &[], 1)).contains(&"PermissionDenied".to_owned()));
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
