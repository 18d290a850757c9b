//! Queues as named objects: create, open, change, purge, retire, remove, and dead letters.
//!
//! Ids are never reused, so a handle on a removed queue never reaches a new one of its name.

use std::collections::BTreeSet;

use crate::arena::{Arena, Id};
use crate::error::{ErrorKind, Failure};
use crate::message::SharedSender;
use crate::name::Name;

use super::Router;
use super::command::{AdminAction, Channel, Lifetime, OpenMode, QueueChange, QueueOptions};
use super::effect::Answer;
use super::ground::Ground;

use super::policy::Deed;
use super::queue::{Counters, Queue};
use super::rights::{Access, Right};
use super::session::{Handle, Session};
use super::shelf::Shelf;
use super::waiter::Waiter;

impl Router {
    pub(super) fn open_queue(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        name: Name,
        open: OpenMode,
        options: QueueOptions,
    ) -> Result<Answer, Failure> {
        let Some(entry) = self.ground.sessions.get(session) else {
            return Err(Failure::new(ErrorKind::Closed, "the session is over"));
        };
        entry.check_free(channel)?;
        let may = self.deeds(session, &name);
        self.check_open(session, may, &name)?;
        let (id, created) = match (self.queue_names.get(&name).copied(), open) {
            (Some(_), OpenMode::Create) => {
                return Err(Failure::new(
                    ErrorKind::AlreadyExists,
                    format!(
                        "queue `{name}` is there already: open it without creating, or take another name"
                    ),
                ));
            }
            (Some(id), _) => (id, false),
            (None, OpenMode::Open) => {
                return Err(self.no_such("queue", &name, self.queue_names.keys()));
            }
            (None, _) => (self.create_queue(session, name.clone(), options)?, true),
        };
        let mut hosted = false;
        if let Some(queue) = self.queues.get_mut(id) {
            let Some(entry) = self.ground.sessions.get_mut(session) else {
                return Ok(Answer::Done { count: 0 });
            };
            let allowed = |right| queue.access.allows(&entry.identity, right);
            if !(allowed(Right::Read) || allowed(Right::Write) || allowed(Right::Administer)) {
                let verb = "read or write";
                return Err(super::denied(&entry.identity, verb, "queue", &name, &queue.access));
            }
            entry.open(channel, Handle::Queue { queue: id, may, carried: false })?;
            queue.holders += 1;
            hosted = queue.hosted.is_some();
        }
        Ok(Answer::Opened { id: id.serial(), created, hosted })
    }

    fn create_queue(
        &mut self,
        session: Id<Session>,
        name: Name,
        options: QueueOptions,
    ) -> Result<Id<Queue>, Failure> {
        if options.lifetime == Lifetime::Durable {
            return Err(Failure::new(
                ErrorKind::Unsupported,
                format!(
                    "queue `{name}`: durable queues are not built yet; leave `durable` out for one in memory"
                ),
            ));
        }
        self.check_deed(session, Deed::Create, "queue", &name)?;
        self.check_dead_letter(session, &name, options.dead_letter.as_ref())?;
        self.check_not_a_trap(session, &name)?;
        let any = [Right::Read, Right::Write, Right::Administer];
        let mode = self.config.queue_mode;
        let access = self.new_access(session, &name, "queue", options.mode, mode, &any)?;
        self.check_count("queues", self.queues.len(), self.config.queues_max)?;
        let Some(entry) = self.ground.sessions.get(session) else {
            return Err(Failure::new(ErrorKind::Closed, "the session is over"));
        };
        let creator = entry.sender.clone();
        Ok(self.insert_queue(session, creator, name, access, options))
    }

    pub(super) fn insert_queue(
        &mut self,
        creator_session: Id<Session>,
        creator: SharedSender,
        name: Name,
        access: Access,
        options: QueueOptions,
    ) -> Id<Queue> {
        let id = self.queues.insert_with(|id| Queue {
            id,
            name: name.clone(),
            access,
            creator,
            creator_session,
            options,
            shelf: Shelf::default(),
            blocked: Shelf::default(),
            delayed: Default::default(),
            delay_timer: None,
            waiters: Arena::default(),
            line: Default::default(),
            bearers: Default::default(),
            held: Default::default(),
            look_due: false,
            cautious: BTreeSet::new(),
            caution_timer: None,
            #[cfg(test)]
            looked_at: 0,
            bytes: 0,
            reserved_bytes: 0,
            reserved_count: 0,
            leased: 0,
            next_arrival: 0,
            holders: 0,
            carriers: BTreeSet::new(),
            retired: false,
            hosted: None,
            counters: Counters::default(),
        });
        self.queue_names.insert(name, id);
        id
    }

    pub(super) fn admin_queue(
        &mut self,
        session: Id<Session>,
        name: &Name,
        action: AdminAction,
    ) -> Result<Answer, Failure> {
        self.check_deed(session, Deed::Administer, "queue", name)?;
        let Some(id) = self.queue_names.get(name).copied() else {
            return Err(self.no_such("queue", name, self.queue_names.keys()));
        };
        let Some(queue) = self.queues.get_mut(id) else { return Ok(Answer::Done { count: 0 }) };
        let access = queue.access;
        self.check_right(session, &access, Right::Administer, "queue", name)?;
        let Some(queue) = self.queues.get_mut(id) else { return Ok(Answer::Done { count: 0 }) };
        if queue.hosted.is_some() {
            return Err(queue.lives_elsewhere(&self.ground));
        }
        Ok(match action {
            AdminAction::Remove => Answer::Done { count: self.remove_queue(id) },
            AdminAction::Retire => {
                queue.retired = true;
                // A lease holds it as a handle does.
                let holders = queue.holders + queue.leased;
                let messages = queue.waiting_count() + queue.leased;
                self.queue_names.remove(name);
                self.list_as_retired(name, id);
                self.let_go(id);
                Answer::Retired { messages, holders }
            }
            AdminAction::Purge => Answer::Done { count: queue.purge(&mut self.ground) },
        })
    }

    /// Removes a queue at once: everyone who waits is told. Returns how many messages went.
    pub(super) fn remove_queue(&mut self, id: Id<Queue>) -> u64 {
        let Some(mut queue) = self.queues.remove(id) else { return 0 };
        self.ground.hosted -= usize::from(queue.hosted.is_some());
        if self.queue_names.get(&queue.name) == Some(&id) {
            self.queue_names.remove(&queue.name);
        }
        self.forget_retired(&queue.name, id);
        let failure = queue.removed();
        let count = queue.waiting_count();
        queue.clear_delayed(&mut self.ground);
        let waiters: Vec<_> = queue.waiters.iter().map(|(waiter, _)| waiter).collect();
        for waiter in waiters {
            if let Some(Waiter { session, channel, .. }) =
                queue.drop_waiter(&mut self.ground, waiter)
            {
                self.ground.end_channel(session, channel, failure.clone());
            }
        }
        while let Some(place) = queue.blocked.first() {
            if let Some(blocked) = queue.unblock(&mut self.ground, place) {
                self.ground.verdict(blocked.session, blocked.ticket, Err(failure.clone()));
            }
        }
        for (session, channel) in queue.carriers {
            self.ground.end_channel(session, channel, failure.clone());
        }
        count
    }

    /// One holder less: a retired queue, or one that lives with its holders, may end.
    pub(super) fn let_go(&mut self, id: Id<Queue>) {
        let Some(queue) = self.queues.get(id) else { return };
        let with_holders = queue.retired || queue.options.lifetime == Lifetime::LastHolder;
        if with_holders && queue.holders == 0 && queue.leased == 0 {
            self.remove_queue(id);
        }
    }

    pub(super) fn set_queue(
        &mut self,
        session: Id<Session>,
        name: &Name,
        change: QueueChange,
    ) -> Result<Answer, Failure> {
        self.check_deed(session, Deed::Administer, "queue", name)?;
        let Some(id) = self.queue_names.get(name).copied() else {
            return Err(self.no_such("queue", name, self.queue_names.keys()));
        };
        let Some(queue) = self.queues.get_mut(id) else { return Ok(Answer::Done { count: 0 }) };
        let access = queue.access;
        self.check_right(session, &access, Right::Administer, "queue", name)?;
        self.check_chown(session, change.owner.is_some() || change.group.is_some(), name)?;
        self.check_dead_letter(session, name, change.dead_letter.as_ref())?;
        let Some(queue) = self.queues.get_mut(id) else { return Ok(Answer::Done { count: 0 }) };
        let rights = QueueChange { mode: None, owner: None, group: None, ..change.clone() };
        if queue.hosted.is_some() && rights != QueueChange::default() {
            return Err(queue.lives_elsewhere(&self.ground));
        }
        let options = &mut queue.options;
        options.bytes_max = change.bytes_max.unwrap_or(options.bytes_max);
        options.count_max = change.count_max.unwrap_or(options.count_max);
        options.lease = change.lease.unwrap_or(options.lease);
        options.deliveries_max = change.deliveries_max.unwrap_or(options.deliveries_max);
        options.dead_letter = change.dead_letter.or(options.dead_letter.take());
        queue.access = change_access(access, change.mode, change.owner, change.group);
        if queue.access != access {
            queue.check_rights_again(&mut self.ground);
        }
        queue.refuse_impossible(&mut self.ground);
        queue.admit(&mut self.ground);
        Ok(Answer::Done { count: 1 })
    }
}

impl Queue {
    fn purge(&mut self, ground: &mut Ground) -> u64 {
        let count = self.waiting_count();
        self.shelf = Shelf::default();
        self.clear_delayed(ground);
        self.bytes = 0;
        self.counters.dropped += count;
        self.admit(ground);
        self.note_suspect_gone(ground);
        count
    }

    /// After a change of rights: those who wait without the right any more end.
    fn check_rights_again(&mut self, ground: &mut Ground) {
        let lacks = |ground: &Ground, session: Id<Session>, right: Right| {
            let identity = ground.sessions.get(session).map(|entry| &entry.identity);
            identity.filter(|identity| !self.access.allows(identity, right)).map(|identity| {
                super::denied(identity, right.verb(), "queue", &self.name, &self.access)
            })
        };
        let waiters: Vec<_> =
            self.waiters.iter().map(|(id, waiter)| (id, waiter.session, waiter.channel)).collect();
        let mut ended = Vec::new();
        for (id, session, channel) in waiters {
            if let Some(failure) = lacks(ground, session, Right::Read) {
                ended.push((id, session, channel, failure));
            }
        }
        for (id, session, channel, failure) in ended {
            self.drop_waiter(ground, id);
            self.note_if_left(ground);
            ground.end_channel(session, channel, failure);
        }
        self.filter_blocked(ground, |queue, ground, session, _| {
            let identity = &ground.sessions.get(session)?.identity;
            let allowed = queue.access.allows(identity, Right::Write);
            (!allowed)
                .then(|| super::denied(identity, "write", "queue", &queue.name, &queue.access))
        });
    }

    /// After a change of limits: those who wait for room that there will never be, end.
    fn refuse_impossible(&mut self, ground: &mut Ground) {
        self.filter_blocked(ground, |queue, _, _, length| {
            let text = format!("queue `{}` was made smaller than the message", queue.name);
            (!queue.could_fit(length)).then(|| Failure::new(ErrorKind::TooBig, text))
        });
    }

    fn filter_blocked(
        &mut self,
        ground: &mut Ground,
        refuse: impl Fn(&Queue, &Ground, Id<Session>, u64) -> Option<Failure>,
    ) {
        let all = self.blocked.drain();
        for (place, blocked) in all {
            let length = blocked.content.length();
            match refuse(self, ground, blocked.session, length) {
                None => self.blocked.insert(place, blocked),
                Some(failure) => {
                    self.forget_blocked(ground, &blocked);
                    ground.verdict(blocked.session, blocked.ticket, Err(failure));
                }
            }
        }
    }
}

/// The access after a change.
pub(super) fn change_access(
    access: Access,
    mode: Option<u16>,
    owner: Option<u32>,
    group: Option<u32>,
) -> Access {
    Access {
        owner: owner.or(access.owner),
        group: group.or(access.group),
        mode: mode.unwrap_or(access.mode),
    }
}
