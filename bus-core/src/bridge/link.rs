//! A link: its two sides, its sources, and what it has come to.
//!
//! `near` is what it learns from where messages come from, `far` from where they go, `pull` what
//! it says. Invariant: it is subscribed on a route exactly while somebody beyond wants something
//! of it; a source that nobody beyond wants is not kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::arena::{Arena, Id};
use crate::error::{ErrorKind, Failure};
use crate::limits::{LINK_SOURCE_IDLE, LINK_SOURCES_MAX, RELAY_HINT};
use crate::name::Name;
use crate::router::{Epoch, Fault, Interest};
use crate::time::Time;

use super::config::LinkConfig;
use super::holding::{HeldTopic, Over};
use super::looping::Looping;
use super::near::RETRY;
use super::pull::{Action, RelayId};
use super::reconfigure::Changing;
use super::source::{Source, SourceKey};
use super::spool::Held;

/// One direction of a bridge.
pub struct Link {
    pub(super) config: LinkConfig,
    pub(super) near: Option<Epoch>,
    pub(super) near_name: Arc<str>,
    /// The last boot of the far broker that was heard of.
    pub(super) far: Option<Epoch>,
    pub(super) far_is_up: bool,
    /// Another session has begun there, and has not said yet what is wanted.
    pub(super) far_is_new: bool,
    /// When it is no longer waited for.
    pub(super) linger_until: Option<Time>,
    /// What the far broker has told of what is wanted; what of that is used, which is all as soon
    /// as it is whole.
    pub(super) wanted: BTreeSet<Interest>,
    pub(super) wishes: Vec<Interest>,
    pub(super) lanes: Vec<Lane>,
    pub(super) sources: Arena<Source>,
    pub(super) by_key: BTreeMap<SourceKey, Id<Source>>,
    /// By route, and by how the near broker numbers its sources.
    pub(super) by_near: BTreeMap<(usize, u64), Id<Source>>,
    pub(super) by_relay: BTreeMap<RelayId, Id<Source>>,
    /// What goes before all data, to either side.
    pub(super) to_near: VecDeque<Action>,
    pub(super) to_far: VecDeque<Action>,
    /// Relays that are to be opened behind those: what is not wanted any more goes unsaid.
    pub(super) to_open: BTreeSet<RelayId>,
    /// Sources that may have something to send, and which was asked last.
    pub(super) ready: BTreeSet<Id<Source>>,
    pub(super) turn: Option<Id<Source>>,
    /// Sources to be opened again, by when.
    pub(super) retries: BTreeSet<(Time, Id<Source>)>,
    pub(super) look_at: Option<Time>,
    /// When spools are looked at for what stays in them.
    pub(super) hint_at: Option<Time>,
    pub(super) next_relay: RelayId,
    /// What all spools hold; `recount` keeps it.
    pub(super) spooled: Held,
    /// Sources that are over their limits for their bytes, by these.
    pub(super) over: BTreeSet<(u64, Id<Source>)>,
    /// No source was found then that could make room for another; not looked for before then.
    pub(super) crowded_until: Option<Time>,
    pub(super) stat: LinkStat,
    pub(super) looping: Looping,
    pub(super) changing: Changing,
    pub(super) fault: Option<Fault>,
}

/// The subscription of one route.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub beyond: Vec<Interest>,
    /// What of that the near broker was told.
    pub asked: BTreeSet<Interest>,
    pub subscribed: bool,
    /// It ended, and is subscribed again then.
    pub retry_at: Option<Time>,
    /// It is subscribed as soon as what holds it back has gone: a window more of messages would
    /// find no room now.
    pub waits: bool,
    /// How often what is wanted was refused of late, and when it was the last time.
    pub refusals: u32,
    pub refused_at: Time,
    /// What was used up, and what of that the near broker knows.
    pub used: u64,
    pub told: u64,
    /// Topics that are held back.
    pub held: BTreeMap<Name, HeldTopic>,
    /// Topics of which something has passed by since they were held for too long.
    pub passed: BTreeSet<Name>,
    /// The near broker has dropped something since the last message.
    pub lost: bool,
}

/// What a link has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStat {
    /// Sources that it knows.
    pub sources: u64,
    /// Messages and bytes in its spools.
    pub spooled: u64,
    /// Bytes in its spools.
    pub spooled_bytes: u64,
    /// Messages sent, those that were sent again among them.
    pub published: u64,
    /// Messages dropped from full spools before they were sent.
    pub dropped: u64,
    /// Messages that were not taken, since a spool was full or there were too many sources.
    pub refused: u64,
    /// Messages of which nobody knows whether they arrived.
    pub unknown: u64,
    /// Messages that were given up, since the far broker stayed away for too long, or the link was given
    /// other routes.
    pub abandoned: u64,
    /// Messages that were lost before they came to the bridge: the near broker, or one before it, did
    /// not give them.
    pub missed: u64,
    /// Messages that had passed the far broker before, and were not sent.
    pub muted: u64,
    /// Topics that are held back now, since there is enough of them in the spools.
    pub held: u64,
    /// Whether something of it comes to the far broker by another way, too. Each message arrives once
    /// all the same.
    pub in_loop: bool,
}

impl Link {
    /// A link, not connected yet. People call the near broker by this name.
    pub fn new(config: LinkConfig, near_name: &str) -> Link {
        let lanes = config.routes.iter().map(|_| Lane::default()).collect();
        Link {
            config,
            near: None,
            near_name: near_name.into(),
            far: None,
            far_is_up: false,
            far_is_new: false,
            linger_until: None,
            wanted: BTreeSet::new(),
            wishes: Vec::new(),
            lanes,
            sources: Arena::default(),
            by_key: BTreeMap::new(),
            by_near: BTreeMap::new(),
            by_relay: BTreeMap::new(),
            to_near: VecDeque::new(),
            to_far: VecDeque::new(),
            to_open: BTreeSet::new(),
            ready: BTreeSet::new(),
            turn: None,
            retries: BTreeSet::new(),
            look_at: None,
            hint_at: None,
            next_relay: 0,
            spooled: Held::default(),
            over: BTreeSet::new(),
            crowded_until: None,
            stat: LinkStat::default(),
            looping: Looping::default(),
            changing: Changing::default(),
            fault: None,
        }
    }

    /// Plants a bug, for a test that must catch it. Without the feature `faults` it does nothing.
    pub fn plant(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Time) {
        if self.linger_until.is_some_and(|until| until <= now) {
            self.linger_until = None;
            self.give_up();
        }
        while let Some((at, id)) = self.retries.first().copied()
            && at <= now
        {
            self.retries.remove(&(at, id));
            if let Some(source) = self.sources.get_mut(id) {
                source.retry_at = None;
            }
            self.open(id);
        }
        for route in 0..self.lanes.len() {
            if self.lanes[route].retry_at.is_some_and(|at| at <= now) {
                self.lanes[route].retry_at = None;
                self.want(route);
            }
        }
        self.look_at_leaving(now);
        self.look_at_looping(now);
        if self.hint_at.is_some_and(|at| at <= now) {
            self.hint(now);
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.close_idle(now);
        }
    }

    /// When [`Link::advance`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        let retries = self.retries.first().map(|(at, _)| *at);
        let lanes = self.lanes.iter().filter_map(|lane| lane.retry_at).min();
        let leaving = self.changing.next_deadline();
        let all = [self.linger_until, retries, lanes, self.look_at, self.hint_at, leaving];
        all.into_iter().chain([self.looping.look_at]).flatten().min()
    }

    /// What there is, and what it has come to.
    pub fn stat(&self) -> LinkStat {
        let (sources, Held { count, bytes }) = (self.sources.len() as u64, self.spooled);
        let held = self.lanes.iter().map(|lane| lane.held.len() as u64).sum();
        let in_loop = self.looping.said;
        LinkStat { sources, held, in_loop, spooled: count, spooled_bytes: bytes, ..self.stat }
    }

    /// The topics that are held back now, as they are called at the near broker.
    pub fn held_topics(&self) -> impl Iterator<Item = &Name> + Clone {
        self.lanes.iter().flat_map(|lane| lane.held.keys())
    }

    /// Sources whose relay was told to go on: origin, publisher there, and topic at the far
    /// broker.
    pub fn active_sources(&self) -> Vec<(Epoch, u64, Name)> {
        let is_active = |source: &Source| {
            let state = source.relay.as_ref().and_then(|relay| relay.state);
            state.is_some_and(|state| state.active)
        };
        let active = self.sources.iter().filter(|(_, source)| is_active(source));
        let name = |source: &Source| {
            let origin = &source.provenance;
            (origin.epoch, origin.publisher, source.far_topic.clone())
        };
        active.map(|(_, source)| name(source)).collect()
    }

    /// Says of sources that stand by what has stayed in their spools.
    fn hint(&mut self, now: Time) {
        self.hint_at = None;
        let all: Vec<_> = self.sources.iter().map(|(id, _)| id).collect();
        for id in all {
            let Some(source) = self.sources.get_mut(id) else { continue };
            if !source.spool.is_empty() {
                self.hint_at = Some(now.after(RELAY_HINT));
            }
            self.to_far.extend(source.hint().filter(|_| self.far_is_up));
        }
    }

    /// Forgets sources that have rested for long; their marks stay at the far broker.
    fn close_idle(&mut self, now: Time) {
        self.look_at = None;
        let rested = |source: &Source| source.used_at.after(LINK_SOURCE_IDLE) <= now;
        let idle = |source: &Source| source.is_spare() && rested(source);
        let ids: Vec<_> =
            self.sources.iter().filter(|(_, source)| idle(source)).map(|(id, _)| id).collect();
        for id in ids {
            self.stat.refused += self.forget(id);
        }
        if !self.sources.is_empty() {
            self.look_at = Some(now.after(LINK_SOURCE_IDLE / 2));
        }
    }

    /// Forgets the sources that have rested longest and have nothing to bring, if the link is full:
    /// an eighth at once, so that not each new source looks through them all.
    pub(super) fn make_room(&mut self, now: Time) {
        let crowded = self.crowded_until.is_some_and(|until| now < until);
        if self.sources.len() < LINK_SOURCES_MAX || crowded {
            return;
        }
        let spare = self.sources.iter().filter(|(_, source)| source.is_spare());
        let mut spare: Vec<_> = spare.map(|(id, source)| (source.used_at, id)).collect();
        spare.sort();
        self.crowded_until = spare.is_empty().then(|| now.after(RETRY));
        for (_, id) in spare.into_iter().take(LINK_SOURCES_MAX / 8) {
            self.stat.refused += self.forget(id);
        }
    }

    /// A spool held so much before, and holds so much now. The sums change here and nowhere else:
    /// when there is room again, each route that stood for want of it goes on.
    pub(super) fn recount(&mut self, before: Held, now: Held) {
        let total = self.config.total_bytes;
        let was_full = self.spooled.bytes > total;
        self.spooled.bytes = self.spooled.bytes + now.bytes - before.bytes;
        self.spooled.count = self.spooled.count + now.count - before.count;
        if now.bytes < before.bytes {
            self.relax();
        }
        if was_full && self.spooled.bytes <= total {
            (0..self.lanes.len()).for_each(|route| self.tell_used(route));
        }
    }

    /// Forgets a source, and closes its relay. Gives how many messages of it were kept.
    pub(super) fn forget(&mut self, id: Id<Source>) -> u64 {
        self.set_over(id, Over::default());
        let Some(source) = self.sources.remove(id) else { return 0 };
        self.by_key.remove(&source.key);
        self.by_near.remove(&(source.route, source.near_key));
        self.ready.remove(&id);
        if let Some(at) = source.retry_at {
            self.retries.remove(&(at, id));
        }
        if let Some(relay) = &source.relay {
            self.close(relay);
        }
        self.note_elsewhere(id, false);
        self.recount(source.spool.held(), Held::default());
        source.spool.len()
    }

    /// Something has gone wrong that an operator should see.
    pub fn trouble(&mut self, failure: Failure) {
        self.to_near.push_back(Action::Trouble { failure });
    }

    /// The same, but not while such a notice waits to be read: once is enough until somebody has
    /// looked, and whoever causes it does not decide how many there are.
    pub(super) fn trouble_once(&mut self, kind: ErrorKind, text: String) {
        if !self.to_near.iter().any(|action| matches!(action, Action::Trouble { .. })) {
            self.trouble(Failure::new(kind, text));
        }
    }

    /// Whether a test has planted this bug.
    pub(super) fn planted(&self, fault: Fault) -> bool {
        cfg!(feature = "faults") && self.fault == Some(fault)
    }
}
