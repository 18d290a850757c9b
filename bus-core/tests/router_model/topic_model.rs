//! What must hold for topics, told to by effect after effect: a list of what each subscription
//! has yet to get, and nothing else.

use std::collections::BTreeMap;

use bus_core::{MESSAGE_OVERHEAD_BYTES, Selector, WINDOW_BYTES_DEFAULT, window_charge};

use crate::queue_model::wants;

/// How long a topic lets a subscription hold publishers back, in nanoseconds.
pub const HOLD: u64 = 1_000_000_000;

/// What a subscription does that does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    Hold,
    DropOldest,
    End,
}

#[derive(Clone, Debug)]
pub struct Published {
    pub topic: usize,
    pub publisher: (usize, u64),
    pub kind: u64,
    pub length: u64,
    pub accepted: bool,
}

#[derive(Clone, Debug)]
pub struct Subscription {
    pub topics: Vec<usize>,
    pub group: Option<(String, String)>,
    pub selector: Selector,
    pub slow: Slow,
    pub limit: u64,
    pub members: Vec<Member>,
    /// All that was accepted for it, in that order.
    pub arrived: Vec<u64>,
    /// Accepted and not sent yet, or left by a member that is gone.
    pub backlog: Vec<u64>,
    /// Dropped and not told yet.
    pub lost: u64,
    /// Since when it holds back something.
    pub clock: Option<u64>,
    pub full: bool,
    pub must_end: bool,
    /// Sent at once, before the publisher was told that it is accepted.
    pub direct: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub slot: usize,
    pub channel: u32,
    pub window: u64,
    pub sent: u64,
    pub consumed: u64,
    /// What it was sent and has not used up, with what each took of its window.
    pub unused: Vec<(u64, u64)>,
}

/// Bytes accepted from a publisher, and those of which it was told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credit {
    pub accepted: u64,
    pub reported: u64,
}

#[derive(Default)]
pub struct Model {
    pub now: u64,
    pub published: BTreeMap<u64, Published>,
    pub subscriptions: Vec<Subscription>,
    /// The last message of each type on the topic that keeps them, in the order of acceptance.
    pub kept: Vec<u64>,
    pub credits: BTreeMap<(usize, u64), Credit>,
}

impl Model {
    /// Whether a message bears its number among its publisher's own.
    pub fn check_sequence(&self, number: u64, sequence: u64) -> Result<(), String> {
        let publisher = self.published[&number].publisher;
        let upto = self.published.range(..=number);
        let own = upto.filter(|(_, published)| published.publisher == publisher).count() as u64;
        match own == sequence {
            true => Ok(()),
            false => Err(format!("{number} is number {own} of its publisher, not {sequence}")),
        }
    }

    fn cost(&self, number: u64) -> u64 {
        self.published[&number].length + MESSAGE_OVERHEAD_BYTES as u64
    }

    fn bytes(&self, subscription: &Subscription) -> u64 {
        subscription.backlog.iter().map(|number| self.cost(*number)).sum()
    }

    fn takes(&self, subscription: &Subscription, number: u64) -> bool {
        let published = &self.published[&number];
        subscription.topics.contains(&published.topic)
            && wants(subscription.selector, published.kind)
    }

    /// A new subscription gets first what its topics have kept.
    pub fn subscribe(&mut self, mut subscription: Subscription) {
        for number in &self.kept {
            if self.takes(&subscription, *number) {
                subscription.backlog.push(*number);
                subscription.arrived.push(*number);
            }
        }
        self.subscriptions.push(subscription);
    }

    /// What was kept, or left by a member, may fill a subscription at once.
    pub fn fill(&mut self) {
        let bytes: Vec<u64> = self.subscriptions.iter().map(|all| self.bytes(all)).collect();
        for (subscription, bytes) in self.subscriptions.iter_mut().zip(bytes) {
            subscription.full |= subscription.slow == Slow::Hold && bytes >= subscription.limit;
        }
    }

    /// A member leaves what it has not used up to the others, or takes the subscription along.
    pub fn left(&mut self, slot: usize, channel: u32) {
        if let Some((at, member)) = self.find(slot, channel) {
            let subscription = &mut self.subscriptions[at];
            let gone = subscription.members.remove(member);
            subscription.backlog.extend(gone.unused.iter().map(|(number, _)| number));
            let arrived = &subscription.arrived;
            let place = |number: &u64| arrived.iter().position(|other| other == number);
            subscription.backlog.sort_by_key(place);
            self.subscriptions.retain(|subscription| !subscription.members.is_empty());
            self.fill();
        }
    }

    pub fn accepted(&mut self, number: u64) -> Result<(), String> {
        let Some(published) = self.published.get_mut(&number) else {
            return Err(format!("{number} was never published"));
        };
        if std::mem::replace(&mut published.accepted, true) {
            return Err(format!("{number} is accepted twice"));
        }
        let published = published.clone();
        if let Some(credit) = self.credits.get_mut(&published.publisher) {
            credit.accepted += window_charge(published.length as usize, WINDOW_BYTES_DEFAULT);
        }
        for at in 0..self.subscriptions.len() {
            if self.subscriptions[at].topics.contains(&published.topic) {
                self.accepted_for(at, number)?;
            }
        }
        if published.topic == 0 {
            let known = &self.published;
            self.kept.retain(|other| known[other].kind != published.kind);
            self.kept.push(number);
        }
        Ok(())
    }

    fn accepted_for(&mut self, at: usize, number: u64) -> Result<(), String> {
        let subscription = &self.subscriptions[at];
        if subscription.full && subscription.slow == Slow::Hold {
            return Err(format!("{number} is accepted although {subscription:?} is full"));
        }
        let (cost, taken) = (self.cost(number), self.takes(subscription, number));
        let (mut bytes, limit, slow) =
            (self.bytes(subscription), subscription.limit, subscription.slow);
        let costs: Vec<u64> =
            subscription.backlog.iter().map(|number| self.cost(*number)).collect();
        let subscription = &mut self.subscriptions[at];
        if taken {
            subscription.arrived.push(number);
        }
        if subscription.direct.take() == Some(number) || !taken {
            return Ok(());
        }
        if slow == Slow::End && bytes + cost > limit {
            subscription.must_end = true;
            return Ok(());
        }
        if slow == Slow::DropOldest {
            for old in costs {
                if bytes + cost > limit {
                    bytes -= old;
                    subscription.backlog.remove(0);
                    subscription.lost += 1;
                }
            }
        }
        subscription.backlog.push(number);
        subscription.full |= slow == Slow::Hold && bytes + cost >= limit;
        Ok(())
    }

    /// The subscription, and the member that has this channel.
    pub fn find(&self, slot: usize, channel: u32) -> Option<(usize, usize)> {
        self.subscriptions.iter().enumerate().find_map(|(at, subscription)| {
            let same = |member: &Member| (member.slot, member.channel) == (slot, channel);
            Some((at, subscription.members.iter().position(same)?))
        })
    }

    pub fn delivered(&mut self, slot: usize, channel: u32, number: u64) -> Result<(), String> {
        let Some((at, member)) = self.find(slot, channel) else {
            return Err(format!("{number} for channel {channel}, which is not open"));
        };
        if !self.published.contains_key(&number) || !self.takes(&self.subscriptions[at], number) {
            return Err(format!("{number} is not for channel {channel}"));
        }
        let accepted = self.published[&number].accepted;
        let length = self.published[&number].length;
        let subscription = &mut self.subscriptions[at];
        if subscription.lost > 0 {
            return Err(format!("{} were lost before {number} in silence", subscription.lost));
        }
        match subscription.backlog.first() {
            Some(next) if *next == number => drop(subscription.backlog.remove(0)),
            None if !accepted => subscription.direct = Some(number),
            next => return Err(format!("{number} on channel {channel}, but {next:?} is next")),
        }
        let member = &mut subscription.members[member];
        let charge = window_charge(length as usize, member.window);
        member.sent += charge;
        member.unused.push((number, charge));
        if member.sent - member.consumed > member.window {
            return Err(format!("the window is passed: {member:?}"));
        }
        let bytes = self.bytes(&self.subscriptions[at]);
        let subscription = &mut self.subscriptions[at];
        if subscription.full && bytes <= subscription.limit / 2 {
            (subscription.full, subscription.clock) = (false, None);
        }
        Ok(())
    }

    pub fn lost(&mut self, slot: usize, channel: u32, count: u64) -> Result<(), String> {
        let Some((at, _)) = self.find(slot, channel) else { return Err("lost for nobody".into()) };
        let expected = std::mem::take(&mut self.subscriptions[at].lost);
        match expected == count && count > 0 {
            true => Ok(()),
            false => Err(format!("{count} lost on channel {channel}, not {expected}")),
        }
    }

    pub fn too_slow(&mut self, slot: usize, channel: u32) -> Result<(), String> {
        let Some((at, member)) = self.find(slot, channel) else {
            return Err("nobody ends".into());
        };
        let subscription = &mut self.subscriptions[at];
        let over = subscription.clock.is_some_and(|since| since + HOLD <= self.now);
        if !over && !subscription.must_end {
            return Err(format!("ended without a reason: {subscription:?}"));
        }
        subscription.must_end = true;
        subscription.members.remove(member);
        if subscription.members.is_empty() {
            self.subscriptions.remove(at);
        }
        Ok(())
    }

    /// What must hold whenever the router has nothing to do.
    pub fn settled(&mut self) -> Result<(), String> {
        let waits = |topic: &usize| {
            self.published
                .values()
                .any(|published| published.topic == *topic && !published.accepted)
        };
        let held: Vec<usize> = [0, 1].into_iter().filter(waits).collect();
        let published = &self.published;
        for subscription in &mut self.subscriptions {
            let holds = |topic: &usize| subscription.topics.contains(topic);
            if subscription.full && subscription.slow == Slow::Hold && held.iter().any(holds) {
                subscription.clock.get_or_insert(self.now);
            }
            let over = subscription.clock.is_some_and(|since| since + HOLD <= self.now);
            if over || subscription.must_end {
                return Err(format!("should have ended: {subscription:?}"));
            }
            // After a drop the next one may wait until its subscriber uses something up.
            let next = subscription.backlog.first().filter(|_| subscription.lost == 0);
            let Some(next) = next else { continue };
            let fits = |member: &&Member| {
                let charge = window_charge(published[next].length as usize, member.window);
                member.sent - member.consumed + charge <= member.window
            };
            if let Some(member) = subscription.members.iter().find(fits) {
                return Err(format!("{next} waits although {member:?} has room"));
            }
        }
        for topic in &held {
            let holds = |subscription: &&Subscription| {
                subscription.topics.contains(topic) && subscription.full
            };
            if self.subscriptions.iter().find(holds).is_none() {
                return Err(format!("topic {topic} is held back by nobody"));
            }
        }
        let late = self
            .credits
            .values()
            .find(|credit| credit.accepted - credit.reported >= WINDOW_BYTES_DEFAULT / 4);
        late.map_or(Ok(()), |credit| Err(format!("a publisher was not told: {credit:?}")))
    }
}
