//! What a link asks of its far broker, and what that says, in terms of channels.
//!
//! Invariant: what is said of a channel that is closing is not meant for the relay that has its
//! number next; the session sees to that.

use std::collections::BTreeMap;

use bus_core::bridge::{Action, Link, RelayId};
use bus_core::router::{BridgeCommand, Channel, Command, RequestId};
use bus_core::session::{ChannelKind, ClientSession, Event};
use bus_core::{Failure, Time};

/// The relays of a link.
#[derive(Default)]
pub(super) struct Relays {
    by_relay: BTreeMap<RelayId, Channel>,
    by_channel: BTreeMap<Channel, RelayId>,
    requests: BTreeMap<RequestId, (RelayId, Channel)>,
    /// The channel that tells what is wanted, and for which broker.
    watch: Option<(Channel, u64)>,
    watch_request: RequestId,
    /// It has said that it tells.
    pub watched: bool,
    /// What could not be told of that, the last time.
    pub left_out: u64,
}

impl Relays {
    /// There is another session.
    pub fn clear(&mut self) {
        *self = Relays::default();
    }

    /// Asks what is wanted, on behalf of a near broker of this epoch, unless it is asked already.
    pub fn watch(&mut self, link: &mut Link, session: &mut ClientSession, peer: u64) {
        if self.watch.is_some_and(|(_, asked)| asked == peer) {
            return;
        }
        if let Some((channel, _)) = self.watch.take() {
            session.close(channel);
        }
        let opened = session.open(ChannelKind::Interest, |request, channel| {
            Command::Bridge(BridgeCommand::WatchInterest { request, channel, peer })
        });
        if let Ok((channel, request)) = opened {
            self.watch = Some((channel, peer));
            self.watch_request = request;
            link.far_tells_anew();
        }
    }

    /// Says what the link wants said. What is for the near side is not for here.
    pub fn act(&mut self, now: Time, link: &mut Link, session: &mut ClientSession, action: Action) {
        match action {
            Action::Open { relay, topic, provenance, reach } => {
                let opened = session.open(ChannelKind::Relay, |request, channel| {
                    let command =
                        BridgeCommand::OpenRelay { request, channel, topic, provenance, reach };
                    Command::Bridge(command)
                });
                match opened {
                    Ok((channel, request)) => {
                        self.by_relay.insert(relay, channel);
                        self.by_channel.insert(channel, relay);
                        self.requests.insert(request, (relay, channel));
                    }
                    Err(failure) => link.relay_ended(now, relay, failure),
                }
            }
            Action::Close { relay } => {
                if let Some(channel) = self.by_relay.remove(&relay) {
                    self.by_channel.remove(&channel);
                    session.close(channel);
                }
            }
            Action::Skip { relay, turn, sequence, lost, unconfirmed } => {
                if let Some(channel) = self.by_relay.get(&relay).copied() {
                    let command =
                        BridgeCommand::Skip { channel, turn, sequence, lost, unconfirmed };
                    session.tell(&Command::Bridge(command));
                }
            }
            Action::Publish { relay, message, .. } => {
                if let Some(channel) = self.by_relay.get(&relay) {
                    session.publish(*channel, &message, false);
                }
            }
            Action::PublishParcel { relay, parcel, .. } => {
                if let Some(channel) = self.by_relay.get(&relay) {
                    session.publish_parcel(*channel, &parcel);
                }
            }
            _ => {}
        }
    }

    /// Takes what the broker has said. Fails when it does not say what is wanted, or not as it may.
    pub fn take(
        &mut self,
        now: Time,
        link: &mut Link,
        session: &mut ClientSession,
        event: Event,
    ) -> Result<(), Failure> {
        match event {
            Event::Relay { channel, state } => {
                if let Some(relay) = self.by_channel.get(&channel) {
                    link.relay_state(*relay, state);
                }
            }
            Event::Credit { channel } => {
                if let Some(relay) = self.by_channel.get(&channel) {
                    link.credit(*relay, session.accepted_bytes(channel));
                }
            }
            Event::Wanted { channel, added, removed, left_out, complete }
                if self.watch.is_some_and(|(watch, _)| watch == channel) =>
            {
                self.left_out = left_out;
                link.far_wanted(added, removed, complete)?;
            }
            Event::Reply { request, result } => {
                let opened = self.requests.remove(&request);
                match (opened, result) {
                    (Some((relay, channel)), Err(failure)) => {
                        self.end(now, link, relay, channel, failure);
                    }
                    (None, Err(failure)) if request == self.watch_request => return Err(failure),
                    (None, Ok(_)) if request == self.watch_request => self.watched = true,
                    _ => {}
                }
            }
            Event::Ended { channel, failure } => {
                session.close(channel);
                if self.watch.is_some_and(|(watch, _)| watch == channel) {
                    return Err(failure);
                }
                if let Some(relay) = self.by_channel.get(&channel).copied() {
                    self.end(now, link, relay, channel, failure);
                }
            }
            // Nothing else is asked for.
            _ => {}
        }
        Ok(())
    }

    fn end(
        &mut self,
        now: Time,
        link: &mut Link,
        relay: RelayId,
        channel: Channel,
        failure: Failure,
    ) {
        self.by_channel.remove(&channel);
        if self.by_relay.get(&relay) == Some(&channel) {
            self.by_relay.remove(&relay);
            link.relay_ended(now, relay, failure);
        }
    }
}
