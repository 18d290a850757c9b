//! The list of subscribers: who is subscribed to what, in which group, and who of them is slow.
//!
//! A page at a time, by place in the arena and not by name, for there may be very many and patterns
//! are in no order that helps. Invariants: a page costs what others can wait for, however few of them are
//! meant, and gets on by at least one place or subscriber; who is subscribed while all pages are asked
//! for is told once.

use crate::name::Pattern;

use super::Router;
use super::fault::Fault;
use super::page::{Page, ROW_COST, cost_of_none};
use super::stat::{Listing, MemberStat, SubscriptionStat};
use super::topic::{Member, Subscription, Topic};

/// Subscribers without a group that are told of one topic.
const SHOWN_MAX: usize = 32;
/// What it costs to see that a pattern is not meant.
const UNMEANT_COST: usize = 2;
/// Topics and members that are looked at for what one name costs.
const LOOKS_PER_COST: usize = 16;

/// How far a page got: the place in the arena, and who was told last of the subscription there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    place: usize,
    subscription: u64,
    /// Session and channel.
    told: Option<(u64, u64)>,
}

impl Router {
    /// Fills a page with the subscribers whose pattern has names in common with this one.
    pub(super) fn list_subscriptions(
        &self,
        listing: &mut Listing,
        pattern: &Pattern,
        after: Option<&str>,
    ) {
        let mut cursor = after.and_then(Cursor::parse).unwrap_or_default();
        let mut page = Page::default();
        while cursor.place < self.subscriptions.places() {
            let found = self.subscriptions.at(cursor.place);
            let meant = found.filter(|it| it.pattern.overlaps(pattern));
            let cost = match found {
                Some(_) => meant.map_or(UNMEANT_COST, Subscription::listing_cost),
                None => cost_of_none(cursor.place),
            };
            if !page.takes(cost) || !self.list_members(listing, &mut page, &mut cursor, meant) {
                listing.next = Some(cursor.text());
                return;
            }
            cursor = Cursor { place: cursor.place + 1, ..Cursor::default() };
        }
    }

    /// Tells of the members behind the cursor, the first of which is paid for. Whether the page has
    /// room for all of them.
    fn list_members(
        &self,
        listing: &mut Listing,
        page: &mut Page,
        cursor: &mut Cursor,
        meant: Option<&Subscription>,
    ) -> bool {
        let Some(subscription) = meant else { return true };
        if subscription.id.serial() != cursor.subscription {
            (cursor.subscription, cursor.told) = (subscription.id.serial(), None);
        }
        let shared = subscription.shared_stat();
        for (index, member) in subscription.members_behind(cursor.told).into_iter().enumerate() {
            if index > 0 && !page.takes(ROW_COST) {
                if self.ground.planted(Fault::ListForgetsMembers) {
                    *cursor = Cursor { place: cursor.place + 1, ..Cursor::default() };
                }
                return false;
            }
            listing.subscriptions.extend(self.row(&shared, member));
            cursor.told = Some(member.key());
        }
        true
    }

    /// The subscribers of a topic that are in no group.
    pub(super) fn plain_subscribers(&self, topic: &Topic) -> Vec<SubscriptionStat> {
        let linked = topic.links.iter().filter_map(|it| self.subscriptions.get(it.subscription));
        let plain = linked.filter(|it| it.share.is_none()).take(SHOWN_MAX);
        plain.filter_map(|it| self.row(&it.shared_stat(), it.members.first()?)).collect()
    }

    /// A subscriber, as any that is told of; `None` if its session is gone.
    pub(super) fn member_stat(&self, member: &Member) -> Option<MemberStat> {
        let entry = self.ground.sessions.get(member.session)?;
        Some(MemberStat {
            sender: entry.identity.sender.clone(),
            selector: member.selector,
            connected: entry.connected,
            under_way_bytes: member.sent - member.consumed,
        })
    }

    fn row(&self, shared: &Shared<'_>, member: &Member) -> Option<SubscriptionStat> {
        let it = shared.subscription;
        Some(SubscriptionStat {
            id: it.id.serial(),
            pattern: it.pattern.clone(),
            group: it.options.group.clone(),
            policy: it.options.policy,
            member: self.member_stat(member)?,
            topics: it.topics.len() as u64,
            backlog_messages: shared.messages,
            backlog_bytes: it.backlog_bytes,
            backlog_bytes_max: it.options.backlog_bytes,
            lost: it.lost_ever,
            holds: shared.holds,
            window_bytes: member.window,
        })
    }
}

/// What is counted once for all members.
struct Shared<'a> {
    subscription: &'a Subscription,
    messages: u64,
    holds: bool,
}

impl Subscription {
    fn shared_stat(&self) -> Shared<'_> {
        let holds =
            self.may_hold() && self.topics.iter().any(|(topic, hold)| *hold && self.holds(*topic));
        Shared { subscription: self, messages: self.backlog_count(), holds }
    }

    /// Only then its topics are looked at for whether it does.
    fn may_hold(&self) -> bool {
        self.full || !self.stopped.is_empty()
    }

    /// What it costs a page to tell of it and of its first member.
    fn listing_cost(&self) -> usize {
        let topics = if self.may_hold() { self.topics.len() } else { 0 };
        ROW_COST + (topics + self.members.len()) / LOOKS_PER_COST
    }

    /// Its members behind this one, in the order of their sessions and channels.
    fn members_behind(&self, told: Option<(u64, u64)>) -> Vec<&Member> {
        let mut members: Vec<_> =
            self.members.iter().filter(|it| told.is_none_or(|told| it.key() > told)).collect();
        members.sort_unstable_by_key(|it| it.key());
        members
    }
}

impl Member {
    fn key(&self) -> (u64, u64) {
        (self.session.serial(), u64::from(self.channel))
    }
}

impl Cursor {
    fn text(self) -> String {
        let Cursor { place, subscription, told } = self;
        match told {
            None => place.to_string(),
            Some((session, channel)) => format!("{place}.{subscription}.{session}.{channel}"),
        }
    }

    /// What is not one is none: the list begins anew.
    fn parse(text: &str) -> Option<Cursor> {
        let mut parts = text.split('.').map(str::parse::<u64>);
        let place = usize::try_from(parts.next()?.ok()?).ok()?;
        let Some(subscription) = parts.next() else {
            return Some(Cursor { place, ..Cursor::default() });
        };
        let told = Some((parts.next()?.ok()?, parts.next()?.ok()?));
        Some(Cursor { place, subscription: subscription.ok()?, told })
    }
}
