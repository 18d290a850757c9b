//! What a link learns from the near broker: messages, losses, the end of a subscription.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::frame::Parcel;
use crate::limits::{INTERESTS_MAX, RELAY_HINT, REQUEST_BYTES_MAX, SEQUENCE_MAX, window_charge};
use crate::message::Message;
use crate::router::{Epoch, Interest, SlowPolicy, Stamp, SubscribeOptions};
use crate::time::Time;

use super::config::{LinkConfig, SpoolPolicy};
use super::link::{Lane, Link};
use super::pull::Action;
use super::source::Source;
use super::spool::{Content, Held, Spool, Spooled};

/// How long it takes until what has failed is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// The same when it has failed again and again.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(60);
/// Refusals in a row until it is tried no more rarely.
pub(super) const REFUSALS_MAX: u32 = 7;

impl Link {
    /// There is a session at the near broker, another one than before.
    pub fn near_up(&mut self, epoch: Epoch) {
        self.near = Some(epoch);
        self.to_near.clear();
        self.by_near.clear();
        self.near_changed();
        for route in 0..self.lanes.len() {
            let Lane { beyond, held, .. } = std::mem::take(&mut self.lanes[route]);
            self.lanes[route] = Lane { beyond, held, ..Lane::default() };
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
        if stamp.sequence > SEQUENCE_MAX {
            self.refuse_number(stamp, 1);
            return self.tell_used(route);
        }
        let told_lost = std::mem::take(&mut lane.lost);
        if let Some(id) = self.source(now, route, stamp)
            && !self.is_left_to_another(route, id, stamp.sequence)
        {
            self.note_progress(route, id, stamp.sequence);
            let told_lost = told_lost || self.has_missed(id, stamp.sequence);
            self.keep(id, stamp.sequence, message, told_lost);
            self.hold_again(id);
            self.offer(now, id);
        }
        self.tell_used(route);
    }

    /// Published messages have come, one after the other.
    pub fn received_parcel(&mut self, now: Time, route: usize, stamp: &Stamp, parcel: Parcel) {
        let Some(lane) = self.lanes.get(route) else { return };
        let lost = lane.lost;
        if stamp.sequence.saturating_add(parcel.count()) > SEQUENCE_MAX {
            self.lanes[route].used += parcel.charge(self.config.window_bytes);
            self.refuse_number(stamp, parcel.count());
            return self.tell_used(route);
        }
        let whole = match self.source(now, route, stamp) {
            Some(id)
                if !lost
                    && !self.has_missed(id, stamp.sequence)
                    && !self.is_left_to_another(route, id, stamp.sequence)
                    && self.keeps_whole(id, stamp.sequence, &parcel) =>
            {
                id
            }
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
        self.note_progress(route, whole, stamp.sequence + parcel.count() - 1);
        if let Some(source) = self.sources.get_mut(whole) {
            let begins = source.last == 0;
            let gap = !begins && stamp.sequence > source.last + 1;
            let missed = if gap { stamp.sequence - source.last - 1 } else { 0 };
            self.stat.missed = self.stat.missed.saturating_add(missed);
            source.last = stamp.sequence + parcel.count() - 1;
            let lost = std::mem::take(&mut source.missed) || gap;
            let before = source.spool.held();
            let content = Content::Many(parcel);
            source.spool.push(Spooled { sequence: stamp.sequence, lost, content });
            let held = source.spool.held();
            self.recount(before, held);
        }
        self.weigh(whole);
        self.hold_again(whole);
        self.offer(now, whole);
        self.tell_used(route);
    }

    /// No number of an honest broker comes so far: sums with it would pass what 64 bits hold.
    fn refuse_number(&mut self, stamp: &Stamp, count: u64) {
        self.stat.refused += count;
        let (topic, sequence) = (&stamp.source.topic, stamp.sequence);
        let text = format!("a message on `{topic}` has the number {sequence}, which is too high");
        self.trouble_once(ErrorKind::Protocol, text);
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
            self.spooled.bytes + parcel.cost(),
        );
        let is_new = sequence > source.last && mark.is_none_or(|mark| sequence > mark);
        !source.muted
            && !source.shut
            && is_new
            && (fits || self.config.policy == SpoolPolicy::HoldBack)
    }

    /// A source has something more for the far broker.
    fn offer(&mut self, now: Time, id: Id<Source>) {
        self.open(id);
        self.ready.insert(id);
        if self.hint_at.is_none() {
            self.hint_at = Some(now.after(RELAY_HINT));
        }
    }

    /// So many messages were dropped on the way to a subscription. One that holds back is told of those
    /// of a topic that has gone while they passed by; else they show in the numbers.
    pub fn lost(&mut self, route: usize, count: u64) {
        if self.config.policy == SpoolPolicy::HoldBack {
            self.stat.missed = self.stat.missed.saturating_add(count);
            let text = format!(
                "{count} messages of a topic that has gone have passed by the bridge: it was held back for longer than it allows"
            );
            self.trouble_once(ErrorKind::TooSlow, text);
        }
        if let Some(lane) = self.lanes.get_mut(route) {
            lane.lost = true;
        }
    }

    /// The subscription of a route has ended, or was refused. It is tried again.
    pub fn subscription_ended(&mut self, now: Time, route: usize, failure: Failure) {
        self.leaving_ended(route);
        let Some(lane) = self.lanes.get_mut(route) else { return };
        let Lane { beyond, held, refusals, refused_at, .. } = std::mem::take(lane);
        let retry_at = Some(now.after(RETRY));
        let ended = Lane { beyond, held, retry_at, refusals, refused_at, ..Lane::default() };
        *lane = Lane { lost: true, ..ended };
        self.to_near.push_back(Action::Trouble { failure });
    }

    /// The near broker has refused a change of what is wanted on a route: what it goes by is no
    /// longer what is wanted. So the subscription is ended and made anew, with all of it.
    pub fn change_refused(&mut self, now: Time, route: usize, failure: Failure) {
        let Some(lane) = self.lanes.get_mut(route).filter(|lane| lane.subscribed) else { return };
        let recent = lane.refusals > 0 && now.since(lane.refused_at) < 2 * RETRY_MAX;
        lane.refusals = if recent { lane.refusals.saturating_add(1) } else { 1 };
        lane.refused_at = now;
        let pause = pause_after(lane.refusals);
        self.to_near.push_back(Action::Unsubscribe { route });
        self.subscription_ended(now, route, failure);
        self.lanes[route].retry_at = Some(now.after(pause));
    }

    /// Subscribes on a route for the sake of those beyond, or no longer.
    pub(super) fn want(&mut self, route: usize) {
        let Some(lane) = self.lanes.get_mut(route) else { return };
        if self.near.is_none() || lane.retry_at.is_some() {
            return;
        }
        if lane.beyond.is_empty() {
            lane.waits = false;
            if std::mem::take(&mut lane.subscribed) {
                (lane.used, lane.told) = (0, 0);
                lane.asked.clear();
                self.to_near.push_back(Action::Unsubscribe { route });
            }
            return;
        }
        if !self.changing.is_live(route) {
            return;
        }
        if !lane.subscribed && self.is_full() {
            // Each subscription brings a window of messages at once, whatever was there before.
            let lane = &mut self.lanes[route];
            (lane.waits, lane.lost) = (true, true);
            return;
        }
        let asked_in_all: usize = self.lanes.iter().map(|lane| lane.asked.len()).sum();
        let lane = &mut self.lanes[route];
        lane.waits = false;
        let wanted: BTreeSet<_> = lane.beyond.iter().cloned().collect();
        let added: Vec<_> = wanted.difference(&lane.asked).cloned().collect();
        let removed: Vec<_> = lane.asked.difference(&wanted).cloned().collect();
        lane.asked = wanted;
        let no_room = asked_in_all + added.len() > INTERESTS_MAX;
        let mut added = portions(added).into_iter();
        let is_new = !std::mem::replace(&mut lane.subscribed, true);
        if is_new {
            let options = subscription(&self.config);
            let pattern = self.config.routes[route].near().clone();
            let beyond = added.next().unwrap_or_default();
            self.to_near.push_back(Action::Subscribe { route, pattern, options, beyond });
        }
        let added = added.map(|added| Action::Change { route, added, removed: Vec::new() });
        let removed = portions(removed).into_iter();
        let removed = removed.map(|removed| Action::Change { route, added: Vec::new(), removed });
        // First what is new: what is wanted all the time is never missing in between. But what
        // finds no room beside the old would be refused.
        match no_room {
            true => self.to_near.extend(removed.chain(added)),
            false => self.to_near.extend(added.chain(removed)),
        }
        if is_new {
            self.hold_all(route);
        }
    }

    /// Tells how much of a route's window is free again, if nothing holds it back.
    pub(super) fn tell_used(&mut self, route: usize) {
        if self.is_full() {
            return;
        }
        let Some(lane) = self.lanes.get_mut(route) else { return };
        if lane.waits {
            return self.want(route);
        }
        if lane.subscribed && lane.used - lane.told >= self.config.window_bytes / 4 {
            lane.told = lane.used;
            self.to_near.push_back(Action::Consumed { route, bytes: lane.used });
        }
    }

    /// Keeps a message for the far broker.
    fn keep(&mut self, id: Id<Source>, sequence: u64, message: Message, told_lost: bool) {
        let Some(source) = self.sources.get_mut(id) else { return };
        if sequence <= source.last {
            return;
        }
        let begins = source.last == 0;
        let lost = if begins { told_lost } else { sequence > source.last + 1 };
        let missed = if begins { 0 } else { sequence - source.last - 1 };
        self.stat.missed = self.stat.missed.saturating_add(missed);
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
        let before = spool.held();
        let mut total = self.spooled.bytes + cost;
        let is_full = full(before.bytes + cost, before.count + 1, total);
        // One message of a source that is refused is enough to ask with.
        let is_shut = source.shut && !spool.is_empty();
        if is_shut || (is_full && self.config.policy == SpoolPolicy::Refuse) {
            source.missed = true;
            self.stat.refused += 1;
            return;
        }
        let lost = std::mem::take(&mut source.missed) || lost;
        spool.push(Spooled { sequence, lost, content: Content::One(message) });
        let kept = self.config.total_bytes;
        if self.config.policy == SpoolPolicy::DropOldest {
            // A message that is too long for its spool alone is kept, but not beyond what all may.
            while (spool.len() > 1 || total > kept) && full(spool.bytes(), spool.len(), total) {
                let Some((oldest, cost)) = spool.pop() else { break };
                total -= cost;
                self.stat.dropped += u64::from(oldest > source.sent);
                spool.note_loss();
                source.missed |= spool.is_empty();
            }
        }
        let held = spool.held();
        self.recount(before, held);
        self.weigh(id);
    }

    /// What a source has brought comes from the far broker: whatever is kept has been there.
    pub(super) fn mute(&mut self, id: Id<Source>) {
        let Some(source) = self.sources.get_mut(id) else { return };
        let before = source.spool.held();
        (source.spool, source.missed, source.muted) = (Spool::default(), false, true);
        source.shut = false;
        self.recount(before, Held::default());
        self.weigh(id);
    }
}

/// How long it takes until what was refused so often is tried again.
pub(super) fn pause_after(refusals: u32) -> Duration {
    let doublings = refusals.clamp(1, REFUSALS_MAX) - 1;
    RETRY_MAX.min(RETRY * (1 << doublings))
}

/// Whether so much is more than a spool may hold.
fn is_full(config: &LinkConfig, bytes: u64, count: u64, total: u64) -> bool {
    bytes > config.source_bytes || count > config.source_count || total > config.total_bytes
}

/// How a route is subscribed to.
pub(super) fn subscription(config: &LinkConfig) -> SubscribeOptions {
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
