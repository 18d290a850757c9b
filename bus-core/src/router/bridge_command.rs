//! What a session of a bridge can ask of the router, beside what any session can.
//!
//! A bridge is an ordinary client; its commands travel as those of others do. Channels, answers and
//! outputs are those of the session. Who may give them is said in `permits`.

use std::sync::Arc;

use crate::message::Sender;
use crate::name::{Name, Pattern};
use crate::time::Time;

use super::command::{Channel, OpenMode, RequestId, SubscribeOptions};
use super::hosted::HostedTell;
use super::interest::Interest;
use super::permit::Permit;
use super::provenance::{Epoch, Provenance};
use super::relays::Losses;
use super::{Router, SessionId};

/// A command of a bridge's session.
#[expect(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Debug, PartialEq)]
pub enum BridgeCommand {
    /// Opens a topic for what a source elsewhere has published, from message `reach` on. It is a
    /// publisher: messages, credit and closing are as for any. `Output::Relay` follows the answer.
    OpenRelay {
        request: RequestId,
        channel: Channel,
        topic: Name,
        provenance: Arc<Provenance>,
        reach: u64,
    },
    /// The next message of a relay bears this number; while it stands by it is the first that the
    /// relay could give. `turn` is the last one that it was told; `lost` says that those before
    /// are lost, as far as the relay knows, and `unconfirmed` that so many of them may have arrived
    /// before the broker forgot. Must be sent whenever a relay is told to go on.
    Skip { channel: Channel, turn: u64, sequence: u64, lost: bool, unconfirmed: u64 },
    /// Subscribes to what matches the pattern and somebody beyond the bridge wants; on the channel
    /// of such a subscription, with the same pattern, it changes who wants what.
    SubscribeBeyond {
        request: RequestId,
        channel: Channel,
        pattern: Pattern,
        options: SubscribeOptions,
        beyond: Vec<Interest>,
    },
    /// Opens a queue so that it can be hosted elsewhere. Answered by `Answer::Home`. The channel
    /// is a queue as any.
    OpenHome { request: RequestId, channel: Channel, name: Name, open: OpenMode },
    /// Hosts a queue of this name that lives elsewhere, for as long as the channel is open; `hops`
    /// are the brokers on the way, its home first; none if it cannot be reached yet. `Output::Hosted` says what is asked of it.
    HostQueue {
        request: RequestId,
        channel: Channel,
        name: Name,
        mode: Option<u16>,
        hops: Vec<Epoch>,
    },
    /// Names a sender to the session layer, which takes it: the router is given it with messages.
    NameSender { origin: u32, sender: Sender },
    /// What the home of a hosted queue says.
    Hosted { channel: Channel, tell: HostedTell },
    /// Changes who wants what on the channel of such a subscription. It is answered.
    ChangeBeyond {
        request: RequestId,
        channel: Channel,
        added: Vec<Interest>,
        removed: Vec<Interest>,
    },
    /// Takes nothing more of one topic, or again, on the channel of such a subscription, whose
    /// policy must be to hold: the topic's publishers wait as behind one that is full, for as long
    /// as the topic allows; after that what they publish passes by. It is answered, when the topic is
    /// taken again with how many messages have passed by. A topic that the subscription does not have
    /// is not held, which is no failure: topics come and go.
    HoldBeyond { request: RequestId, channel: Channel, topic: Name, hold: bool },
    /// Asks to be told what is wanted here and beyond, for a broker of this epoch: all of it after
    /// the answer (`Output::Wanted`), and what changes from then on, a moment later.
    WatchInterest { request: RequestId, channel: Channel, peer: Epoch },
    /// Serves a name for those beyond the bridge; on the channel of such a server, with the same
    /// name, it changes the ways. Calls and replies are as for any server, and
    /// `Output::GivenUp` tells of a call that nobody waits for any more.
    ServeBeyond { request: RequestId, channel: Channel, serve: ServeBeyond },
    /// Opens a service for a caller elsewhere, who is named by his session there. It is a service
    /// opened for calling: calls and their answers are as for any.
    OpenCaller { request: RequestId, channel: Channel, name: Name, provenance: Arc<Provenance> },
    /// Asks to be told which names are served here and beyond, of those that match, as
    /// `WatchInterest` does for what is wanted: a wish in `Output::Wanted` is a name that is served.
    WatchServices { request: RequestId, channel: Channel, peer: Epoch, patterns: Vec<Pattern> },
    /// Asks whether this session may carry the topics of all names that match, or the services; with
    /// `part` whether it may carry some of them. It is refused, or the channel is open until
    /// another policy says otherwise, which ends it. Nothing else is done with it.
    AskPermit { request: RequestId, channel: Channel, pattern: Pattern, services: bool, part: bool },
}

/// How a bridge serves a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeBeyond {
    /// The name here.
    pub name: Name,
    /// Calls that it may have at a time.
    pub credit: u32,
    /// What they may count together before it is given no more; one is always given.
    pub bytes_max: u64,
    /// The mode if the service is made by this; `None` takes the broker's default.
    pub mode: Option<u16>,
    /// The brokers between here and each one where somebody serves, who stands first.
    pub ways: Vec<Vec<Epoch>>,
}

impl Router {
    /// Carries out a command of a bridge's session.
    pub(super) fn handle_bridge(&mut self, now: Time, session: SessionId, command: BridgeCommand) {
        self.ground.now = now;
        match command {
            BridgeCommand::OpenRelay { request, channel, topic, provenance, reach } => {
                self.answer_first(session, request, |router| {
                    router.open_relay(session, channel, topic, provenance, reach)
                });
            }
            BridgeCommand::Skip { channel, turn, sequence, lost, unconfirmed } => {
                self.skip(session, channel, turn, sequence, Losses { lost, unconfirmed });
            }
            BridgeCommand::SubscribeBeyond { request, channel, pattern, options, beyond } => {
                self.answer_first(session, request, |router| {
                    router.subscribe_beyond(session, channel, pattern, options, beyond)
                });
            }
            BridgeCommand::OpenHome { request, channel, name, open } => {
                let result = self.open_home(session, channel, name, open);
                self.ground.reply(session, request, result);
            }
            BridgeCommand::HostQueue { request, channel, name, mode, hops } => {
                self.answer_first(session, request, |router| {
                    router.host_queue(session, channel, name, mode, hops)
                });
            }
            BridgeCommand::NameSender { .. } => {}
            BridgeCommand::Hosted { channel, tell } => self.hosted_tell(session, channel, tell),
            BridgeCommand::ChangeBeyond { request, channel, added, removed } => {
                let removed = removed.into_iter().collect();
                let result = self.change_wishes(session, channel, added, &removed);
                self.ground.reply(session, request, result);
            }
            BridgeCommand::HoldBeyond { request, channel, topic, hold } => {
                // That some have passed by is told before those that follow them.
                self.answer_first(session, request, |router| {
                    router.hold_beyond(session, channel, &topic, hold)
                });
            }
            BridgeCommand::WatchInterest { request, channel, peer } => {
                self.answer_first(session, request, |it| it.watch_interest(session, channel, peer));
            }
            BridgeCommand::ServeBeyond { request, channel, serve } => {
                self.answer_first(session, request, |it| it.serve_beyond(session, channel, serve));
            }
            BridgeCommand::OpenCaller { request, channel, name, provenance } => {
                let result = self.open_caller(session, channel, name, provenance);
                self.ground.reply(session, request, result);
            }
            BridgeCommand::WatchServices { request, channel, peer, patterns } => {
                self.answer_first(session, request, |router| {
                    router.watch_services(session, channel, peer, patterns)
                });
            }
            BridgeCommand::AskPermit { request, channel, pattern, services, part } => {
                let permit = Permit { pattern, services, part };
                self.answer_first(session, request, |it| it.open_permit(session, channel, permit));
            }
        }
        self.settle_down();
    }
}
