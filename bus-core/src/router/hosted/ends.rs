//! Hosting begins and ends; and what becomes of what was under way when the home is lost.
//!
//! Whoever waits survives a short outage: receivers stay and are asked for again, sends that had
//! not left wait on. What had left and was not answered is unknown, deliveries are stale, since
//! home gives them to others; whoever would not wait is told that the home cannot be reached. A
//! queue that nobody hosts any more is given up after a while.

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{HOPS_MAX, HOSTED_LINGER, HOSTED_QUEUES_MAX, QUEUE_BYTES_MAX, QUEUE_COUNT_MAX};
use crate::name::Name;
use crate::router::command::{Channel, OpenMode, QueueOptions};
use crate::router::effect::Answer;
use crate::router::fault::Fault;
use crate::router::ground::Ground;
use crate::router::policy::Deed;
use crate::router::provenance::Epoch;
use crate::router::queue::Queue;
use crate::router::rights::Right;
use crate::router::session::{Handle, Session};
use crate::router::timer::Timer;
use crate::router::{Output, Router};
use crate::runs::Run;

use super::Hosting;

impl Router {
    /// Opens a queue so that a bridge can have it hosted elsewhere; says which brokers are between.
    pub(in crate::router) fn open_home(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        name: Name,
        open: OpenMode,
    ) -> Result<Answer, Failure> {
        self.check_bridge_queue(session, &name)?;
        self.open_queue(session, channel, name, open, QueueOptions::default())?;
        let entry = self.ground.sessions.get_mut(session);
        if let Some(queue) = entry.and_then(|entry| entry.note_carried(channel))
            && let Some(queue) = self.queues.get_mut(queue)
        {
            queue.carriers.insert((session, channel));
        }
        Ok(Answer::Home { hops: self.way_on(session, channel) })
    }

    /// Hosts a queue that lives elsewhere.
    pub(in crate::router) fn host_queue(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        name: Name,
        mode: Option<u16>,
        hops: Vec<Epoch>,
    ) -> Result<Answer, Failure> {
        self.check_bridge_queue(session, &name)?;
        if let Err(failure) = self.check_hops(&name, &hops) {
            self.refuse_way(&name, &failure);
            return Err(failure);
        }
        let Some(entry) = self.ground.sessions.get(session) else {
            return Err(Failure::new(ErrorKind::Closed, "the session is over"));
        };
        entry.check_free(channel)?;
        let hosted = self.hosted_by(session).len();
        self.check_count("queues hosted by one bridge", hosted, HOSTED_QUEUES_MAX)?;
        let (id, created) = match self.queue_names.get(&name).copied() {
            Some(id) => (self.orphan_of(id, &name)?, false),
            None => (self.create_hosted(session, name, mode)?, true),
        };
        let Router { ground, queues, .. } = self;
        let Some(entry) = ground.sessions.get_mut(session) else {
            return Err(Failure::new(ErrorKind::Closed, "the session is over"));
        };
        entry.open(channel, Handle::Host { queue: id })?;
        if let Some(queue) = queues.get_mut(id) {
            if let Some(hosting) = &mut queue.hosted {
                hosting.host = Some((session, channel));
                hosting.hops.clone_from(&hops);
                if !hops.is_empty() {
                    hosting.refused = None;
                }
                if let Some(until) = hosting.linger_until.take() {
                    ground.timers.clear(until, Timer::Linger(id));
                }
            }
            // Without a way it is held until there is one.
            queue.set_reach(ground, !hops.is_empty());
        }
        self.tell_way(id);
        Ok(Answer::Opened { id: id.serial(), created, hosted: true })
    }

    pub(super) fn check_hops(&self, name: &Name, hops: &[Epoch]) -> Result<(), Failure> {
        if hops.contains(&self.config.epoch) && !self.ground.planted(Fault::HopsIgnored) {
            let text = format!(
                "queue `{name}` lives here or comes from here: the bridges form a loop, and it is not hosted"
            );
            return Err(Failure::new(ErrorKind::Loop, text));
        }
        match hops.len() {
            0..=HOPS_MAX => Ok(()),
            _ => {
                let text = format!("queue `{name}` lives more than {HOPS_MAX} brokers away");
                Err(Failure::new(ErrorKind::QuotaExceeded, text))
            }
        }
    }

    /// The queue, if it is one whose host has gone.
    fn orphan_of(&self, id: Id<Queue>, name: &Name) -> Result<Id<Queue>, Failure> {
        let hosted = self.queues.get(id).and_then(|queue| queue.hosted.as_ref());
        let why = match hosted {
            Some(hosting) if hosting.host.is_none() => return Ok(id),
            Some(_) => "another bridge hosts a queue of that name here",
            None => "a queue of that name lives here",
        };
        let text = format!("queue `{name}`: {why}; remove one, or map it to another name");
        Err(Failure::new(ErrorKind::AlreadyExists, text))
    }

    fn create_hosted(
        &mut self,
        session: Id<Session>,
        name: Name,
        mode: Option<u16>,
    ) -> Result<Id<Queue>, Failure> {
        self.check_deed(session, Deed::Create, "queue", &name)?;
        self.check_not_a_trap(session, &name)?;
        let any = [Right::Read, Right::Write, Right::Administer];
        let access =
            self.new_access(session, &name, "queue", mode, self.config.queue_mode, &any)?;
        self.check_count("queues", self.queues.len(), self.config.queues_max)?;
        let Some(entry) = self.ground.sessions.get(session) else {
            return Err(Failure::new(ErrorKind::Closed, "the session is over"));
        };
        let creator = entry.sender.clone();
        // Its bounds are those of its home; these refuse nothing.
        let options = QueueOptions {
            bytes_max: QUEUE_BYTES_MAX,
            count_max: QUEUE_COUNT_MAX,
            ..QueueOptions::default()
        };
        let id = self.insert_queue(session, creator, name, access, options);
        if let Some(queue) = self.queues.get_mut(id) {
            queue.hosted = Some(Box::default());
            self.ground.hosted += 1;
        }
        Ok(id)
    }

    /// The queues that a session hosts.
    pub(super) fn hosted_by(&self, session: Id<Session>) -> Vec<Id<Queue>> {
        let Some(entry) = self.ground.sessions.get(session) else { return Vec::new() };
        entry
            .handles()
            .filter_map(|handle| match handle {
                Handle::Host { queue } => Some(*queue),
                _ => None,
            })
            .collect()
    }

    /// A session has gone away, or has come back: so it is with what it hosts.
    pub(in crate::router) fn note_host(&mut self, session: Id<Session>) {
        if self.ground.hosted == 0 {
            return;
        }
        for id in self.hosted_by(session) {
            if let Some(queue) = self.queues.get_mut(id) {
                queue.reach_changed(&mut self.ground);
            }
        }
    }

    /// A session is about to end: what it hosts waits for another host.
    pub(in crate::router) fn leave_hosted(&mut self, session: Id<Session>) {
        if self.ground.hosted == 0 {
            return;
        }
        for id in self.hosted_by(session) {
            self.abandon(session, id);
        }
    }

    /// A session does not host this queue any more.
    fn abandon(&mut self, session: Id<Session>, id: Id<Queue>) {
        let Router { ground, queues, .. } = self;
        let Some(queue) = queues.get_mut(id) else { return };
        queue.lose_home(ground);
        let Some(hosting) = &mut queue.hosted else { return };
        if let Some((_, channel)) = hosting.host.take()
            && let Some(entry) = ground.sessions.get_mut(session)
        {
            entry.close(channel);
        }
        let until = ground.now.after(HOSTED_LINGER);
        hosting.linger_until = Some(until);
        ground.timers.set(until, Timer::Linger(id));
    }

    /// The home of a queue can be reached, or cannot. If it came from here by now it is not hosted.
    pub(super) fn home_reached(
        &mut self,
        id: Id<Queue>,
        (session, channel): (Id<Session>, Channel),
        up: bool,
        hops: Vec<Epoch>,
    ) {
        let Some(name) = self.queues.get(id).map(|queue| queue.name.clone()) else { return };
        if !hops.is_empty()
            && let Err(failure) = self.check_hops(&name, &hops)
        {
            self.abandon(session, id);
            self.refuse_way(&name, &failure);
            return self.ground.tell(session, Output::Ended { channel, failure });
        }
        let Router { ground, queues, .. } = self;
        let Some(queue) = queues.get_mut(id) else { return };
        let mut is_new = false;
        if let Some(hosting) = queue.hosted.as_mut().filter(|_| !hops.is_empty()) {
            is_new = hosting.hops != hops;
            (hosting.hops, hosting.refused) = (hops, None);
        }
        if let Some(hosting) = &mut queue.hosted {
            // What it has answered before need not hold any more.
            hosting.denied = None;
        }
        queue.set_reach(ground, up);
        if is_new {
            self.tell_way(id);
        }
    }

    /// Nobody hosts the queue any more, on purpose: whoever waits is told that it was removed.
    pub(in crate::router) fn unhost(&mut self, id: Id<Queue>) {
        let Router { ground, queues, .. } = self;
        let Some(queue) = queues.get_mut(id) else { return };
        queue.lose_home(ground);
        if let Some(hosting) = &mut queue.hosted {
            hosting.host = None;
        }
        self.remove_queue(id);
    }

    /// A queue has waited long enough for a host.
    pub(in crate::router) fn linger_is_over(&mut self, id: Id<Queue>) {
        let hosted = self.queues.get(id).and_then(|queue| queue.hosted.as_ref());
        let until = hosted.and_then(|hosting| hosting.linger_until);
        if until.is_some_and(|until| until <= self.ground.now) {
            self.remove_queue(id);
        }
    }
}

impl Hosting {
    /// Whether it was given up since nobody hosts it.
    pub fn is_abandoned(&self) -> bool {
        self.host.is_none() && self.linger_until.is_some()
    }
}

impl Queue {
    /// Home confirms that a double is closed.
    pub(super) fn double_closed(&mut self, receiver: u64) {
        if let Some(hosting) = &mut self.hosted {
            hosting.closing.remove(&receiver);
        }
    }

    /// Its home can be reached, or cannot, by the host's word.
    pub(super) fn set_reach(&mut self, ground: &mut Ground, up: bool) {
        if up {
            self.home_away("");
        }
        let Some(hosting) = &mut self.hosted else { return };
        if up {
            hosting.denied = None;
        }
        if up && !std::mem::replace(&mut hosting.home_is_up, up) {
            // It may be another life of that broker, whose sessions are counted anew.
            ground.homes_met += 1;
            (hosting.generation, hosting.sender) = (ground.homes_met, None);
        }
        hosting.home_is_up = up;
        self.reach_changed(ground);
    }

    /// Those who would not wait are told; or all go on.
    fn reach_changed(&mut self, ground: &mut Ground) {
        let Some(hosting) = &self.hosted else { return };
        if hosting.is_reachable(ground) {
            self.serve_all_hosted(ground);
            return self.admit(ground);
        }
        self.end_sends_home(ground, false);
        self.end_impatient(ground);
    }

    fn end_impatient(&mut self, ground: &mut Ground) {
        let impatient = self.waiters.iter().filter(|(_, waiter)| {
            let options = waiter.options;
            options.once && !options.wait
        });
        let mut ids: Vec<_> = impatient.map(|(id, _)| id).collect();
        ids.sort_by_key(|id| id.serial());
        for id in ids {
            let failure = self.unreachable(ground);
            self.end_hosted_waiter(ground, id, failure);
        }
    }

    /// What was under way between here and home is lost.
    pub(super) fn lose_home(&mut self, ground: &mut Ground) {
        let Some(hosting) = &mut self.hosted else { return };
        (hosting.home_is_up, hosting.denied) = (false, None);
        hosting.receivers.clear();
        hosting.doubles.clear();
        hosting.closing.clear();
        hosting.by_home.clear();
        hosting.by_local.clear();
        let acks = std::mem::take(&mut hosting.acks);
        let requests = std::mem::take(&mut hosting.requests);
        let failure = |what: &str| {
            let text = format!(
                "queue `{}` lives at another broker, which was lost before it answered the {what}; whether it was carried out is not known, and the message may be delivered again",
                self.name
            );
            Failure::new(ErrorKind::OutcomeUnknown, text)
        };
        for Run { to, at, count, .. } in acks.iter() {
            for lease in at..at + count {
                let failure = failure("acknowledgement");
                ground.tell(to, Output::Unsettled { lease, failure });
            }
        }
        for (session, request) in requests.into_values() {
            ground.reply(session, request, Err(failure("request")));
        }
        self.end_sends_home(ground, true);
        self.end_impatient(ground);
    }
}
