//! Who listens: the table of subscribers, and what is wrong with them. Pure.
//!
//! A group's members stand side by side, and what waits for the group is told of each of them; so sentences and samples
//! are of the first one alone.

use bus_client::SubscriptionStat;
use serde_json::json;

use super::table::{Column, Kind, Row};
use crate::subscribers::each_subscription;
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
        json!(it.policy.word())
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

/// How many groups there are.
pub(super) fn groups(all: &[SubscriptionStat]) -> usize {
    each_subscription(all).filter(|members| members[0].group.is_some()).count()
}

/// What is wrong with each, under a name by which its rows are found.
pub(super) fn troubles(all: &[SubscriptionStat]) -> impl Iterator<Item = (String, Vec<Trouble>)> {
    each_subscription(all).map(|members| {
        let first = &members[0];
        let name = if first.group.is_some() { name_of(first) } else { first.label() };
        (name, Trouble::of_subscription(members))
    })
}

fn name_of(it: &SubscriptionStat) -> String {
    match &it.group {
        Some(group) => format!("{} {group}", it.pattern),
        None => it.pattern.to_string(),
    }
}
