//! Parcels: many small messages that were published together, routed with the work of one.
//!
//! A parcel goes its way whole only where nobody could tell the difference: every subscription
//! takes all types, and has window or backlog for all of it. A group gives it out in runs. Where that is
//! not so, its messages go one by one, each as if it had come by itself.

use crate::arena::Id;
use crate::frame::Parcel;
use crate::limits::WINDOW_BYTES_DEFAULT;
use crate::message::Message;
use crate::time::Time;

use super::command::Channel;
use super::effect::{Output, Stamp};
use super::ground::Ground;
use super::rights::Right;
use super::session::Session;
use super::topic::{Backlogged, Held, Subscription, Topic};
use super::{Router, SessionId};

/// Effects after which the rest of a parcel must wait until those are carried out.
const EFFECTS_MAX: usize = 4096;

impl Router {
    /// Publishes a parcel. Gives back what is left of it when there are enough effects: one
    /// message may have as many as there are subscribers.
    #[must_use = "what is left must be published too"]
    pub fn publish_parcel(
        &mut self,
        now: Time,
        session: SessionId,
        channel: Channel,
        mut parcel: Parcel,
    ) -> Option<Parcel> {
        self.ground.now = now;
        match self.open_way(session, channel) {
            Some((id, stamp)) if self.takes_whole(id, &parcel) => {
                self.note_published(session, channel, parcel.count());
                self.let_parcel_in(id, session, channel, &stamp, parcel);
            }
            Some((id, stamp)) if self.holds_whole(id, session, &parcel) => {
                self.note_published(session, channel, parcel.count());
                self.hold_parcel(id, session, channel, stamp, parcel);
            }
            // Also where something is wrong, which is told as for any message.
            _ => {
                while let Some(message) = parcel.pop_front() {
                    self.publish(session, channel, message, None);
                    if self.ground.effects.len() > EFFECTS_MAX && !parcel.is_empty() {
                        return Some(parcel);
                    }
                }
            }
        }
        None
    }

    /// The topic of a publisher, if it may publish there, and what the next message bears.
    fn open_way(&mut self, session: Id<Session>, channel: Channel) -> Option<(Id<Topic>, Stamp)> {
        let entry = self.ground.sessions.get_mut(session)?;
        let publisher = entry.publisher(channel)?;
        let (id, source) = (publisher.topic, publisher.source.clone());
        let stamp = Stamp { source, sequence: publisher.published + 1 };
        // Of a relay only what comes next, and so all of it, can go its way whole.
        let relayed = publisher.relayed.and_then(|relayed| self.relays.all.get(relayed));
        if !publisher.may || relayed.is_some_and(|relayed| relayed.next() != stamp.sequence) {
            return None;
        }
        let topic = self.topics.get(id)?;
        topic.access.allows(&entry.identity, Right::Write).then_some((id, stamp))
    }

    /// So many have their numbers now.
    fn note_published(&mut self, session: Id<Session>, channel: Channel, count: u64) {
        let entry = self.ground.sessions.get_mut(session);
        if let Some(publisher) = entry.and_then(|entry| entry.publisher(channel)) {
            publisher.published += count;
            let (relayed, mark) = (publisher.relayed, publisher.published);
            if let Some(relayed) = relayed {
                self.rise(relayed, mark);
            }
        }
    }

    /// Whether nothing holds the topic back, and every subscription takes all of the parcel
    /// without being full with it.
    fn takes_whole(&self, id: Id<Topic>, parcel: &Parcel) -> bool {
        let may_pass = |topic: &Topic| topic.holding == 0 && topic.held.is_empty();
        self.topics.get(id).is_some_and(may_pass) && self.taken_of(id, parcel) == parcel.count()
    }

    /// How many from the front every subscription takes without being full with them.
    fn taken_of(&self, id: Id<Topic>, parcel: &Parcel) -> u64 {
        let Some(topic) = self.topics.get(id).filter(|topic| !topic.options.keep_last) else {
            return 0;
        };
        let subscriptions =
            topic.links.iter().filter(|link| !link.passes).map(|link| link.subscription);
        let subscriptions = subscriptions.map(|id| self.subscriptions.get(id));
        let taken = |subscription: &Subscription| subscription.taken_of(&self.ground, parcel);
        subscriptions.flatten().map(taken).min().unwrap_or(parcel.count())
    }

    /// Whether all of the parcel must wait, and may.
    fn holds_whole(&self, id: Id<Topic>, session: Id<Session>, parcel: &Parcel) -> bool {
        let held = self.topics.get(id).is_some_and(|topic| topic.holding > 0 || topic.has_held());
        let parked = self.ground.sessions.get(session).map_or(0, |entry| entry.parked_bytes);
        held && parked + parcel.cost() <= self.config.parked_bytes_max
    }

    /// Publishes a parcel that nothing holds back and everybody takes.
    pub(super) fn let_parcel_in(
        &mut self,
        id: Id<Topic>,
        session: Id<Session>,
        channel: Channel,
        stamp: &Stamp,
        mut parcel: Parcel,
    ) {
        let Some(topic) = self.topics.get_mut(id) else { return };
        let charge = parcel.charge(WINDOW_BYTES_DEFAULT);
        topic.published += parcel.count();
        for link in &topic.links {
            let Some(subscription) = self.subscriptions.get_mut(link.subscription) else {
                continue;
            };
            if link.passes {
                topic.dropped += parcel.count();
                subscription.note_passed(id, parcel.count());
            } else {
                topic.delivered += parcel.count();
                subscription.offer_parcel(&mut self.ground, stamp, &mut parcel);
            }
        }
        topic.last_publish = Some((stamp.source.sender.clone(), self.ground.now));
        self.note_accepted(session, channel, &stamp.source, charge);
    }

    fn hold_parcel(
        &mut self,
        id: Id<Topic>,
        session: Id<Session>,
        channel: Channel,
        stamp: Stamp,
        mut parcel: Parcel,
    ) {
        let (Some(topic), Some(entry)) =
            (self.topics.get_mut(id), self.ground.sessions.get_mut(session))
        else {
            return;
        };
        parcel.compact();
        entry.parked_bytes += parcel.cost();
        if let Some(publisher) = entry.publisher(channel) {
            publisher.held += parcel.count();
        }
        topic.held.push_back(Held::Parcel { session, channel, stamp, parcel });
        self.start_clocks(id);
    }

    /// Lets a parcel in that was held: as much of its front as everybody takes, or its first
    /// message. The rest goes back to the front of what is held.
    pub(super) fn release_parcel(
        &mut self,
        id: Id<Topic>,
        session: Id<Session>,
        channel: Channel,
        stamp: Stamp,
        mut parcel: Parcel,
    ) {
        let front = parcel.split_to(self.taken_of(id, &parcel));
        let first = if front.is_empty() { parcel.pop_front() } else { None };
        let (cost, count) = match &first {
            Some(message) => (message.cost(), 1),
            None => (front.cost(), front.count()),
        };
        if !parcel.is_empty()
            && let Some(topic) = self.topics.get_mut(id)
        {
            parcel.compact();
            let stamp = stamp.after(count);
            topic.held.push_front(Held::Parcel { session, channel, stamp, parcel });
        }
        if let Some(entry) = self.ground.sessions.get_mut(session) {
            entry.parked_bytes -= cost;
            if let Some(publisher) = entry.publisher(channel)
                && publisher.source.key == stamp.source.key
            {
                publisher.held -= count;
            }
        }
        match first {
            Some(message) => self.let_in(id, session, channel, stamp, message, None),
            None => self.let_parcel_in(id, session, channel, &stamp, front),
        }
    }
}

impl Subscription {
    /// How many from the front of this it can take without being full with them.
    fn taken_of(&self, ground: &Ground, parcel: &Parcel) -> u64 {
        if !self.shares_parcels() {
            return 0;
        }
        match self.goes_out(ground, parcel) {
            true => parcel.count(),
            false => {
                let room = self.options.backlog_bytes.saturating_sub(self.backlog_bytes);
                parcel.fitting(room.saturating_sub(1), u64::MAX)
            }
        }
    }

    /// Whether all of it can be sent at once.
    fn goes_out(&self, ground: &Ground, parcel: &Parcel) -> bool {
        if self.share.is_some() {
            return self.shares_at_once(ground, parcel);
        }
        let [member] = &self.members[..] else { return false };
        self.backlog.is_empty()
            && member.has_window(parcel.charge(member.window))
            && ground.has_flow_for(member.session, parcel.cost())
    }

    /// Sends what the window allows, and keeps the rest for later.
    fn offer_parcel(&mut self, ground: &mut Ground, stamp: &Stamp, shared: &mut Parcel) {
        if self.share.is_some() || !self.goes_out(ground, shared) {
            // One copy for all of them. A group keeps it until its members have used it up.
            shared.compact();
        }
        let (mut parcel, mut stamp) = (shared.clone(), stamp.clone());
        if self.share.is_some() {
            let at = self.arrive(parcel.count());
            let rest = match self.has_backlog() {
                true => Some((at, stamp, parcel)),
                false => self.share_out(ground, at, stamp, parcel),
            };
            if let Some((at, stamp, parcel)) = rest {
                self.keep_for_later(at, stamp, Backlogged::Parcel(parcel));
            }
            return;
        }
        if self.backlog.is_empty() {
            self.send_parcel(ground, &mut stamp, &mut parcel);
        }
        if !parcel.is_empty() {
            self.keep_for_later(0, stamp, Backlogged::Parcel(parcel));
        }
    }

    /// Sends what the windows allow off the front of a parcel; the stamp stays its first one's.
    pub(super) fn send_parcel(
        &mut self,
        ground: &mut Ground,
        stamp: &mut Stamp,
        parcel: &mut Parcel,
    ) {
        match &mut self.members[..] {
            [member] if ground.has_flow_for(member.session, parcel.cost()) => {
                let Some(front) = parcel.split_to_fit(member.room(), member.window) else { return };
                member.sent += front.charge(member.window);
                let (session, channel) = (member.session, member.channel);
                if let Some(lost) = self.take_lost(channel) {
                    ground.tell(session, lost);
                }
                let rest = stamp.after(front.count());
                let stamp = std::mem::replace(stamp, rest);
                ground.tell(session, Output::DeliverParcel { channel, stamp, parcel: front });
            }
            // In parts.
            _ => {
                while let Some(message) = parcel.first() {
                    if !self.send(ground, stamp, &message) {
                        return;
                    }
                    stamp.sequence += 1;
                    parcel.pop_front();
                }
            }
        }
    }

    /// Drops the oldest message of the backlog. What it cost, if there was one.
    pub(super) fn drop_oldest(&mut self) -> Option<u64> {
        let (at, stamp, oldest) = self.pop_oldest()?;
        let dropped: Message = match oldest {
            Backlogged::Message(message) => message,
            Backlogged::Parcel(mut parcel) => {
                let first = parcel.pop_front()?;
                if !parcel.is_empty() {
                    self.put_back(at + 1, stamp.after(1), Backlogged::Parcel(parcel));
                }
                first
            }
        };
        self.note_out(1, dropped.cost());
        Some(dropped.cost())
    }

    /// Messages in the backlog.
    pub(super) fn backlog_count(&self) -> u64 {
        debug_assert_eq!(self.backlog_messages, self.counted(), "of `{}`", self.pattern);
        self.backlog_messages
    }

    fn counted(&self) -> u64 {
        let shared = self.share.iter().flat_map(|share| share.backlog.values());
        self.backlog.iter().chain(shared).map(|(_, entry)| entry.count()).sum()
    }

    /// So many messages of so many bytes are in the backlog from now on.
    #[inline]
    pub(super) fn note_in(&mut self, count: u64, bytes: u64) {
        self.backlog_messages += count;
        self.backlog_bytes += bytes;
    }

    /// So many messages of so many bytes are out of it.
    #[inline]
    pub(super) fn note_out(&mut self, count: u64, bytes: u64) {
        self.backlog_messages -= count;
        self.backlog_bytes -= bytes;
    }
}

impl Backlogged {
    pub(super) fn cost(&self) -> u64 {
        match self {
            Backlogged::Message(message) => message.cost(),
            Backlogged::Parcel(parcel) => parcel.cost(),
        }
    }

    pub(super) fn count(&self) -> u64 {
        match self {
            Backlogged::Message(_) => 1,
            Backlogged::Parcel(parcel) => parcel.count(),
        }
    }
}
