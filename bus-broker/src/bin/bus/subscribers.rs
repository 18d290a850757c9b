//! Subscribers and groups in lists, for `ls`.
//!
//! The broker lists subscribers, of a group each member; what is told of a group is told of them all.
//! Pure.

use bus_client::{SlowPolicy, SubscriptionStat};
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
    any: SubscriptionStat,
}

/// By pattern, group and client.
pub fn sorted(mut listed: Vec<SubscriptionStat>) -> Vec<SubscriptionStat> {
    listed.sort_by(|one, other| {
        let key = |it: &SubscriptionStat| (it.id, it.member.sender.session);
        let by_name = one.pattern.cmp(&other.pattern).then_with(|| one.group.cmp(&other.group));
        by_name.then_with(|| key(one).cmp(&key(other)))
    });
    listed
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
            any: any.clone(),
        })
    };
    listed.chunk_by(|one, other| one.id == other.id).filter_map(group).collect()
}

/// A table of groups.
pub fn group_table(rows: &[Group]) -> String {
    let header = [
        "GROUP", "PATTERN", "POLICY", "STATE", "MEMBERS", "AWAY", "TOPICS", "MESSAGES", "BYTES",
        "UNDERWAY", "LOST",
    ];
    let row = |group: &Group| {
        let waits = group.any.backlog_messages > 0;
        vec![
            group.name.clone(),
            group.any.pattern.to_string(),
            policy(group.any.policy).to_owned(),
            state(&group.any, group.away == group.members, waits).to_owned(),
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
            policy(stat.policy).to_owned(),
            state(stat, !member.connected, is_slow(stat)).to_owned(),
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
        "policy": policy(group.any.policy),
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

/// As `bus sub --policy` has it.
pub fn policy(policy: SlowPolicy) -> &'static str {
    match policy {
        SlowPolicy::Auto => "auto",
        SlowPolicy::Hold => "hold",
        SlowPolicy::DropOldest => "drop",
        SlowPolicy::End => "end",
    }
}

/// Whether more than half of its window is under way: who keeps up says sooner what it has used up. In a group
/// that tells one member from the others, for whom the same things wait.
fn is_slow(stat: &SubscriptionStat) -> bool {
    stat.member.under_way_bytes > stat.window_bytes / 2
}

/// How it fares, in a word: the worst there is to say.
fn state(stat: &SubscriptionStat, away: bool, slow: bool) -> &'static str {
    match (stat.holds, away, slow) {
        (true, ..) => "holds",
        (_, true, _) => "away",
        (.., true) => "slow",
        _ => "ok",
    }
}
