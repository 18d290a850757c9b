//! What a link asks of its near broker, and what that says, in terms of channels.
//!
//! Invariant: a route has at most one channel, and what is said of another one is not meant for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bus_core::bridge::{Action, Link};
use bus_core::router::{Answer, BridgeCommand, Channel, Command, RequestId, Source, Stamp};
use bus_core::session::{ChannelKind, ClientSession, Event, Origin};
use bus_core::{Failure, Header, Message, Name, Run, Stretch, Time};

/// Sources that are remembered.
const SOURCES_MAX: usize = 4096;

/// The subscription of a route.
struct Subscription {
    route: usize,
    /// Whose the last message was, and the number that goes on from it.
    last: Option<Stamp>,
}

/// The subscriptions of a link.
#[derive(Default)]
pub(super) struct Routes {
    by_route: BTreeMap<usize, Channel>,
    by_channel: BTreeMap<Channel, Subscription>,
    requests: BTreeMap<RequestId, (usize, Channel)>,
    /// Changes that have no answer yet.
    changes: BTreeMap<RequestId, (usize, Channel)>,
    /// Topics to be held back, or let go, that have no answer yet.
    holds: BTreeMap<RequestId, (usize, Channel, Name)>,
    sources: BTreeMap<u64, Arc<Source>>,
}

impl Routes {
    /// There is another session.
    pub fn clear(&mut self) {
        *self = Routes::default();
    }

    /// Says what the link wants said. Gives back what is for the other side.
    pub fn act(&mut self, session: &mut ClientSession, action: Action) -> Result<(), Action> {
        match action {
            Action::Subscribe { route, pattern, options, beyond } => {
                let opened = session.open(ChannelKind::Subscription, |request, channel| {
                    let command = BridgeCommand::SubscribeBeyond {
                        request,
                        channel,
                        pattern,
                        options,
                        beyond,
                    };
                    Command::Bridge(command)
                });
                // A link has few routes, and they are all that this session opens.
                if let Ok((channel, request)) = opened {
                    self.by_route.insert(route, channel);
                    self.by_channel.insert(channel, Subscription { route, last: None });
                    self.requests.insert(request, (route, channel));
                }
            }
            Action::Change { route, added, removed } => {
                if let Some(channel) = self.by_route.get(&route).copied() {
                    let request = session.request(|request| {
                        let command =
                            BridgeCommand::ChangeBeyond { request, channel, added, removed };
                        Command::Bridge(command)
                    });
                    self.changes.insert(request, (route, channel));
                }
            }
            Action::Hold { route, topic, hold } => {
                if let Some(channel) = self.by_route.get(&route).copied() {
                    let named = topic.clone();
                    let request = session.request(|request| {
                        Command::Bridge(BridgeCommand::HoldBeyond { request, channel, topic, hold })
                    });
                    self.holds.insert(request, (route, channel, named));
                }
            }
            Action::Unsubscribe { route } => {
                if let Some(channel) = self.by_route.remove(&route) {
                    self.by_channel.remove(&channel);
                    session.close(channel);
                }
            }
            Action::Consumed { route, bytes } => {
                if let Some(channel) = self.by_route.get(&route) {
                    session.consumed(*channel, bytes);
                }
            }
            other => return Err(other),
        }
        Ok(())
    }

    /// Takes what the broker has said.
    pub fn take(&mut self, now: Time, link: &mut Link, session: &mut ClientSession, event: Event) {
        match event {
            Event::Run { run, origins } => self.run(now, link, run, &origins),
            Event::Lost { channel, count, .. } => {
                if let Some(subscription) = self.by_channel.get(&channel) {
                    link.lost(subscription.route, count);
                }
            }
            Event::Reply { request, result } => {
                let opened = self.requests.remove(&request);
                let changed = self.changes.remove(&request);
                if let Some(asked) = self.holds.remove(&request) {
                    return self.held(link, asked, result);
                }
                match (opened, result) {
                    (Some((route, channel)), Err(failure)) => {
                        self.end(now, link, route, channel, failure)
                    }
                    (None, Err(failure)) => match changed {
                        // Nothing of that change holds at the broker, so all is told anew.
                        Some((route, channel)) if self.by_route.get(&route) == Some(&channel) => {
                            link.change_refused(now, route, failure);
                        }
                        _ => link.trouble(failure),
                    },
                    (Some((route, channel)), Ok(_)) => {
                        if self.by_route.get(&route) == Some(&channel) {
                            link.subscribed(route);
                        }
                    }
                    (None, Ok(_)) => {}
                }
            }
            Event::Ended { channel, failure } => {
                session.close(channel);
                if let Some(route) = self.by_channel.get(&channel).map(|found| found.route) {
                    self.end(now, link, route, channel, failure);
                }
            }
            // Nothing else is asked for.
            _ => {}
        }
    }

    /// What came of a topic that was to be held, or let go.
    fn held(
        &self,
        link: &mut Link,
        (route, channel, topic): (usize, Channel, Name),
        result: Result<Answer, Failure>,
    ) {
        match result {
            Ok(Answer::Done { count: passed @ 1.. }) => link.passed_by(route, topic, passed),
            // What has ended meanwhile holds nothing back.
            Err(failure) if self.by_channel.contains_key(&channel) => link.trouble(failure),
            _ => {}
        }
    }

    fn end(
        &mut self,
        now: Time,
        link: &mut Link,
        route: usize,
        channel: Channel,
        failure: Failure,
    ) {
        self.by_channel.remove(&channel);
        if self.by_route.get(&route) == Some(&channel) {
            self.by_route.remove(&route);
            link.subscription_ended(now, route, failure);
        }
    }

    fn run(&mut self, now: Time, link: &mut Link, mut run: Run, origins: &[(u32, Arc<Origin>)]) {
        let channel = run.channel;
        while let Some(stretch) = run.next_stretch() {
            match stretch {
                Ok(Stretch::Message(header, message)) => {
                    self.message(now, link, (channel, &header), message, origins);
                }
                Ok(Stretch::Parcel(parcel)) => {
                    let Some(subscription) = self.by_channel.get_mut(&channel) else { return };
                    let Some(last) = &mut subscription.last else { continue };
                    let stamp = last.clone();
                    last.sequence = last.sequence.saturating_add(parcel.count());
                    link.received_parcel(now, subscription.route, &stamp, parcel);
                }
                // The decoder has looked at every header; so this is the last thing it gives.
                Err(error) => return link.trouble(error.into()),
            }
        }
    }

    fn message(
        &mut self,
        now: Time,
        link: &mut Link,
        (channel, header): (Channel, &Header),
        message: Message,
        origins: &[(u32, Arc<Origin>)],
    ) {
        let source = match header.origin {
            0 => None,
            named => {
                let found = origins.iter().rev().find(|(origin, _)| *origin == named);
                found.and_then(|(_, origin)| self.source(origin))
            }
        };
        let Some(subscription) = self.by_channel.get_mut(&channel) else { return };
        let before = subscription.last.take();
        let sequence = match (header.sequence, &before) {
            (0, Some(before)) => before.sequence,
            (sequence, _) => sequence,
        };
        let Some(source) = source.or(before.map(|before| before.source)) else { return };
        let stamp = Stamp { source, sequence };
        let following = Stamp { sequence: sequence.saturating_add(1), ..stamp.clone() };
        subscription.last = Some(following);
        link.received(now, subscription.route, &stamp, message);
    }

    fn source(&mut self, origin: &Origin) -> Option<Arc<Source>> {
        if let Some(source) = self.sources.get(&origin.publisher) {
            return Some(source.clone());
        }
        let source = Arc::new(Source {
            key: origin.publisher,
            sender: Arc::new(origin.sender.clone()),
            topic: origin.topic.clone()?,
            provenance: origin.provenance.clone(),
        });
        if self.sources.len() >= SOURCES_MAX {
            self.sources.clear();
        }
        self.sources.insert(origin.publisher, source.clone());
        Some(source)
    }
}
