//! The policy, case by case: what each word of it allows, what modes still say beside it, and what
//! a change does to those who are connected.

use std::time::Duration;

use bus_core::router::{
    AdminAction, Allowance, Command, Deed, Fault, Identity, OpenMode, Policy, QueueChange,
    QueueOptions, RouterConfig, SubscribeOptions, TopicOptions, Who,
};
use bus_core::{ErrorKind, Failure, Pattern, Selector, Sender, Time, UserName};

use crate::bus::{Bus, credit, kind, message, name, once, room_for, user};

/// A remote user without a uid.
pub fn named(text: &str) -> Identity {
    let user = UserName::new(text).expect("a name");
    Identity { sender: Sender { user: Some(user), ..Sender::default() }, ..Identity::default() }
}

pub fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("a pattern")
}

/// Allows one thing.
pub fn allow(who: Who, deeds: &[Deed], text: &str) -> Allowance {
    deeds.iter().fold(Allowance::to(who), |all, deed| all.grant(*deed, pattern(text)))
}

pub fn alice() -> Who {
    Who::User(UserName::new("alice").expect("a name"))
}

/// A is alice, B is bob, U has a uid, N is anonymous, F an administrator. Everything is there
/// already, open to all.
fn bus() -> Bus {
    let mut bus = Bus::with(RouterConfig::default());
    bus.join('F', Identity { admin: true, ..user(0, 0) });
    bus.join('A', named("alice"));
    bus.join('B', named("bob"));
    bus.join('U', user(7, 70));
    bus.join('N', Identity::default());
    let open = Some(0o777);
    for (channel, text) in [(90, "a.x"), (92, "b.x")] {
        bus.queue('F', channel, text, QueueOptions { mode: open, ..room_for(1) });
        let options = TopicOptions { mode: open, ..TopicOptions::default() };
        bus.publisher('F', channel + 1, text, options);
    }
    let (name, credit) = (name("a.x"), 9);
    bus.tell('F', Command::Serve { request: 0, channel: 89, name, credit, mode: open });
    bus
}

fn is_denied(told: &[String]) -> bool {
    told.iter().any(|told| told.ends_with("PermissionDenied"))
}

/// Tries something on a name, on channels of its own; whether it was refused by right.
pub fn is_refused(bus: &mut Bus, letter: char, deed: Deed, text: &str) -> bool {
    let (channel, request) = (50, 77);
    let opened = |bus: &mut Bus| {
        let (name, open) = (name(text), OpenMode::Open);
        let options = QueueOptions::default();
        bus.tell(letter, Command::OpenQueue { request, channel, name, open, options })
    };
    let told = match deed {
        Deed::Publish => {
            let (topic, options) = (name(text), TopicOptions::default());
            let exclusive = false;
            bus.tell(letter, Command::OpenPublisher { request, channel, topic, options, exclusive })
        }
        Deed::Subscribe => {
            let (pattern, options) = (pattern(text), SubscribeOptions::default());
            bus.tell(letter, Command::Subscribe { request, channel, pattern, options })
        }
        Deed::Send => {
            let told = opened(bus);
            let send = Command::Send { channel, ticket: 1, message: message(1, 1), no_wait: true };
            [told, bus.tell(letter, send)].concat()
        }
        Deed::Receive => {
            let told = opened(bus);
            let consume =
                Command::Consume { request, channel: 51, queue: channel, options: credit(0) };
            [told, bus.tell(letter, consume)].concat()
        }
        Deed::Call => bus.tell(letter, Command::OpenService { request, channel, name: name(text) }),
        Deed::Serve => {
            let (name, credit, mode) = (name(text), 0, Some(0o777));
            bus.tell(letter, Command::Serve { request, channel, name, credit, mode })
        }
        Deed::Create => {
            let (name, open) = (name(&format!("{text}.new")), OpenMode::Create);
            let options = QueueOptions { mode: Some(0o777), ..QueueOptions::default() };
            let told =
                bus.tell(letter, Command::OpenQueue { request, channel, name, open, options });
            bus.admin('F', &format!("{text}.new"), AdminAction::Remove);
            told
        }
        Deed::Administer => bus.admin(letter, text, AdminAction::Purge),
        Deed::Bridge => {
            let session = bus.session(letter);
            let found = bus.router.check_pattern(session, deed, "topics", &pattern(text));
            return found.is_err_and(|failure| failure.kind() == ErrorKind::PermissionDenied);
        }
    };
    bus.close(letter, channel + 1);
    bus.close(letter, channel);
    if pattern(text).as_name().is_some() {
        bus.admin('F', text, AdminAction::Purge);
    }
    is_denied(&told)
}

#[test]
fn each_word_allows_what_it_says_to_whom_it_says_and_nothing_else() {
    for granted in Deed::ALL {
        let mut bus = bus();
        bus.router.set_policy(Time::ZERO, Policy::new(vec![allow(alice(), &[*granted], "a.>")]));
        for tried in Deed::ALL {
            let mut check = |letter: char, text: &str, expected: bool| {
                let refused = is_refused(&mut bus, letter, *tried, text);
                assert_eq!(refused, expected, "{letter} {tried} {text} with {granted} allowed");
            };
            check('A', "a.x", tried != granted);
            check('A', "b.x", true);
            check('B', "a.x", true);
            check('N', "a.x", true);
            check('F', "a.x", false);
        }
    }
}

#[test]
fn without_an_allowance_the_modes_alone_decide() {
    let mut bus = bus();
    bus.router.set_policy(Time::ZERO, Policy::default());
    for deed in Deed::ALL {
        for letter in "AUN".chars() {
            assert!(!is_refused(&mut bus, letter, *deed, "a.x"), "{letter} {deed}");
        }
    }
}

#[test]
fn modes_count_beside_the_policy() {
    let mut bus = bus();
    let all = Policy::new(vec![allow(Who::Everybody, Deed::ALL, ">")]);
    bus.router.set_policy(Time::ZERO, all);
    assert!(!is_refused(&mut bus, 'U', Deed::Receive, "a.x"));
    let change = QueueChange { mode: Some(0o702), ..QueueChange::default() };
    bus.tell('F', Command::SetQueue { request: 0, name: name("a.x"), change });
    assert!(is_refused(&mut bus, 'U', Deed::Receive, "a.x"));
    assert!(!is_refused(&mut bus, 'U', Deed::Send, "a.x"));
}

#[test]
fn whom_an_allowance_is_for() {
    let identity = |uid: u32, groups: &[u32]| Identity { groups: groups.to_vec(), ..user(uid, 70) };
    let both =
        Identity { sender: Sender { uid: Some(7), ..named("alice").sender }, ..named("alice") };
    let people = [named("alice"), identity(7, &[]), identity(8, &[75]), both, Identity::default()];
    let check = |who: Who, expected: [bool; 5]| {
        assert_eq!(people.each_ref().map(|person| who.is(person)), expected, "{who:?}");
    };
    check(Who::Everybody, [true; 5]);
    check(Who::Anonymous, [false, false, false, false, true]);
    check(alice(), [true, false, false, true, false]);
    check(Who::Uid(7), [false, true, false, true, false]);
    check(Who::Gid(70), [false, true, true, false, false]);
    check(Who::Gid(75), [false, false, true, false, false]);
}

#[test]
fn a_pattern_is_allowed_only_if_one_allowed_pattern_contains_it() {
    let mut bus = bus();
    let granted = ["a.*", "b.c.>"].map(|text| allow(alice(), &[Deed::Subscribe], text));
    bus.router.set_policy(Time::ZERO, Policy::new(granted.to_vec()));
    for (text, refused) in [
        ("a.x", false),
        ("a.*", false),
        ("a.>", true),
        ("a.x.y", true),
        ("*.x", true),
        (">", true),
        ("b.c.*", false),
        ("b.c.d.>", false),
        ("b.>", true),
    ] {
        assert_eq!(is_refused(&mut bus, 'A', Deed::Subscribe, text), refused, "{text}");
    }
}

#[test]
fn publishing_makes_a_topic_and_only_creating_gives_it_options() {
    let mut bus = bus();
    bus.router.set_policy(Time::ZERO, Policy::new(vec![allow(alice(), &[Deed::Publish], ">")]));
    assert!(!is_refused(&mut bus, 'A', Deed::Publish, "fresh"));
    let (topic, exclusive) = (name("kept"), false);
    let options = TopicOptions { keep_last: true, ..TopicOptions::default() };
    let open = Command::OpenPublisher { request: 1, channel: 60, topic, options, exclusive };
    assert!(is_denied(&bus.tell('A', open)));
}

#[test]
fn nobody_sends_through_dead_letters_to_where_he_may_not() {
    let mut bus = bus();
    let deeds = [Deed::Create, Deed::Send, Deed::Receive, Deed::Administer];
    bus.router.set_policy(Time::ZERO, Policy::new(vec![allow(alice(), &deeds, "a.>")]));
    let options =
        |grave| QueueOptions { dead_letter: Some(name(grave)), ..QueueOptions::default() };
    let open = |channel, text: &str, options| {
        let (name, open) = (name(text), OpenMode::Create);
        Command::OpenQueue { request: 1, channel, name, open, options }
    };
    assert!(is_denied(&bus.tell('A', open(1, "a.trap", options("b.x")))));
    assert!(!is_denied(&bus.tell('A', open(1, "a.good", options("a.x")))));
    let change = QueueChange { dead_letter: Some(name("b.x")), ..QueueChange::default() };
    let set = Command::SetQueue { request: 1, name: name("a.good"), change };
    assert!(is_denied(&bus.tell('A', set)));
}

/// Everybody waits for something when the policy becomes another one. What A is told.
fn after_a_change(fault: Option<Fault>) -> Vec<String> {
    let mut bus = bus();
    let all = Policy::new(vec![allow(Who::Everybody, Deed::ALL, ">")]);
    bus.router.set_policy(Time::ZERO, all);
    bus.send('F', 90, 1, 1);
    for letter in "AB".chars() {
        bus.queue(letter, 0, "a.x", QueueOptions::default());
        bus.consume(letter, 1, once(Selector::Eq(kind(9))));
        bus.subscribe(letter, 2, "a.*", SubscribeOptions::default());
        bus.publisher(letter, 3, "a.x", TopicOptions::default());
        let (name, mode) = (name("a.x"), None);
        bus.tell(
            letter,
            Command::Serve { request: 0, channel: 4, name: name.clone(), credit: 1, mode },
        );
        bus.tell(letter, Command::OpenService { request: 0, channel: 5, name });
        assert!(bus.send(letter, 0, 1, 10).is_empty(), "it waits for room");
        assert!(bus.offer(letter, 0, 11, 1000).is_empty(), "it waits for room");
    }
    // An offer that is granted, and whose message has not come.
    bus.queue('A', 6, "b.x", QueueOptions::default());
    assert_eq!(bus.offer('A', 6, 12, 1000), ["A granted 12"]);
    if let Some(fault) = fault {
        bus.router.plant(fault);
    }
    let bob = Who::User(UserName::new("bob").expect("a name"));
    bus.router.set_policy(Time::ZERO, Policy::new(vec![allow(bob, Deed::ALL, ">")]));
    let mut told = bus.seen();
    told.extend(bus.granted('A', 12, 1000));
    told.extend(bus.send('A', 0, 1, 13));
    told.extend(bus.publish('A', 3, 1, 14));
    let (timeout, message) = (Duration::from_secs(1), message(1, 1));
    told.extend(bus.tell('A', Command::Call { channel: 5, ticket: 15, message, timeout }));
    told.retain(|told| told.starts_with('A'));
    told
}

#[test]
fn a_change_ends_what_is_no_longer_allowed_and_leaves_the_rest() {
    let told = after_a_change(None);
    let expected = [
        "A ended 1 PermissionDenied",
        "A ended 2 PermissionDenied",
        "A ended 4 PermissionDenied",
        "A failed 11 PermissionDenied",
        "A failed 10 PermissionDenied",
        "A failed 12 PermissionDenied",
        "A failed 13 PermissionDenied",
        "A failed 14 PermissionDenied",
        "A ended 3 PermissionDenied",
        "A failed 15 PermissionDenied",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_policy_that_does_not_act_on_those_who_are_connected_is_noticed() {
    let told = after_a_change(Some(Fault::PolicyNotRechecked));
    assert!(!told.contains(&"A ended 2 PermissionDenied".to_owned()), "{told:?}");
    assert!(!told.contains(&"A failed 13 PermissionDenied".to_owned()), "{told:?}");
}

#[test]
fn what_a_handle_may_follows_each_change_of_the_policy() {
    let mut bus = bus();
    let set = |bus: &mut Bus, deeds: &[Deed]| {
        let policy = Policy::new(vec![allow(alice(), deeds, "a.>")]);
        bus.router.set_policy(Time::ZERO, policy);
    };
    set(&mut bus, &[Deed::Send]);
    bus.queue('A', 0, "a.x", QueueOptions::default());
    assert_eq!(bus.try_send('A', 0, 1, 1), ["A accepted 1"]);
    assert_eq!(bus.receive('A', 1, Selector::Any), ["A ended 1 PermissionDenied"]);
    set(&mut bus, &[Deed::Receive]);
    assert_eq!(bus.try_send('A', 0, 1, 2), ["A failed 2 PermissionDenied"]);
    assert_eq!(bus.receive('A', 1, Selector::Any), ["A got 1 on 1 as 1"]);
    set(&mut bus, &[Deed::Send]);
    // What it holds already it may settle.
    assert!(bus.ack('A', 1).contains(&"A settled 1".to_owned()));
    assert_eq!(bus.try_send('A', 0, 1, 3), ["A accepted 3"]);
}

#[test]
fn messages_that_come_together_are_refused_one_by_one() {
    let mut bus = bus();
    bus.router.set_policy(Time::ZERO, Policy::new(vec![allow(alice(), &[Deed::Publish], ">")]));
    bus.publisher('A', 0, "a.x", TopicOptions::default());
    bus.router.set_policy(Time::ZERO, Policy::new(vec![allow(alice(), &[Deed::Send], ">")]));
    let messages: Vec<_> = (1..4).map(|number| message(1, number)).collect();
    let arrival = crate::bus::arrival(bus_core::Kind::Publish, &messages);
    let Some(bus_core::Arrival::Parcel { parcel, .. }) = arrival else { panic!("a parcel") };
    let session = bus.session('A');
    assert!(bus.router.publish_parcel(Time::ZERO, session, 0, parcel).is_none());
    assert_eq!(bus.seen(), ["A ended 0 PermissionDenied"]);
    assert_eq!(bus.topic_stat("a.x").expect("it is there").published, 0);
}

#[test]
fn messages_that_wait_together_are_refused_each() {
    let mut bus = bus();
    let send = Policy::new(vec![allow(alice(), &[Deed::Send], ">")]);
    bus.router.set_policy(Time::ZERO, send);
    bus.queue('A', 0, "a.x", QueueOptions::default());
    bus.send('F', 90, 1, 9);
    let messages: Vec<_> = (1..4).map(|number| message(1, number)).collect();
    let arrival = crate::bus::arrival(bus_core::Kind::Send, &messages);
    let Some(bus_core::Arrival::Sends { parcel, .. }) = arrival else { panic!("a parcel") };
    let session = bus.session('A');
    bus.router.send_parcel(Time::ZERO, session, 0, 1, parcel);
    assert!(bus.seen().is_empty(), "all wait for room");
    let other = Policy::new(vec![allow(alice(), &[Deed::Receive], ">")]);
    bus.router.set_policy(Time::ZERO, other);
    let mut told = bus.seen();
    told.sort();
    let failed = |ticket: u64| format!("A failed {ticket} PermissionDenied");
    assert_eq!(told, [1, 2, 3].map(failed));
    assert_eq!(bus.stat("a.x").expect("it is there").blocked, 0);
}

#[test]
fn an_expelled_session_lets_go_of_everything_and_is_told_why() {
    let mut bus = bus();
    bus.queue('A', 0, "a.x", QueueOptions::default());
    bus.send('F', 90, 1, 1);
    assert_eq!(bus.receive('A', 1, Selector::Any), ["A got 1 on 1 as 1"]);
    let session = bus.session('A');
    let failure = Failure::new(ErrorKind::Unauthenticated, "the token was taken away");
    bus.router.expel(Time::ZERO, session, failure);
    assert_eq!(bus.seen(), ["A expired Unauthenticated"]);
    assert!(!bus.router.has_session(session));
    let stat = bus.stat("a.x").expect("it is there");
    assert_eq!((stat.messages, stat.leased), (1, 0));
}

#[test]
fn errors_say_who_what_where_and_what_to_do() {
    let mut bus = bus();
    bus.router.set_policy(Time::ZERO, Policy::new(vec![allow(alice(), &[Deed::Send], "a.>")]));
    let session = bus.session('B');
    let failure = bus.router.check_pattern(session, Deed::Subscribe, "topics", &pattern("b.*"));
    let text = failure.expect_err("refused").to_string();
    for part in ["user bob", "`b.*`", "`subscribe`", "whoever runs the broker"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
}
