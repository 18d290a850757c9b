//! What subscribers do: subscribe, use up, leave; and how the slow ones end.
//!
//! Which topics a subscription is linked to follows from its pattern and from the rights of
//! its members; it is worked out again when either side changes.

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::GROUP_MEMBERS_MAX;
use crate::name::Pattern;

use super::Router;
use super::command::{Channel, SlowPolicy, SubscribeOptions};
use super::effect::{Answer, Output};
use super::interest::Interest;
use super::policy::Deed;
use super::rights::Right;
use super::session::{Handle, Session};
use super::sharing::Share;
use super::timer::Timer;
use super::topic::{Link, Member, Offered, Subscription, Topic};

impl Router {
    pub(super) fn subscribe(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        pattern: Pattern,
        options: SubscribeOptions,
        beyond: Option<Vec<Interest>>,
    ) -> Result<Answer, Failure> {
        let Some(entry) = self.ground.sessions.get(session) else {
            return Err(Failure::new(ErrorKind::Closed, "the session is over"));
        };
        entry.check_free(channel)?;
        if beyond.is_none() {
            self.check_pattern(session, Deed::Subscribe, "topics", &pattern)?;
        }
        if let Some(topic) = pattern
            .as_name()
            .and_then(|name| self.topic_names.get(&name))
            .and_then(|id| self.topics.get(*id))
        {
            let (access, name) = (topic.access, topic.name.clone());
            self.check_right(session, &access, Right::Read, "topic", &name)?;
        }
        let member = Member::new(session, channel, &options);
        let key = options.group.clone().map(|group| (pattern.clone(), group));
        let shared = key.as_ref().and_then(|key| self.groups.get(key)).copied();
        let id = match shared {
            Some(id) => {
                self.join(id, member, &options)?;
                id
            }
            None => {
                self.check_count(
                    "subscriptions",
                    self.subscriptions.len(),
                    self.config.subscriptions_max,
                )?;
                let id = self.new_subscription(pattern, options, member, beyond);
                if let Some(key) = key {
                    self.groups.insert(key, id);
                }
                id
            }
        };
        if let Some(entry) = self.ground.sessions.get_mut(session) {
            entry.open(channel, Handle::Subscription(id))?;
        }
        if shared.is_none() {
            let topics: Vec<_> = self.topics.iter().map(|(topic, _)| topic).collect();
            for topic in topics {
                self.link(topic, id);
            }
        } else {
            self.pump(id);
        }
        Ok(Answer::Opened { id: id.serial(), created: shared.is_none(), hosted: false })
    }

    fn new_subscription(
        &mut self,
        pattern: Pattern,
        options: SubscribeOptions,
        member: Member,
        beyond: Option<Vec<Interest>>,
    ) -> Id<Subscription> {
        self.note_interest(&pattern, beyond.as_deref(), true);
        self.relays.wishes += 1;
        let since = self.relays.wishes;
        let share = options.group.is_some().then(Share::default);
        self.subscriptions.insert_with(|id| Subscription {
            id,
            pattern,
            options,
            members: vec![member],
            share,
            backlog: Default::default(),
            backlog_bytes: 0,
            backlog_messages: 0,
            lost: 0,
            lost_ever: 0,
            unconfirmed: 0,
            topics: Vec::new(),
            beyond,
            since,
            full: false,
            stopped: Default::default(),
            hold_until: None,
        })
    }

    fn join(
        &mut self,
        id: Id<Subscription>,
        member: Member,
        options: &SubscribeOptions,
    ) -> Result<(), Failure> {
        let Some(group) = self.subscriptions.get_mut(id) else { return Ok(()) };
        if group.options.policy != options.policy {
            let text = format!(
                "the group on `{}` has another policy for when it is slow: its members must agree",
                group.pattern
            );
            return Err(Failure::new(ErrorKind::InvalidArgument, text));
        }
        if group.members.len() >= GROUP_MEMBERS_MAX {
            let text = format!(
                "the group on `{}` has {GROUP_MEMBERS_MAX} members, which is the most",
                group.pattern
            );
            return Err(Failure::new(ErrorKind::QuotaExceeded, text));
        }
        let first = group.members.first().map(|first| first.session);
        let sessions = &self.ground.sessions;
        let user = |session: Option<Id<Session>>| {
            session.and_then(|id| sessions.get(id)).map(|entry| &entry.identity)
        };
        let both = user(first).zip(user(Some(member.session)));
        if !both.is_some_and(|(first, other)| first.shares_quota(other)) {
            return Err(Failure::new(
                ErrorKind::PermissionDenied,
                format!("the group on `{}` belongs to another user", group.pattern),
            ));
        }
        group.join_share(member);
        Ok(())
    }

    /// Links a subscription to a topic, if it matches and may read it.
    pub(super) fn link(&mut self, topic_id: Id<Topic>, id: Id<Subscription>) {
        let (Some(topic), Some(subscription)) =
            (self.topics.get_mut(topic_id), self.subscriptions.get_mut(id))
        else {
            return;
        };
        if !subscription.wants(&topic.name) {
            return;
        }
        let first = subscription
            .members
            .first()
            .and_then(|member| self.ground.sessions.get(member.session));
        let Some(identity) = first.map(|entry| &entry.identity) else { return };
        if !topic.access.allows(identity, Right::Read) {
            if subscription.pattern.as_name().is_some() {
                let failure = super::denied(identity, "read", "topic", &topic.name, &topic.access);
                self.end_subscription(id, failure);
            }
            return;
        }
        let hold = match subscription.options.policy {
            SlowPolicy::Hold => true,
            SlowPolicy::Auto => topic.access.owner == identity.sender.uid,
            SlowPolicy::DropOldest | SlowPolicy::End => false,
        };
        let passes = subscription.passes_by(topic_id);
        topic.links.push(Link { subscription: id, hold, passes });
        subscription.topics.push((topic_id, hold));
        topic.note_matching(&mut self.ground);
        if hold && subscription.holds(topic_id) {
            topic.holding += 1;
        }
        let mut filled = false;
        if subscription.beyond.is_some() {
            // What is kept is old: it is not what comes next of its source.
            return if hold {
                self.start_clocks(topic_id)
            };
        }
        for (stamp, mut message) in topic.kept_in_order() {
            if subscription.takes(message.kind()) {
                filled |= subscription.offer(&mut self.ground, true, &stamp, &mut message)
                    == Offered::Filled;
            }
        }
        if filled {
            self.set_full(id, true);
        } else if hold {
            self.start_clocks(topic_id);
        }
    }

    /// After a change of a topic's rights: links whom it concerns anew.
    pub(super) fn link_again(&mut self, id: Id<Topic>) {
        let Some(topic) = self.topics.get_mut(id) else { return };
        let linked: Vec<_> = std::mem::take(&mut topic.links);
        topic.holding = 0;
        for link in &linked {
            if let Some(subscription) = self.subscriptions.get_mut(link.subscription) {
                subscription.topics.retain(|(other, _)| *other != id);
            }
        }
        let kept = self
            .topics
            .get_mut(id)
            .map(|topic| std::mem::take(&mut topic.kept))
            .unwrap_or_default();
        let all: Vec<_> = self.subscriptions.iter().map(|(subscription, _)| subscription).collect();
        for subscription in all {
            self.link(id, subscription);
        }
        if let Some(topic) = self.topics.get_mut(id) {
            topic.kept = kept;
            topic.note_matching(&mut self.ground);
        }
        for link in linked {
            let still = |topic: &Topic| {
                topic.links.iter().any(|other| other.subscription == link.subscription)
            };
            if !self.topics.get(id).is_some_and(still) {
                self.forget_stop(link.subscription, id);
            }
        }
        self.release(id);
    }

    /// A subscriber has used up so many bytes in all.
    #[inline]
    pub(super) fn consumed(&mut self, session: Id<Session>, channel: Channel, bytes: u64) {
        let Ok(Handle::Subscription(id)) = self.ground.handle(session, channel) else { return };
        let id = *id;
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        let mine = |member: &&mut Member| member.session == session && member.channel == channel;
        if let Some(member) = subscription.members.iter_mut().find(mine) {
            member.use_up(self.ground.now, bytes);
        }
        if subscription.has_backlog() {
            self.pump(id);
        }
    }

    pub(super) fn pump(&mut self, id: Id<Subscription>) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        if subscription.pump(&mut self.ground) {
            self.set_full(id, false);
        }
    }

    /// The session is about to end: what this lets in goes to the other members.
    pub(super) fn leave_groups(&mut self, session: Id<Session>, channels: &[Channel]) {
        for channel in channels {
            if let Ok(Handle::Subscription(id)) = self.ground.handle(session, *channel)
                && let Some(subscription) = self.subscriptions.get_mut(*id)
                && subscription.share.is_some()
            {
                let id = *id;
                subscription.part_with(&self.ground, session, *channel);
                self.note_left_over(id);
            }
        }
    }

    /// What a member has left to the others may be more than may wait.
    fn note_left_over(&mut self, id: Id<Subscription>) {
        let Some(group) = self.subscriptions.get(id).filter(|group| group.has_backlog()) else {
            return;
        };
        let full = group.backlog_bytes >= group.options.backlog_bytes;
        if full && group.topics.iter().any(|(_, hold)| *hold) {
            self.set_full(id, true);
        }
    }

    /// The session is connected again: its groups may give it something.
    pub(super) fn rejoin_groups(&mut self, session: Id<Session>, channels: &[Channel]) {
        for channel in channels {
            if let Ok(Handle::Subscription(id)) = self.ground.handle(session, *channel) {
                let id = *id;
                if self.subscriptions.get(id).is_some_and(|group| group.share.is_some()) {
                    self.pump(id);
                }
            }
        }
    }

    /// A member leaves; the last one takes the subscription along.
    pub(super) fn leave(&mut self, id: Id<Subscription>, session: Id<Session>, channel: Channel) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        subscription.part_with(&self.ground, session, channel);
        if subscription.members.is_empty() {
            return self.drop_subscription(id);
        }
        self.note_left_over(id);
        self.pump(id);
    }

    pub(super) fn end_too_slow(&mut self, id: Id<Subscription>, why: &str) {
        let Some(subscription) = self.subscriptions.get(id) else { return };
        let text = format!(
            "the subscription to `{}` is too slow: {why}; {} messages that waited for it ({} bytes, at most {} may wait) are lost to it: read faster, or subscribe with a larger backlog or with drop-oldest",
            subscription.pattern,
            subscription.backlog_count(),
            subscription.backlog_bytes,
            subscription.options.backlog_bytes
        );
        let topics: Vec<_> = subscription.topics.iter().map(|(topic, _)| *topic).collect();
        for topic in topics {
            if let Some(topic) = self.topics.get_mut(topic) {
                topic.too_slow += 1;
            }
        }
        self.end_subscription(id, Failure::new(ErrorKind::TooSlow, text));
    }

    /// Ends a subscription from this side.
    pub(super) fn end_subscription(&mut self, id: Id<Subscription>, failure: Failure) {
        let Some(subscription) = self.unlink(id) else { return };
        for member in &subscription.members {
            if let Some(entry) = self.ground.sessions.get_mut(member.session) {
                entry.close(member.channel);
            }
            let output = Output::Ended { channel: member.channel, failure: failure.clone() };
            self.ground.tell(member.session, output);
        }
        self.release_all(&subscription);
    }

    fn drop_subscription(&mut self, id: Id<Subscription>) {
        if let Some(subscription) = self.unlink(id) {
            self.release_all(&subscription);
        }
    }

    /// Takes a subscription off the books; it holds nothing back any more.
    fn unlink(&mut self, id: Id<Subscription>) -> Option<Subscription> {
        let subscription = self.subscriptions.remove(id)?;
        self.note_interest(&subscription.pattern, subscription.beyond.as_deref(), false);
        for (topic, hold) in &subscription.topics {
            if let Some(topic) = self.topics.get_mut(*topic) {
                topic.links.retain(|link| link.subscription != id);
                topic.holding -= u32::from(*hold && subscription.holds(topic.id));
                topic.note_matching(&mut self.ground);
            }
        }
        if let Some(until) = subscription.hold_until {
            self.ground.timers.clear(until, Timer::Hold(id));
        }
        for (topic, stop) in &subscription.stopped {
            self.clear_stop(id, *topic, *stop);
        }
        if let Some(group) = &subscription.options.group {
            self.groups.remove(&(subscription.pattern.clone(), group.clone()));
        }
        Some(subscription)
    }

    /// Lets in what an ended subscription held back. Only once it is unlinked: nothing of this
    /// must go to it, and it must not fill again.
    fn release_all(&mut self, ended: &Subscription) {
        for (topic, _) in ended.topics.iter().filter(|(topic, hold)| *hold && ended.holds(*topic)) {
            self.release(*topic);
        }
    }
}
