//! Sessions: when they are away, when they end, and what is open on their channels.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_core::router::{Answer, Channel, Command, RequestId, SessionEnd, SessionId, Ticket};
use bus_core::{ErrorKind, Failure, Time};

use super::{At, Chan, Ledger, Open};

/// A session.
#[derive(Debug)]
pub(super) struct SessionBook {
    pub connected: bool,
    grace: Duration,
    pub away_until: Option<Time>,
    pub channels: BTreeMap<Channel, Chan>,
    pub last_ticket: Ticket,
    pub last_lease: u64,
    /// What is answered to a request.
    requests: BTreeMap<RequestId, Asked>,
}

/// A control request.
#[derive(Debug)]
enum Asked {
    Open(Box<Command>),
    Other,
}

impl Ledger {
    pub fn open_session(&mut self, now: Time, session: SessionId, grace: Duration) {
        self.begin(now);
        let book = SessionBook {
            connected: true,
            grace,
            away_until: None,
            channels: BTreeMap::new(),
            last_ticket: 0,
            last_lease: 0,
            requests: BTreeMap::new(),
        };
        let old = self.sessions.insert(session, book);
        assert!(old.is_none(), "{session:?} begins twice");
    }

    pub fn suspend(&mut self, now: Time, session: SessionId) {
        self.begin(now);
        let Some(book) = self.sessions.get_mut(&session) else { return };
        book.connected = false;
        if book.grace.is_zero() {
            return self.end_session(session, SessionEnd::Lost);
        }
        book.away_until = Some(now.after(book.grace));
    }

    pub fn resume(&mut self, now: Time, session: SessionId) {
        self.begin(now);
        let book = self.session(session);
        book.connected = true;
        book.away_until = None;
    }

    pub fn close_session(&mut self, now: Time, session: SessionId, end: SessionEnd) {
        self.begin(now);
        self.end_session(session, end);
    }

    pub(super) fn expire_sessions(&mut self) {
        let due = |book: &SessionBook| book.away_until.is_some_and(|until| until <= self.now);
        let over: Vec<_> =
            self.sessions.iter().filter(|(_, book)| due(book)).map(|(id, _)| *id).collect();
        for session in over {
            self.end_session(session, SessionEnd::Lost);
        }
    }

    /// Everything that a session held is let go. Its tickets are answered by the router.
    fn end_session(&mut self, session: SessionId, end: SessionEnd) {
        self.return_all(session, end);
        let channels: Vec<_> = self.session(session).channels.keys().copied().collect();
        for channel in channels {
            self.close_channel((session, channel));
        }
        // A call that is given up with its session has no verdict.
        self.calls.retain(|(caller, _), _| *caller != session);
        self.tickets.retain(|(owner, _), open| *owner != session || *open != Open::Call);
        self.sessions.remove(&session);
        for book in &mut self.queues {
            book.dying |= book.alive && book.lives_with == Some(session);
        }
    }

    /// A control request.
    pub(super) fn on_opening(&mut self, session: SessionId, command: &Command) {
        let (request, asked) = match command {
            Command::OpenQueue { request, .. }
            | Command::OpenPublisher { request, .. }
            | Command::Subscribe { request, .. }
            | Command::OpenService { request, .. }
            | Command::Serve { request, .. } => {
                // What comes before the answer finds the channel open already.
                match command {
                    Command::Subscribe { .. } => self.open_sub(session, command),
                    Command::Serve { channel, name, credit, .. } => {
                        self.open_server((session, *channel), name.clone(), *credit);
                    }
                    _ => {}
                }
                (*request, Asked::Open(Box::new(command.clone())))
            }
            Command::Admin { request, name, action, .. } => {
                self.on_admin(name, *action);
                (*request, Asked::Other)
            }
            Command::Peek { request, .. } | Command::Flush { request, .. } => {
                (*request, Asked::Other)
            }
            other => panic!("no books are kept for {other:?}"),
        };
        let twice = self.session(session).requests.insert(request, asked);
        assert!(twice.is_none(), "{session:?}: request {request} comes twice");
    }

    /// A request is answered; what it opened is open from now on.
    pub(super) fn on_reply(
        &mut self,
        session: SessionId,
        request: RequestId,
        result: &Result<Answer, Failure>,
    ) {
        let Some(book) = self.sessions.get_mut(&session) else { return };
        let Some(Asked::Open(command)) = book.requests.remove(&request) else { return };
        let opened = match result {
            Ok(Answer::Opened { id, created, .. }) => Some((*id, *created)),
            Ok(other) => panic!("{command:?} is answered with {other:?}"),
            Err(_) => None,
        };
        match (*command, opened) {
            (Command::OpenQueue { channel, name, options, .. }, Some((id, created))) => {
                let queue = self.opened_queue(name, id, created, session, options);
                self.open_channel((session, channel), Chan::Queue(queue, self.turn));
            }
            (Command::OpenPublisher { channel, topic, .. }, Some((id, _))) => {
                let topic = self.opened_topic(&topic, id, (session, channel));
                self.open_channel((session, channel), Chan::Publisher(topic));
            }
            (Command::Subscribe { channel, .. } | Command::Serve { channel, .. }, None) => {
                self.close_channel((session, channel))
            }
            (Command::OpenService { channel, name, .. }, Some(_)) => {
                self.open_channel((session, channel), Chan::Caller(name));
            }
            _ => {}
        }
    }

    pub(super) fn open_channel(&mut self, at: At, chan: Chan) {
        let old = self.session(at.0).channels.insert(at.1, chan);
        assert_eq!(old, None, "{at:?} is open already");
    }

    pub(super) fn chan(&self, at: At) -> Option<&Chan> {
        self.sessions.get(&at.0)?.channels.get(&at.1)
    }

    /// The router has ended a channel.
    pub(super) fn on_ended(&mut self, at: At, kind: ErrorKind) {
        match self.chan(at).cloned() {
            Some(Chan::Waiter(waiter)) => self.check_end(waiter, kind),
            Some(Chan::Sub(sub)) => self.check_sub_end(sub, kind),
            Some(Chan::Publisher(_)) => self.take_back_published(at),
            // It could not be opened.
            _ => return,
        }
        self.close_channel(at);
    }
}
