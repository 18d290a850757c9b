//! Which names an exchange serves at its guest: those that home tells, by the ways that it tells.
//!
//! Invariant: a name without a way is served only until its last call is answered; the guest hands
//! it none.

use std::collections::BTreeMap;

use crate::error::{ErrorKind, Failure};
use crate::limits::{INTERESTS_MAX, SERVE_AGAIN, WAYS_MAX};
use crate::name::Name;
use crate::router::{Epoch, Interest, ServeBeyond};
use crate::time::Time;

use super::exchange::{Exchange, ExchangeAction};
use super::exchange_config::ExchangeConfig;

/// A name that is served at the guest.
#[derive(Debug)]
pub(super) struct Served {
    /// Its name at home.
    pub home: Name,
    /// What the guest was told.
    pub ways: Vec<Vec<Epoch>>,
    pub under_way: u64,
}

impl Exchange {
    /// Home tells what is served there and beyond, and what is not any more.
    pub fn home_tells(&mut self, added: Vec<Interest>, removed: &[Interest], complete: bool) {
        let told = self.fresh.as_mut().unwrap_or(&mut self.told);
        removed.iter().for_each(|gone| {
            told.remove(gone);
        });
        told.extend(added);
        let too_many = told.len() > INTERESTS_MAX;
        // No broker tells so much that keeps its own limits.
        while told.len() > INTERESTS_MAX {
            told.pop_last();
        }
        if too_many {
            let text = format!("more than {INTERESTS_MAX} services are told, the rest is left out");
            let failure = Failure::new(ErrorKind::QuotaExceeded, text);
            self.actions.push_back(ExchangeAction::Trouble { failure });
        }
        if complete {
            if let Some(fresh) = self.fresh.take() {
                self.told = fresh;
            }
            self.refresh();
        }
    }

    /// The guest will not have a name served, or not any more. It has ended what was under way.
    pub fn serving_ended(&mut self, now: Time, name: &Name, failure: Failure) {
        if self.served.remove(name).is_none() {
            return;
        }
        self.version += 1;
        let its_own = self.calls.iter().filter(|(_, call)| call.name == *name);
        for id in its_own.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.abandon(id);
        }
        self.refused.insert(name.clone(), now.after(SERVE_AGAIN));
        self.actions.push_back(ExchangeAction::Trouble { failure });
    }

    /// What is served at the guest becomes what home has told.
    pub(super) fn refresh(&mut self) {
        if self.guest.is_none() {
            return;
        }
        let mut wanted = self.wanted();
        for name in self.served.keys().cloned().collect::<Vec<_>>() {
            let (home, ways) = wanted.remove(&name).unwrap_or_else(|| (name.clone(), Vec::new()));
            let Some(served) = self.served.get_mut(&name) else { continue };
            if ways.is_empty() {
                // What is under way is waited for; nothing more is handed over.
                if served.under_way > 0 && !served.ways.is_empty() {
                    served.ways.clear();
                    self.serve(name, Vec::new());
                } else {
                    served.ways.clear();
                    self.close_if_idle(&name);
                }
            } else if served.ways != ways {
                (served.home, served.ways) = (home, ways.clone());
                self.serve(name, ways);
            }
        }
        for (name, (home, ways)) in wanted {
            if !self.refused.contains_key(&name) {
                let served = Served { home, ways: ways.clone(), under_way: 0 };
                self.served.insert(name.clone(), served);
                self.version += 1;
                self.serve(name, ways);
            }
        }
    }

    fn serve(&mut self, name: Name, ways: Vec<Vec<Epoch>>) {
        let ExchangeConfig { credit, bytes_max, mode, .. } = self.config;
        let serve = ServeBeyond { name, credit, bytes_max, mode, ways };
        self.actions.push_back(ExchangeAction::Serve { serve });
    }

    /// A name that is not told any more is served until its last call is answered.
    pub(super) fn close_if_idle(&mut self, name: &Name) {
        let idle = |served: &Served| served.ways.is_empty() && served.under_way == 0;
        if self.served.get(name).is_some_and(idle) {
            self.served.remove(name);
            self.version += 1;
            self.actions.push_back(ExchangeAction::StopServing { name: name.clone() });
        }
    }

    /// By its name at the guest: what is told, its name at home, and the shortest ways to it.
    fn wanted(&self) -> BTreeMap<Name, (Name, Vec<Vec<Epoch>>)> {
        let mut wanted: BTreeMap<Name, (Name, Vec<Vec<Epoch>>)> = BTreeMap::new();
        if self.given_up {
            return wanted;
        }
        for told in &self.told {
            let Some(home) = told.pattern.as_name() else { continue };
            let Some(guest) = self.config.to_guest(&home) else { continue };
            wanted.entry(guest).or_insert((home, Vec::new())).1.push(told.path.clone());
        }
        for (_, ways) in wanted.values_mut() {
            ways.sort_by_key(|way| (way.len(), way.clone()));
            ways.truncate(WAYS_MAX);
        }
        wanted
    }
}
