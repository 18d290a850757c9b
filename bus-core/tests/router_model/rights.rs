//! Who may do what, as a table; what a change of rights does to those who wait; reserved names;
//! and quotas, which say what is used up and how much of it there is.

use bus_core::ErrorKind;
use bus_core::router::{
    AdminAction, Command, Identity, ObjectKind, OpenMode, Output, QueueChange, QueueOptions,
    RouterConfig, SubscribeOptions, TopicChange, TopicOptions,
};
use bus_core::{Pattern, Selector};

use crate::bus::{Bus, credit, kind, message, name, once, room_for, user};

const ANY: Selector = Selector::Any;

fn admin() -> Identity {
    Identity { admin: true, ..user(0, 0) }
}

fn member_of(uid: u32, groups: &[u32]) -> Identity {
    Identity { groups: groups.to_vec(), ..user(uid, 99) }
}

/// The owner, one of the group, one of it by a supplementary group, another, an anonymous one,
/// and an administrator.
fn people() -> [Identity; 6] {
    [user(1, 10), user(2, 10), member_of(3, &[7, 10]), user(4, 40), Identity::default(), admin()]
}

/// Which of them may read, write and administer, for a mode.
const TABLE: &[(u16, [&str; 6])] = &[
    (0o700, ["rwx", "", "", "", "", "rwx"]),
    (0o640, ["rw", "r", "r", "", "", "rwx"]),
    (0o421, ["r", "w", "w", "x", "x", "rwx"]),
    (0o077, ["", "rwx", "rwx", "rwx", "rwx", "rwx"]),
    (0o004, ["", "", "", "r", "r", "rwx"]),
    (0o772, ["rwx", "rwx", "rwx", "w", "w", "rwx"]),
];

fn bus_of_people() -> Bus {
    let mut bus = Bus::with(RouterConfig::default());
    for (letter, identity) in "ABCDEF".chars().zip(people()) {
        bus.join(letter, identity);
    }
    bus
}

/// Goes through the table; `allowed` says whether a person may do the thing of that letter.
fn check_table(make: impl Fn(&mut Bus, u16), allowed: impl Fn(&mut Bus, char, char) -> bool) {
    for (mode, rights) in TABLE {
        for (letter, rights) in "ABCDEF".chars().zip(rights) {
            for right in "rwx".chars() {
                let mut bus = bus_of_people();
                make(&mut bus, *mode);
                let found = allowed(&mut bus, letter, right);
                let expected = rights.contains(right);
                assert_eq!(found, expected, "{letter} {right} with mode {mode:04o}");
            }
        }
    }
}

fn is_denied(told: &[String]) -> bool {
    told.iter().any(|told| told.ends_with("PermissionDenied"))
}

#[test]
fn queues_obey_owner_group_and_mode() {
    let make = |bus: &mut Bus, mode| {
        // Its maker could not make one that it may not use.
        let options = QueueOptions { mode: Some(0o777), ..room_for(9) };
        let (jobs, open) = (name("jobs"), OpenMode::Create);
        bus.tell('A', Command::OpenQueue { request: 0, channel: 9, name: jobs, open, options });
        let change = QueueChange { mode: Some(mode), ..QueueChange::default() };
        bus.tell('A', Command::SetQueue { request: 0, name: name("jobs"), change });
    };
    check_table(make, |bus, letter, right| {
        let told = bus.queue(letter, 0, "jobs", QueueOptions::default());
        assert!(told.is_empty());
        !match right {
            'r' => {
                let told = bus.receive(letter, 5, ANY);
                // Who may do nothing has no handle at all.
                is_denied(&told) || told == [format!("{letter} ended 5 Closed")]
            }
            'w' => {
                let told = bus.try_send(letter, 0, 1, 1);
                is_denied(&told) || told == [format!("{letter} failed 1 Closed")]
            }
            _ => is_denied(&bus.admin(letter, "jobs", AdminAction::Purge)),
        }
    });
}

#[test]
fn topics_obey_owner_group_and_mode() {
    let make = |bus: &mut Bus, mode| {
        let options = TopicOptions { mode: Some(0o777), ..TopicOptions::default() };
        let (topic, exclusive) = (name("news"), true);
        bus.tell('A', Command::OpenPublisher { request: 1, channel: 9, topic, options, exclusive });
        let change = TopicChange { mode: Some(mode), ..TopicChange::default() };
        bus.tell('A', Command::SetTopic { request: 0, name: name("news"), change });
    };
    check_table(make, |bus, letter, right| {
        let name = name("news");
        let command = match right {
            'r' => Command::Subscribe {
                request: 1,
                channel: 0,
                pattern: Pattern::new("news").expect("a pattern"),
                options: SubscribeOptions::default(),
            },
            'w' => Command::OpenPublisher {
                request: 1,
                channel: 0,
                topic: name,
                options: TopicOptions::default(),
                exclusive: false,
            },
            _ => {
                let (object, action) = (ObjectKind::Topic, AdminAction::Purge);
                Command::Admin { request: 1, name, object, action }
            }
        };
        !is_denied(&bus.tell(letter, command))
    });
}

#[test]
fn services_obey_owner_group_and_mode() {
    let make = |bus: &mut Bus, mode| {
        let (name, credit, mode) = (name("sums"), 9, Some(mode));
        bus.tell('F', Command::Serve { request: 0, channel: 9, name, credit, mode });
    };
    // The administrator made it, so all others are strangers to it.
    for (mode, rights) in [(0o733, "wx"), (0o732, "w"), (0o731, "x"), (0o730, "")] {
        let mut bus = bus_of_people();
        make(&mut bus, mode);
        bus.tell('D', Command::OpenService { request: 0, channel: 0, name: name("sums") });
        let timeout = std::time::Duration::from_secs(1);
        let call = Command::Call { channel: 0, ticket: 1, message: message(1, 1), timeout };
        assert_eq!(is_denied(&bus.tell('D', call)), !rights.contains('w'), "{mode:04o}");
        let (name, credit, mode) = (name("sums"), 1, None);
        let serve = Command::Serve { request: 1, channel: 1, name, credit, mode };
        assert_eq!(is_denied(&bus.tell('D', serve)), !rights.contains('x'), "{mode:?}");
    }
}

#[test]
fn a_change_of_mode_ends_those_who_wait_without_the_right() {
    let mut bus = bus_of_people();
    bus.queue('A', 0, "jobs", QueueOptions { mode: Some(0o777), ..room_for(1) });
    bus.queue('D', 0, "jobs", QueueOptions::default());
    bus.receive('A', 5, Selector::Eq(kind(9)));
    bus.consume('D', 5, once(Selector::Eq(kind(9))));
    bus.consume('D', 6, credit(0));
    bus.send('A', 0, 1, 1);
    assert!(bus.send('A', 0, 1, 2).is_empty());
    assert!(bus.send('D', 0, 1, 3).is_empty());
    let change = QueueChange { mode: Some(0o770), ..QueueChange::default() };
    let told = bus.tell('A', Command::SetQueue { request: 9, name: name("jobs"), change });
    let expected = [
        "D ended 5 PermissionDenied",
        "D ended 6 PermissionDenied",
        "D failed 3 PermissionDenied",
        "A done 9",
    ];
    assert_eq!(told, expected);
    assert_eq!(bus.try_send('D', 0, 9, 4), ["D failed 4 PermissionDenied"]);
    assert_eq!(bus.send('A', 0, 9, 5), ["A got 5 on 5 as 1", "A accepted 5"]);
}

#[test]
fn a_change_of_mode_ends_publishers_and_subscribers_without_the_right() {
    let mut bus = bus_of_people();
    let options = TopicOptions { mode: Some(0o777), ..TopicOptions::default() };
    bus.publisher('A', 0, "news", options);
    bus.publisher('D', 0, "news", TopicOptions::default());
    bus.subscribe('B', 5, "news", SubscribeOptions::default());
    bus.subscribe('D', 5, "news", SubscribeOptions::default());
    bus.subscribe('D', 6, "*", SubscribeOptions::default());
    let change = TopicChange { mode: Some(0o770), ..TopicChange::default() };
    let told = bus.tell('A', Command::SetTopic { request: 9, name: name("news"), change });
    assert_eq!(told, ["D ended 5 PermissionDenied", "A done 9"]);
    // A pattern goes on without the topic that it may not read any more.
    assert_eq!(bus.publish('A', 0, 1, 1), ["B heard 1 on 5", "A accepted 1"]);
    let told = bus.publish('D', 0, 1, 2);
    assert_eq!(told, ["D failed 2 PermissionDenied", "D ended 0 PermissionDenied"]);
}

#[test]
fn only_an_administrator_gives_objects_away() {
    let mut bus = bus_of_people();
    bus.queue('A', 0, "jobs", QueueOptions::default());
    let set = || {
        let change = QueueChange { owner: Some(4), ..QueueChange::default() };
        Command::SetQueue { request: 9, name: name("jobs"), change }
    };
    assert_eq!(bus.tell('A', set()), ["A refused 9 PermissionDenied"]);
    assert_eq!(bus.tell('F', set()), ["F done 9"]);
    assert_eq!(bus.try_send('A', 0, 1, 1), ["A failed 1 PermissionDenied"]);
    assert!(bus.queue('D', 0, "jobs", QueueOptions::default()).is_empty());
    assert_eq!(bus.try_send('D', 0, 1, 2), ["D accepted 2"]);
}

#[test]
fn what_somebody_anonymous_creates_is_open_to_others() {
    let mut bus = bus_of_people();
    bus.queue('E', 0, "jobs", QueueOptions::default());
    for letter in ['E', 'D'] {
        bus.queue(letter, 1, "jobs", QueueOptions::default());
        assert_eq!(bus.try_send(letter, 1, 1, 1), [format!("{letter} accepted 1")]);
    }
}

#[test]
fn reserved_names_belong_to_the_broker() {
    let mut bus = bus_of_people();
    bus.join('S', Identity { system: true, ..admin() });
    for (letter, seen) in [('A', "A refused 1 PermissionDenied"), ('S', "S done 1")] {
        let text = "$bus.things";
        let open = OpenMode::Create;
        let options = QueueOptions::default();
        let queue = Command::OpenQueue { request: 1, channel: 0, name: name(text), open, options };
        let (options, exclusive) = (TopicOptions::default(), false);
        let topic = name(text);
        let publisher =
            Command::OpenPublisher { request: 1, channel: 1, topic, options, exclusive };
        let (credit, mode) = (1, None);
        let serve = Command::Serve { request: 1, channel: 2, name: name(text), credit, mode };
        for command in [queue, publisher, serve] {
            assert_eq!(bus.tell(letter, command), [seen]);
        }
    }
    // Nor may an administrator speak there once it is there.
    let (topic, options, exclusive) = (name("$bus.things"), TopicOptions::default(), false);
    let publisher = Command::OpenPublisher { request: 1, channel: 1, topic, options, exclusive };
    assert_eq!(bus.tell('A', publisher), ["A refused 1 PermissionDenied"]);
}

/// A bus where each thing is there once, and no second one may be.
fn full_bus() -> Bus {
    let mut bus = Bus::with(RouterConfig {
        sessions_max: 3,
        sessions_per_user_max: 1,
        queues_max: 1,
        topics_max: 1,
        subscriptions_max: 1,
        services_max: 1,
        ..RouterConfig::default()
    });
    bus.join('A', user(1, 1));
    bus.queue('A', 0, "jobs", QueueOptions::default());
    bus.publisher('A', 1, "news", TopicOptions::default());
    bus.subscribe('A', 2, ">", SubscribeOptions::default());
    let (name, credit, mode) = (name("sums"), 1, None);
    bus.tell('A', Command::Serve { request: 0, channel: 3, name, credit, mode });
    bus
}

#[test]
fn a_quota_that_is_reached_is_named_with_its_number() {
    let another = || name("another");
    let (options, open) = (QueueOptions::default(), OpenMode::Create);
    let queue = Command::OpenQueue { request: 1, channel: 9, name: another(), open, options };
    let (options, exclusive) = (TopicOptions::default(), false);
    let topic = another();
    let topic = Command::OpenPublisher { request: 1, channel: 9, topic, options, exclusive };
    let pattern = Pattern::new("a").expect("a pattern");
    let options = SubscribeOptions::default();
    let subscription = Command::Subscribe { request: 1, channel: 9, pattern, options };
    let (credit, mode) = (1, None);
    let service = Command::Serve { request: 1, channel: 9, name: another(), credit, mode };
    let all = [
        (queue, "queues"),
        (topic, "topics"),
        (subscription, "subscriptions"),
        (service, "services"),
    ];
    for (command, what) in all {
        let output = full_bus().effects('A', command).pop().map(|effect| effect.output);
        let Some(Output::Reply { result: Err(failure), .. }) = output else { panic!("{output:?}") };
        assert_eq!(failure.kind(), ErrorKind::QuotaExceeded);
        assert!(failure.text().contains(&format!("1 {what}")), "{failure}");
    }
}

#[test]
fn sessions_and_objects_of_a_user_are_limited_but_not_of_an_administrator() {
    let mut bus = full_bus();
    let grace = std::time::Duration::ZERO;
    let mut open =
        |identity: Identity| bus.router.open_session(bus_core::Time::ZERO, identity, grace);
    let refused = open(user(1, 5)).expect_err("a second one of that user");
    assert!(refused.text().contains("1 sessions of this user"), "{refused}");
    open(admin()).expect("the second of three");
    open(admin()).expect("the third of three");
    let refused = open(admin()).expect_err("a fourth one");
    assert!(refused.text().contains("3 sessions"), "{refused}");
    let mut bus = Bus::with(RouterConfig { objects_per_user_max: 1, ..RouterConfig::default() });
    bus.join('A', user(1, 1));
    bus.join('F', admin());
    for (letter, expected) in [('A', 1), ('F', 2)] {
        let mut create = |channel: u32| {
            let (name, open) = (name(&format!("{letter}{channel}")), OpenMode::Create);
            let options = QueueOptions::default();
            bus.tell(letter, Command::OpenQueue { request: 1, channel, name, open, options })
        };
        let done = format!("{letter} done 1");
        let created = (0..2).filter(|channel| create(*channel) == [done.clone()]).count();
        assert_eq!(created, expected);
    }
}

#[test]
fn nobody_makes_what_it_could_not_use() {
    let mut bus = bus_of_people();
    let options = QueueOptions { mode: Some(0), ..room_for(9) };
    let (queue, open) = (name("jobs"), OpenMode::Create);
    let told =
        bus.tell('A', Command::OpenQueue { request: 1, channel: 9, name: queue, open, options });
    assert!(is_denied(&told), "{told:?}");
    assert!(bus.stat("jobs").is_none(), "and there is none");
    let options = TopicOptions { mode: Some(0o444), ..TopicOptions::default() };
    let topic = name("news");
    let open = Command::OpenPublisher { request: 1, channel: 9, topic, options, exclusive: true };
    assert!(is_denied(&bus.tell('A', open)));
}

/// Makes a message of A's queue "work" dead, whose dead letters go to this queue if it says so.
fn bury(bus: &mut Bus, dead_letter: Option<&str>) -> Vec<String> {
    let options = QueueOptions { dead_letter: dead_letter.map(name), ..room_for(9) };
    let told = bus.queue('A', 0, "work", options);
    bus.send('A', 0, 1, 1);
    bus.receive('A', 5, ANY);
    bus.taken('A', 5, 1);
    bus.reject('A', 1, "bad");
    told
}

fn counts(bus: &mut Bus, queue: &str) -> (u64, u64) {
    bus.stat(queue).map_or((0, 0), |stat| (stat.messages, stat.dropped))
}

#[test]
fn dead_letters_go_only_where_their_queues_owner_may_send() {
    let mut bus = bus_of_people();
    bus.queue('F', 0, "vault", QueueOptions { mode: Some(0o700), ..room_for(9) });
    bury(&mut bus, Some("vault"));
    assert_eq!((counts(&mut bus, "vault"), counts(&mut bus, "work")), ((0, 0), (0, 1)));
    let mut bus = bus_of_people();
    bus.queue('F', 0, "box", QueueOptions { mode: Some(0o722), ..room_for(9) });
    bury(&mut bus, Some("box"));
    assert_eq!((counts(&mut bus, "box"), counts(&mut bus, "work")), ((1, 0), (0, 0)));
}

#[test]
fn nobody_becomes_the_queue_for_the_dead_letters_of_others() {
    let mut bus = bus_of_people();
    bury(&mut bus, None);
    assert_eq!(counts(&mut bus, "work.dead"), (1, 0));
    bus.queue('A', 1, "more", room_for(9));
    let (trap, open) = (name("more.dead"), OpenMode::Create);
    let options = QueueOptions::default();
    let command = Command::OpenQueue { request: 1, channel: 1, name: trap, open, options };
    assert!(is_denied(&bus.tell('D', command)));
    // It was there before: its owner gets nothing either.
    let mut bus = bus_of_people();
    bus.queue('D', 1, "work.dead", room_for(9));
    bury(&mut bus, None);
    assert_eq!((counts(&mut bus, "work.dead"), counts(&mut bus, "work")), ((0, 0), (0, 1)));
}

#[test]
fn dead_letters_do_not_reach_the_brokers_names() {
    let mut bus = bus_of_people();
    let options = QueueOptions { dead_letter: Some(name("$bus.x")), ..room_for(9) };
    let (queue, open) = (name("jobs"), OpenMode::Create);
    let command = Command::OpenQueue { request: 1, channel: 9, name: queue, open, options };
    assert!(is_denied(&bus.tell('A', command)));
}

#[test]
fn nobody_takes_all_names_of_types() {
    let mut bus = bus_of_people();
    let declare = |bus: &mut Bus, letter, number: u64| {
        let (kind, name) = (kind(number), format!("name{number}"));
        bus.tell(letter, Command::Declare { request: 1, kind, name })
    };
    let limit = bus_core::TYPES_PER_USER_MAX as u64;
    for number in 1..=limit {
        assert_eq!(declare(&mut bus, 'D', number), ["D done 1"]);
    }
    assert_eq!(declare(&mut bus, 'D', limit + 1), ["D refused 1 QuotaExceeded"]);
    assert_eq!(declare(&mut bus, 'D', 1), ["D done 1"], "its own again");
    assert_eq!(declare(&mut bus, 'A', limit + 1), ["A done 1"]);
}
