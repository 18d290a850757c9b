//! Topics of which a subscription of a bridge takes nothing for now, one by one.
//!
//! The publishers of such a topic wait as behind a full subscription, and all its other topics go
//! on. What waits too long is let in, and passes by the subscription until that resumes the topic;
//! whoever reads it sees the gap in the numbers. Invariant: a topic is stopped only by
//! subscriptions that are linked to it, so that nothing of it stays when either of them goes.

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::name::Name;
use crate::time::Time;

use super::Router;
use super::command::{Channel, SlowPolicy};
use super::effect::{Answer, Output};
use super::fault::Fault;
use super::session::{Handle, Session};
use super::timer::Timer;
use super::topic::{Subscription, Topic};

/// How a subscription stands to a topic that it has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It holds publishers back; if one waits, until then.
    Holds { until: Option<Time> },
    /// What is published passes by; so many messages have.
    Passes { count: u64 },
}

impl Stop {
    /// From now on it has so long, if nothing else was said. Whether that is news.
    pub(super) fn start_clock(&mut self, at: Time) -> bool {
        match self {
            Stop::Holds { until: until @ None } => until.replace(at).is_none(),
            _ => false,
        }
    }
}

impl Router {
    /// A subscription of a bridge takes nothing more of a topic, or again.
    pub(super) fn hold_beyond(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        topic: &Name,
        hold: bool,
    ) -> Result<Answer, Failure> {
        let own = match self.ground.handle(session, channel) {
            Ok(Handle::Subscription(id)) => self.subscriptions.get(*id),
            _ => None,
        };
        let Some(subscription) = own.filter(|own| own.beyond.is_some()) else {
            let text = format!("channel {channel} is no subscription of a bridge");
            return Err(Failure::new(ErrorKind::Closed, text));
        };
        if subscription.options.policy != SlowPolicy::Hold {
            let text = format!(
                "the subscription to `{}` cannot stop a topic: it never holds publishers back",
                subscription.pattern
            );
            return Err(Failure::new(ErrorKind::InvalidArgument, text));
        }
        let id = subscription.id;
        let count = match self.topic_names.get(topic).copied() {
            Some(at) if hold => {
                self.stop(id, at);
                0
            }
            Some(at) => self.resume_topic(id, at),
            None => 0,
        };
        Ok(Answer::Done { count })
    }

    fn stop(&mut self, id: Id<Subscription>, at: Id<Topic>) {
        let (Some(topic), Some(subscription)) =
            (self.topics.get_mut(at), self.subscriptions.get_mut(id))
        else {
            return;
        };
        let may = topic.links.iter().any(|link| link.subscription == id && link.hold);
        if may && !subscription.stopped.contains_key(&at) {
            let held = subscription.holds(at);
            topic.holding += u32::from(!held);
            // What waits already behind it, since it is full, waits no longer for that.
            let until = subscription.hold_until.filter(|_| held && topic.has_held());
            subscription.stopped.insert(at, Stop::Holds { until });
            match until {
                Some(until) => self.ground.timers.set(until, Timer::Stopped(id, at)),
                None => self.start_clocks(at),
            }
        }
    }

    /// Takes a stopped topic again. Gives how many messages of it have passed by.
    fn resume_topic(&mut self, id: Id<Subscription>, at: Id<Topic>) -> u64 {
        let (Some(topic), Some(subscription)) =
            (self.topics.get_mut(at), self.subscriptions.get_mut(id))
        else {
            return 0;
        };
        if self.ground.planted(Fault::StopStays) {
            return 0;
        }
        let held = subscription.holds(at);
        let Some(stop) = subscription.stopped.remove(&at) else { return 0 };
        let holds = subscription.holds(at);
        topic.holding = topic.holding + u32::from(holds) - u32::from(held);
        for link in topic.links.iter_mut().filter(|link| link.subscription == id) {
            link.passes = false;
        }
        self.clear_stop(id, at, stop);
        match holds {
            true => self.start_clocks(at),
            false => self.release(at),
        }
        match stop {
            Stop::Passes { count } => count,
            Stop::Holds { .. } => 0,
        }
    }

    /// Nobody can name this topic any more, so nobody could resume it.
    pub(super) fn resume_everywhere(&mut self, at: Id<Topic>) {
        let links = self.topics.get(at).map(|topic| topic.links.clone()).unwrap_or_default();
        for link in links {
            self.resume_topic(link.subscription, at);
        }
    }

    /// A subscription has lost its link to a topic; what it counted there is settled already.
    pub(super) fn forget_stop(&mut self, id: Id<Subscription>, at: Id<Topic>) {
        let subscription = self.subscriptions.get_mut(id);
        if let Some(stop) = subscription.and_then(|entry| entry.stopped.remove(&at)) {
            self.clear_stop(id, at, stop);
        }
    }

    /// The same, since the topic is gone. Nobody takes it again, so what has passed by is told now: no
    /// number will show it.
    pub(super) fn forget_stop_of_gone(&mut self, id: Id<Subscription>, at: Id<Topic>) {
        let subscription = self.subscriptions.get(id);
        let stop = subscription.and_then(|entry| Some((entry.stopped.get(&at)?, &entry.members)));
        if let Some((Stop::Passes { count: count @ 1.. }, members)) = stop {
            for member in members {
                let (channel, count) = (member.channel, *count);
                let output = Output::Lost { channel, count, unconfirmed: 0 };
                self.ground.tell(member.session, output);
            }
        }
        self.forget_stop(id, at);
    }

    pub(super) fn clear_stop(&mut self, id: Id<Subscription>, at: Id<Topic>, stop: Stop) {
        if let Stop::Holds { until: Some(until) } = stop {
            self.ground.timers.clear(until, Timer::Stopped(id, at));
        }
    }

    /// A subscription has held one topic back for long. If something waits, this topic goes on
    /// without it; all others are as before.
    pub(super) fn stop_is_over(&mut self, id: Id<Subscription>, at: Id<Topic>) {
        let now = self.ground.now;
        let (Some(topic), Some(subscription)) =
            (self.topics.get_mut(at), self.subscriptions.get_mut(id))
        else {
            return;
        };
        let Some(stop) = subscription.stopped.get_mut(&at) else { return };
        match *stop {
            Stop::Holds { until: Some(until) } if until <= now => {}
            _ => return,
        }
        if !topic.has_held() {
            *stop = Stop::Holds { until: None };
            return;
        }
        *stop = Stop::Passes { count: 0 };
        topic.holding -= 1;
        topic.too_slow += 1;
        for link in topic.links.iter_mut().filter(|link| link.subscription == id) {
            link.passes = true;
        }
        self.release(at);
    }
}

impl Subscription {
    /// Whether it holds back the publishers of a topic, if its link to that is one that may.
    pub(super) fn holds(&self, topic: Id<Topic>) -> bool {
        match self.stopped.get(&topic) {
            Some(Stop::Holds { .. }) => true,
            Some(Stop::Passes { .. }) => false,
            None => self.full,
        }
    }

    /// Whether what is published on a topic passes by.
    pub(super) fn passes_by(&self, topic: Id<Topic>) -> bool {
        matches!(self.stopped.get(&topic), Some(Stop::Passes { .. }))
    }

    /// So many more have.
    pub(super) fn note_passed(&mut self, topic: Id<Topic>, more: u64) {
        if let Some(Stop::Passes { count }) = self.stopped.get_mut(&topic) {
            *count += more;
        }
    }
}
