//! Receivers of a hosted queue: each has a double at home while it can be handed something.
//!
//! A receiver stands in no line here; it waits at home, through its double. Whoever cannot be
//! handed anything for now (away, too much unsettled or unwritten) has a double without credit;
//! what comes for it all the same goes home again, unmarked.

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{HOSTED_PATIENCE, HOSTED_RECEIVERS_MAX};
use crate::message::{Message, SharedSender};
use crate::router::Output;
use crate::router::command::{ConsumeOptions, Lease};
use crate::router::fault::Fault;
use crate::router::ground::Ground;
use crate::router::lease::{Leased, Stored};
use crate::router::queue::Queue;
use crate::router::session::{Handle, Session};
use crate::router::timer::Timer;
use crate::router::waiter::Waiter;
use crate::router::{Router, SessionId};

use super::{Double, Forsaken, HostedAsk, Hosting};

/// A delivery as it comes from home.
pub(super) struct Delivered {
    pub receiver: u64,
    pub lease: Lease,
    pub attempt: u32,
    pub sender: SharedSender,
    pub message: Message,
}

impl Hosting {
    /// Sees to it that a receiver has a double with the credit that it may use now.
    fn care_for(
        &mut self,
        ground: &mut Ground,
        id: Id<Waiter>,
        options: ConsumeOptions,
        may: bool,
    ) {
        if let Some(double) = self.doubles.get_mut(&id) {
            double.paused = !may;
            if options.once {
                // A receive has no credit to change: it is asked for again.
                if !may {
                    self.drop_double(ground, id);
                }
                return;
            }
            let credit = if may { options.credit } else { 0 };
            if !double.changing && double.credit != credit {
                (double.credit, double.changing) = (credit, true);
                let receiver = double.number;
                self.ask(ground, HostedAsk::Credit { receiver, credit });
            }
        } else if may && self.home_is_up && self.host.is_some() {
            self.next_receiver += 1;
            let (receiver, credit) = (self.next_receiver, options.credit);
            self.receivers.insert(receiver, id);
            let double = Double { number: receiver, credit, changing: false, paused: false };
            self.doubles.insert(id, double);
            self.ask(ground, HostedAsk::Consume { receiver, options });
        }
    }

    /// Closes the double of a receiver, if it has one.
    fn drop_double(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        let Some(double) = self.doubles.remove(&id) else { return };
        let receiver = double.number;
        self.receivers.remove(&receiver);
        self.closing.insert(receiver);
        self.ask(ground, HostedAsk::Close { receiver });
    }

    /// The double has ended at home: whose it was.
    fn double_ended(&mut self, receiver: u64) -> Option<Id<Waiter>> {
        let id = self.receivers.remove(&receiver)?;
        self.doubles.remove(&id);
        Some(id)
    }
}

impl Queue {
    /// Whether one more receiver may ask at home.
    pub(in crate::router) fn check_hosted_receiver(
        &self,
        ground: &Ground,
        options: &ConsumeOptions,
    ) -> Result<(), Failure> {
        let Some(hosting) = &self.hosted else { return Ok(()) };
        self.check_way()?;
        if self.waiters.len() + hosting.closing.len() >= HOSTED_RECEIVERS_MAX {
            let text = format!(
                "queue `{}` lives at another broker and has {HOSTED_RECEIVERS_MAX} receivers here (those whose end is on its way among them), which is the limit",
                self.name
            );
            return Err(Failure::new(ErrorKind::QuotaExceeded, text));
        }
        match options.once && !options.wait && !hosting.is_reachable(ground) {
            true => Err(self.unreachable(ground)),
            false => Ok(()),
        }
    }

    /// Sees to the double of a receiver. Nothing to be done if the queue lives here.
    pub(in crate::router) fn serve_hosted(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        let Queue { id: own, hosted: Some(hosting), waiters, .. } = self else { return };
        let Some(waiter) = waiters.get_mut(id) else { return };
        let may = ground.may_lease(waiter.session, waiter.channel);
        let options = waiter.options;
        hosting.care_for(ground, id, options, may);
        if options.once && !options.wait && waiter.patience.is_none() {
            let until = ground.now.after(HOSTED_PATIENCE);
            waiter.patience = Some(until);
            ground.timers.set(until, Timer::Patience(*own, id));
        }
    }

    /// A receiver of a hosted queue is gone.
    pub(in crate::router) fn forget_double(&mut self, ground: &mut Ground, id: Id<Waiter>) {
        if let Some(hosting) = &mut self.hosted
            && !ground.planted(Fault::HostedDoubleStays)
        {
            hosting.drop_double(ground, id);
        }
    }

    /// Sees to all receivers, those first that have waited longest.
    pub(super) fn serve_all_hosted(&mut self, ground: &mut Ground) {
        let mut waiters: Vec<_> = self.waiters.iter().map(|(id, _)| id).collect();
        waiters.sort_by_key(|id| id.serial());
        for id in waiters {
            self.serve_hosted(ground, id);
        }
    }

    /// Home has another credit on its books.
    pub(super) fn credited(&mut self, ground: &mut Ground, receiver: u64) {
        let Some(hosting) = &mut self.hosted else { return };
        let Some(id) = hosting.receivers.get(&receiver).copied() else { return };
        if let Some(double) = hosting.doubles.get_mut(&id) {
            double.changing = false;
        }
        self.serve_hosted(ground, id);
    }

    /// A double has ended, and with it the receiver.
    pub(super) fn double_over(&mut self, ground: &mut Ground, receiver: u64, failure: Failure) {
        let Some(id) = self.hosted.as_mut().and_then(|hosting| hosting.double_ended(receiver))
        else {
            return;
        };
        self.end_hosted_waiter(ground, id, failure);
    }

    /// Ends a receiver.
    pub(super) fn end_hosted_waiter(
        &mut self,
        ground: &mut Ground,
        id: Id<Waiter>,
        failure: Failure,
    ) {
        if let Some(Waiter { session, channel, .. }) = self.drop_waiter(ground, id) {
            self.note_if_left(ground);
            ground.end_channel(session, channel, failure);
        }
    }

    /// Hands a delivery to the receiver that it is for, or gives it back to its home.
    pub(super) fn hand_over(&mut self, ground: &mut Ground, delivered: Delivered) {
        let home = delivered.lease;
        if !self.hand_out(ground, delivered)
            && let Some(hosting) = &self.hosted
        {
            let unread = Forsaken { unmarked: vec![home], ..Forsaken::default() };
            hosting.ask(ground, HostedAsk::Return(unread));
        }
    }

    /// Whether there was somebody to hand it to.
    pub(super) fn hand_out(&mut self, ground: &mut Ground, delivered: Delivered) -> bool {
        let Delivered { receiver, lease: home, attempt, sender, message } = delivered;
        let Queue { hosted: Some(hosting), waiters, .. } = self else { return true };
        if hosting.has_lease(home, 1) {
            // The bridge is wrong: the delivery that bears this number is out already.
            return true;
        }
        let Some(id) = hosting.receivers.get(&receiver).copied() else { return false };
        let Some(waiter) = waiters.get_mut(id) else { return false };
        let (to, channel, options) = (waiter.session, waiter.channel, waiter.options);
        if options.once {
            hosting.double_ended(receiver);
        }
        if !ground.may_lease(to, channel) {
            self.serve_hosted(ground, id);
            return false;
        }
        let Some(session) = ground.sessions.get_mut(to) else { return false };
        let sender = hosting.sender_here(&sender);
        let (auto_ack, cost) = (options.auto_ack, message.cost());
        let stored = Stored { attempt, ..Stored::new(message.clone(), sender.clone(), home) };
        let lease = session.leases.push(Leased {
            queue: self.id,
            waiter: id,
            stored,
            taken: false,
            deadline: None,
            auto_ack,
            recalled_for: None,
        });
        session.leased_bytes += cost;
        hosting.note_out(to, lease, home, 1);
        waiter.outstanding += 1;
        if !options.once {
            waiter.untaken.push(lease, 1);
        }
        self.leased += 1;
        self.counters.delivered += 1;
        self.counters.redelivered += u64::from(attempt > 0);
        self.counters.last_receive = Some((session.sender.clone(), ground.now));
        if options.once {
            session.close(channel);
            self.drop_waiter(ground, id);
        }
        ground.tell(to, Output::Lease { channel, lease, attempt, auto_ack, sender, message });
        true
    }

    /// A receiver that would not wait has waited long enough for the home of the queue.
    pub(in crate::router) fn hosted_patience_is_over(
        &mut self,
        ground: &mut Ground,
        id: Id<Waiter>,
    ) {
        let failure = self.unreachable(ground);
        self.end_hosted_waiter(ground, id, failure);
    }
}

impl Router {
    /// A session cannot be handed anything for now: its doubles are told.
    pub(in crate::router) fn pause_doubles(&mut self, session: SessionId) {
        if self.ground.hosted == 0 {
            return;
        }
        for (queue, waiter) in self.receivers_of(session) {
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.serve_hosted(&mut self.ground, waiter);
            }
        }
    }

    fn receivers_of(&self, session: Id<Session>) -> Vec<(Id<Queue>, Id<Waiter>)> {
        let Some(entry) = self.ground.sessions.get(session) else { return Vec::new() };
        let channels = entry.channels();
        let receiver = |channel| match entry.handle(channel) {
            Some(Handle::Waiter { queue, waiter }) => Some((*queue, *waiter)),
            _ => None,
        };
        channels.into_iter().filter_map(receiver).collect()
    }
}
