//! How a slow subscription holds publishers back, and for how long at most.
//!
//! What is published on a topic that is held back waits in the topic, in order. Invariant: while
//! something waits, every subscription that holds the topic back has a clock running.

use crate::arena::Id;
use crate::error::ErrorKind;
use crate::message::Message;

use super::Router;
use super::command::{Channel, Ticket};
use super::effect::{Answer, Stamp};
use super::session::Session;
use super::timer::Timer;
use super::topic::{Held, Subscription, Topic};

impl Router {
    /// Whether a message would have to wait, and may not.
    pub(super) fn is_crowded(
        &self,
        id: Id<Topic>,
        session: Id<Session>,
        message: &Message,
    ) -> bool {
        let waits = |topic: &Topic| topic.holding > 0 || !topic.held.is_empty();
        let parked = self.ground.sessions.get(session).map_or(0, |entry| entry.parked_bytes);
        self.topics.get(id).is_some_and(waits)
            && parked + message.cost() > self.config.parked_bytes_max
    }

    /// Keeps a message until the slow subscriptions have room for it.
    pub(super) fn hold(
        &mut self,
        id: Id<Topic>,
        session: Id<Session>,
        channel: Channel,
        stamp: Stamp,
        mut message: Message,
        ticket: Option<Ticket>,
    ) {
        let (Some(topic), Some(entry)) =
            (self.topics.get_mut(id), self.ground.sessions.get_mut(session))
        else {
            return;
        };
        message.compact();
        if entry.parked_bytes + message.cost() > self.config.parked_bytes_max {
            let text = format!(
                "topic `{}` is held back by a slow subscriber, and this session has too many bytes waiting",
                topic.name
            );
            return self.refuse_publish(session, channel, ticket, ErrorKind::QuotaExceeded, &text);
        }
        entry.parked_bytes += message.cost();
        if let Some(publisher) = entry.publisher(channel) {
            publisher.held += 1;
        }
        topic.held.push_back(Held::Message { session, channel, stamp, message, ticket });
        self.start_clocks(id);
    }

    /// From now on each subscription that holds back what waits in this topic has so long.
    pub(super) fn start_clocks(&mut self, id: Id<Topic>) {
        let Some(topic) = self.topics.get(id).filter(|topic| topic.has_held()) else { return };
        let until = self.ground.now.after(topic.options.hold);
        for link in topic.links.iter().filter(|link| link.hold) {
            let Some(slow) = self.subscriptions.get_mut(link.subscription) else { continue };
            if let Some(stop) = slow.stopped.get_mut(&id) {
                if stop.start_clock(until) {
                    self.ground.timers.set(until, Timer::Stopped(slow.id, id));
                }
            } else if slow.full && slow.hold_until.is_none() {
                slow.hold_until = Some(until);
                self.ground.timers.set(until, Timer::Hold(slow.id));
            }
        }
    }

    /// Lets in what was held, as far as nothing holds it back again.
    pub(super) fn release(&mut self, id: Id<Topic>) {
        while let Some(topic) = self.topics.get_mut(id) {
            // A flush waits for what is before it only.
            if topic.holding > 0 && !matches!(topic.held.front(), Some(Held::Flush { .. })) {
                return;
            }
            match topic.held.pop_front() {
                None => return self.drop_idle_topic(id),
                Some(Held::Flush { session, channel, request }) => {
                    self.flush_ended(session, channel);
                    self.ground.reply(session, request, Ok(Answer::Done { count: 1 }));
                }
                Some(Held::Parcel { session, channel, stamp, parcel }) => {
                    self.release_parcel(id, session, channel, stamp, parcel);
                }
                Some(Held::Message { session, channel, stamp, message, ticket }) => {
                    if let Some(entry) = self.ground.sessions.get_mut(session) {
                        entry.parked_bytes -= message.cost();
                        if let Some(publisher) = entry.publisher(channel)
                            && publisher.source.key == stamp.source.key
                        {
                            publisher.held -= 1;
                        }
                    }
                    self.let_in(id, session, channel, stamp, message, ticket);
                }
            }
        }
    }

    /// Marks a subscription as full or not, and holds or lets go its topics.
    pub(super) fn set_full(&mut self, id: Id<Subscription>, full: bool) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        if subscription.full == full {
            return;
        }
        subscription.full = full;
        if !full && let Some(until) = subscription.hold_until.take() {
            self.ground.timers.clear(until, Timer::Hold(id));
        }
        // What it has stopped is held, or not, whether it is full or not.
        let stopped = &subscription.stopped;
        let changes = |(topic, hold): &&(Id<Topic>, bool)| *hold && !stopped.contains_key(topic);
        let topics: Vec<_> =
            subscription.topics.iter().filter(changes).map(|(topic, _)| *topic).collect();
        for topic in &topics {
            if let Some(topic) = self.topics.get_mut(*topic) {
                if full { topic.holding += 1 } else { topic.holding -= 1 }
            }
        }
        for topic in topics {
            if full { self.start_clocks(topic) } else { self.release(topic) }
        }
    }

    /// A subscription that has held publishers back for too long ends.
    pub(super) fn hold_is_over(&mut self, id: Id<Subscription>) {
        let now = self.ground.now;
        let over = self
            .subscriptions
            .get(id)
            .and_then(|slow| slow.hold_until)
            .is_some_and(|until| until <= now);
        if !over {
            return;
        }
        let Some(slow) = self.subscriptions.get_mut(id) else { return };
        let topics = &self.topics;
        let holds_back = |(topic, hold): &(Id<Topic>, bool)| {
            let held = topics.get(*topic).is_some_and(Topic::has_held);
            *hold && held && !slow.stopped.contains_key(topic)
        };
        if slow.topics.iter().any(holds_back) {
            self.end_too_slow(id, "it has held publishers back for longer than the topic allows");
        } else {
            // What it held back has gone with its topic.
            slow.hold_until = None;
        }
    }
}
