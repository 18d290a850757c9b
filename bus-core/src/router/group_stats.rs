//! What an operator is told of the groups that share a topic.
//!
//! Bounded, since a reply is one frame: so many groups, and so many members of each.

use super::Router;
use super::stat::GroupStat;
use super::topic::{Subscription, Topic};

/// Groups told of one topic, and members of one group.
const GROUPS_SHOWN_MAX: usize = 32;
const MEMBERS_SHOWN_MAX: usize = 32;

impl Router {
    pub(super) fn group_stats(&self, topic: &Topic) -> Vec<GroupStat> {
        let linked = topic.links.iter().filter_map(|it| self.subscriptions.get(it.subscription));
        linked.filter_map(|it| self.group_stat(it)).take(GROUPS_SHOWN_MAX).collect()
    }

    fn group_stat(&self, group: &Subscription) -> Option<GroupStat> {
        let first = group.members.iter().take(MEMBERS_SHOWN_MAX);
        Some(GroupStat {
            name: group.options.group.clone()?,
            pattern: group.pattern.clone(),
            members: group.members.len() as u64,
            backlog_messages: group.backlog_count(),
            backlog_bytes: group.backlog_bytes,
            first: first.filter_map(|member| self.member_stat(member)).collect(),
        })
    }
}
