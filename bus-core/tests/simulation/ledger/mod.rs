//! The books of one epoch: what the contract says must be so, from what the router was told
//! and what it tells.
//!
//! It does not foresee what the router chooses; it knows where each message is, and says no
//! when a choice breaks the contract. Every panic in here is a broken contract.

mod leases;
mod queues;
mod services;
mod sessions;
mod stats;
mod topics;
mod waiters;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus_core::router::{Channel, Command, Effect, Lease, Output, SessionId, Ticket};
use bus_core::{ErrorKind, Name, Time};

use crate::post::Post;

use leases::{Leased, Why};
use queues::{Entry, QueueBook};
use services::{Call, ServerBook};
use sessions::SessionBook;
pub use stats::Listed;
use topics::{SubBook, TopicBook};
use waiters::Waiter;

/// Where the place of something on a channel is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Chan {
    /// A queue, and which of all handles that were ever opened it is.
    Queue(usize, u64),
    Waiter(usize),
    Publisher(usize),
    Sub(usize),
    Caller(Name),
    Server,
}

/// What an open ticket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// A send or offer: the entry, or none if its queue is gone.
    Send(Option<usize>),
    Publish,
    Call,
}

type At = (SessionId, Channel);

/// The books.
#[derive(Debug)]
pub struct Ledger {
    now: Time,
    /// Counts commands: what happened in one is told apart from what was before.
    turn: u64,
    post: Post,
    parked_bytes_max: u64,
    sessions: BTreeMap<SessionId, SessionBook>,
    queues: Vec<QueueBook>,
    names: BTreeMap<Name, usize>,
    entries: Vec<Entry>,
    tickets: BTreeMap<(SessionId, Ticket), Open>,
    /// Tickets that their client has asked to be taken back.
    withdrawn: BTreeSet<(SessionId, Ticket)>,
    leases: BTreeMap<(SessionId, Lease), Leased>,
    ended: BTreeMap<(SessionId, Lease), Why>,
    waiters: Vec<Waiter>,
    topics: Vec<TopicBook>,
    subs: Vec<SubBook>,
    calls: BTreeMap<(SessionId, Ticket), Call>,
    servers: BTreeMap<At, ServerBook>,
    /// Acknowledgements of this command, and whether they are in time.
    answers: Vec<(Lease, bool)>,
    /// Leases whose clock this command has started.
    started: Vec<Lease>,
    /// Leases that this moment has ended.
    expired: Vec<(SessionId, Lease)>,
    /// Entries that this command has brought in.
    accepted: Vec<usize>,
    /// What the command at hand has published: taken back if the publisher is refused.
    published: Option<(usize, u64, At)>,
    /// How many were published.
    arrivals: u64,
}

impl Ledger {
    pub fn new(post: Post, parked_bytes_max: u64) -> Ledger {
        Ledger {
            now: Time::ZERO,
            turn: 0,
            post,
            parked_bytes_max,
            sessions: BTreeMap::new(),
            queues: Vec::new(),
            names: BTreeMap::new(),
            entries: Vec::new(),
            tickets: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            leases: BTreeMap::new(),
            ended: BTreeMap::new(),
            waiters: Vec::new(),
            topics: Vec::new(),
            subs: Vec::new(),
            calls: BTreeMap::new(),
            servers: BTreeMap::new(),
            answers: Vec::new(),
            started: Vec::new(),
            expired: Vec::new(),
            accepted: Vec::new(),
            published: None,
            arrivals: 0,
        }
    }

    fn begin(&mut self, now: Time) {
        assert!(now >= self.now, "time goes backwards");
        self.note_caution();
        self.now = now;
        self.turn += 1;
        self.answers.clear();
        self.started.clear();
        self.accepted.clear();
        self.expired.clear();
        self.published = None;
    }

    /// A session gives a command to the router.
    pub fn command(&mut self, now: Time, session: SessionId, command: &Command) {
        self.begin(now);
        match command {
            Command::Send { channel, ticket, message, no_wait } => {
                let number = self.post.number(message);
                self.on_send(session, *channel, *ticket, number, *no_wait);
            }
            Command::Offer { channel, ticket, kind, length, no_wait } => {
                self.on_offer(session, *channel, *ticket, (*kind, *length), *no_wait);
            }
            Command::Granted { ticket, message } => {
                let number = self.post.number(message);
                self.on_granted(session, *ticket, number);
            }
            Command::Withdraw { ticket } => {
                self.withdrawn.insert((session, *ticket));
            }
            Command::Ack { first, count } => self.on_ack(session, *first, *count),
            Command::Taken { channel, lease } => self.on_taken(session, *channel, *lease),
            Command::Return { leases } => self.on_return(session, leases),
            Command::Nack { lease, delay, .. } => self.on_nack(session, *lease, *delay),
            Command::Extend { lease, by, .. } => self.on_extend(session, *lease, *by),
            Command::Reject { lease, .. } => self.on_reject(session, *lease),
            Command::Consume { channel, queue, options, .. } => {
                self.on_consume(session, *channel, *queue, options);
            }
            Command::Close { channel, .. } => self.close_channel((session, *channel)),
            Command::Publish { channel, message, ticket } => {
                let number = self.post.number(message);
                self.on_publish((session, *channel), *ticket, number);
            }
            Command::Consumed { channel, bytes } => self.on_consumed((session, *channel), *bytes),
            Command::Call { channel, ticket, message, timeout } => {
                let number = self.post.number(message);
                self.on_call((session, *channel), *ticket, number, *timeout);
            }
            Command::CallReply { call, result } => {
                let number = result.as_ref().ok().map(|message| self.post.number(message));
                self.on_call_reply(session, *call, number);
            }
            other => self.on_opening(session, other),
        }
    }

    /// The router says something.
    pub fn effect(&mut self, effect: &Effect) {
        let session = effect.session;
        match &effect.output {
            Output::Lease { channel, lease, attempt, auto_ack, sender, message } => {
                let number = self.post.number_of_any(message);
                self.on_lease((session, *channel), *lease, *attempt, *auto_ack, number);
                let sent_by = self.sent_by(session, *lease);
                assert_eq!(sender.session, sent_by, "{number} has another sender");
            }
            Output::Accepted { first, count } => {
                for ticket in *first..first + u64::from(*count) {
                    self.on_accepted(session, ticket);
                }
            }
            Output::Failed { ticket, failure } => {
                self.on_failed(session, *ticket, failure.kind());
            }
            Output::Grant { ticket } => self.on_grant(session, *ticket),
            Output::Settled { first, count } => {
                for lease in *first..first + u64::from(*count) {
                    self.on_answer(session, lease, true);
                }
            }
            Output::Unsettled { lease, .. } => self.on_answer(session, *lease, false),
            Output::Reply { request, result } => self.on_reply(session, *request, result),
            Output::Relay { .. }
            | Output::Wanted { .. }
            | Output::GivenUp { .. }
            | Output::HomeWay { .. }
            | Output::Matching { .. }
            | Output::Hosted { .. } => {
                panic!("nobody bridges or asks who listens")
            }
            Output::Ended { channel, failure } => {
                self.on_ended((session, *channel), failure.kind());
            }
            Output::Deliver { channel, stamp, message } => {
                let number = self.post.number(message);
                self.on_deliver((session, *channel), &stamp.source, number);
            }
            Output::DeliverParcel { .. } | Output::LeaseParcel { .. } => {
                unreachable!("frames are routed one by one here")
            }
            Output::Lost { channel, count, .. } => self.on_lost((session, *channel), *count),
            Output::Credit { channel, bytes } => self.on_credit((session, *channel), *bytes),
            Output::Invoke { channel, call, message, sender, .. } => {
                let number = self.post.number(message);
                self.on_invoke((session, *channel), *call, number, sender.session);
            }
            Output::Result { ticket, message } => {
                let number = self.post.number(message);
                self.on_result(session, *ticket, number);
            }
            Output::Recall { lease } => self.on_recall(session, *lease),
            Output::Expired { .. } => {}
        }
    }

    /// Leases whose clock the last command has started.
    pub fn started(&self) -> &[Lease] {
        &self.started
    }

    /// Leases that this moment has ended.
    pub fn expired(&self) -> &[(SessionId, Lease)] {
        &self.expired
    }

    pub fn now(&self) -> Time {
        self.now
    }

    /// Time has come to this moment: what is due happens.
    pub fn advance(&mut self, now: Time) {
        self.begin(now);
        self.expire_sessions();
        self.expire_leases();
        self.end_delays();
        self.end_cautions();
    }

    /// Takes a channel off the books, whatever it is.
    fn close_channel(&mut self, at: At) {
        let Some(chan) = self.session(at.0).channels.remove(&at.1) else { return };
        match chan {
            Chan::Queue(queue, _) => self.queues[queue].handles -= 1,
            Chan::Waiter(waiter) => self.drop_waiter(waiter),
            Chan::Publisher(topic) => {
                self.topics[topic].publishers.remove(&at);
            }
            Chan::Sub(sub) => self.leave(sub, at),
            Chan::Caller(_) => {}
            Chan::Server => self.drop_server(at),
        }
    }

    /// A ticket has its one verdict.
    fn close_ticket(&mut self, session: SessionId, ticket: Ticket) -> Open {
        let open = self.tickets.remove(&(session, ticket));
        open.unwrap_or_else(|| panic!("{session:?}: ticket {ticket} has a verdict too many"))
    }

    fn open_ticket(&mut self, session: SessionId, ticket: Ticket, open: Open) {
        let book = self.session(session);
        assert_eq!(ticket, book.last_ticket + 1, "{session:?}: tickets count on");
        book.last_ticket = ticket;
        self.tickets.insert((session, ticket), open);
    }

    fn on_accepted(&mut self, session: SessionId, ticket: Ticket) {
        match self.close_ticket(session, ticket) {
            Open::Send(Some(entry)) => self.accept(entry),
            Open::Publish => {}
            other => panic!("{session:?}: ticket {ticket} of {other:?} is accepted"),
        }
    }

    fn on_failed(&mut self, session: SessionId, ticket: Ticket, kind: ErrorKind) {
        match self.close_ticket(session, ticket) {
            Open::Send(entry) => self.refuse(session, ticket, entry, kind),
            Open::Publish => {}
            Open::Call => self.fail_call(session, ticket, kind),
        }
    }

    fn session(&mut self, session: SessionId) -> &mut SessionBook {
        self.sessions.get_mut(&session).expect("a session that is there")
    }

    fn is_connected(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|book| book.connected)
    }
}

/// Whole milliseconds, as durations travel.
fn whole(duration: Duration) -> Duration {
    Duration::from_millis(duration.as_millis() as u64)
}
