//! What a bridge asks the other broker before there is anything to carry: whether it may.
//!
//! Without it a bridge that lacks a right would be silent until somebody wants something, or for ever.
//! It decides nothing about what is carried: the other broker checks that by itself. Invariant:
//! for each thing that is to be carried at most one question is open.

use std::collections::VecDeque;

use crate::error::Failure;
use crate::name::Pattern;
use crate::router::{Answer, BridgeCommand, Channel, Command, RequestId};
use crate::session::{ChannelKind, ClientSession, Event};
use crate::time::Time;

use super::near::{REFUSALS_MAX, pause_after};
use super::route::Route;

/// It is asked again as rarely as what was refused so many times more: each refusal is logged there.
const RARER: u32 = 2;

/// Something that is to be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToCarry {
    /// What it is called at the broker that runs the bridge.
    pub here: Pattern,
    /// What it is called at the other one.
    pub there: Pattern,
    /// Whether it is services, else topics.
    pub services: bool,
    /// Whether what the other broker allows of it crosses even if that is not all.
    pub parts: bool,
}

/// Something that may not be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What it is called at the broker that runs the bridge.
    pub pattern: Pattern,
    /// Some of it may.
    pub in_part: bool,
    /// Why.
    pub failure: Failure,
}

/// What an operator should hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermitNews {
    /// Something may not be carried, or not all of it.
    Denied(Denied),
    /// What was said to be denied may be carried now.
    Allowed(Pattern),
}

/// All that one way of a bridge is to carry.
#[derive(Debug, Default)]
pub struct Permits {
    all: Vec<Asked>,
    news: VecDeque<PermitNews>,
}

/// One of them.
#[derive(Debug)]
struct Asked {
    carry: ToCarry,
    standing: Standing,
    /// Some of it is allowed, which this channel says, and it is asked whether all is.
    some: Option<Channel>,
    /// What an operator has heard last, unless that it is allowed.
    said: Option<Denied>,
    refusals: u32,
    retry_at: Option<Time>,
}

/// Where it stands. `part` says that it is asked whether some of it may be carried, which comes first:
/// so it is known at once that nothing may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unasked,
    Asked { channel: Channel, request: RequestId, part: bool },
    Allowed { channel: Channel },
    Refused,
}

impl ToCarry {
    /// What a route bears. `goes_out` says that its near side is here.
    pub fn of(route: &Route, goes_out: bool, services: bool) -> ToCarry {
        let (near, far) = (route.near().clone(), route.far().clone());
        let (here, there) = if goes_out { (near, far) } else { (far, near) };
        // Who has things brought there is checked for each; who fetches them, for all at once.
        ToCarry { here, there, services, parts: goes_out }
    }
}

impl Permits {
    /// These, of which nobody was asked yet.
    pub fn new(carried: Vec<ToCarry>) -> Permits {
        let mut permits = Permits::default();
        permits.all.extend(carried.into_iter().map(Asked::new));
        permits
    }

    /// There is a session at the other broker, another one than before.
    pub fn began(&mut self, session: &mut ClientSession) {
        for asked in &mut self.all {
            (asked.standing, asked.some, asked.retry_at) = (Standing::Unasked, None, None);
            asked.ask(session, asked.carry.parts);
        }
    }

    /// These are to be carried from now on. Of what stays nothing is asked again.
    pub fn change(&mut self, carried: Vec<ToCarry>, session: &mut ClientSession) {
        let mut before = std::mem::take(&mut self.all);
        for carry in carried {
            let same = before.iter().position(|asked| asked.carry == carry);
            self.all.push(same.map_or_else(|| Asked::new(carry), |at| before.swap_remove(at)));
        }
        before.iter().for_each(|gone| gone.close(session));
        for asked in self.all.iter_mut().filter(|asked| asked.standing == Standing::Unasked) {
            asked.ask(session, asked.carry.parts);
        }
    }

    /// Takes what the other broker says; gives back what is no answer to this.
    pub fn take(&mut self, now: Time, event: Event, session: &mut ClientSession) -> Option<Event> {
        let news = match event {
            Event::Reply { request, result } => match self.asked(request) {
                Some((asked, channel, part)) => {
                    asked.answered(now, (channel, part), result, session)
                }
                None => return Some(Event::Reply { request, result }),
            },
            Event::Ended { channel, failure } => match self.allowed_on(channel) {
                Some(asked) => asked.ended(now, channel, failure, session),
                None => return Some(Event::Ended { channel, failure }),
            },
            other => return Some(other),
        };
        self.news.extend(news);
        None
    }

    /// Asks again what was refused, if it is time.
    pub fn advance(&mut self, now: Time, session: &mut ClientSession) {
        let due = |asked: &&mut Asked| asked.retry_at.is_some_and(|at| at <= now);
        for asked in self.all.iter_mut().filter(due) {
            asked.close(session);
            (asked.some, asked.retry_at) = (None, None);
            asked.ask(session, asked.carry.parts);
        }
    }

    /// When [`Permits::advance`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        self.all.iter().filter_map(|asked| asked.retry_at).min()
    }

    /// What an operator has not heard yet.
    pub fn news(&mut self) -> Option<PermitNews> {
        self.news.pop_front()
    }

    /// What may not be carried, or not wholly, as far as that was said.
    pub fn denied(&self) -> impl Iterator<Item = &Denied> {
        self.all.iter().filter_map(|asked| asked.said.as_ref())
    }

    /// Whether each question has its answer.
    pub fn is_settled(&self) -> bool {
        let settled =
            |asked: &Asked| matches!(asked.standing, Standing::Allowed { .. } | Standing::Refused);
        self.all.iter().all(settled)
    }

    /// Whether nothing at all may be carried.
    pub fn is_refused(&self) -> bool {
        let refused = |asked: &Asked| asked.standing == Standing::Refused;
        !self.all.is_empty() && self.all.iter().all(refused)
    }

    /// Whether an answer to this is waited for.
    #[cfg(test)]
    pub(super) fn is_open(&self, request: RequestId) -> bool {
        let is_it = |asked: &Asked| matches!(asked.standing, Standing::Asked { request: own, .. } if own == request);
        self.all.iter().any(is_it)
    }

    fn asked(&mut self, request: RequestId) -> Option<(&mut Asked, Channel, bool)> {
        self.all.iter_mut().find_map(|asked| match asked.standing {
            Standing::Asked { channel, request: own, part } if own == request => {
                Some((asked, channel, part))
            }
            _ => None,
        })
    }

    fn allowed_on(&mut self, channel: Channel) -> Option<&mut Asked> {
        let is_it = |asked: &&mut Asked| {
            asked.some == Some(channel) || asked.standing == Standing::Allowed { channel }
        };
        self.all.iter_mut().find(is_it)
    }
}

impl Asked {
    fn new(carry: ToCarry) -> Asked {
        let standing = Standing::Unasked;
        Asked { carry, standing, some: None, said: None, refusals: 0, retry_at: None }
    }

    fn ask(&mut self, session: &mut ClientSession, part: bool) {
        let ToCarry { there: pattern, services, .. } = self.carry.clone();
        let opened = session.open(ChannelKind::Permit, |request, channel| {
            let command = BridgeCommand::AskPermit { request, channel, pattern, services, part };
            Command::Bridge(command)
        });
        self.standing = match opened {
            Ok((channel, request)) => Standing::Asked { channel, request, part },
            // Without a channel nothing can be carried either: until there is another session.
            Err(_) => Standing::Refused,
        };
    }

    fn close(&self, session: &mut ClientSession) {
        self.some.and_then(|some| session.close(some));
        if let Standing::Asked { channel, .. } | Standing::Allowed { channel } = self.standing {
            session.close(channel);
        }
    }

    /// The other broker has answered.
    fn answered(
        &mut self,
        now: Time,
        (channel, part): (Channel, bool),
        result: Result<Answer, Failure>,
        session: &mut ClientSession,
    ) -> Option<PermitNews> {
        match (result, part) {
            (Ok(_), true) => {
                self.some = Some(channel);
                self.ask(session, false);
                None
            }
            (Ok(_), false) => {
                self.some.take().and_then(|some| session.close(some));
                self.standing = Standing::Allowed { channel };
                self.refusals = 0;
                self.said.take().map(|said| PermitNews::Allowed(said.pattern))
            }
            (Err(failure), _) => {
                let some = self.some.take();
                self.standing =
                    some.map_or(Standing::Refused, |channel| Standing::Allowed { channel });
                self.denied(now, some.is_some(), failure)
            }
        }
    }

    /// What was allowed is not any more, by another policy.
    fn ended(
        &mut self,
        now: Time,
        channel: Channel,
        failure: Failure,
        session: &mut ClientSession,
    ) -> Option<PermitNews> {
        session.close(channel);
        if self.some == Some(channel) {
            // Whether all is allowed is being asked.
            self.some = None;
            return None;
        }
        if self.carry.parts {
            self.ask(session, true);
            return None;
        }
        self.standing = Standing::Refused;
        self.denied(now, false, failure)
    }

    /// All is not allowed. It is asked again, since others may change that.
    fn denied(&mut self, now: Time, in_part: bool, failure: Failure) -> Option<PermitNews> {
        self.refusals = (self.refusals + 1).min(REFUSALS_MAX);
        self.retry_at = Some(now.after(pause_after(self.refusals + RARER)));
        let pattern = self.carry.here.clone();
        let denied = Denied { pattern, in_part, failure };
        let is_new = self.said.as_ref() != Some(&denied);
        self.said = Some(denied.clone());
        is_new.then_some(PermitNews::Denied(denied))
    }
}
