//! Sessions come, go away, come back, and end; channels close.
//!
//! Ending a session lets go of everything that it held, in this order: shared subscriptions,
//! receivers, leases, senders, the rest. So nothing is handed to a session that is about to go.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};

use super::command::{Channel, Lifetime, RequestId, Ticket};
use super::effect::{Answer, Output};
use super::lease::LeaseView;
use super::rights::Identity;
use super::session::{Handle, Session, SessionEnd};
use super::settle::{Bearer, Ended};
use super::timer::Timer;
use super::{Router, SessionId};
use crate::time::Time;

impl Router {
    /// Begins a session. Its sender bears the number of the session.
    ///
    /// # Errors
    /// When there are too many sessions, in all or of this user.
    pub fn open_session(
        &mut self,
        now: Time,
        mut identity: Identity,
        grace: Duration,
    ) -> Result<SessionId, Failure> {
        self.ground.now = now;
        self.check_session(&identity)?;
        Ok(self.ground.sessions.insert_with(|id| {
            identity.sender.session = id.serial();
            Session::new(identity, grace)
        }))
    }

    /// Whether one more session of this user may begin.
    ///
    /// # Errors
    /// As [`Router::open_session`].
    pub fn check_session(&self, identity: &Identity) -> Result<(), Failure> {
        self.check_count("sessions", self.ground.sessions.len(), self.config.sessions_max)?;
        if !identity.admin {
            let sessions = self.ground.sessions.iter();
            let mine = sessions.filter(|(_, entry)| entry.identity.shares_quota(identity)).count();
            self.check_count("sessions of this user", mine, self.config.sessions_per_user_max)?;
        }
        Ok(())
    }

    /// The session's connection is lost: it is away, and is given nothing until it is back or
    /// its grace has passed. Without a grace it ends.
    pub fn suspend(&mut self, now: Time, session: SessionId) {
        self.ground.now = now;
        let Some(entry) = self.ground.sessions.get_mut(session) else { return };
        if !entry.connected {
            return;
        }
        if entry.grace.is_zero() {
            return self.close_session(now, session, SessionEnd::Lost);
        }
        entry.connected = false;
        let until = now.after(entry.grace);
        entry.away_until = Some(until);
        self.ground.timers.set(until, Timer::Grace(session));
        let channels = entry.channels();
        self.forget_recalls(session);
        self.set_relays_away(session, true);
        // What waited for it to serve may go to others.
        self.dispatch_for(session, &channels);
        self.pause_doubles(session);
        self.note_host(session);
        self.settle_down();
    }

    /// The session is connected again.
    pub fn resume(&mut self, now: Time, session: SessionId) {
        self.ground.now = now;
        let Some(entry) = self.ground.sessions.get_mut(session) else { return };
        entry.connected = true;
        if let Some(until) = entry.away_until.take() {
            self.ground.timers.clear(until, Timer::Grace(session));
        }
        let channels = entry.channels();
        self.set_relays_away(session, false);
        self.note_host(session);
        self.serve_session(session);
        self.dispatch_for(session, &channels);
        self.rejoin_groups(session, &channels);
        self.recall_from(session);
        self.settle_down();
    }

    /// Hands out the calls that wait at what these channels serve.
    fn dispatch_for(&mut self, session: Id<Session>, channels: &[Channel]) {
        for channel in channels {
            if let Ok(Handle::Server { service, .. }) = self.ground.handle(session, *channel) {
                let service = *service;
                self.dispatch(service);
            }
        }
    }

    /// Asks a session that is back for what it has not looked at, if others wait for it.
    fn recall_from(&mut self, session: Id<Session>) {
        let Some(entry) = self.ground.sessions.get(session) else { return };
        let untaken = entry.leases.iter().filter(|(_, leased)| !leased.taken);
        let mut queues: Vec<_> = untaken.map(|(_, leased)| leased.queue).collect();
        queues.sort();
        queues.dedup();
        for queue in queues {
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.recall_for_idle(&mut self.ground);
            }
        }
    }

    /// Whether there is such a session.
    pub fn has_session(&self, session: SessionId) -> bool {
        self.ground.sessions.get(session).is_some()
    }

    /// The identity of a session.
    pub fn identity(&self, session: SessionId) -> Option<&Identity> {
        self.ground.sessions.get(session).map(|entry| &entry.identity)
    }

    /// Ends a session: everything that it held is let go.
    pub fn close_session(&mut self, now: Time, session: SessionId, end: SessionEnd) {
        self.ground.now = now;
        let Some(entry) = self.ground.sessions.get_mut(session) else { return };
        entry.connected = false;
        if let Some(until) = entry.away_until.take() {
            self.ground.timers.clear(until, Timer::Grace(session));
        }
        self.leave_hosted(session);
        let Some(entry) = self.ground.sessions.get(session) else { return };
        let channels = entry.channels();
        let (waiters, others): (Vec<_>, Vec<_>) = channels.into_iter().partition(|channel| {
            matches!(self.ground.handle(session, *channel), Ok(Handle::Waiter { .. }))
        });
        self.leave_groups(session, &others);
        for channel in waiters {
            self.close_channel(session, channel);
        }
        self.end_all_leases(session, end);
        self.end_all_sends(session);
        for channel in others {
            self.close_channel(session, channel);
        }
        let bound = |queue: &super::Queue| {
            queue.options.lifetime == Lifetime::Session && queue.creator_session == session
        };
        let queues: Vec<_> =
            self.queues.iter().filter(|(_, queue)| bound(queue)).map(|(id, _)| id).collect();
        for queue in queues {
            self.remove_queue(queue);
        }
        if let Some(entry) = self.ground.sessions.remove(session)
            && let Some(at) = entry.lease_check
        {
            self.ground.timers.clear(at, Timer::Leases(session));
        }
        self.settle_down();
    }

    /// What the application has is marked. If the session was lost, the application may have
    /// been handed more than it could still say, and have settled it too. Of a receiver that had
    /// one delivery that is known to be the one, and it is marked. Of several it may be any: those
    /// that nobody has said to be taken are not marked, and all are handed out alone from now on.
    /// So a message that kills whoever takes it ends among the dead letters, and no other does.
    fn end_all_leases(&mut self, session: Id<Session>, end: SessionEnd) {
        let Some(entry) = self.ground.sessions.get(session) else { return };
        let receiver = |leased: &LeaseView| (leased.queue, leased.waiter);
        let mut counts: BTreeMap<Bearer, u64> = BTreeMap::new();
        for (_, leased) in entry.leases.iter() {
            *counts.entry(receiver(&leased)).or_default() += 1;
        }
        let suspect = end == SessionEnd::Lost;
        let ended = entry.leases.iter().map(|(lease, leased)| {
            let alone = counts.get(&receiver(&leased)) == Some(&1);
            Ended { session, lease, marked: leased.taken || (suspect && alone), suspect }
        });
        let ended: Vec<_> = ended.collect();
        self.put_back_all(&ended);
    }

    fn end_all_sends(&mut self, session: Id<Session>) {
        let Some(entry) = self.ground.sessions.get(session) else { return };
        // The newest first: none of them comes in because another one has made room.
        let tickets: Vec<Ticket> =
            entry.blocked.newest_first().chain(entry.granted.keys().copied()).collect();
        let going = entry.going_home.iter().rev();
        let going: Vec<Ticket> =
            going.flat_map(|run| (run.first..run.first + run.count).rev()).collect();
        let calls: Vec<u64> = entry.calls.values().copied().collect();
        for ticket in tickets.into_iter().chain(going) {
            self.withdraw(session, ticket);
        }
        for call in calls {
            self.give_up(call);
        }
    }

    pub(super) fn withdraw_any(&mut self, session: Id<Session>, ticket: Ticket) {
        let call =
            self.ground.sessions.get(session).and_then(|entry| entry.calls.get(&ticket)).copied();
        match call {
            Some(call) => {
                self.give_up(call);
                let failure = Failure::new(ErrorKind::Withdrawn, "the call was given up");
                self.ground.verdict(session, ticket, Err(failure));
            }
            None => self.withdraw(session, ticket),
        }
    }

    pub(super) fn grace_is_over(&mut self, session: Id<Session>) {
        let now = self.ground.now;
        let over = self
            .ground
            .sessions
            .get(session)
            .and_then(|entry| entry.away_until)
            .is_some_and(|at| at <= now);
        if over {
            self.close_session(now, session, SessionEnd::Lost);
            let failure = Failure::new(ErrorKind::Disconnected, "the session's grace has passed");
            self.ground.tell(session, Output::Expired { failure });
        }
    }

    pub(super) fn close(&mut self, session: Id<Session>, request: RequestId, channel: Channel) {
        self.close_channel(session, channel);
        self.ground.reply(session, request, Ok(Answer::Done { count: 1 }));
    }

    /// Closes a channel of whatever sort.
    pub(super) fn close_channel(&mut self, session: Id<Session>, channel: Channel) {
        let Some(handle) =
            self.ground.sessions.get_mut(session).and_then(|entry| entry.close(channel))
        else {
            return;
        };
        match handle {
            Handle::Queue { queue: id, .. } => {
                if let Some(queue) = self.queues.get_mut(id) {
                    queue.holders -= 1;
                    queue.carriers.remove(&(session, channel));
                    self.let_go(id);
                }
            }
            Handle::Waiter { queue: id, waiter } => {
                if let Some(queue) = self.queues.get_mut(id) {
                    queue.drop_waiter(&mut self.ground, waiter);
                    self.let_go(id);
                }
            }
            Handle::Publisher(publisher) => {
                if let Some(relayed) = publisher.relayed {
                    self.drop_upstream(relayed, (session, channel));
                }
                if let Some(topic) = self.topics.get_mut(publisher.topic) {
                    topic.publishers -= 1;
                    topic.forget_watcher(session, channel);
                    self.drop_idle_topic(publisher.topic);
                }
            }
            Handle::Subscription(id) => self.leave(id, session, channel),
            Handle::Host { queue } => self.unhost(queue),
            Handle::Caller { .. } | Handle::Permit(_) => {}
            Handle::Interest => self.stop_watching(session, channel),
            Handle::Server { service, server } => self.drop_server(session, service, server),
        }
    }
}
