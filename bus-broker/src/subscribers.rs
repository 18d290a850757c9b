//! Subscribers as lists have them: their order, which of them share a subscription, and how they fare. Pure.
//!
//! For the live page, for samples and for the command alike. Each member of a group has a row, and what waits for the
//! group is told in each of them.

use bus_client::SubscriptionStat;

/// How a subscriber fares, or a group: the worst there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriberState {
    /// Publishers wait for it.
    Holds,
    /// Its connection is lost, or that of all members.
    Away,
    /// It falls behind: more than half of what may wait for it does, and more than half of its window is under way. Who
    /// is given much at once has a backlog for a moment, or a full window, and is well.
    Slow,
    /// It keeps up.
    Well,
}

impl SubscriberState {
    /// Of the members of one subscription, or of some of them.
    pub fn of(members: &[SubscriptionStat]) -> SubscriberState {
        if members.iter().any(|it| it.holds) {
            SubscriberState::Holds
        } else if !members.is_empty() && members.iter().all(|it| !it.member.connected) {
            SubscriberState::Away
        } else if members.iter().any(falls_behind) {
            SubscriberState::Slow
        } else {
            SubscriberState::Well
        }
    }

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            SubscriberState::Holds => "holds",
            SubscriberState::Away => "away",
            SubscriberState::Slow => "slow",
            SubscriberState::Well => "ok",
        }
    }
}

/// By pattern and group, the members of one subscription together.
pub fn sorted_subscribers(mut listed: Vec<SubscriptionStat>) -> Vec<SubscriptionStat> {
    listed.sort_by(|one, other| {
        let key = |it: &SubscriptionStat| (it.id, it.member.sender.session);
        let by_name = one.pattern.cmp(&other.pattern).then_with(|| one.group.cmp(&other.group));
        by_name.then_with(|| key(one).cmp(&key(other)))
    });
    listed
}

/// Each subscription with its members, of those that are sorted.
pub fn each_subscription(listed: &[SubscriptionStat]) -> impl Iterator<Item = &[SubscriptionStat]> {
    listed.chunk_by(|one, other| one.id == other.id)
}

/// The window tells one member from the others, for whom the same things wait.
fn falls_behind(it: &SubscriptionStat) -> bool {
    it.backlog_bytes > it.backlog_bytes_max / 2 && it.member.under_way_bytes > it.window_bytes / 2
}

#[cfg(test)]
pub(crate) mod tests {
    use bus_client::{MemberStat, Pattern, Selector, Sender, SlowPolicy};

    use super::*;

    /// One that is alone, connected, and given nothing.
    pub(crate) fn subscriber(id: u64) -> SubscriptionStat {
        let (sender, selector) = (Sender { session: id, ..Sender::default() }, Selector::Any);
        SubscriptionStat {
            id,
            pattern: Pattern::new("news.>").expect("a pattern"),
            group: None,
            policy: SlowPolicy::Auto,
            member: MemberStat { sender, selector, connected: true, under_way_bytes: 0 },
            topics: 1,
            backlog_messages: 0,
            backlog_bytes: 0,
            backlog_bytes_max: 1000,
            lost: 0,
            holds: false,
            window_bytes: 1000,
        }
    }

    /// The same when so much waits for it and is under way.
    pub(crate) fn busy(backlog_bytes: u64, under_way_bytes: u64) -> SubscriptionStat {
        let mut it = subscriber(1);
        (it.backlog_messages, it.backlog_bytes) = (backlog_bytes / 100, backlog_bytes);
        it.member.under_way_bytes = under_way_bytes;
        it
    }

    #[test]
    fn who_is_given_much_for_a_moment_is_well_and_who_falls_behind_is_slow() {
        let state = |backlog, under_way| SubscriberState::of(&[busy(backlog, under_way)]).word();
        assert_eq!([state(0, 0), state(0, 1000), state(500, 1000)], ["ok"; 3]);
        assert_eq!(state(600, 1000), "slow");
    }

    #[test]
    fn of_a_group_those_who_fall_behind_are_slow_and_all_must_be_away() {
        let [full, idle, mut away] = [busy(600, 1000), busy(600, 0), busy(600, 0)];
        away.member.connected = false;
        let state = |members: &[&SubscriptionStat]| {
            let members: Vec<_> = members.iter().copied().cloned().collect();
            SubscriberState::of(&members).word()
        };
        assert_eq!([state(&[&full]), state(&[&idle]), state(&[&away])], ["slow", "ok", "away"]);
        assert_eq!([state(&[&away, &idle]), state(&[&full, &away])], ["ok", "slow"]);
        assert_eq!([state(&[&away, &away]), state(&[])], ["away", "ok"]);
        let holds = SubscriptionStat { holds: true, ..away };
        assert_eq!(state(&[&holds]), "holds");
    }

    #[test]
    fn members_of_a_subscription_stand_together() {
        let all = [3, 1, 2, 1].map(subscriber).to_vec();
        let sorted = sorted_subscribers(all);
        let each = each_subscription(&sorted).map(|it| (it[0].id, it.len()));
        assert_eq!(each.collect::<Vec<_>>(), [(1, 2), (2, 1), (3, 1)]);
    }
}
