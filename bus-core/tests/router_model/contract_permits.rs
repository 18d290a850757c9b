//! What a bridge is told before it carries anything: what it may, and that another way brings the same.

use bus_core::router::{
    Allowance, BridgeCommand, Command, Deed, Effect, Identity, Output, Policy, RelayState,
    SessionEnd, SessionId, Who,
};
use bus_core::{Pattern, Sender, UserName};

use crate::contract_relays::{Broker, policy, texts};

fn ask(broker: &mut Broker, session: SessionId, channel: u32, text: &str, part: bool) -> String {
    let (pattern, services) = (Pattern::new(text).expect("a pattern"), false);
    let ask = BridgeCommand::AskPermit { request: 1, channel, pattern, services, part };
    broker.router.handle(broker.now, session, Command::Bridge(ask));
    texts(broker.told()).join(", ")
}

fn anybody(broker: &mut Broker, user: Option<&str>) -> SessionId {
    let user = user.map(|user| UserName::new(user).expect("a name"));
    let sender = Sender { user, ..Sender::default() };
    let identity = Identity { sender, ..Identity::default() };
    let grace = std::time::Duration::from_secs(10);
    broker.router.open_session(broker.now, identity, grace).expect("a session")
}

#[test]
fn what_may_be_carried_is_known_before_there_is_anything_and_told_when_it_changes() {
    let mut broker = Broker::new();
    broker.router.set_policy(broker.now, policy(&[(Deed::Bridge, "a.>"), (Deed::Bridge, "b")]));
    broker.told();
    let bridge = anybody(&mut broker, None);
    for (channel, text, part, expected) in [
        (0, "a.b", false, "done"),
        (1, "a.>", false, "done"),
        (2, "*", false, "PermissionDenied"),
        (2, "*", true, "done"),
        (3, "c", true, "PermissionDenied"),
        (3, "b", true, "done"),
        (3, "a.c", false, "Protocol"),
    ] {
        assert_eq!(ask(&mut broker, bridge, channel, text, part), expected, "{text} {part}");
    }
    // Those end that are not given any more, and no others.
    broker.router.set_policy(broker.now, policy(&[(Deed::Bridge, "a.b"), (Deed::Bridge, "x.>")]));
    let told = texts(broker.told());
    let ended = |channel: u32| {
        let start = format!("Ended {{ channel: {channel},");
        told.iter().any(|text| text.starts_with(&start) && text.contains("PermissionDenied"))
    };
    assert_eq!([0, 1, 2, 3].map(ended), [false, true, true, true], "{told:?}");
}

#[test]
fn a_refusal_names_the_table_that_is_missing_and_what_is_granted() {
    let mut broker = Broker::new();
    let granted = |text: &str| (Deed::Bridge, Pattern::new(text).expect("a pattern"));
    let user = UserName::new("beta").expect("a name");
    let (deed, pattern) = granted("site.>");
    let allowance = Allowance::to(Who::User(user)).grant(deed, pattern);
    broker.router.set_policy(broker.now, Policy::new(vec![allowance]));
    let beta = anybody(&mut broker, Some("beta"));
    let nobody = anybody(&mut broker, None);
    let refusal = |broker: &mut Broker, session, text: &str| {
        let pattern = Pattern::new(text).expect("a pattern");
        let (request, channel) = (1, 0);
        let ask =
            BridgeCommand::AskPermit { request, channel, pattern, services: true, part: false };
        broker.router.handle(broker.now, session, Command::Bridge(ask));
        let effects = broker.router.take_effects(Vec::new());
        format!("{:?}", effects.last().expect("an answer").output).replace("\\\"", "\"")
    };
    let said = refusal(&mut broker, beta, ">");
    for part in
        ["user beta", "services `>`", "only `site.>`", "user = \"beta\"", "bridge = [\">\"]"]
    {
        assert!(said.contains(part), "{said} lacks {part}");
    }
    let said = refusal(&mut broker, nobody, "site.a");
    assert!(said.contains("user = \"anonymous\"") && !said.contains("only"), "{said}");
}

#[test]
fn a_relay_that_is_away_alone_is_not_told_of_another_way() {
    let states = |broker: &mut Broker| -> Vec<RelayState> {
        let effects = broker.router.take_effects(Vec::new());
        let state = |effect: Effect| match effect.output {
            Output::Relay { state, .. } => Some(state),
            _ => None,
        };
        effects.into_iter().filter_map(state).collect()
    };
    let mut broker = Broker::new();
    let (one, other) = (broker.bridge(), broker.bridge());
    broker.ask_for_relay(one, 0, &[], 1);
    broker.told();
    broker.router.suspend(broker.now, one);
    let told = states(&mut broker);
    assert!(matches!(told[..], [RelayState { active: false, elsewhere: false, .. }]), "{told:?}");
    broker.router.resume(broker.now, one);
    assert!(matches!(states(&mut broker)[..], [RelayState { active: true, .. }]));
    // The longer way stands by, for the other one; while that is away for none, and then it goes on.
    broker.ask_for_relay(other, 0, &[7], 1);
    let told = states(&mut broker);
    assert!(matches!(told[..], [RelayState { active: false, elsewhere: true, .. }]), "{told:?}");
    broker.router.close_session(broker.now, one, SessionEnd::Goodbye);
    let told = states(&mut broker);
    let goes_on = |state: &RelayState| state.active && !state.elsewhere;
    assert!(told.last().is_some_and(goes_on), "{told:?}");
}
