//! Bridges that are told what is wanted, or served, here and beyond, for the broker at their other
//! end.
//!
//! All of it first, then what changes, gathered for a moment. Invariant: what a watcher was told is
//! what its table offered its peer when it was told last, as far as it may bridge that.

use std::collections::BTreeSet;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{INTEREST_DELAY, WANTED_ROWS_MAX};
use crate::name::Pattern;
use crate::time::Time;

use super::Router;
use super::command::Channel;
use super::effect::{Answer, Output};
use super::interest::{Interest, InterestOffer};
use super::permit::Permit;
use super::policy::Deed;
use super::provenance::Epoch;
use super::session::{Handle, Session};
use super::timer::Timer;

/// Whoever is told.
#[derive(Debug)]
pub(super) struct Watcher {
    session: Id<Session>,
    channel: Channel,
    peer: Epoch,
    /// Which services it is told of; `None` if it is told what is wanted.
    services: Option<Vec<Pattern>>,
    told: BTreeSet<Interest>,
    left_out: u64,
    /// The version of the table when it was told last.
    version: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    all: Vec<Watcher>,
    /// The version of both tables that is known to all, or will be at the next deadline.
    version: u64,
    /// When what is new is told. One deadline for all that changes until then.
    due: Option<Time>,
}

impl Router {
    pub(super) fn watch_interest(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        peer: Epoch,
    ) -> Result<Answer, Failure> {
        self.check_is_bridge(session)?;
        self.watch(session, channel, peer, None)
    }

    pub(super) fn watch_services(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        peer: Epoch,
        patterns: Vec<Pattern>,
    ) -> Result<Answer, Failure> {
        self.check_patterns(session, &patterns)?;
        self.watch(session, channel, peer, Some(patterns))
    }

    fn check_patterns(&self, session: Id<Session>, patterns: &[Pattern]) -> Result<(), Failure> {
        self.check_is_bridge(session)?;
        patterns.iter().try_for_each(|pattern| {
            let permit = Permit { pattern: pattern.clone(), services: true, part: false };
            self.check_permit(session, &permit)
        })
    }

    /// Whether whoever is told on a channel may still be told that.
    pub(super) fn check_watching(
        &self,
        session: Id<Session>,
        channel: Channel,
    ) -> Result<(), Failure> {
        let is_it = |watcher: &&Watcher| (watcher.session, watcher.channel) == (session, channel);
        let patterns = self.watchers.all.iter().find(is_it).and_then(|it| it.services.as_deref());
        self.check_patterns(session, patterns.unwrap_or_default())
    }

    fn watch(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        peer: Epoch,
        services: Option<Vec<Pattern>>,
    ) -> Result<Answer, Failure> {
        if self.watchers.all.iter().any(|watcher| watcher.session == session) {
            let text = "this session is told already what is wanted: close that channel first";
            return Err(Failure::new(ErrorKind::QuotaExceeded, text));
        }
        if let Some(entry) = self.ground.sessions.get_mut(session) {
            entry.check_free(channel)?;
            entry.open(channel, Handle::Interest)?;
        }
        let (told, left_out) = (BTreeSet::new(), 0);
        let watcher = Watcher { session, channel, peer, services, told, left_out, version: 0 };
        self.watchers.all.push(watcher);
        self.tell_watcher(self.watchers.all.len() - 1, true);
        Ok(Answer::Done { count: 1 })
    }

    pub(super) fn stop_watching(&mut self, session: Id<Session>, channel: Channel) {
        self.watchers
            .all
            .retain(|watcher| (watcher.session, watcher.channel) != (session, channel));
    }

    /// Has what is new told in a moment.
    pub(super) fn note_news(&mut self) {
        let version = self.interests.version() + self.served.version();
        if version != self.watchers.version {
            self.watchers.version = version;
            self.tell_soon();
        }
    }

    fn tell_soon(&mut self) {
        if !self.watchers.all.is_empty() && self.watchers.due.is_none() {
            let due = self.ground.now.after(INTEREST_DELAY);
            self.watchers.due = Some(due);
            self.ground.timers.set(due, Timer::Wanted);
        }
    }

    /// There is another policy: what may be told is another thing, though the tables are not.
    pub(super) fn tell_by_new_rights(&mut self) {
        self.watchers.all.iter_mut().for_each(|watcher| watcher.version = u64::MAX);
        self.tell_soon();
    }

    /// Tells everybody what is new.
    pub(super) fn tell_wanted(&mut self) {
        self.watchers.due = None;
        (0..self.watchers.all.len()).for_each(|index| self.tell_watcher(index, false));
    }

    fn tell_watcher(&mut self, index: usize, in_any_case: bool) {
        let Some(watcher) = self.watchers.all.get_mut(index) else { return };
        let table = if watcher.services.is_some() { &self.served } else { &self.interests };
        if !in_any_case && table.version() == watcher.version {
            return;
        }
        watcher.version = table.version();
        let InterestOffer { interests, left_out } = match &watcher.services {
            // Of services it has asked only for such as it may bridge.
            None => {
                let identity = self.ground.sessions.get(watcher.session).map(|it| &it.identity);
                let Some(identity) = identity else { return };
                let allowed = self.policy.patterns_for(identity, Deed::Bridge);
                table.offer_of(self.config.epoch, watcher.peer, |wanted| {
                    let common = |one: &&Pattern| one.intersection(wanted).is_some();
                    allowed.as_ref().is_none_or(|allowed| allowed.iter().any(common))
                })
            }
            Some(patterns) => table.offer_of(self.config.epoch, watcher.peer, |served| {
                patterns.iter().any(|pattern| pattern.contains(served))
            }),
        };
        let wanted: BTreeSet<_> = interests.into_iter().collect();
        let added: Vec<_> = wanted.difference(&watcher.told).cloned().collect();
        let removed: Vec<_> = watcher.told.difference(&wanted).cloned().collect();
        let silent = added.is_empty() && removed.is_empty() && left_out == watcher.left_out;
        (watcher.told, watcher.left_out) = (wanted, left_out);
        let (session, channel) = (watcher.session, watcher.channel);
        if silent && !in_any_case {
            return;
        }
        // More than one frame can bear is told in parts.
        let (mut added, mut removed) = (&added[..], &removed[..]);
        loop {
            let news = added.split_at(added.len().min(WANTED_ROWS_MAX));
            let gone = removed.split_at(removed.len().min(WANTED_ROWS_MAX));
            (added, removed) = (news.1, gone.1);
            let complete = added.is_empty() && removed.is_empty();
            let (added, removed) = (news.0.to_vec(), gone.0.to_vec());
            let output = Output::Wanted { channel, added, removed, left_out, complete };
            self.ground.tell(session, output);
            if complete {
                return;
            }
        }
    }
}
