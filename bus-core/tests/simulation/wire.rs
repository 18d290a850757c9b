//! What one side of a session says against what the other side hears, over all connections.
//!
//! Independent of frame numbers: each call of the application must reach the router once and
//! in order, each word of the router must reach the application once and in order, whatever
//! was cut in between. What is folded (acknowledgements, receipts) is compared one by one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bus_core::router::{Channel, Command, Lease, Output, RequestId, Ticket};
use bus_core::{ErrorKind, Failure};

use crate::post::Post;

/// A session: its epoch and its number there.
pub type Key = (u64, u64);

/// Something that an application has asked of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Message { ticket: Option<Ticket>, number: u64, channel: Channel },
    Open(Channel),
    Close(Channel),
    Request(RequestId),
    Withdraw(Ticket),
    Answer { call: u64, number: Option<u64> },
    Consumed { channel: Channel, bytes: u64 },
}

/// Something that the router has told a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Reply { request: RequestId, good: bool },
    Deliver { channel: Channel, number: u64, from: u64, topic: String },
    Lost { channel: Channel, count: u64 },
    Lease { channel: Channel, lease: Lease, attempt: u32, number: u64, from: u64 },
    Failed { ticket: Ticket, kind: ErrorKind },
    Grant,
    Credit { channel: Channel },
    Invoke { channel: Channel, call: u64, number: u64, from: u64 },
    Result { ticket: Ticket, number: u64 },
    Ended { channel: Channel, kind: ErrorKind },
    Recall { lease: Lease },
    Refused { kind: ErrorKind },
}

impl Told {
    /// The channel that must be open for the application to hear this.
    fn channel(&self) -> Option<Channel> {
        match self {
            Told::Deliver { channel, .. }
            | Told::Lease { channel, .. }
            | Told::Ended { channel, .. } => Some(*channel),
            _ => None,
        }
    }
}

/// One session, both ways.
#[derive(Debug, Default)]
struct Life {
    asked: VecDeque<Asked>,
    acks: VecDeque<Lease>,
    taken: BTreeSet<Lease>,
    offered: BTreeMap<Ticket, u64>,
    told: VecDeque<Told>,
    accepted: BTreeSet<Ticket>,
    /// For each acknowledged lease, whether it was in time.
    answers: VecDeque<(Lease, bool)>,
}

/// All sessions.
#[derive(Debug)]
pub struct Wire {
    lives: BTreeMap<Key, Life>,
    post: Post,
}

impl Wire {
    pub fn new(post: Post) -> Wire {
        Wire { lives: BTreeMap::new(), post }
    }

    fn life(&mut self, key: Key) -> &mut Life {
        self.lives.entry(key).or_default()
    }

    /// The application asks for something.
    pub fn ask(&mut self, key: Key, asked: Asked) {
        self.life(key).asked.push_back(asked);
    }

    pub fn ask_ack(&mut self, key: Key, lease: Lease) {
        self.life(key).acks.push_back(lease);
    }

    /// The application has a delivery in its hands.
    pub fn take(&mut self, key: Key, lease: Lease) {
        self.life(key).taken.insert(lease);
    }

    /// Leases whose clock the router starts were really taken.
    pub fn started(&mut self, key: Key, leases: &[Lease]) {
        for lease in leases {
            let taken = self.life(key).taken.contains(lease);
            assert!(taken, "{key:?}: the clock of lease {lease} starts, but nobody has taken it");
        }
    }

    /// A command has come through to the router: it must be the next one that was asked.
    pub fn command(&mut self, key: Key, command: &Command) {
        let post = self.post.clone();
        let life = self.life(key);
        match command {
            Command::Ack { first, count } => {
                for lease in *first..first + u64::from(*count) {
                    let next = life.acks.pop_front();
                    assert_eq!(next, Some(lease), "{key:?}: acknowledgements out of step");
                }
            }
            // What these come to is compared when the router has taken them.
            Command::Taken { .. } | Command::Return { .. } => {}
            Command::Granted { ticket, message } => {
                let number = life.offered.remove(ticket);
                assert_eq!(number, Some(post.number(message)), "{key:?}: granted {ticket}");
            }
            other => {
                let came = asked_of(other, &post);
                let next = life.asked.pop_front();
                let fits = next.is_some_and(|next| same(&next, &came, other, &post));
                assert!(fits, "{key:?}: {came:?} came, asked was {next:?}");
                if let (Command::Offer { ticket, .. }, Some(Asked::Message { number, .. })) =
                    (other, next)
                {
                    life.offered.insert(*ticket, number);
                }
            }
        }
    }

    /// The router tells a session something.
    pub fn tell(&mut self, key: Key, output: &Output) {
        let post = self.post.clone();
        let number = |message: &bus_core::Message| post.number_of_any(message);
        let life = self.life(key);
        let told = match output {
            Output::Accepted { first, count } => {
                for ticket in *first..first + u64::from(*count) {
                    assert!(life.accepted.insert(ticket), "{key:?}: {ticket} was accepted twice");
                }
                return;
            }
            Output::Settled { first, count } => {
                let leases = *first..first + u64::from(*count);
                return life.answers.extend(leases.map(|lease| (lease, true)));
            }
            Output::Unsettled { lease, .. } => return life.answers.push_back((*lease, false)),
            Output::Relay { .. } | Output::Wanted { .. } | Output::Hosted { .. } => {
                panic!("a relay, and nobody bridges")
            }
            Output::Reply { request, result } => {
                Told::Reply { request: *request, good: result.is_ok() }
            }
            Output::Deliver { channel, stamp, message } => Told::Deliver {
                channel: *channel,
                number: number(message),
                from: stamp.source.sender.session,
                topic: stamp.source.topic.to_string(),
            },
            Output::Lost { channel, count, .. } => Told::Lost { channel: *channel, count: *count },
            Output::Lease { channel, lease, attempt, sender, message, .. } => Told::Lease {
                channel: *channel,
                lease: *lease,
                attempt: *attempt,
                number: number(message),
                from: sender.session,
            },
            Output::Failed { ticket, failure } => failed(*ticket, failure),
            Output::Grant { .. } => Told::Grant,
            Output::Credit { channel, .. } => Told::Credit { channel: *channel },
            Output::Invoke { channel, call, sender, message, .. } => Told::Invoke {
                channel: *channel,
                call: *call,
                number: number(message),
                from: sender.session,
            },
            Output::Result { ticket, message } => {
                Told::Result { ticket: *ticket, number: number(message) }
            }
            Output::Ended { channel, failure } => {
                Told::Ended { channel: *channel, kind: failure.kind() }
            }
            Output::Recall { lease } => Told::Recall { lease: *lease },
            Output::Expired { failure } => Told::Refused { kind: failure.kind() },
            // Frames are routed one by one here, and nobody bridges.
            other => unreachable!("{other:?}"),
        };
        life.told.push_back(told);
    }

    /// The application hears something: one of these, which must be the next thing that it
    /// was told, apart from what is not for it, since it has closed the channel.
    pub fn hear(&mut self, key: Key, heard: &[Told], is_open: impl Fn(Channel) -> bool) {
        let life = self.life(key);
        while let Some(next) = life.told.pop_front() {
            if heard.contains(&next) {
                return;
            }
            let silent = next.channel().is_some_and(|at| !is_open(at));
            assert!(silent, "{key:?}: heard {heard:?}, told was {next:?}");
        }
        panic!("{key:?}: heard {heard:?}, which nobody has told");
    }

    /// The application hears that a ticket is accepted.
    pub fn hear_accepted(&mut self, key: Key, ticket: Ticket) {
        let told = self.life(key).accepted.remove(&ticket);
        assert!(told, "{key:?}: {ticket} is heard to be accepted, and was not");
    }

    /// The application hears how its next acknowledgement fared.
    pub fn hear_answer(&mut self, key: Key, lease: Lease, good: bool) {
        let next = self.life(key).answers.pop_front();
        assert_eq!(next, Some((lease, good)), "{key:?}: answers to acknowledgements");
    }

    /// Whether everything that was said in a session was heard.
    pub fn check_silent(&mut self, key: Key, is_open: impl Fn(Channel) -> bool) {
        let life = self.life(key);
        life.told.retain(|told| *told != Told::Grant && told.channel().is_none_or(&is_open));
        assert!(life.told.is_empty(), "{key:?}: never heard {:?}", life.told);
        assert!(life.asked.is_empty(), "{key:?}: never came through {:?}", life.asked);
        assert!(life.acks.is_empty(), "{key:?}: acknowledgements lost {:?}", life.acks);
        assert!(life.accepted.is_empty(), "{key:?}: receipts lost {:?}", life.accepted);
        assert!(life.answers.is_empty(), "{key:?}: answers lost {:?}", life.answers);
    }
}

fn failed(ticket: Ticket, failure: &Failure) -> Told {
    Told::Failed { ticket, kind: failure.kind() }
}

fn asked_of(command: &Command, post: &Post) -> Asked {
    match command {
        Command::Publish { channel, message, ticket } => {
            Asked::Message { ticket: *ticket, number: post.number(message), channel: *channel }
        }
        Command::Send { channel, ticket, message, .. }
        | Command::Call { channel, ticket, message, .. } => Asked::Message {
            ticket: Some(*ticket),
            number: post.number(message),
            channel: *channel,
        },
        Command::Offer { channel, ticket, .. } => {
            Asked::Message { ticket: Some(*ticket), number: 0, channel: *channel }
        }
        Command::Withdraw { ticket } => Asked::Withdraw(*ticket),
        Command::CallReply { call, result } => {
            Asked::Answer { call: *call, number: result.as_ref().ok().map(|m| post.number(m)) }
        }
        Command::Consumed { channel, bytes } => {
            Asked::Consumed { channel: *channel, bytes: *bytes }
        }
        Command::Close { channel, .. } => Asked::Close(*channel),
        Command::OpenQueue { channel, .. }
        | Command::OpenPublisher { channel, .. }
        | Command::Subscribe { channel, .. }
        | Command::OpenService { channel, .. }
        | Command::Serve { channel, .. }
        | Command::Consume { channel, .. } => Asked::Open(*channel),
        Command::Nack { request, .. }
        | Command::Reject { request, .. }
        | Command::Extend { request, .. }
        | Command::Peek { request, .. }
        | Command::Flush { request, .. }
        | Command::Admin { request, .. } => Asked::Request(*request),
        other => panic!("no application asks for {other:?}"),
    }
}

/// Whether what came is what was asked, as far as the command shows it.
fn same(asked: &Asked, came: &Asked, command: &Command, post: &Post) -> bool {
    match (asked, came, command) {
        (
            Asked::Message { ticket, number, channel },
            Asked::Message { ticket: other, channel: on, .. },
            Command::Offer { kind, length, .. },
        ) => {
            let message = post.original(*number);
            let whole = message.kind() == *kind && message.len() as u64 == *length;
            ticket == other && channel == on && whole
        }
        // A change of credit.
        (Asked::Request(asked), _, Command::Consume { request, .. }) => asked == request,
        _ => asked == came,
    }
}
