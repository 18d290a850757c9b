//! What the router does for bridges, case by case: marks, upstreams, rights, loops.

use std::sync::Arc;
use std::time::Duration;

use bus_core::router::{
    Allowance, BridgeCommand, Command, Deed, Identity, Output, Policy, Provenance, Router,
    RouterConfig, SessionEnd, SessionId, SubscribeOptions, Who,
};
use bus_core::{Arrival, ErrorKind, Kind, Pattern, Sender, Time};

use crate::bus::{arrival, message, name};
use crate::events::number_of;

pub(crate) const OWN: u64 = 1;
const ORIGIN: u64 = 2;

pub(crate) struct Broker {
    pub router: Router,
    pub now: Time,
    pub subscriber: SessionId,
}

/// What a session was told, in short.
pub(crate) type Told = Vec<(SessionId, String)>;

impl Broker {
    pub fn new() -> Broker {
        let config = RouterConfig { epoch: OWN, ..RouterConfig::default() };
        let mut router = Router::new(config);
        let subscriber = open(&mut router, false);
        let pattern = Pattern::new("a.>").expect("a pattern");
        let options = SubscribeOptions::default();
        let subscribe = Command::Subscribe { request: 0, channel: 0, pattern, options };
        router.handle(Time::ZERO, subscriber, subscribe);
        Broker { router, now: Time::ZERO, subscriber }
    }

    pub fn bridge(&mut self) -> SessionId {
        open(&mut self.router, true)
    }

    /// Opens a relay for publisher 7 of the origin, by these brokers after it.
    fn relay(&mut self, session: SessionId, channel: u32, via: &[u64], reach: u64) -> Told {
        self.ask_for_relay(session, channel, via, reach);
        self.told()
    }

    /// The same, and what is told of it is left.
    pub fn ask_for_relay(&mut self, session: SessionId, channel: u32, via: &[u64], reach: u64) {
        let hops = [&[ORIGIN], via].concat();
        let sender = Arc::new(Sender::default());
        let broker = Arc::from("origin");
        let provenance = Arc::new(Provenance { epoch: ORIGIN, broker, publisher: 7, sender, hops });
        let topic = name("a.b");
        let open = BridgeCommand::OpenRelay { request: 9, channel, topic, provenance, reach };
        self.router.handle(self.now, session, Command::Bridge(open));
    }

    pub fn publish(&mut self, session: SessionId, channel: u32, number: u64) -> Told {
        let message = message(1, number);
        let command = Command::Publish { channel, message, ticket: None };
        self.router.handle(self.now, session, command);
        self.told()
    }

    fn skip(&mut self, session: SessionId, turn: u64, sequence: u64) -> Told {
        let skip = BridgeCommand::Skip { channel: 0, turn, sequence, lost: false, unconfirmed: 0 };
        self.router.handle(self.now, session, Command::Bridge(skip));
        self.told()
    }

    pub fn pass(&mut self, time: Duration) -> Told {
        self.now = self.now.after(time);
        self.router.advance(self.now);
        self.told()
    }

    pub fn told(&mut self) -> Told {
        let effects = self.router.take_effects(Vec::new()).into_iter();
        effects.map(|effect| (effect.session, short(&effect.output))).collect()
    }

    /// What the subscriber sees of these.
    fn seen(&self, told: Told) -> Vec<String> {
        let mine = |(session, _): &(SessionId, String)| *session == self.subscriber;
        told.into_iter().filter(mine).map(|(_, text)| text).collect()
    }
}

pub(crate) fn open(router: &mut Router, admin: bool) -> SessionId {
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

pub(crate) fn texts(told: Told) -> Vec<String> {
    told.into_iter().map(|(_, text)| text).collect()
}

pub(crate) fn policy(granted: &[(Deed, &str)]) -> Policy {
    let pattern = |text: &str| Pattern::new(text).expect("a pattern");
    let everybody = Allowance::to(Who::Everybody);
    let all = granted.iter().fold(everybody, |all, (deed, text)| all.grant(*deed, pattern(text)));
    Policy::new(vec![all])
}

pub(crate) fn subscribe(broker: &mut Broker, session: SessionId, channel: u32, text: &str) {
    let (pattern, options) = (Pattern::new(text).expect("a pattern"), Default::default());
    let command = Command::Subscribe { request: 0, channel, pattern, options };
    broker.router.handle(broker.now, session, command);
    broker.told();
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
fn the_policy_says_who_may_bridge_what() {
    let mut broker = Broker::new();
    let bridge = open(&mut broker.router, false);
    assert_eq!(texts(broker.relay(bridge, 0, &[], 1)), ["PermissionDenied"]);
    broker.router.set_policy(broker.now, policy(&[(Deed::Bridge, "b.>")]));
    broker.told();
    assert_eq!(texts(broker.relay(bridge, 0, &[], 1)), ["PermissionDenied"]);
    broker.router.set_policy(broker.now, policy(&[(Deed::Bridge, "a.>")]));
    broker.told();
    assert!(!texts(broker.relay(bridge, 0, &[], 1)).contains(&"PermissionDenied".to_owned()));
}

#[test]
fn a_relay_ends_with_the_right_to_bridge_though_its_session_may_publish() {
    let mut broker = Broker::new();
    let bridge = open(&mut broker.router, false);
    let both = policy(&[(Deed::Bridge, "a.>"), (Deed::Publish, "a.>")]);
    // Without a policy everybody may publish, too.
    for without in [policy(&[(Deed::Publish, "a.>")]), Policy::default()] {
        broker.router.set_policy(broker.now, both.clone());
        broker.relay(bridge, 0, &[], 1);
        assert_eq!(broker.publish(bridge, 0, 1), []);
        broker.router.set_policy(broker.now, without);
        let told = texts(broker.publish(bridge, 0, 2));
        assert!(told[0].contains("PermissionDenied"), "{told:?}");
    }
}

#[test]
fn what_many_skips_and_subscriptions_make_due_is_looked_at_once() {
    let mut broker = Broker::new();
    let (silent, other) = (broker.bridge(), broker.bridge());
    broker.relay(silent, 0, &[], 1);
    broker.relay(other, 0, &[3], 1);
    let watch = BridgeCommand::WatchInterest { request: 0, channel: 3, peer: 9 };
    broker.router.handle(broker.now, silent, Command::Bridge(watch));
    for number in 0..100 {
        broker.now = broker.now.after(Duration::from_micros(1));
        broker.skip(other, 0, 1);
        subscribe(&mut broker, other, 1 + number, &format!("w{number}"));
    }
    for expected in ["wanted 100 more, 0 less on 3", "stands by 0 turn 2 known true"] {
        broker.now = broker.router.next_deadline().expect("something is due");
        assert_eq!(texts(broker.pass(Duration::ZERO))[0], expected);
    }
    assert_eq!(broker.router.next_deadline(), None);
}

#[test]
fn a_session_has_one_relay_of_a_source_at_most() {
    let mut broker = Broker::new();
    let (bridge, other) = (broker.bridge(), broker.bridge());
    assert_eq!(texts(broker.relay(bridge, 0, &[], 1))[0], "done");
    assert_eq!(texts(broker.relay(bridge, 1, &[3], 1)), ["AlreadyExists"]);
    assert_eq!(texts(broker.relay(other, 1, &[3], 1))[0], "done");
    broker.router.handle(broker.now, bridge, Command::Close { request: 0, channel: 0 });
    broker.told();
    assert_eq!(texts(broker.relay(bridge, 1, &[3], 1))[0], "done");
}
