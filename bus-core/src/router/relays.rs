//! Relayed sources: how far each has come, and which of its upstreams goes on with it.
//!
//! A source can arrive over several bridges. Its mark is the number of the last message that was
//! accepted, from whichever. One upstream is active: the one that can go on nearest to the mark,
//! then the one of fewest hops; the others stand by. Not who publishes or subscribes. Invariant:
//! the mark only rises, and what is above it was never accepted.

use std::collections::{BTreeMap, BTreeSet};

use crate::arena::{Arena, Id};
use crate::limits::MARK_MESSAGES;
use crate::name::Name;
use crate::time::Time;

use super::command::Channel;
use super::provenance::{Epoch, Provenance};
use super::session::Session;

/// What names a relayed source at a broker: origin, publisher there, and topic here. The name and
/// not the id, since a topic goes with its last publisher and its marks must not.
pub(crate) type RelayedKey = (Epoch, u64, Name);
/// What names an upstream.
pub(crate) type UpstreamKey = (Id<Session>, Channel);

/// A relayed source.
#[derive(Debug)]
pub(crate) struct Relayed {
    pub key: RelayedKey,
    /// Number of the last message that was accepted.
    pub mark: u64,
    /// How many wishes there had been by then: who has had one of those may miss what follows.
    pub accepted_at: u64,
    pub active: Option<UpstreamKey>,
    pub upstreams: Vec<Upstream>,
    /// The mark that the upstreams were told last.
    reported: u64,
    /// The mark from which on another upstream would be better.
    reconsider: u64,
    /// Since when it has no upstream.
    idle_since: Option<Time>,
}

/// A way on which a relayed source arrives.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub key: UpstreamKey,
    pub hops: Vec<Epoch>,
    /// The first message that it can give, as far as it is above the mark.
    pub reach: u64,
    /// What it says of those before.
    pub losses: Losses,
    /// Its session is away.
    pub away: bool,
    /// It was active and brought nothing while others had something: it comes last.
    pub stalled: bool,
    /// Until when it should have brought something above which mark.
    pub suspect: Option<(Time, u64)>,
    /// Whether it was told to go on; or that another one does.
    pub told_active: bool,
    pub told_elsewhere: bool,
    /// How often it was told something else, and of which time its last skip knows.
    pub turn: u64,
    pub answered: u64,
}

/// What an upstream is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayState {
    /// Goes up whenever `active` changes; a skip says it again.
    pub turn: u64,
    /// Whether it is to go on with the source, or to stand by.
    pub active: bool,
    /// The last message that has arrived, from wherever.
    pub mark: u64,
    /// Whether that was known before this relay was opened.
    pub known: bool,
    /// Whether it stands by since the source arrives by another way, which goes on with it.
    pub elsewhere: bool,
}

/// What an upstream says of messages that it cannot give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// They are lost, as far as it knows.
    pub lost: bool,
    /// So many of them may have arrived before this broker forgot.
    pub unconfirmed: u64,
}

/// What becomes of a message that a relay publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It comes next.
    Next,
    /// It comes after some that nobody will bring any more.
    AfterGap { count: u64, losses: Losses },
    /// It has been here.
    Duplicate,
    /// It is ahead, from an upstream that stands by: it was under way when that was decided.
    Stray,
}

/// What relaying has come to, since the broker runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayStat {
    /// Relayed sources that have an upstream.
    pub sources: u64,
    /// Marks that have none.
    pub idle: u64,
    /// Messages that had been here before.
    pub duplicates: u64,
    /// Messages of upstreams that stood by already.
    pub strays: u64,
    /// Gaps: numbers of a source that no upstream could bring.
    pub gaps: u64,
    /// Gaps that subscribers were told of.
    pub losses: u64,
    /// How many messages those were.
    pub lost: u64,
    /// Relays that were refused since they form a loop.
    pub loops: u64,
    /// Upstreams that brought nothing while others had something.
    pub stalls: u64,
    /// Marks that were forgotten.
    pub forgotten: u64,
}

/// All relayed sources.
#[derive(Default)]
pub(crate) struct Relays {
    pub all: Arena<Relayed>,
    by_key: BTreeMap<RelayedKey, Id<Relayed>>,
    idle: BTreeSet<(Time, Id<Relayed>)>,
    pub unreported: BTreeSet<Id<Relayed>>,
    /// When to look whether an upstream has brought what it should: each at most once.
    pub suspects: BTreeSet<(Time, Id<Relayed>, UpstreamKey)>,
    pub stat: RelayStat,
    /// When the router looks after them next.
    pub due: Option<Time>,
    /// How often somebody has begun to want something.
    pub wishes: u64,
}

impl Relays {
    /// The source of this provenance on this topic, and whether its mark was known. If not, it
    /// begins where the upstream does.
    pub fn enter(
        &mut self,
        provenance: &Provenance,
        topic: &Name,
        reach: u64,
    ) -> (Id<Relayed>, bool) {
        let key = (provenance.epoch, provenance.publisher, topic.clone());
        if let Some(id) = self.by_key.get(&key) {
            if let Some(entry) = self.all.get_mut(*id)
                && let Some(since) = entry.idle_since.take()
            {
                self.idle.remove(&(since, *id));
            }
            return (*id, true);
        }
        let mark = reach.saturating_sub(1);
        let id = self.all.insert_with(|_| Relayed {
            key: key.clone(),
            mark,
            accepted_at: 0,
            active: None,
            upstreams: Vec::new(),
            reported: mark,
            reconsider: u64::MAX,
            idle_since: None,
        });
        self.by_key.insert(key, id);
        (id, false)
    }

    /// Whether a session has a relay of that source already.
    pub fn has_way(&self, session: Id<Session>, provenance: &Provenance, topic: &Name) -> bool {
        let key = (provenance.epoch, provenance.publisher, topic.clone());
        let relayed = self.by_key.get(&key).and_then(|id| self.all.get(*id));
        relayed.is_some_and(|relayed| relayed.upstreams.iter().any(|at| at.key.0 == session))
    }

    /// An upstream should have brought something above the mark by then. Whether that is new: it
    /// is not where something is expected earlier.
    pub fn suspect(&mut self, at: Time, id: Id<Relayed>, key: UpstreamKey) -> bool {
        let Some(relayed) = self.all.get_mut(id) else { return false };
        let mark = relayed.mark;
        let Some(upstream) = relayed.upstreams.iter_mut().find(|upstream| upstream.key == key)
        else {
            return false;
        };
        match upstream.suspect.replace((at, mark)) {
            Some(before) if before.1 == mark && before.0 <= at => {
                upstream.suspect = Some(before);
                return false;
            }
            // It is about an older mark, or later.
            Some((due, _)) => self.suspects.remove(&(due, id, key)),
            None => false,
        };
        self.suspects.insert((at, id, key))
    }

    /// Its last upstream has gone: the mark stays for a while.
    pub fn rest(&mut self, now: Time, id: Id<Relayed>) {
        if let Some(entry) = self.all.get_mut(id) {
            entry.idle_since = Some(now);
            self.idle.insert((now, id));
        }
    }

    /// The mark that has rested longest, and since when.
    pub fn oldest_idle(&self) -> Option<(Time, Id<Relayed>)> {
        self.idle.first().copied()
    }

    /// How many marks rest.
    pub fn idle_count(&self) -> usize {
        self.idle.len()
    }

    /// Forgets a mark.
    pub fn forget(&mut self, id: Id<Relayed>) {
        let Some(entry) = self.all.remove(id) else { return };
        self.by_key.remove(&entry.key);
        self.unreported.remove(&id);
        if let Some(since) = entry.idle_since {
            self.idle.remove(&(since, id));
        }
        self.stat.forgotten += 1;
    }

    /// What there is, and what it has come to.
    pub fn stat(&self) -> RelayStat {
        let idle = self.idle.len() as u64;
        RelayStat { sources: self.all.len() as u64 - idle, idle, ..self.stat }
    }
}

impl Relayed {
    /// Which message comes next.
    pub fn next(&self) -> u64 {
        self.mark + 1
    }

    /// What becomes of a message of this number from this upstream.
    pub fn judge(&self, from: UpstreamKey, sequence: u64) -> Verdict {
        if sequence <= self.mark {
            return Verdict::Duplicate;
        }
        if sequence == self.mark + 1 {
            return Verdict::Next;
        }
        let upstream = self.upstreams.iter().find(|upstream| upstream.key == from);
        match upstream {
            // What it sent before it knew its turn is no answer to it.
            Some(upstream) if self.active == Some(from) && upstream.answered == upstream.turn => {
                let is_said = upstream.reach == sequence;
                let losses = if is_said { upstream.losses } else { Losses::default() };
                Verdict::AfterGap { count: sequence - self.mark - 1, losses }
            }
            _ => Verdict::Stray,
        }
    }

    /// A suspect's time is over. Whether it has brought nothing, though others could have.
    pub fn find_stalled(&mut self, suspect: UpstreamKey) -> bool {
        let (now_at, is_active) = (self.mark, self.active == Some(suspect));
        let upstream = self.upstreams.iter_mut().find(|upstream| upstream.key == suspect);
        let Some(upstream) = upstream else { return false };
        let still = upstream.suspect.take().is_some_and(|(_, mark)| mark == now_at);
        still && is_active && !std::mem::replace(&mut upstream.stalled, true)
    }

    /// Whether it is time to look who is best, and to tell the mark, once it has risen.
    pub fn rise(&mut self, mark: u64, wishes: u64) -> (bool, bool) {
        self.mark = mark;
        self.accepted_at = wishes;
        (mark + 1 >= self.reconsider, mark - self.reported.min(mark) >= MARK_MESSAGES)
    }

    /// The mark as it is now told.
    pub fn report(&mut self) -> u64 {
        self.reported = self.mark;
        self.mark
    }

    /// Whether the upstreams know the mark.
    pub fn is_reported(&self) -> bool {
        self.reported == self.mark
    }

    /// Who should be active. Nobody, while one that is away, and may come back, can give what no
    /// other can.
    pub fn elect(&mut self) -> Option<UpstreamKey> {
        let next = self.next();
        let start = |upstream: &Upstream| upstream.reach.max(next);
        let best =
            self.upstreams.iter().min_by(|one, other| one.rank(next).cmp(&other.rank(next)))?;
        // Those that are better, but cannot go on from here yet.
        let later = self.upstreams.iter().filter(|other| {
            let shorter = (other.hops.len(), &other.hops) < (best.hops.len(), &best.hops);
            !other.away && !other.stalled && (best.away || best.stalled || shorter)
        });
        self.reconsider = later.map(start).filter(|start| *start > next).min().unwrap_or(u64::MAX);
        (!best.away).then_some(best.key)
    }
}

impl Upstream {
    /// How good it is when this message comes next: the least is the best.
    fn rank(&self, next: u64) -> impl Ord + '_ {
        let way = (self.hops.len(), &self.hops);
        (self.stalled, self.reach.max(next), self.away, way, self.key)
    }
}
