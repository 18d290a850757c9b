//! A link with its two sessions: what a shell around it does.
//!
//! Its near side is in the same process as its broker, the far side at the end of two pipes.

use std::collections::BTreeMap;

use bus_core::bridge::{Action, Link, LinkConfig, RelayId, Route};
use bus_core::router::{
    Answer, BridgeCommand, Channel, Command, Effect, Output, RequestId, SessionId,
};
use bus_core::{Failure, Message, Name, Parcel, Pattern, Time};

use crate::pipe::Pipe;
use crate::plan::{Bridge, Mood, Plan};

/// What the pipe to the far broker bears.
#[derive(Debug)]
pub enum ToFar {
    Command(Command),
    /// Published together on this channel.
    Parcel(Channel, Parcel),
}

/// One direction of a bridge.
pub struct Wire {
    /// Which bridge it belongs to.
    pub bridge: usize,
    pub from: usize,
    pub to: usize,
    pub link: Link,
    pub near: Option<SessionId>,
    pub far: Option<SessionId>,
    pub connected: bool,
    pub down: Pipe<ToFar>,
    pub up: Pipe<Output>,
    /// By channel: the relay, unless it is closing.
    channels: BTreeMap<Channel, Option<RelayId>>,
    by_relay: BTreeMap<RelayId, Channel>,
    /// Requests under way, and whether they open or close.
    requests: BTreeMap<RequestId, (Channel, bool)>,
    /// What the near broker was asked to hold or let go.
    holds: BTreeMap<RequestId, (usize, Name)>,
    next_request: RequestId,
}

/// The channel at the far broker that tells what is wanted.
const INTEREST: Channel = 0;
/// Requests to the near broker from here on are to hold topics, or to let them go.
pub const FIRST_HOLD: RequestId = 1 << 16;
/// Bytes under way at which no more data is sent.
const UNDER_WAY_MAX: u64 = 16 * 1024;
/// What a control message counts.
const CONTROL_BYTES: u64 = 100;

/// Settings of every link of a plan, as it begins and when it rests.
pub fn config(plan: &Plan) -> LinkConfig {
    config_of(plan, plan.routes())
}

/// The same with these routes.
pub fn config_of(plan: &Plan, routes: &[&str]) -> LinkConfig {
    let route = |text: &&str| {
        let pattern = Pattern::new(text).expect("a pattern");
        Route::new(&pattern, "", "").expect("a route")
    };
    let config = LinkConfig::new(routes.iter().map(route).collect()).expect("they differ");
    let config = config.policy(plan.policy).linger(plan.linger);
    match plan.mood {
        Mood::Gentle => config,
        Mood::Rough => config.spool(40_000, 256, 80_000).reading(8192, 8192),
    }
}

impl Wire {
    pub fn new(plan: &Plan, bridge: usize, ends: [usize; 2]) -> Wire {
        let Bridge { latency, bytes_per_second, .. } = plan.bridges[bridge];
        Wire {
            bridge,
            from: ends[0],
            to: ends[1],
            link: Link::new(config(plan), &format!("broker-{}", ends[0])),
            near: None,
            far: None,
            connected: false,
            down: Pipe::new(latency, bytes_per_second),
            up: Pipe::new(latency, bytes_per_second),
            channels: BTreeMap::new(),
            by_relay: BTreeMap::new(),
            requests: BTreeMap::new(),
            holds: BTreeMap::new(),
            next_request: 0,
        }
    }

    /// A new session at the far broker.
    pub fn begin(&mut self, now: Time, session: SessionId, near: u64, far: u64) {
        self.far = Some(session);
        self.connected = true;
        self.down.clear();
        self.up.clear();
        self.channels.clear();
        self.by_relay.clear();
        self.requests.clear();
        self.link.far_up(far);
        self.channels.insert(INTEREST, None);
        let watch = BridgeCommand::WatchInterest { request: 0, channel: INTEREST, peer: near };
        self.down.send(now, CONTROL_BYTES, ToFar::Command(Command::Bridge(watch)));
    }

    /// The next thing that the near broker is asked.
    pub fn pull(&mut self, now: Time) -> Option<Command> {
        while let Some(action) = self.link.pull(self.down.bytes < UNDER_WAY_MAX) {
            let (bytes, command) = match action {
                Action::Subscribe { route, pattern, options, beyond } => {
                    let (request, channel) = (route as RequestId + 1, route as Channel);
                    return Some(Command::Bridge(BridgeCommand::SubscribeBeyond {
                        request,
                        channel,
                        pattern,
                        options,
                        beyond,
                    }));
                }
                Action::Change { route, added, removed } => {
                    let (request, channel) = (0, route as Channel);
                    return Some(Command::Bridge(BridgeCommand::ChangeBeyond {
                        request,
                        channel,
                        added,
                        removed,
                    }));
                }
                Action::Hold { route, topic, hold } => {
                    let (request, channel) = (self.next_request + FIRST_HOLD, route as Channel);
                    self.next_request += 1;
                    self.holds.insert(request, (route, topic.clone()));
                    let hold = BridgeCommand::HoldBeyond { request, channel, topic, hold };
                    return Some(Command::Bridge(hold));
                }
                Action::Unsubscribe { route } => {
                    let channel = route as Channel;
                    return Some(Command::Close { request: 0, channel });
                }
                Action::Consumed { route, bytes } => {
                    let channel = route as Channel;
                    return Some(Command::Consumed { channel, bytes });
                }
                Action::Trouble { .. } => continue,
                other => self.far_command(other),
            };
            self.down.send(now, bytes, command);
        }
        None
    }

    fn far_command(&mut self, action: Action) -> (u64, ToFar) {
        match action {
            Action::Open { relay, topic, provenance, reach } => {
                let channel = (0..).find(|at| !self.channels.contains_key(at)).expect("a number");
                self.channels.insert(channel, Some(relay));
                self.by_relay.insert(relay, channel);
                let request = self.request(channel, true);
                let command =
                    BridgeCommand::OpenRelay { request, channel, topic, provenance, reach };
                (CONTROL_BYTES, ToFar::Command(Command::Bridge(command)))
            }
            Action::Close { relay } => {
                let channel = self.by_relay.remove(&relay).expect("an open relay");
                self.channels.insert(channel, None);
                let request = self.request(channel, false);
                (CONTROL_BYTES, ToFar::Command(Command::Close { request, channel }))
            }
            Action::Skip { relay, turn, sequence, lost, unconfirmed } => {
                let channel = self.by_relay[&relay];
                let command = BridgeCommand::Skip { channel, turn, sequence, lost, unconfirmed };
                (CONTROL_BYTES, ToFar::Command(Command::Bridge(command)))
            }
            Action::Publish { relay, message, .. } => {
                let channel = self.by_relay[&relay];
                let bytes = message.cost();
                (bytes, ToFar::Command(Command::Publish { channel, message, ticket: None }))
            }
            Action::PublishParcel { relay, parcel, .. } => {
                (parcel.cost(), ToFar::Parcel(self.by_relay[&relay], parcel))
            }
            other => panic!("{other:?} is not for the far broker"),
        }
    }

    fn request(&mut self, channel: Channel, opens: bool) -> RequestId {
        self.next_request += 1;
        self.requests.insert(self.next_request, (channel, opens));
        self.next_request
    }

    /// What the near broker says.
    pub fn near_output(&mut self, now: Time, output: Output) {
        match output {
            Output::Deliver { channel, stamp, message } => {
                self.link.received(now, channel as usize, &stamp, message);
            }
            Output::DeliverParcel { channel, stamp, parcel } => {
                self.link.received_parcel(now, channel as usize, &stamp, parcel);
            }
            Output::Lost { channel, count, .. } => self.link.lost(channel as usize, count),
            Output::Ended { channel, failure } => {
                self.link.subscription_ended(now, channel as usize, failure);
            }
            Output::Reply { request, result: Ok(answer) } => {
                if let Some((route, topic)) = self.holds.remove(&request) {
                    if let Answer::Done { count: passed @ 1.. } = answer {
                        self.link.passed_by(route, topic, passed);
                    }
                } else if let Some(route) = request.checked_sub(1) {
                    // Requests that subscribe bear the number of their route, and one more.
                    self.link.subscribed(route as usize);
                }
            }
            other => panic!("the near side was told {other:?}"),
        }
    }

    /// What the far broker says.
    pub fn far_output(&mut self, now: Time, output: Output) {
        let relay = |channels: &BTreeMap<_, Option<RelayId>>, channel: &Channel| {
            channels.get(channel).copied().flatten()
        };
        match output {
            Output::Reply { request, result } => {
                let Some((channel, opens)) = self.requests.remove(&request) else { return };
                match (opens, result) {
                    (true, Ok(_)) => {}
                    (true, Err(failure)) => self.end(now, channel, failure),
                    (false, _) => drop(self.channels.remove(&channel)),
                }
            }
            Output::Relay { channel, state } => {
                if let Some(relay) = relay(&self.channels, &channel) {
                    self.link.relay_state(relay, state);
                }
            }
            Output::Credit { channel, bytes } => {
                if let Some(relay) = relay(&self.channels, &channel) {
                    self.link.credit(relay, bytes);
                }
            }
            Output::Ended { channel, failure } => self.end(now, channel, failure),
            Output::Wanted { added, removed, complete, .. } => {
                let told = self.link.far_wanted(added, removed, complete);
                told.expect("a broker tells no more than it may");
            }
            Output::Expired { .. } => {}
            other => panic!("the far side was told {other:?}"),
        }
    }

    fn end(&mut self, now: Time, channel: Channel, failure: Failure) {
        if let Some(Some(relay)) = self.channels.get(&channel).copied() {
            self.channels.remove(&channel);
            self.by_relay.remove(&relay);
            self.link.relay_ended(now, relay, failure);
        }
    }
}

/// What of an effect is sent to a far side.
pub fn bytes_of(effect: &Effect) -> u64 {
    match &effect.output {
        Output::Deliver { message, .. } => Message::cost(message),
        Output::DeliverParcel { parcel, .. } => parcel.cost(),
        Output::Wanted { added, removed, .. } => {
            CONTROL_BYTES + 40 * (added.len() + removed.len()) as u64
        }
        _ => CONTROL_BYTES,
    }
}
