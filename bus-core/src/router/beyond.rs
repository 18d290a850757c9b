//! Subscriptions of bridges, for the sake of those beyond them; and what this broker wants.
//!
//! Such a subscription is linked to those topics only that somebody beyond wants, and gives its
//! part of the table of interest, from which other bridges tell their peers. Invariant: it is
//! linked to a topic exactly if its pattern and one of its interests match it and it may read it.

use std::collections::BTreeSet;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{HOPS_MAX, INTERESTS_MAX};
use crate::name::{Name, Pattern};

use super::Router;
use super::command::{Channel, SubscribeOptions};
use super::effect::Answer;
use super::fault::Fault;
use super::interest::{Interest, InterestOffer};
use super::provenance::Epoch;
use super::session::{Handle, Session};
use super::topic::{Subscription, Topic};

impl Router {
    /// Opens or changes a subscription of a bridge.
    pub(super) fn subscribe_beyond(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        pattern: Pattern,
        options: SubscribeOptions,
        beyond: Vec<Interest>,
    ) -> Result<Answer, Failure> {
        self.check_bridge_pattern(session, &pattern)?;
        self.check_interests(session, channel, &beyond)?;
        if options.group.is_some() {
            let text = "what is subscribed for others cannot be shared in a group";
            return Err(Failure::new(ErrorKind::InvalidArgument, text));
        }
        if let Ok(Handle::Subscription(id)) = self.ground.handle(session, channel) {
            let id = *id;
            let same = |entry: &&Subscription| entry.pattern == pattern && entry.beyond.is_some();
            if self.subscriptions.get(id).filter(same).is_none() {
                let text = format!("channel {channel} is another subscription");
                return Err(Failure::new(ErrorKind::Protocol, text));
            }
            self.change_beyond(id, beyond);
            return Ok(Answer::Opened { id: id.serial(), created: false, hosted: false });
        }
        self.subscribe(session, channel, pattern, options, Some(beyond))
    }

    /// Somebody beyond wants more, or no longer all of it.
    pub(super) fn change_wishes(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        added: Vec<Interest>,
        removed: &BTreeSet<Interest>,
    ) -> Result<Answer, Failure> {
        let own = match self.ground.handle(session, channel) {
            Ok(Handle::Subscription(id)) => self.subscriptions.get(*id).map(|entry| (*id, entry)),
            _ => None,
        };
        let Some((id, Some(before))) = own.map(|(id, entry)| (id, entry.beyond.as_ref())) else {
            let text = format!("channel {channel} is no subscription of a bridge");
            return Err(Failure::new(ErrorKind::Closed, text));
        };
        let mut beyond: BTreeSet<Interest> = before.iter().cloned().collect();
        beyond.retain(|interest| !removed.contains(interest));
        beyond.extend(added);
        let beyond: Vec<_> = beyond.into_iter().collect();
        self.check_interests(session, channel, &beyond)?;
        self.change_beyond(id, beyond);
        Ok(Answer::Done { count: 1 })
    }

    /// Whether a session may want this on a channel, beside what it wants on others.
    fn check_interests(
        &self,
        session: Id<Session>,
        channel: Channel,
        beyond: &[Interest],
    ) -> Result<(), Failure> {
        let entry = self.ground.sessions.get(session);
        let others = entry.into_iter().flat_map(|entry| entry.channels());
        let wanted = |other: Channel| match self.ground.handle(session, other) {
            Ok(Handle::Subscription(id)) if other != channel => {
                let subscription = self.subscriptions.get(*id);
                subscription.and_then(|it| it.beyond.as_ref()).map_or(0, Vec::len)
            }
            _ => 0,
        };
        let all = beyond.len() + others.map(wanted).sum::<usize>();
        if all > INTERESTS_MAX {
            let text = format!(
                "{all} patterns are wanted beyond the bridge, at most {INTERESTS_MAX} may be"
            );
            return Err(Failure::new(ErrorKind::QuotaExceeded, text));
        }
        if beyond.iter().any(|interest| !(1..=HOPS_MAX).contains(&interest.path.len())) {
            let text = format!("a wish comes over 1 to {HOPS_MAX} brokers");
            return Err(Failure::new(ErrorKind::InvalidArgument, text));
        }
        Ok(())
    }

    /// Others are wanted for from now on. What was linked and still is goes on without a break.
    fn change_beyond(&mut self, id: Id<Subscription>, beyond: Vec<Interest>) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        let pattern = subscription.pattern.clone();
        let before = subscription.beyond.replace(beyond.clone());
        // First what is new: what is in both never leaves the table.
        self.note_interest(&pattern, Some(&beyond), true);
        self.note_interest(&pattern, before.as_deref(), false);
        // Only topics that something new or something gone matches can change.
        let before: BTreeSet<Interest> = before.into_iter().flatten().collect();
        let beyond: BTreeSet<Interest> = beyond.into_iter().collect();
        let mut changed = BTreeSet::new();
        for interest in before.symmetric_difference(&beyond) {
            self.collect_matched_topics(&interest.pattern, &mut changed);
        }
        for at in changed {
            self.relink(at, id);
        }
    }

    /// Adds the topics that a pattern matches.
    fn collect_matched_topics(&self, pattern: &Pattern, found: &mut BTreeSet<Id<Topic>>) {
        if let Some(name) = pattern.as_name() {
            return found.extend(self.topic_names.get(&name));
        }
        let matching = self.topics.iter().filter(|(_, topic)| pattern.matches(&topic.name));
        found.extend(matching.map(|(id, _)| id));
    }

    /// Links a subscription to a topic, or no longer, as it is wanted now.
    fn relink(&mut self, at: Id<Topic>, id: Id<Subscription>) {
        let (Some(topic), Some(subscription)) =
            (self.topics.get_mut(at), self.subscriptions.get_mut(id))
        else {
            return;
        };
        let linked = subscription.topics.iter().position(|(other, _)| *other == at);
        match (linked, subscription.wants(&topic.name)) {
            (None, true) => self.link(at, id),
            (Some(index), false) => {
                let (_, hold) = subscription.topics.remove(index);
                topic.links.retain(|link| link.subscription != id);
                topic.holding -= u32::from(hold && subscription.holds(at));
                topic.note_matching(&mut self.ground);
                self.forget_stop(id, at);
                self.release(at);
            }
            _ => {}
        }
    }

    /// A subscription begins, or ends, to want something.
    pub(super) fn note_interest(
        &mut self,
        pattern: &Pattern,
        beyond: Option<&[Interest]>,
        begins: bool,
    ) {
        let own = self.config.epoch;
        if own == 0 || (!begins && self.ground.planted(Fault::InterestStays)) {
            return;
        }
        let Some(beyond) = beyond else {
            return match begins {
                true => self.interests.add(own, pattern, &[]),
                false => self.interests.remove(own, pattern, &[]),
            };
        };
        for Interest { pattern, path } in beyond {
            match begins {
                true => self.interests.add(own, pattern, path),
                false => self.interests.remove(own, pattern, path),
            }
        }
    }

    /// What a bridge tells the broker of this epoch: what is wanted here and beyond.
    pub fn interest_for(&self, peer: Epoch) -> InterestOffer {
        self.interests.offer(self.config.epoch, peer)
    }

    /// Goes up whenever [`Router::interest_for`] may give something else.
    pub fn interest_version(&self) -> u64 {
        self.interests.version()
    }

    /// How many patterns are wanted, counted for each broker that wants one.
    pub fn interest_count(&self) -> usize {
        self.interests.len()
    }
}

impl Subscription {
    /// Whether it is meant for a topic of this name.
    pub(super) fn wants(&self, topic: &Name) -> bool {
        let wanted =
            |beyond: &Vec<Interest>| beyond.iter().any(|interest| interest.pattern.matches(topic));
        self.pattern.matches(topic) && self.beyond.as_ref().is_none_or(wanted)
    }
}
