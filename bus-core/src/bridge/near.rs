//! What a link learns from the near broker: messages, losses, the end of a subscription.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::frame::Parcel;
use crate::limits::{
    LINK_SOURCE_IDLE, LINK_SOURCES_MAX, RELAY_HINT, REQUEST_BYTES_MAX, window_charge,
};
use crate::message::Message;
use crate::router::{Epoch, Fault, Interest, SlowPolicy, Stamp, SubscribeOptions};
use crate::time::Time;

use super::config::{LinkConfig, SpoolPolicy};
use super::link::{Lane, Link};
use super::pull::Action;
use super::source::Source;
use super::spool::{Content, Spool, Spooled};

/// How long it takes until what has failed is tried again.
pub(super) const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

impl Link {
    /// There is a session at the near broker, another one than before.
    pub fn near_up(&mut self, epoch: Epoch) {
        self.near = Some(epoch);
        self.to_near.clear();
        self.by_near.clear();
        for route in 0..self.lanes.len() {
            let beyond = std::mem::take(&mut self.lanes[route].beyond);
            self.lanes[route] = Lane { beyond, over: self.lanes[route].over, ..Lane::default() };
            self.want(route);
        }
    }

    /// People call the near broker by this name from now on.
    pub fn call_near(&mut self, name: &str) {
        self.near_name = name.into();
    }

    /// A published message has come on the subscription of a route.
    pub fn received(&mut self, now: Time, route: usize, stamp: &Stamp, message: Message) {
        let Some(lane) = self.lanes.get_mut(route) else { return };
        lane.used += window_charge(message.len(), self.config.window_bytes);
        let told_lost = std::mem::take(&mut lane.lost);
        if let Some(id) = self.source(now, route, stamp) {
            self.keep(id, stamp.sequence, message, told_lost);
            self.offer(now, id);
        }
        self.tell_used(route);
    }

    /// Published messages have come, one after the other.
    pub fn received_parcel(&mut self, now: Time, route: usize, stamp: &Stamp, parcel: Parcel) {
        let Some(lane) = self.lanes.get(route) else { return };
        let lost = lane.lost;
        let whole = match self.source(now, route, stamp) {
            Some(id) if !lost && self.keeps_whole(id, stamp.sequence, &parcel) => id,
            // Also where nobody wants them, which is settled for each.
            _ => {
                for (sequence, message) in (stamp.sequence..).zip(parcel.messages()) {
                    let stamp = Stamp { source: stamp.source.clone(), sequence };
                    self.received(now, route, &stamp, message);
                }
                return;
            }
        };
        self.lanes[route].used += parcel.charge(self.config.window_bytes);
        if let Some(source) = self.sources.get_mut(whole) {
            let begins = source.last == 0;
            let gap = !begins && stamp.sequence > source.last + 1;
            source.last = stamp.sequence + parcel.count() - 1;
            let lost = std::mem::take(&mut source.missed) || gap;
            let before = source.spool.bytes();
            let content = Content::Many(parcel);
            source.spool.push(Spooled { sequence: stamp.sequence, lost, content });
            self.spooled_bytes += source.spool.bytes() - before;
        }
        self.weigh(whole);
        self.offer(now, whole);
        self.tell_used(route);
    }

    /// Whether a parcel is new from its first message to its last, and finds room as it is.
    fn keeps_whole(&self, id: Id<Source>, sequence: u64, parcel: &Parcel) -> bool {
        let Some(source) = self.sources.get(id) else { return false };
        let mark = source.relay.as_ref().and_then(|relay| relay.state).map(|state| state.mark);
        let (bytes, count) = (source.spool.bytes() + parcel.cost(), source.spool.len());
        let fits = !is_full(
            &self.config,
            bytes,
            count + parcel.count(),
            self.spooled_bytes + parcel.cost(),
        );
        let is_new = sequence > source.last && mark.is_none_or(|mark| sequence > mark);
        !source.muted && is_new && (fits || self.config.policy == SpoolPolicy::HoldBack)
    }

    /// A source has something more for the far broker.
    fn offer(&mut self, now: Time, id: Id<Source>) {
        self.open(id);
        self.ready.insert(id);
        if self.hint_at.is_none() {
            self.hint_at = Some(now.after(RELAY_HINT));
        }
    }

    /// Messages were dropped on the way to a subscription.
    pub fn lost(&mut self, route: usize) {
        if let Some(lane) = self.lanes.get_mut(route) {
            lane.lost = true;
        }
    }

    /// The subscription of a route has ended, or was refused. It is tried again.
    pub fn subscription_ended(&mut self, now: Time, route: usize, failure: Failure) {
        let Some(lane) = self.lanes.get_mut(route) else { return };
        let (beyond, over) = (std::mem::take(&mut lane.beyond), lane.over);
        let retry_at = Some(now.after(RETRY));
        *lane = Lane { beyond, over, retry_at, lost: true, ..Lane::default() };
        self.to_near.push_back(Action::Trouble { failure });
    }

    /// Subscribes on a route for the sake of those beyond, or no longer.
    pub(super) fn want(&mut self, route: usize) {
        let Some(lane) = self.lanes.get_mut(route) else { return };
        if self.near.is_none() || lane.retry_at.is_some() {
            return;
        }
        if lane.beyond.is_empty() {
            if std::mem::take(&mut lane.subscribed) {
                (lane.used, lane.told) = (0, 0);
                lane.asked.clear();
                self.to_near.push_back(Action::Unsubscribe { route });
            }
            return;
        }
        let wanted: BTreeSet<_> = lane.beyond.iter().cloned().collect();
        let added: Vec<_> = wanted.difference(&lane.asked).cloned().collect();
        let removed: Vec<_> = lane.asked.difference(&wanted).cloned().collect();
        lane.asked = wanted;
        let mut added = portions(added).into_iter();
        if !std::mem::replace(&mut lane.subscribed, true) {
            let options = subscription(&self.config);
            let pattern = self.config.routes[route].near().clone();
            let beyond = added.next().unwrap_or_default();
            self.to_near.push_back(Action::Subscribe { route, pattern, options, beyond });
        }
        // First what is new: what is wanted all the time is never missing in between.
        for added in added {
            self.to_near.push_back(Action::Change { route, added, removed: Vec::new() });
        }
        for removed in portions(removed) {
            self.to_near.push_back(Action::Change { route, added: Vec::new(), removed });
        }
    }

    /// Tells how much of a route's window is free again, if nothing holds it back.
    pub(super) fn tell_used(&mut self, route: usize) {
        let full = self.spooled_bytes > self.config.total_bytes;
        let holds = self.config.policy == SpoolPolicy::HoldBack;
        let Some(lane) = self.lanes.get_mut(route) else { return };
        if holds && (lane.over > 0 || full) {
            return;
        }
        if lane.subscribed && lane.used - lane.told >= self.config.window_bytes / 4 {
            lane.told = lane.used;
            self.to_near.push_back(Action::Consumed { route, bytes: lane.used });
        }
    }

    /// The source of a message, if somebody beyond wants it and has not had it yet.
    fn source(&mut self, now: Time, route: usize, stamp: &Stamp) -> Option<Id<Source>> {
        let near = self.near?;
        let near_key = stamp.source.key;
        if let Some(id) = self.by_near.get(&(route, near_key)).copied() {
            self.sources.get_mut(id)?.used_at = now;
            return Some(id);
        }
        let topic = &stamp.source.topic;
        let beyond = &self.lanes[route].beyond;
        if !beyond.iter().any(|interest| interest.pattern.matches(topic)) {
            return None;
        }
        let provenance = Arc::new(stamp.source.passed_on(near, &self.near_name));
        let key = (provenance.epoch, provenance.publisher, topic.clone());
        let id = match self.by_key.get(&key).copied() {
            Some(id) => id,
            None => {
                let far_topic = match self.config.routes[route].to_far(topic) {
                    Ok(far_topic) if self.sources.len() < LINK_SOURCES_MAX => far_topic,
                    Ok(_) => return self.refuse_source(format!(
                        "the bridge has {LINK_SOURCES_MAX} sources already; topic `{topic}` has one more"
                    )),
                    Err(failure) => return self.refuse_source(failure.text().to_owned()),
                };
                let id = self.sources.insert_with(|_| Source {
                    key: key.clone(),
                    near_key,
                    route,
                    far_topic,
                    provenance: provenance.clone(),
                    spool: Spool::default(),
                    last: 0,
                    missed: false,
                    sent: 0,
                    relay: None,
                    muted: false,
                    retry_at: None,
                    oldest: None,
                    used_at: now,
                    over: false,
                });
                self.by_key.insert(key, id);
                id
            }
        };
        if self.look_at.is_none() {
            self.look_at = Some(now.after(LINK_SOURCE_IDLE));
        }
        self.take_way(id, near_key, provenance);
        Some(id)
    }

    /// A source comes by a way that may be another than before.
    fn take_way(
        &mut self,
        id: Id<Source>,
        near_key: u64,
        provenance: Arc<crate::router::Provenance>,
    ) {
        let ignored = self.planted(Fault::HopsIgnored);
        let Some(source) = self.sources.get_mut(id) else { return };
        self.by_near.remove(&(source.route, source.near_key));
        self.by_near.insert((source.route, near_key), id);
        source.near_key = near_key;
        let changes = source.provenance.hops != provenance.hops;
        source.provenance = provenance;
        source.muted =
            !ignored && self.far.is_some_and(|far| source.provenance.hops.contains(&far));
        if (changes || source.muted)
            && let Some(relay) = source.relay.take()
        {
            self.by_relay.remove(&relay.id);
            self.to_far.push_back(Action::Close { relay: relay.id });
        }
    }

    fn refuse_source(&mut self, text: String) -> Option<Id<Source>> {
        self.stat.refused += 1;
        // Once is enough until somebody has looked.
        if !self.to_near.iter().any(|action| matches!(action, Action::Trouble { .. })) {
            let failure = Failure::new(ErrorKind::QuotaExceeded, text);
            self.to_near.push_back(Action::Trouble { failure });
        }
        None
    }

    /// Keeps a message for the far broker.
    fn keep(&mut self, id: Id<Source>, sequence: u64, message: Message, told_lost: bool) {
        let Some(source) = self.sources.get_mut(id) else { return };
        if sequence <= source.last {
            return;
        }
        let begins = source.last == 0;
        let lost = if begins { told_lost } else { sequence > source.last + 1 };
        source.last = sequence;
        if source.muted {
            // The far broker has it, and so all before it.
            self.stat.muted += 1;
            return self.mute(id);
        }
        let mark = source.relay.as_ref().and_then(|relay| relay.state).map(|state| state.mark);
        if mark.is_some_and(|mark| sequence <= mark) {
            // It came there faster on another way, and no mark will be told for it again.
            source.missed = false;
            return;
        }
        let full = |bytes: u64, count: u64, total: u64| is_full(&self.config, bytes, count, total);
        let cost = message.cost();
        let spool = &mut source.spool;
        let is_full = full(spool.bytes() + cost, spool.len() + 1, self.spooled_bytes + cost);
        if is_full && self.config.policy == SpoolPolicy::Refuse {
            source.missed = true;
            self.stat.refused += 1;
            return;
        }
        let lost = std::mem::take(&mut source.missed) || lost;
        spool.push(Spooled { sequence, lost, content: Content::One(message) });
        self.spooled_bytes += cost;
        if self.config.policy == SpoolPolicy::DropOldest {
            while spool.len() > 1 && full(spool.bytes(), spool.len(), self.spooled_bytes) {
                let Some((oldest, cost)) = spool.pop() else { break };
                self.spooled_bytes -= cost;
                self.stat.dropped += u64::from(oldest > source.sent);
                spool.note_loss();
            }
        }
        self.weigh(id);
    }

    /// What a source has brought comes from the far broker: whatever is kept has been there.
    pub(super) fn mute(&mut self, id: Id<Source>) {
        let Some(source) = self.sources.get_mut(id) else { return };
        self.spooled_bytes -= source.spool.bytes();
        (source.spool, source.missed, source.muted) = (Spool::default(), false, true);
        self.weigh(id);
    }

    /// Looks whether a source holds its route back.
    pub(super) fn weigh(&mut self, id: Id<Source>) {
        let Some(source) = self.sources.get_mut(id) else { return };
        let over = source.spool.bytes() > self.config.source_bytes
            || source.spool.len() > self.config.source_count;
        let before = std::mem::replace(&mut source.over, over);
        let route = source.route;
        let lane = &mut self.lanes[route];
        lane.over = lane.over + usize::from(over) - usize::from(before);
        if before && !over {
            self.tell_used(route);
        }
    }
}

/// Whether so much is more than a spool may hold.
fn is_full(config: &LinkConfig, bytes: u64, count: u64, total: u64) -> bool {
    bytes > config.source_bytes || count > config.source_count || total > config.total_bytes
}

/// How a route is subscribed to.
fn subscription(config: &LinkConfig) -> SubscribeOptions {
    SubscribeOptions {
        policy: match config.policy {
            SpoolPolicy::HoldBack => SlowPolicy::Hold,
            SpoolPolicy::DropOldest | SpoolPolicy::Refuse => SlowPolicy::DropOldest,
        },
        window_bytes: config.window_bytes,
        backlog_bytes: config.backlog_bytes,
        ..SubscribeOptions::default()
    }
}

/// In parts that a request has room for each.
fn portions(all: Vec<Interest>) -> Vec<Vec<Interest>> {
    let (mut portions, mut left) = (Vec::<Vec<Interest>>::new(), 0);
    for interest in all {
        // Pattern and path with what frames them.
        let bytes = interest.pattern.as_str().len() + 8 * interest.path.len() + 16;
        match portions.last_mut() {
            Some(portion) if bytes <= left => portion.push(interest),
            _ => {
                left = REQUEST_BYTES_MAX / 2;
                portions.push(vec![interest]);
            }
        }
        left -= bytes.min(left);
    }
    portions
}
