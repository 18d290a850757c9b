//! Subscribers and groups in lists, for `ls`.
//!
//! The broker lists subscribers, of a group each member; what is told of a group is told of them all.
//! Pure.

use std::slice;

use bus_broker::{SubscriberState, each_subscription};
use bus_client::SubscriptionStat;
use serde_json::{Value, json};

use crate::ls::aligned;
use crate::table::table;
use crate::value::{show_bytes, show_count};

/// A group, as its members tell of it.
pub struct Group {
    name: String,
    members: u64,
    away: u64,
    /// Given to members, and not used up.
    under_way_bytes: u64,
    state: SubscriberState,
    any: SubscriptionStat,
}

/// The groups among them, which are sorted.
pub fn groups(listed: &[SubscriptionStat]) -> Vec<Group> {
    let group = |members: &[SubscriptionStat]| {
        let any = members.first()?;
        Some(Group {
            name: any.group.as_ref()?.to_string(),
            members: members.len() as u64,
            away: members.iter().filter(|it| !it.member.connected).count() as u64,
            under_way_bytes: members.iter().map(|it| it.member.under_way_bytes).sum(),
            state: SubscriberState::of(members),
            any: any.clone(),
        })
    };
    each_subscription(listed).filter_map(group).collect()
}

/// A table of groups.
pub fn group_table(rows: &[Group]) -> String {
    let header = [
        "GROUP", "PATTERN", "POLICY", "STATE", "MEMBERS", "AWAY", "TOPICS", "MESSAGES", "BYTES",
        "UNDERWAY", "LOST",
    ];
    let row = |group: &Group| {
        vec![
            group.name.clone(),
            group.any.pattern.to_string(),
            group.any.policy.word().to_owned(),
            group.state.word().to_owned(),
            show_count(group.members),
            show_count(group.away),
            show_count(group.any.topics),
            show_count(group.any.backlog_messages),
            show_bytes(group.any.backlog_bytes),
            show_bytes(group.under_way_bytes),
            show_count(group.any.lost),
        ]
    };
    table(&header, &aligned(4, header.len()), rows.iter().map(row).collect())
}

/// A table of subscribers.
pub fn table_of(rows: &[SubscriptionStat]) -> String {
    let header = [
        "PATTERN", "GROUP", "CLIENT", "TAKES", "POLICY", "STATE", "PID", "SESSION", "TOPICS",
        "MESSAGES", "BYTES", "UNDERWAY", "LOST",
    ];
    let row = |stat: &SubscriptionStat| {
        let (member, sender) = (&stat.member, &stat.member.sender);
        vec![
            stat.pattern.to_string(),
            stat.group.as_ref().map_or_else(|| "-".into(), ToString::to_string),
            sender.name.clone(),
            member.selector.to_string(),
            stat.policy.word().to_owned(),
            SubscriberState::of(slice::from_ref(stat)).word().to_owned(),
            sender.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
            sender.session.to_string(),
            show_count(stat.topics),
            show_count(stat.backlog_messages),
            show_bytes(stat.backlog_bytes),
            show_bytes(member.under_way_bytes),
            show_count(stat.lost),
        ]
    };
    table(&header, &aligned(6, header.len()), rows.iter().map(row).collect())
}

/// A group for scripts.
pub fn group_json(group: &Group) -> Value {
    json!({
        "name": group.name,
        "id": group.any.id,
        "pattern": group.any.pattern.as_str(),
        "policy": group.any.policy.word(),
        "members": group.members,
        "away": group.away,
        "under_way_bytes": group.under_way_bytes,
        "topics": group.any.topics,
        "backlog_messages": group.any.backlog_messages,
        "backlog_bytes": group.any.backlog_bytes,
        "backlog_bytes_max": group.any.backlog_bytes_max,
        "lost": group.any.lost,
        "holds": group.any.holds,
    })
}
