//! Where the policy is asked, and what a new one does to those who are connected.
//!
//! It is asked when a channel is opened, and the answer stays in the handle: what goes over the
//! channel costs a look at that bit. A new policy works out all these bits again, and ends what
//! may not go on; so no handle ever bears the answer of an older one.

use std::fmt::Display;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::name::{Name, Pattern};
use crate::time::Time;

use super::command::{Channel, Ticket};
use super::effect::Output;
use super::fault::Fault;
use super::permit::{Permit, allowance_for};
use super::policy::{Deed, Deeds, Policy};
use super::rights::{Identity, Right};
use super::session::{Handle, Session, SessionEnd};
use super::{Router, SessionId};

impl Right {
    /// What that right of a queue is called in the policy.
    pub(super) const fn deed(self) -> Deed {
        match self {
            Right::Read => Deed::Receive,
            Right::Write => Deed::Send,
            Right::Administer => Deed::Administer,
        }
    }
}

impl Router {
    /// Sets another policy. Subscriptions, receivers and servers that it does not allow end;
    /// sends that wait for room are refused, and so is what is sent or published from now on.
    pub fn set_policy(&mut self, now: Time, policy: Policy) {
        self.ground.now = now;
        if self.policy == policy {
            return;
        }
        self.policy = policy;
        if self.ground.planted(Fault::PolicyNotRechecked) {
            return;
        }
        let sessions: Vec<_> = self.ground.sessions.iter().map(|(session, _)| session).collect();
        // First nobody may, then those end who wait: nothing is handed to whom it is not for.
        for session in &sessions {
            self.note_deeds(*session);
        }
        for session in sessions {
            self.end_forbidden(session);
            self.refuse_forbidden_sends(session);
        }
        self.tell_by_new_rights();
        self.feed_hungry();
        self.bury_dead();
    }

    /// Ends a session for this reason: its credentials are not accepted any more.
    pub fn expel(&mut self, now: Time, session: SessionId, failure: Failure) {
        self.close_session(now, session, SessionEnd::Lost);
        self.ground.tell(session, Output::Expired { failure });
    }

    /// Whether a session may do this on every name that a pattern matches.
    ///
    /// # Errors
    /// When the policy does not allow it.
    pub fn check_pattern(
        &self,
        session: SessionId,
        deed: Deed,
        what: &str,
        pattern: &Pattern,
    ) -> Result<(), Failure> {
        let identity = self.identity_of(session)?;
        match self.policy.allows_all(identity, deed, pattern) {
            true => Ok(()),
            false => Err(forbidden(identity, deed.word(), what, pattern)),
        }
    }

    /// What the policy lets a session do with a name.
    pub(super) fn deeds(&self, session: Id<Session>, name: &Name) -> Deeds {
        let identity = self.identity_of(session);
        identity.map_or(Deeds::default(), |identity| self.policy.deeds(identity, name))
    }

    /// Whether the policy lets a session do this with a name.
    pub(super) fn check_deed(
        &self,
        session: Id<Session>,
        deed: Deed,
        what: &str,
        name: &Name,
    ) -> Result<(), Failure> {
        self.check_noted(session, self.deeds(session, name), deed, what, name)
    }

    /// The same, where it is known what the session may do.
    pub(super) fn check_noted(
        &self,
        session: Id<Session>,
        may: Deeds,
        deed: Deed,
        what: &str,
        name: &Name,
    ) -> Result<(), Failure> {
        match may.has(deed) {
            true => Ok(()),
            false => Err(forbidden(self.identity_of(session)?, deed.word(), what, name)),
        }
    }

    /// Whether the policy lets a session open a queue at all, be it to create it.
    pub(super) fn check_open(
        &self,
        session: Id<Session>,
        may: Deeds,
        name: &Name,
    ) -> Result<(), Failure> {
        match may.has_any(&[Deed::Send, Deed::Receive, Deed::Administer, Deed::Create]) {
            true => Ok(()),
            false => Err(forbidden(self.identity_of(session)?, "send` or `receive", "queue", name)),
        }
    }

    /// Whether a session may carry the topic of this name to another broker and from there. Without a
    /// policy only administrators may.
    pub(super) fn check_bridge(&self, session: Id<Session>, name: &Name) -> Result<(), Failure> {
        self.check_carry(session, "topic", name)
    }

    /// The same of a queue.
    pub(super) fn check_bridge_queue(
        &self,
        session: Id<Session>,
        name: &Name,
    ) -> Result<(), Failure> {
        self.check_carry(session, "queue", name)
    }

    /// The same of a service. What belongs to a broker itself is nobody else's to serve or call.
    pub(super) fn check_bridge_service(
        &self,
        session: Id<Session>,
        name: &Name,
    ) -> Result<(), Failure> {
        if name.is_reserved() {
            let text = format!("service `{name}` belongs to the broker: it is not bridged");
            return Err(Failure::new(ErrorKind::PermissionDenied, text));
        }
        self.check_carry(session, "service", name)
    }

    /// Whether it may carry all that matches.
    pub(super) fn check_bridge_pattern(
        &self,
        session: Id<Session>,
        pattern: &Pattern,
    ) -> Result<(), Failure> {
        let permit = Permit { pattern: pattern.clone(), services: false, part: false };
        self.check_permit(session, &permit)
    }

    /// Whether a session may do what bridges do, with some names at least.
    pub(super) fn check_is_bridge(&self, session: Id<Session>) -> Result<(), Failure> {
        let identity = self.identity_of(session)?;
        if self.config.epoch == 0 {
            let text = "this broker has no epoch, and so no bridges";
            return Err(Failure::new(ErrorKind::Unsupported, text));
        }
        if self.policy.is_bridge(identity) {
            return Ok(());
        }
        let text = format!(
            "{} may not bridge brokers: it is no administrator, and no allowance of the broker's policy grants `bridge` to it; whoever runs the broker can add {}",
            identity.sender,
            allowance_for(identity, &"PATTERN")
        );
        Err(Failure::new(ErrorKind::PermissionDenied, text))
    }

    pub(super) fn identity_of(&self, session: Id<Session>) -> Result<&Identity, Failure> {
        let entry = self.ground.sessions.get(session);
        let over = || Failure::new(ErrorKind::Closed, "the session is over");
        entry.map(|entry| &entry.identity).ok_or_else(over)
    }

    /// Works out again what the handles of a session may do.
    fn note_deeds(&mut self, session: Id<Session>) {
        let Router { ground, queues, topics, policy, .. } = self;
        let Some(entry) = ground.sessions.get_mut(session) else { return };
        let identity = entry.identity.clone();
        let is_bridge = policy.is_bridge(&identity);
        for handle in entry.handles_mut() {
            match handle {
                Handle::Queue { queue, may, .. } => {
                    let name = queues.get(*queue).map(|queue| &queue.name);
                    *may = name.map_or(Deeds::ALL, |name| policy.deeds(&identity, name));
                }
                Handle::Publisher(publisher) => {
                    let name = topics.get(publisher.topic).map(|topic| &topic.name);
                    // Without a policy all may publish, but only administrators bridge.
                    let (deed, some) = match publisher.relayed {
                        Some(_) => (Deed::Bridge, is_bridge),
                        None => (Deed::Publish, true),
                    };
                    let has = |name| policy.deeds(&identity, name).has(deed);
                    publisher.may = some && name.is_none_or(has);
                }
                Handle::Caller { name, may, .. } => {
                    *may = policy.deeds(&identity, name);
                }
                Handle::Subscription(_)
                | Handle::Waiter { .. }
                | Handle::Server { .. }
                | Handle::Host { .. }
                | Handle::Permit(_)
                | Handle::Interest => {}
            }
        }
    }

    /// Ends the subscriptions, receivers and servers of a session that the policy does not allow.
    fn end_forbidden(&mut self, session: Id<Session>) {
        let Some(entry) = self.ground.sessions.get(session) else { return };
        let ended: Vec<_> = entry
            .channels()
            .into_iter()
            .filter_map(|channel| Some((channel, self.forbids(session, channel)?)))
            .collect();
        for (channel, failure) in ended {
            self.close_channel(session, channel);
            self.ground.tell(session, Output::Ended { channel, failure });
        }
    }

    /// Why a channel must end, if it must.
    fn forbids(&self, session: Id<Session>, channel: Channel) -> Option<Failure> {
        match self.ground.handle(session, channel).ok()? {
            Handle::Subscription(id) => {
                let subscription = self.subscriptions.get(*id)?;
                match subscription.beyond {
                    Some(_) => self.check_bridge_pattern(session, &subscription.pattern).err(),
                    None => {
                        let pattern = &subscription.pattern;
                        self.check_pattern(session, Deed::Subscribe, "topics", pattern).err()
                    }
                }
            }
            Handle::Waiter { queue, .. } => {
                let name = &self.queues.get(*queue)?.name;
                self.check_deed(session, Deed::Receive, "queue", name).err()
            }
            Handle::Server { service, server } => {
                let service = self.services.get(*service)?;
                match service.servers.get(*server)?.ways {
                    Some(_) => self.check_bridge_service(session, &service.name).err(),
                    None => self.check_deed(session, Deed::Serve, "service", &service.name).err(),
                }
            }
            Handle::Interest => self.check_watching(session, channel).err(),
            Handle::Permit(permit) => self.check_permit(session, permit).err(),
            Handle::Host { queue } | Handle::Queue { queue, carried: true, .. } => {
                self.check_bridge_queue(session, &self.queues.get(*queue)?.name).err()
            }
            // They are told when they are used.
            Handle::Queue { .. } | Handle::Publisher(_) | Handle::Caller { .. } => None,
        }
    }

    /// Refuses the sends and offers of a session that wait, or were granted and have not come.
    fn refuse_forbidden_sends(&mut self, session: Id<Session>) {
        let Some(entry) = self.ground.sessions.get(session) else { return };
        let blocked: Vec<Ticket> = entry.blocked.newest_first().collect();
        let granted: Vec<Ticket> = entry.granted.keys().copied().collect();
        for ticket in blocked.into_iter().chain(granted) {
            let Some(entry) = self.ground.sessions.get(session) else { return };
            let waits = entry.blocked.get(ticket).map(|(queue, _)| queue);
            let queue = waits.or_else(|| entry.granted.get(&ticket).map(|offer| offer.queue));
            let Some(name) = queue.and_then(|id| self.queues.get(id)).map(|queue| &queue.name)
            else {
                continue;
            };
            if let Err(failure) = self.check_deed(session, Deed::Send, "queue", name) {
                self.take_back(session, ticket, failure);
            }
        }
    }
}

/// Says that the policy does not allow something, and what to do.
fn forbidden(identity: &Identity, deed: &str, what: &str, name: &dyn Display) -> Failure {
    Failure::new(
        ErrorKind::PermissionDenied,
        format!(
            "{} may not use {what} `{name}` that way: no allowance of the broker's policy grants `{deed}` on it; whoever runs the broker can add one",
            identity.sender
        ),
    )
}
