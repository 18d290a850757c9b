//! Calls over a bridge, one direction of it, as plain state.
//!
//! At its home broker, where somebody serves, it calls; at the guest broker, where they call, it
//! serves, and only what somebody serves at home or beyond. It knows no socket, clock or channel.
//! Invariant: each call that it was handed is answered once, unless the guest's session that handed
//! it has ended; and a name is served with exactly the ways that home has told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ErrorKind, Failure};
use crate::limits::{CALLS_HELD_BYTES_MAX, CALLS_MAX, CALLS_PATIENCE};
use crate::message::{Message, Sender};
use crate::name::Name;
use crate::router::{Epoch, Interest, Provenance, ServeBeyond};
use crate::time::Time;

use super::exchange_config::ExchangeConfig;
use super::served::Served;

/// A call on its way over the bridge.
pub type CallId = u64;

/// What an exchange wants said.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum ExchangeAction {
    /// To the guest: serve this name, or change the ways to it.
    Serve { serve: ServeBeyond },
    /// To the guest: serve this name no more.
    StopServing { name: Name },
    /// To the guest: the answer to a call, by the guest's number.
    Reply { call: u64, result: Result<Message, Failure> },
    /// To home: call this for somebody.
    Call {
        id: CallId,
        name: Name,
        provenance: Arc<Provenance>,
        message: Message,
        timeout: Duration,
    },
    /// To home: nobody waits for it.
    Withdraw { id: CallId },
    /// Something that an operator should see.
    Trouble { failure: Failure },
}

/// What has gone over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExchangeStat {
    /// Names that it serves.
    pub services: u64,
    /// Calls that are not answered.
    pub under_way: u64,
    /// Calls that somebody has served.
    pub done: u64,
    /// Calls that failed: as those who served said, or since nobody could.
    pub failed: u64,
}

#[derive(Debug)]
pub(super) struct Underway {
    /// The guest's number of it, and what it has called.
    call: u64,
    pub(super) name: Name,
    /// Until home has been asked.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    home: Name,
    provenance: Arc<Provenance>,
    message: Message,
    deadline: Time,
}

/// A call as the guest hands it over.
#[derive(Debug)]
pub struct Invoked<'a> {
    /// The guest's number of it.
    pub call: u64,
    /// What is called.
    pub name: &'a Name,
    /// What is left of its deadline.
    pub timeout: Duration,
    /// Who calls there.
    pub sender: &'a Sender,
    /// Where it comes from, if others have passed it on.
    pub provenance: Option<&'a Provenance>,
    /// The call.
    pub message: Message,
}

/// Calls over one direction of a bridge.
#[derive(Debug)]
pub struct Exchange {
    pub(super) config: ExchangeConfig,
    pub(super) guest: Option<(Epoch, Arc<str>)>,
    home_up: bool,
    /// Since when home is away, until that was too long.
    away_since: Option<Time>,
    /// Home has been away for too long: nothing is served.
    pub(super) given_up: bool,
    pub(super) told: BTreeSet<Interest>,
    /// What home tells anew, until that is whole.
    pub(super) fresh: Option<BTreeSet<Interest>>,
    pub(super) served: BTreeMap<Name, Served>,
    /// Names that the guest has refused to have served, and when it is asked again.
    pub(super) refused: BTreeMap<Name, Time>,
    pub(super) calls: BTreeMap<CallId, Underway>,
    by_number: BTreeMap<u64, CallId>,
    next_id: CallId,
    held_bytes: u64,
    pub(super) actions: VecDeque<ExchangeAction>,
    stat: ExchangeStat,
    /// Goes up whenever other names are served.
    pub(super) version: u64,
}

impl Exchange {
    /// One that has no session yet.
    pub fn new(config: ExchangeConfig) -> Exchange {
        Exchange {
            config,
            guest: None,
            home_up: false,
            away_since: None,
            given_up: false,
            told: BTreeSet::new(),
            fresh: None,
            served: BTreeMap::new(),
            refused: BTreeMap::new(),
            calls: BTreeMap::new(),
            by_number: BTreeMap::new(),
            next_id: 0,
            held_bytes: 0,
            actions: VecDeque::new(),
            stat: ExchangeStat::default(),
            version: 0,
        }
    }

    /// There is a new session at the guest.
    pub fn guest_up(&mut self, epoch: Epoch, broker: &str) {
        self.guest_gone();
        self.guest = Some((epoch, broker.into()));
        self.refresh();
    }

    /// The session at the guest is over, and with it the calls that it has handed over.
    pub fn guest_gone(&mut self) {
        self.guest = None;
        self.served.clear();
        self.version += 1;
        self.refused.clear();
        self.actions.retain(ExchangeAction::is_for_home);
        for id in self.calls.keys().copied().collect::<Vec<_>>() {
            self.abandon(id);
        }
    }

    /// There is a new session at home: what the old one had been asked is lost.
    pub fn home_up(&mut self, now: Time) {
        self.actions.retain(|action| !action.is_for_home());
        let text = "the broker beyond the bridge was lost before it answered";
        self.fail(|call| call.held.is_none(), text);
        self.home_tells_anew();
        self.home_resumed(now);
    }

    /// The session at home goes on.
    pub fn home_resumed(&mut self, now: Time) {
        self.home_up = true;
        self.away_since = None;
        self.given_up = false;
        for id in self.calls.keys().copied().collect::<Vec<_>>() {
            self.ask(now, id);
        }
        self.refresh();
    }

    /// There is no connection to home; its session may go on.
    pub fn home_down(&mut self, now: Time) {
        self.home_up = false;
        if !self.given_up && self.away_since.is_none() {
            self.away_since = Some(now);
        }
    }

    /// Home cannot be reached, and is not waited for any more.
    pub fn home_gone(&mut self) {
        self.home_up = false;
        self.away_since = None;
        self.given_up = true;
        self.fail(|_| true, "the broker beyond the bridge cannot be reached");
        self.refresh();
    }

    /// What home tells from now on is all that there is.
    pub fn home_tells_anew(&mut self) {
        self.fresh = Some(BTreeSet::new());
    }

    /// The guest hands a call over. `full` says that home is not given more now.
    pub fn invoked(&mut self, now: Time, invoked: Invoked<'_>, full: bool) {
        let Invoked { call, name, timeout, sender, provenance, message } = invoked;
        let Some((epoch, broker)) = &self.guest else { return };
        let Some(served) = self.served.get_mut(name) else {
            let failure = Failure::new(ErrorKind::Unreachable, format!("nobody serves `{name}`"));
            return self.actions.push_back(ExchangeAction::Reply { call, result: Err(failure) });
        };
        let cost = message.cost();
        let no_room = (!self.home_up && self.held_bytes + cost > CALLS_HELD_BYTES_MAX)
            || self.calls.len() >= CALLS_MAX;
        let sender = Arc::new(sender.clone());
        let publisher = sender.session;
        let provenance = Provenance::passed_on(provenance, publisher, &sender, *epoch, broker);
        served.under_way += 1;
        self.next_id += 1;
        let (id, home, deadline) = (self.next_id, served.home.clone(), now.after(timeout));
        let held = Some(Held { home, provenance: Arc::new(provenance), message, deadline });
        self.held_bytes += cost;
        self.calls.insert(id, Underway { call, name: name.clone(), held });
        self.by_number.insert(call, id);
        if full || no_room {
            let text = format!("the bridge has too much under way to take a call of `{name}` now");
            return self.answered(id, Err(Failure::new(ErrorKind::QuotaExceeded, text)));
        }
        if self.home_up {
            self.ask(now, id);
        } else if self.given_up {
            let text = "the broker beyond the bridge cannot be reached";
            self.answered(id, Err(Failure::new(ErrorKind::Unreachable, text)));
        }
    }

    /// Nobody waits any more for the call of this number. It is answered all the same.
    pub fn call_given_up(&mut self, number: u64) {
        let Some(id) = self.by_number.get(&number).copied() else { return };
        match self.calls.get(&id).is_some_and(|call| call.held.is_some()) {
            true => {
                let failure = Failure::new(ErrorKind::Withdrawn, "the call was given up");
                self.answered(id, Err(failure));
            }
            false => self.actions.push_back(ExchangeAction::Withdraw { id }),
        }
    }

    /// Home has answered a call.
    pub fn answered(&mut self, id: CallId, result: Result<Message, Failure>) {
        let Some(call) = self.take_call(id) else { return };
        match &result {
            Ok(_) => self.stat.done += 1,
            Err(_) => self.stat.failed += 1,
        }
        // That bridges form a loop is the operators' business; for the caller nobody serves.
        let result = result.map_err(|failure| match failure.kind() {
            ErrorKind::Loop => Failure::new(ErrorKind::Unreachable, failure.text()),
            _ => failure,
        });
        self.actions.push_back(ExchangeAction::Reply { call: call.call, result });
        self.close_if_idle(&call.name);
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Time) {
        if self.away_since.is_some_and(|since| since.after(CALLS_PATIENCE) <= now) {
            self.home_gone();
        }
        let is_late = |call: &Underway| call.held.as_ref().is_some_and(|it| it.deadline <= now);
        let late = self.calls.iter().filter(|(_, call)| is_late(call)).map(|(id, _)| *id);
        for id in late.collect::<Vec<_>>() {
            let text = "the deadline passed while the broker beyond the bridge was away";
            self.answered(id, Err(Failure::new(ErrorKind::TimedOut, text)));
        }
        let before = self.refused.len();
        self.refused.retain(|_, again| *again > now);
        if self.refused.len() < before {
            self.refresh();
        }
    }

    /// When [`Exchange::advance`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        let away = self.away_since.map(|since| since.after(CALLS_PATIENCE));
        let held = self.calls.values().filter_map(|call| Some(call.held.as_ref()?.deadline));
        // While home is there nothing is held.
        let held = if self.home_up { None } else { held.min() };
        [away, held, self.refused.values().copied().min()].into_iter().flatten().min()
    }

    /// What is to be said next.
    pub fn pull(&mut self) -> Option<ExchangeAction> {
        self.actions.pop_front()
    }

    /// What has gone over it.
    pub fn stat(&self) -> ExchangeStat {
        let (services, under_way) = (self.served.len() as u64, self.calls.len() as u64);
        ExchangeStat { services, under_way, ..self.stat }
    }

    /// Goes up whenever [`Exchange::names`] may give others.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The names that it serves at the guest.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.served.keys()
    }

    /// Asks home, if it was not asked yet.
    fn ask(&mut self, now: Time, id: CallId) {
        let Some(held) = self.calls.get_mut(&id).and_then(|call| call.held.take()) else { return };
        let Held { home: name, provenance, message, deadline } = held;
        self.held_bytes -= message.cost();
        let timeout = deadline.since(now);
        self.actions.push_back(ExchangeAction::Call { id, name, provenance, message, timeout });
    }

    /// The guest has ended a call itself.
    pub(super) fn abandon(&mut self, id: CallId) {
        if self.take_call(id).is_some_and(|call| call.held.is_none()) {
            self.actions.push_back(ExchangeAction::Withdraw { id });
        }
    }

    fn take_call(&mut self, id: CallId) -> Option<Underway> {
        let call = self.calls.remove(&id)?;
        self.by_number.remove(&call.call);
        self.held_bytes -= call.held.as_ref().map_or(0, |held| held.message.cost());
        if let Some(served) = self.served.get_mut(&call.name) {
            served.under_way -= 1;
        }
        Some(call)
    }

    fn fail(&mut self, which: impl Fn(&Underway) -> bool, text: &str) {
        let failed = self.calls.iter().filter(|(_, call)| which(call)).map(|(id, _)| *id);
        for id in failed.collect::<Vec<_>>() {
            self.answered(id, Err(Failure::new(ErrorKind::Unreachable, text)));
        }
    }
}

impl ExchangeAction {
    /// Whether it is for the home broker, not for the guest or an operator.
    pub fn is_for_home(&self) -> bool {
        matches!(self, ExchangeAction::Call { .. } | ExchangeAction::Withdraw { .. })
    }
}
