//! Who listens: the table of subscribers, and what is wrong with them. Pure.
//!
//! A group's members stand side by side, and what waits for the group is told of each of them; so sentences and samples
//! are of the first one alone.

use bus_client::{SlowPolicy, SubscriptionStat};
use serde_json::json;

use super::table::{Column, Kind, Row};
use crate::trouble::Trouble;

pub(super) const SUBSCRIPTIONS: &[Column<SubscriptionStat>] = &[
    ("name", "Pattern", Kind::Text, "What it is subscribed to", |it, _| json!(it.pattern.as_str())),
    ("waiting", "Waiting", Kind::Count, "Messages that wait for it, or for its group", |it, _| {
        json!(it.backlog_messages)
    }),
    ("bytes", "Bytes", Kind::Bytes, "What those count", |it, _| json!(it.backlog_bytes)),
    ("under_way", "Under way", Kind::Bytes, "What it was given and has not used up", |it, _| {
        json!(it.member.under_way_bytes)
    }),
    ("lost", "Missed", Kind::Count, "Messages that it, or its group, has missed", |it, _| {
        json!(it.lost)
    }),
    ("group", "Group", Kind::Text, "The group that it is a member of", |it, _| {
        json!(it.group.as_ref().map(|group| group.as_str()))
    }),
    ("client", "Client", Kind::Text, "Its name, its user and its process", |it, _| {
        json!(it.member.sender.to_string())
    }),
    ("takes", "Takes", Kind::Text, "Which types", |it, _| json!(it.member.selector.to_string())),
    ("policy", "Policy", Kind::Text, "What happens when it does not keep up", |it, _| {
        json!(policy_of(it))
    }),
    ("topics", "Topics", Kind::Count, "Topics that it is given something of", |it, _| {
        json!(it.topics)
    }),
];

impl Row for SubscriptionStat {
    fn key(&self) -> String {
        format!("{}.{}", self.id, self.member.sender.session)
    }
    fn label(&self) -> String {
        format!("{} {}", name_of(self), self.member.sender)
    }
}

/// In the order in which lists have them: groups together.
pub(super) fn sorted(mut all: Vec<SubscriptionStat>) -> Vec<SubscriptionStat> {
    all.sort_by(|one, other| {
        let by_name = one.pattern.cmp(&other.pattern).then_with(|| one.group.cmp(&other.group));
        let key = |it: &SubscriptionStat| (it.id, it.member.sender.session);
        by_name.then_with(|| key(one).cmp(&key(other)))
    });
    all
}

/// Those that are in no group, and of each group the first: each subscription once, with its members.
pub(super) fn each(all: &[SubscriptionStat]) -> impl Iterator<Item = &[SubscriptionStat]> {
    all.chunk_by(|one, other| one.id == other.id)
}

/// How many groups there are.
pub(super) fn groups(all: &[SubscriptionStat]) -> usize {
    each(all).filter(|members| members[0].group.is_some()).count()
}

/// What is wrong with each, under a name by which its rows are found.
pub(super) fn troubles(all: &[SubscriptionStat]) -> impl Iterator<Item = (String, Vec<Trouble>)> {
    each(all).map(|members| {
        let first = &members[0];
        let name = if first.group.is_some() { name_of(first) } else { first.label() };
        (name, Trouble::of_subscription(first))
    })
}

fn name_of(it: &SubscriptionStat) -> String {
    match &it.group {
        Some(group) => format!("{} {group}", it.pattern),
        None => it.pattern.to_string(),
    }
}

fn policy_of(it: &SubscriptionStat) -> &'static str {
    match it.policy {
        SlowPolicy::Auto => "auto",
        SlowPolicy::Hold => "hold",
        SlowPolicy::DropOldest => "drop",
        SlowPolicy::End => "end",
    }
}
