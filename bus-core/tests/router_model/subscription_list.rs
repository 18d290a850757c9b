//! The list of subscribers against who has subscribed, and how slow ones are shown in it.

use std::collections::BTreeMap;

use bus_core::router::{
    Command, Fault, Identity, ObjectKind, SlowPolicy, SubscribeOptions, SubscriptionStat,
    TopicOptions,
};
use bus_core::{LISTING_ROWS_MAX, Selector};

use crate::bus::{Bus, group, kind, name};

/// Pattern, group and session.
type Row = (String, Option<String>, u64);

/// Members of each of the groups: a page ends among those of the second.
const MEMBERS: u32 = LISTING_ROWS_MAX as u32 * 2 / 3;

fn shared(name: &str) -> SubscribeOptions {
    SubscribeOptions { group: Some(group(name)), ..SubscribeOptions::default() }
}

fn rows(bus: &mut Bus, pattern: &str) -> Vec<SubscriptionStat> {
    let pages = bus.pages(pattern, ObjectKind::Subscription);
    pages.into_iter().flat_map(|page| page.subscriptions).collect()
}

fn short(stat: &SubscriptionStat) -> Row {
    let group = stat.group.as_ref().map(ToString::to_string);
    (stat.pattern.to_string(), group, stat.member.sender.session)
}

/// Three large groups and some who are alone; half of those leave again. Who is there then.
fn crowd(bus: &mut Bus) -> Vec<Row> {
    let mut all = Vec::new();
    for (base, name) in [(0, "g0"), (1000, "g1"), (2000, "g2")] {
        for number in 0..MEMBERS {
            let letter = ['A', 'B', 'C'][number as usize % 3];
            bus.subscribe(letter, base + number, "jobs.>", shared(name));
            all.push(("jobs.>".into(), Some(name.into()), bus.session(letter).serial()));
        }
    }
    for number in 0..600 {
        let pattern = format!("alone.n{number}");
        bus.subscribe('B', 4000 + number, &pattern, SubscribeOptions::default());
        match number % 2 {
            0 => drop(bus.close('B', 4000 + number)),
            _ => all.push((pattern, None, bus.session('B').serial())),
        }
    }
    all.sort();
    all
}

/// Whether all are listed, each once.
fn is_whole(fault: Option<Fault>) -> bool {
    let mut bus = Bus::new("ABC");
    fault.into_iter().for_each(|fault| bus.router.plant(fault));
    let all = crowd(&mut bus);
    let mut told: Vec<Row> = rows(&mut bus, ">").iter().map(short).collect();
    told.sort();
    told == all
}

#[test]
fn all_subscribers_are_listed_once_over_all_pages() {
    assert!(is_whole(None));
    assert!(!is_whole(Some(Fault::ListForgetsMembers)), "what is planted is noticed");
}

#[test]
fn who_stays_is_listed_once_while_others_come_and_go() {
    let mut bus = Bus::new("ABC");
    let all = crowd(&mut bus);
    let first = bus.page(">", ObjectKind::Subscription, None);
    let in_second = |row: &Row| row.1.as_deref() == Some("g1");
    let of_second = first.subscriptions.iter().map(short).filter(in_second).count();
    assert_eq!(first.subscriptions.len(), MEMBERS as usize + of_second);
    assert!((1..MEMBERS as usize).contains(&of_second), "it ends within a group: {of_second}");
    // A whole group that was told goes, and one who was told of the one that is cut; one comes.
    for number in 0..MEMBERS {
        bus.close(['A', 'B', 'C'][number as usize % 3], number);
    }
    bus.close('A', 1000);
    bus.subscribe('C', 9000, "late", SubscribeOptions::default());
    let mut told = first.subscriptions;
    let mut next = first.next;
    while let Some(after) = next {
        let page = bus.page(">", ObjectKind::Subscription, Some(after));
        (next, _) = (page.next, told.extend(page.subscriptions));
    }
    let count = |rows: &[Row]| {
        rows.iter().filter(|row| row.0 != "late").cloned().fold(BTreeMap::new(), |mut all, row| {
            *all.entry(row).or_insert(0) += 1;
            all
        })
    };
    let told: Vec<Row> = told.iter().map(short).collect();
    assert_eq!(count(&told), count(&all));
}

#[test]
fn only_those_are_listed_who_would_hear_what_is_asked_for() {
    let mut bus = Bus::new("AB");
    for (channel, pattern) in (1..).zip(["news.>", "news.eu", "*.us", "jobs.a", "$bus.events"]) {
        bus.subscribe('A', channel, pattern, SubscribeOptions::default());
    }
    bus.subscribe('B', 1, "news.*", shared("workers"));
    let mut listed = |pattern: &str| {
        let mut found: Vec<_> =
            rows(&mut bus, pattern).iter().map(|it| it.pattern.to_string()).collect();
        found.sort();
        found
    };
    assert_eq!(listed("news.eu"), ["news.*", "news.>", "news.eu"]);
    assert_eq!(listed("news.us.ny"), ["news.>"]);
    assert_eq!(listed("*.us"), ["*.us", "news.*", "news.>"]);
    assert_eq!(listed(">"), ["*.us", "jobs.a", "news.*", "news.>", "news.eu"]);
    assert_eq!(listed("$bus.>"), ["$bus.events"], "the broker's own are listed by their name");
}

/// What is looked at fills a page too, whether it is meant or not; what is not looked at does not.
#[test]
fn a_page_of_subscribers_looks_at_few() {
    let mut bus = Bus::new("AB");
    for channel in 0..600 {
        bus.subscribe('A', channel, "other.>", SubscribeOptions::default());
    }
    for channel in 0..LISTING_ROWS_MAX as u32 {
        bus.subscribe('B', channel, "*", SubscribeOptions::default());
        bus.publisher('A', 1000 + channel, &format!("topic{channel}"), TopicOptions::default());
    }
    let mut told = |pattern: &str| -> Vec<usize> {
        let pages = bus.pages(pattern, ObjectKind::Subscription);
        pages.iter().map(|page| page.subscriptions.len()).collect()
    };
    assert_eq!(told("nobody.hears.it"), [0, 0, 0]);
    let of_topics = told("topic0");
    assert_eq!(of_topics.iter().sum::<usize>(), LISTING_ROWS_MAX);
    assert_eq!(of_topics.len(), 4, "{of_topics:?}");
}

#[test]
fn a_slow_subscriber_is_shown_with_what_waits_and_what_it_has_missed() {
    let mut bus = Bus::new("ABC");
    bus.publisher('A', 0, "work", TopicOptions::default());
    bus.publisher('A', 1, "work.held", TopicOptions::default());
    // Each message counts 72 bytes: two may wait behind those of the window.
    let small = SubscribeOptions { window_bytes: 4096, backlog_bytes: 144, ..Default::default() };
    let hold = SubscribeOptions { policy: SlowPolicy::Hold, ..small.clone() };
    let drops = SubscribeOptions {
        policy: SlowPolicy::DropOldest,
        selector: Selector::Except(kind(9)),
        ..small
    };
    bus.subscribe('B', 5, "work", drops);
    bus.subscribe('C', 5, "*.*", SubscribeOptions { group: Some(group("g")), ..hold });
    for number in 1..=60 {
        bus.publish('A', 0, 1, number);
        bus.publish('A', 1, 1, number);
    }
    let found = rows(&mut bus, ">");
    let [dropping, holding] = &found[..] else { panic!("{found:?}") };
    assert!(dropping.lost > 0 && !dropping.holds, "{dropping:?}");
    assert_eq!((dropping.backlog_messages, dropping.backlog_bytes), (2, 144));
    assert_eq!((dropping.backlog_bytes_max, dropping.topics), (144, 1));
    assert_eq!(dropping.member.selector, Selector::Except(kind(9)));
    assert!(dropping.member.under_way_bytes > 4000, "{dropping:?}");
    assert_eq!(dropping.window_bytes, 4096);
    assert!(holding.holds && holding.lost == 0, "{holding:?}");
    for (topic, alone, groups) in [("work", vec![dropping.clone()], 0), ("work.held", vec![], 1)] {
        let stat = bus.topic_stat(topic).expect("it is there");
        assert_eq!((stat.subscriptions, stat.groups.len()), (alone, groups), "{topic}");
    }
    let missed = dropping.lost;
    // What was told as lost stays counted.
    bus.consumed('B', 5, 4000);
    let found = rows(&mut bus, "work");
    assert_eq!((found[0].lost, found[0].backlog_messages), (missed, 0));
}

/// What waits is counted as it comes and goes; it is counted anew beside that wherever mistakes are looked for.
#[test]
fn what_waits_for_a_member_that_leaves_is_counted_no_more() {
    let mut bus = Bus::new("ABC");
    bus.publisher('A', 0, "work", TopicOptions::default());
    for (letter, of) in [('B', 1), ('C', 2)] {
        let selector = Selector::Eq(kind(of));
        let options = SubscribeOptions { window_bytes: 4096, selector, ..shared("g") };
        bus.subscribe(letter, 5, "work", options);
    }
    for number in 1..=200 {
        bus.publish('A', 0, 1 + number % 2, number);
    }
    let both = rows(&mut bus, "work")[0].backlog_messages;
    bus.close('C', 5);
    let left = rows(&mut bus, "work")[0].backlog_messages;
    assert!(0 < left && left < both, "{left} of {both}");
}

/// What `>` lists and what the broker counts are the same.
#[test]
fn the_brokers_own_names_are_neither_counted_nor_listed_with_all_others() {
    let mut bus = Bus::new("A");
    let counted = |bus: &mut Bus| {
        let info = bus.router.broker_info();
        let topics = bus.page(">", ObjectKind::Topic, None).topics.len() as u64;
        let services = bus.page(">", ObjectKind::Service, None).services.len() as u64;
        assert_eq!((info.topics, info.services), (topics, services));
        (topics, services)
    };
    let own = |bus: &mut Bus| bus.page("$bus.>", ObjectKind::Topic, None).topics.len();
    bus.join('S', Identity { system: true, ..Identity::default() });
    bus.publisher('S', 0, "$bus.events", TopicOptions::default());
    let (request, channel, name) = (0, 1, name("$bus.stat"));
    bus.tell('S', Command::Serve { request, channel, name, credit: 1, mode: None });
    assert_eq!((counted(&mut bus), own(&mut bus)), ((0, 0), 1));
    bus.publisher('A', 0, "work", TopicOptions::default());
    assert_eq!(counted(&mut bus), (1, 0));
}
