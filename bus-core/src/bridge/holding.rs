//! Which topics a link has held back at its near broker, since their sources have enough in its spools.
//!
//! How much that is follows from what all spools hold together (Choudhury and Hahne's dynamic
//! threshold): a source may have as much as is still free, and no more than its own limit. So one
//! that is stuck leaves half of the room to others, and two leave a third. Only with
//! `SpoolPolicy::HoldBack`. Invariant: a topic is held exactly while one of its sources is over,
//! and `Link::over` names those that are over for their bytes, by these.

use crate::arena::Id;
use crate::error::ErrorKind;
use crate::limits::LINK_SOURCES_MAX;
use crate::name::Name;
use crate::router::Fault;

use super::config::SpoolPolicy;
use super::link::Link;
use super::pull::Action;
use super::source::Source;

/// For what a source is over its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Over {
    /// For its bytes: so many.
    pub bytes: Option<u64>,
    /// For the number of its messages.
    pub count: bool,
}

/// A topic that is held back.
#[derive(Debug, Default)]
pub(super) struct HeldTopic {
    /// Sources of it that are over.
    pub sources: usize,
    /// How much of the route had been used when that was said last.
    pub said_at: u64,
}

impl Over {
    pub fn is_over(self) -> bool {
        self.bytes.is_some() || self.count
    }
}

impl Link {
    /// Looks whether a source holds its topic back, after each change of its spool.
    pub(super) fn weigh(&mut self, id: Id<Source>) {
        let (limit, config) = (self.limit(), &self.config);
        let Some(source) = self.sources.get(id) else { return };
        let (held, before) = (source.spool.held(), source.over);
        let may = config.policy == SpoolPolicy::HoldBack && !source.shut;
        let bytes = held.bytes > until(limit, before.bytes.is_some());
        let count = held.count > until(config.source_count, before.count);
        let bytes = (may && bytes).then_some(held.bytes);
        self.set_over(id, Over { bytes, count: may && count });
    }

    /// Bytes that a source may have now.
    fn limit(&self) -> u64 {
        let free = self.config.total_bytes.saturating_sub(self.spooled.bytes);
        self.config.source_bytes.min(free)
    }

    /// All spools hold less than before: those go on that are within what they may have now.
    pub(super) fn relax(&mut self) {
        while let Some((bytes, id)) = self.over.first().copied()
            && bytes <= until(self.limit(), true)
        {
            // It stays only with more bytes than it was known for, which are too many.
            self.weigh(id);
        }
    }

    pub(super) fn set_over(&mut self, id: Id<Source>, over: Over) {
        let Some(source) = self.sources.get_mut(id) else { return };
        let before = std::mem::replace(&mut source.over, over);
        if let Some(bytes) = before.bytes {
            self.over.remove(&(bytes, id));
        }
        if let Some(bytes) = over.bytes {
            self.over.insert((bytes, id));
        }
        if before.is_over() != over.is_over() {
            let (route, topic) = (source.route, source.key.2.clone());
            match over.is_over() {
                true => self.hold(route, topic),
                false => self.let_go(route, topic),
            }
        }
    }

    /// One more source of a topic is over. It is said in any case: the topic may have gone and come
    /// again since it was said for another one.
    fn hold(&mut self, route: usize, topic: Name) {
        let lane = &mut self.lanes[route];
        let held = lane.held.entry(topic.clone()).or_default();
        held.sources += 1;
        held.said_at = lane.used;
        let own = lane.subscribed.then_some(route);
        for route in own.into_iter().chain(self.also_bring(&topic)) {
            self.to_near.push_back(Action::Hold { route, topic: topic.clone(), hold: true });
        }
    }

    fn let_go(&mut self, route: usize, topic: Name) {
        let stays = self.planted(Fault::StopStays);
        let lane = &mut self.lanes[route];
        let Some(held) = lane.held.get_mut(&topic) else { return };
        held.sources -= 1;
        if held.sources == 0 {
            lane.held.remove(&topic);
            let own = lane.subscribed.then_some(route);
            let all = self.also_bring(&topic).into_iter().chain(own);
            for route in all.filter(|_| !stays) {
                self.to_near.push_back(Action::Hold { route, topic: topic.clone(), hold: false });
            }
        }
    }

    /// A source that is over has another route. While the old one leaves, its topic is held back on both.
    pub(super) fn holds_elsewhere(&mut self, topic: Name, old: usize, new: usize) {
        let Some(held) = self.lanes[old].held.get_mut(&topic) else { return };
        held.sources -= 1;
        if held.sources == 0 {
            self.lanes[old].held.remove(&topic);
        }
        self.hold(new, topic);
    }

    /// A source that is over has brought something. Once that cannot have been on its way when the
    /// near broker was told, that has forgotten it: the topic was not wanted for a moment, say.
    pub(super) fn hold_again(&mut self, id: Id<Source>) {
        let under_way = self.config.window_bytes + self.config.backlog_bytes;
        let Some(source) = self.sources.get(id).filter(|source| source.over.is_over()) else {
            return;
        };
        let (route, topic) = (source.route, &source.key.2);
        let lane = &mut self.lanes[route];
        let Some(held) = lane.held.get_mut(topic) else { return };
        if lane.subscribed && lane.used.saturating_sub(held.said_at) > under_way {
            held.said_at = lane.used;
            self.to_near.push_back(Action::Hold { route, topic: topic.clone(), hold: true });
        }
    }

    /// A topic is taken again, after so many of its messages have passed by: it was held for longer
    /// than it allows. Those who were known see it in their numbers; for those who have begun
    /// meanwhile it is kept.
    pub fn passed_by(&mut self, route: usize, topic: Name, count: u64) {
        let text = format!(
            "topic `{topic}` was held back for longer than it allows, and {count} of its messages have passed by the bridge"
        );
        self.trouble_once(ErrorKind::TooSlow, text);
        let Some(route) = self.home(route, &topic) else { return };
        if let Some(lane) = self.lanes.get_mut(route).filter(|lane| lane.subscribed) {
            lane.passed.insert(topic);
            if lane.passed.len() > LINK_SOURCES_MAX {
                lane.passed.pop_first();
            }
        }
    }

    /// Whether the first message that has come of a source is perhaps not the first one that should.
    pub(super) fn has_missed(&self, id: Id<Source>, sequence: u64) -> bool {
        let source = self.sources.get(id).filter(|source| source.last == 0 && sequence > 1);
        source.is_some_and(|source| self.lanes[source.route].passed.contains(&source.key.2))
    }

    /// There is another subscription, which holds nothing back yet.
    pub(super) fn hold_all(&mut self, route: usize) {
        let lane = &mut self.lanes[route];
        for (topic, held) in &mut lane.held {
            held.said_at = lane.used;
            let topic = topic.clone();
            self.to_near.push_back(Action::Hold { route, topic, hold: true });
        }
    }

    /// Whether all spools together hold so much that no route gets any more.
    pub(super) fn is_full(&self) -> bool {
        let full = self.spooled.bytes > self.config.total_bytes;
        self.config.policy == SpoolPolicy::HoldBack && full
    }
}

/// How much a source may have: less if it was over, so that it does not change with each message.
fn until(limit: u64, was_over: bool) -> u64 {
    if was_over { limit - limit / 4 } else { limit }
}
