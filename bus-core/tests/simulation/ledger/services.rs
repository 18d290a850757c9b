//! Calls: each is served once at most, and has one answer, in time.

use std::collections::BTreeSet;
use std::time::Duration;

use bus_core::router::{SessionId, Ticket};
use bus_core::{ErrorKind, Name, Time};

use super::{At, Chan, Ledger, Open, whole};

/// A call without verdict.
#[derive(Clone, Debug)]
pub(super) struct Call {
    service: Option<Name>,
    number: u64,
    deadline: Time,
    /// As which call it was handed to whom.
    invoked: Option<(u64, At)>,
    /// The reply that has just come: a message, or that the service failed.
    reply: Option<Option<u64>>,
}

/// One who serves.
#[derive(Debug)]
pub(super) struct ServerBook {
    service: Name,
    credit: u32,
    /// Calls that it has not answered.
    running: BTreeSet<u64>,
}

impl Ledger {
    pub(super) fn open_server(&mut self, at: At, service: Name, credit: u32) {
        self.open_channel(at, Chan::Server);
        self.servers.insert(at, ServerBook { service, credit, running: BTreeSet::new() });
    }

    pub(super) fn drop_server(&mut self, at: At) {
        self.servers.remove(&at);
    }

    pub(super) fn on_call(&mut self, at: At, ticket: Ticket, number: u64, timeout: Duration) {
        let service = match self.chan(at) {
            Some(Chan::Caller(name)) => Some(name.clone()),
            _ => None,
        };
        let deadline = self.now.after(whole(timeout));
        let call = Call { service, number, deadline, invoked: None, reply: None };
        self.calls.insert((at.0, ticket), call);
        self.open_ticket(at.0, ticket, Open::Call);
    }

    pub(super) fn on_invoke(&mut self, at: At, call: u64, number: u64, from: u64) {
        assert!(self.is_connected(at.0), "{at:?} is called, and is away");
        let found = self.calls.iter_mut().find(|(_, open)| open.number == number);
        let Some(((caller, _), open)) = found else {
            panic!("{at:?} is called with {number}, which nobody waits for");
        };
        assert_eq!(caller.serial(), from, "{number} has another caller");
        assert_eq!(open.invoked, None, "{number} is served twice");
        open.invoked = Some((call, at));
        let server = self.servers.get_mut(&at);
        let server = server.unwrap_or_else(|| panic!("{at:?} is called, and serves nothing"));
        assert_eq!(
            Some(&server.service),
            open.service.as_ref(),
            "{number} came to another service"
        );
        server.running.insert(call);
        let running = server.running.len();
        assert!(running <= server.credit as usize, "{at:?} serves {running} calls at a time");
    }

    pub(super) fn on_call_reply(&mut self, session: SessionId, call: u64, number: Option<u64>) {
        let mut servers = self.servers.range_mut((session, 0)..=(session, u32::MAX));
        let known = servers.any(|(_, server)| server.running.remove(&call));
        let open = self.calls.values_mut().find(|open| {
            matches!(open.invoked, Some((invoked, at)) if invoked == call && at.0 == session)
        });
        if let Some(open) = open.filter(|_| known) {
            open.reply = Some(number);
        }
    }

    pub(super) fn on_result(&mut self, session: SessionId, ticket: Ticket, number: u64) {
        assert_eq!(self.close_ticket(session, ticket), Open::Call, "{ticket} is no call");
        let call = self.calls.remove(&(session, ticket)).expect("an open call");
        assert_eq!(call.reply, Some(Some(number)), "{session:?}: another reply to {ticket}");
    }

    pub(super) fn fail_call(&mut self, session: SessionId, ticket: Ticket, kind: ErrorKind) {
        let call = self.calls.remove(&(session, ticket)).expect("an open call");
        let good = match kind {
            ErrorKind::TimedOut => call.deadline <= self.now,
            ErrorKind::ServiceFailed => call.reply == Some(None),
            ErrorKind::Unreachable => match call.invoked {
                Some((_, at)) => !self.servers.contains_key(&at),
                None => !self
                    .servers
                    .values()
                    .any(|server| Some(&server.service) == call.service.as_ref()),
            },
            ErrorKind::Withdrawn => self.withdrawn.contains(&(session, ticket)),
            ErrorKind::Closed => call.service.is_none(),
            _ => false,
        };
        assert!(good, "{session:?}: call {ticket} has failed as {kind:?}: {call:?}");
    }

    /// No call outlives its deadline, nor the request to give it up.
    pub(super) fn check_calls(&self) {
        for (key, call) in &self.calls {
            assert!(call.deadline >= self.now, "call {key:?} waits beyond its deadline");
            assert!(!self.withdrawn.contains(key), "call {key:?} was given up, and has no verdict");
        }
    }
}
