//! Statistics for people, one fact a line, for `stat`.

use bus_client::{
    Access, BrokerInfo, GroupStat, HostedStat, QueueStat, ServiceStat, SubscriptionStat, TopicStat,
    Touch,
};

use crate::table::pairs;
use crate::users;
use crate::value::{show_bytes, show_count, show_duration};

/// A queue.
pub fn queue(stat: &QueueStat) -> String {
    if let Some(hosted) = &stat.hosted {
        return hosted_queue(stat, hosted);
    }
    let options = &stat.options;
    let dead_letter = match &options.dead_letter {
        Some(name) => name.to_string(),
        None => format!("{}.dead", stat.name),
    };
    let mut rows = vec![
        ("queue", stat.name.to_string()),
        ("id", stat.id.to_string()),
        ("access", access(&stat.access)),
        ("creator", stat.creator.to_string()),
        ("messages", format!("{} of {}", show_count(stat.messages), show_count(options.count_max))),
        ("bytes", format!("{} of {}", show_bytes(stat.bytes), show_bytes(options.bytes_max))),
        ("leased", format!("{}, each for {}", show_count(stat.leased), lease(stat))),
        ("blocked senders", show_count(stat.blocked)),
        ("waiting receivers", show_count(stat.waiting)),
        ("open handles", show_count(stat.handles)),
        ("accepted", show_count(stat.accepted)),
        ("delivered", show_count(stat.delivered)),
        ("acknowledged", show_count(stat.acked)),
        ("redelivered", show_count(stat.redelivered)),
        (
            "dead letters",
            format!(
                "{} (after {} deliveries, to {dead_letter})",
                show_count(stat.dead),
                options.deliveries_max
            ),
        ),
        ("dropped", show_count(stat.dropped)),
        ("last send", touch(&stat.last_send)),
        ("last receive", touch(&stat.last_receive)),
        ("lifetime", lifetime(stat)),
    ];
    for row in &stat.types {
        let name = if row.name.is_empty() { String::new() } else { format!(" ({})", row.name) };
        rows.push(("type", format!("{}{name}, messages: {}", row.kind, show_count(row.messages))));
    }
    pairs(&rows)
}

/// A queue that lives at another broker: what is known of it here.
fn hosted_queue(stat: &QueueStat, hosted: &HostedStat) -> String {
    let by = match &*hosted.bridge {
        "" => "no bridge now: it is given up soon",
        bridge => bridge,
    };
    let broker = match &*hosted.broker {
        "" => "another broker".to_owned(),
        broker => format!("broker `{broker}`"),
    };
    let home = match hosted.home {
        Some(epoch) => format!("{broker}, with the epoch {epoch:016x}"),
        None => format!("{broker}, which has not been reached yet"),
    };
    let standing = match &*hosted.trouble {
        "" => "can be reached",
        trouble => trouble,
    };
    pairs(&[
        ("queue", stat.name.to_string()),
        ("id", stat.id.to_string()),
        ("access", access(&stat.access)),
        ("creator", stat.creator.to_string()),
        ("lives at", home),
        ("hosted by", by.to_owned()),
        ("home", standing.to_owned()),
        ("leased here", show_count(stat.leased)),
        ("blocked senders here", show_count(stat.blocked)),
        ("receivers here", show_count(stat.waiting)),
        ("open handles here", show_count(stat.handles)),
        ("last send here", touch(&stat.last_send)),
        ("last receive here", touch(&stat.last_receive)),
        ("all else", "is told at its home".to_owned()),
    ])
}

/// A topic.
pub fn topic(stat: &TopicStat) -> String {
    let keeps = if stat.options.keep_last { "the last of each type" } else { "nothing" };
    let mut rows = vec![
        ("topic", stat.name.to_string()),
        ("id", stat.id.to_string()),
        ("access", access(&stat.access)),
        ("creator", stat.creator.to_string()),
        ("keeps", format!("{keeps} ({} now)", show_count(stat.kept))),
        ("holds publishers", format!("for at most {}", show_duration(stat.options.hold))),
        ("publishers", show_count(stat.publishers)),
        ("subscribers", show_count(stat.subscribers)),
        ("published", show_count(stat.published)),
        ("delivered", show_count(stat.delivered)),
        ("dropped", show_count(stat.dropped)),
        ("ended as too slow", show_count(stat.too_slow)),
        ("held back", show_count(stat.held)),
        ("backlog", show_bytes(stat.backlog_bytes)),
        ("last publish", touch(&stat.last_publish)),
    ];
    rows.extend(stat.groups.iter().flat_map(group));
    rows.extend(stat.subscriptions.iter().map(subscriber));
    let shown = (stat.groups.len() + stat.subscriptions.len()) as u64;
    let more = stat.subscribers.saturating_sub(shown);
    // An older broker tells of groups alone.
    rows.extend((more > 0 && !stat.subscriptions.is_empty()).then(|| {
        ("and", format!("{} more: `bus ls --subscriptions {}`", show_count(more), stat.name))
    }));
    pairs(&rows)
}

/// A group that shares a topic, and its members.
fn group(group: &GroupStat) -> Vec<(&'static str, String)> {
    let (name, pattern, members) = (&group.name, &group.pattern, show_count(group.members));
    let (count, bytes) = (show_count(group.backlog_messages), show_bytes(group.backlog_bytes));
    let text = format!("{name} on {pattern}: {members} members, {count} messages wait ({bytes})");
    let mut rows = vec![("group", text)];
    for member in &group.first {
        let away = if member.connected { "" } else { ", away" };
        let (sender, selector) = (&member.sender, member.selector);
        let bytes = show_bytes(member.under_way_bytes);
        rows.push(("  member", format!("{sender}: takes {selector}, {bytes} under way{away}")));
    }
    let more = group.members.saturating_sub(group.first.len() as u64);
    rows.extend((more > 0).then(|| ("  and", format!("{} more", show_count(more)))));
    rows
}

/// A subscriber that is in no group.
fn subscriber(stat: &SubscriptionStat) -> (&'static str, String) {
    let (pattern, member) = (&stat.pattern, &stat.member);
    let (count, bytes) = (show_count(stat.backlog_messages), show_bytes(stat.backlog_bytes));
    let (selector, under_way) = (member.selector, show_bytes(member.under_way_bytes));
    let mut text = format!(
        "{} on {pattern}: takes {selector}, {count} messages wait ({bytes}), {under_way} under way",
        member.sender
    );
    if stat.lost > 0 {
        text += &format!(", {} lost", show_count(stat.lost));
    }
    text += if stat.holds { ", holds publishers back" } else { "" };
    text += if member.connected { "" } else { ", away" };
    ("subscriber", text)
}

/// A service.
pub fn service(stat: &ServiceStat) -> String {
    pairs(&[
        ("service", stat.name.to_string()),
        ("access", access(&stat.access)),
        ("servers", show_count(stat.servers)),
        ("running", show_count(stat.running)),
        ("pending", show_count(stat.pending)),
        ("requests", show_count(stat.requests)),
        ("replies", show_count(stat.replies)),
        ("late replies", show_count(stat.late)),
        ("expired", show_count(stat.expired)),
    ])
}

/// The broker.
pub fn broker(info: &BrokerInfo) -> String {
    let mut rows = vec![
        ("broker", info.name.clone()),
        ("version", info.version.clone()),
        ("pid", info.pid.to_string()),
        ("epoch", format!("{:016x}", info.epoch)),
        ("up for", show_duration(info.uptime)),
    ];
    rows.extend(info.listeners.iter().map(|url| ("listens on", url.clone())));
    rows.extend([
        ("sessions", show_count(info.sessions)),
        ("queues", show_count(info.queues)),
        ("topics", show_count(info.topics)),
        ("services", show_count(info.services)),
        ("messages", format!("{} ({})", show_count(info.messages), show_bytes(info.bytes))),
        ("on lanes", show_count(info.lanes)),
    ]);
    if info.lanes_refused > 0 {
        let refused = show_count(info.lanes_refused);
        rows.push(("without", format!("{refused} so far; the last one: {}", info.lanes_refusal)));
    }
    pairs(&rows)
}

fn lease(stat: &QueueStat) -> String {
    show_duration(stat.options.lease)
}

fn lifetime(stat: &QueueStat) -> String {
    use bus_client::Lifetime;
    let until = match stat.options.lifetime {
        Lifetime::Volatile => "until it is removed, or the broker ends",
        Lifetime::Session => "as long as its creator's session",
        Lifetime::LastHolder => "until nobody holds it open",
        Lifetime::Durable => "on disk",
    };
    if stat.retired { format!("{until}; its name is taken away already") } else { until.into() }
}

fn access(access: &Access) -> String {
    format!(
        "mode {:04o}, owner {}, group {}",
        access.mode,
        users::user(access.owner),
        users::group(access.group)
    )
}

fn touch(touch: &Option<Touch>) -> String {
    match touch {
        None => "never".into(),
        Some(touch) => format!("{} ago by {}", show_duration(touch.age), touch.sender),
    }
}
