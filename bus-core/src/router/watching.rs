//! Bridges that are told what is wanted here and beyond, for the broker at their other end.
//!
//! All of it first, then what changes, gathered for a moment. Invariant: what a watcher was told is
//! what the table of interest offered its peer when it was told last.

use std::collections::BTreeSet;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{INTEREST_DELAY, WANTED_ROWS_MAX};

use super::Router;
use super::command::Channel;
use super::effect::{Answer, Output};
use super::interest::{Interest, InterestOffer};
use super::provenance::Epoch;
use super::session::{Handle, Session};
use super::timer::Timer;

/// Whoever is told.
#[derive(Debug)]
pub(super) struct Watcher {
    session: Id<Session>,
    channel: Channel,
    peer: Epoch,
    told: BTreeSet<Interest>,
    left_out: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    all: Vec<Watcher>,
    /// The version of the table that is known to all, or will be at the next deadline.
    version: u64,
}

impl Router {
    pub(super) fn watch_interest(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        peer: Epoch,
    ) -> Result<Answer, Failure> {
        self.check_is_bridge(session)?;
        if self.watchers.all.iter().any(|watcher| watcher.session == session) {
            let text = "this session is told already what is wanted: close that channel first";
            return Err(Failure::new(ErrorKind::QuotaExceeded, text));
        }
        if let Some(entry) = self.ground.sessions.get_mut(session) {
            entry.check_free(channel)?;
            entry.open(channel, Handle::Interest)?;
        }
        let (told, left_out) = (BTreeSet::new(), 0);
        self.watchers.all.push(Watcher { session, channel, peer, told, left_out });
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
        let version = self.interests.version();
        if version != self.watchers.version {
            self.watchers.version = version;
            if !self.watchers.all.is_empty() {
                self.ground.timers.set(self.ground.now.after(INTEREST_DELAY), Timer::Wanted);
            }
        }
    }

    /// Tells everybody what is new.
    pub(super) fn tell_wanted(&mut self) {
        (0..self.watchers.all.len()).for_each(|index| self.tell_watcher(index, false));
    }

    fn tell_watcher(&mut self, index: usize, in_any_case: bool) {
        let Some(watcher) = self.watchers.all.get_mut(index) else { return };
        let InterestOffer { interests, left_out } =
            self.interests.offer(self.config.epoch, watcher.peer);
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
