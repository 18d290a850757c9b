//! Services: calls, the servers that share them, and their replies.
//!
//! A call is in exactly one state: waiting at its service, or running at one server. Its
//! deadline, its reply, or the end of its server ends it; a reply that comes later is dropped
//! and counted, and only gives the server's credit back.

use std::collections::VecDeque;
use std::time::Duration;

use crate::arena::{Arena, Id};
use crate::error::{ErrorKind, Failure};
use crate::limits::{REQUESTS_MAX, SERVICE_PENDING_BYTES_MAX, SERVICE_PENDING_MAX};
use crate::message::{Message, SharedSender};
use crate::name::Name;
use crate::time::Time;

use super::Router;
use super::command::{Channel, Ticket};
use super::effect::{Answer, Output};
use super::ground::Ground;
use super::policy::Deed;
use super::rights::{Access, Right};
use super::session::{Handle, Session};
use super::timer::Timer;

/// A service: it is there as long as it has servers.
pub struct Service {
    pub(crate) name: Name,
    pub(crate) access: Access,
    pub(crate) servers: Arena<Server>,
    pub(crate) ready: VecDeque<Id<Server>>,
    pub(crate) pending: VecDeque<u64>,
    pub(crate) pending_bytes: u64,
    pub(crate) running: u64,
    pub(crate) requests: u64,
    pub(crate) replies: u64,
    pub(crate) late: u64,
    pub(crate) expired: u64,
}

/// One who serves.
pub struct Server {
    pub(crate) session: Id<Session>,
    pub(crate) channel: Channel,
    pub(crate) credit: u32,
    pub(crate) running: u32,
}

/// A call that is not answered.
pub(crate) struct Call {
    pub session: Id<Session>,
    pub ticket: Ticket,
    pub service: Id<Service>,
    pub server: Option<Id<Session>>,
    pub deadline: Time,
    pub sender: SharedSender,
    /// Until it is handed to a server.
    pub message: Option<Message>,
}

impl Router {
    pub(super) fn open_service(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        name: Name,
    ) -> Result<Answer, Failure> {
        let may = self.deeds(session, &name);
        self.check_noted(session, may, Deed::Call, "service", &name)?;
        let id = self.service_names.get(&name).map_or(0, |id| id.serial());
        let Some(entry) = self.ground.sessions.get_mut(session) else {
            return Ok(Answer::Done { count: 0 });
        };
        entry.open(channel, Handle::Caller { name, may })?;
        Ok(Answer::Opened { id, created: false })
    }

    pub(super) fn serve_name(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        name: Name,
        credit: u32,
        mode: Option<u16>,
    ) -> Result<Answer, Failure> {
        let Some(entry) = self.ground.sessions.get(session) else {
            return Ok(Answer::Done { count: 0 });
        };
        entry.check_free(channel)?;
        self.check_deed(session, Deed::Serve, "service", &name)?;
        let (id, created) = match self.service_names.get(&name).copied() {
            Some(id) => {
                if let Some(access) = self.services.get(id).map(|service| service.access) {
                    self.check_right(session, &access, Right::Administer, "service", &name)?;
                }
                (id, false)
            }
            None => {
                let access = self.new_access(
                    session,
                    &name,
                    "service",
                    mode,
                    self.config.service_mode,
                    &[Right::Administer],
                )?;
                self.check_count("services", self.services.len(), self.config.services_max)?;
                let id = self.services.insert_with(|_| Service::new(name.clone(), access));
                self.service_names.insert(name, id);
                (id, true)
            }
        };
        let Some(service) = self.services.get_mut(id) else { return Ok(Answer::Done { count: 0 }) };
        let server =
            service.servers.insert_with(|_| Server { session, channel, credit, running: 0 });
        if let Some(entry) = self.ground.sessions.get_mut(session) {
            entry.open(channel, Handle::Server { service: id, server })?;
        }
        if credit > 0 {
            service.ready.push_back(server);
        }
        self.dispatch(id);
        Ok(Answer::Opened { id: id.serial(), created })
    }

    pub(super) fn call(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        ticket: Ticket,
        message: Message,
        timeout: Duration,
    ) {
        if let Err(failure) = self.try_call(session, channel, ticket, message, timeout) {
            self.ground.verdict(session, ticket, Err(failure));
        }
    }

    fn try_call(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        ticket: Ticket,
        mut message: Message,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let Handle::Caller { name, may } = self.ground.handle(session, channel)? else {
            return Err(Failure::new(
                ErrorKind::InvalidArgument,
                format!("channel {channel} is not a service"),
            ));
        };
        self.check_noted(session, *may, Deed::Call, "service", name)?;
        let Some(id) = self.service_names.get(name).copied() else {
            return Err(Failure::new(ErrorKind::Unreachable, format!("nobody serves `{name}`")));
        };
        let Some(service) = self.services.get(id) else { return Ok(()) };
        let (access, name) = (service.access, service.name.clone());
        self.check_right(session, &access, Right::Write, "service", &name)?;
        let Some(service) = self.services.get_mut(id) else { return Ok(()) };
        let all_busy = service.next_ready(&self.ground).is_none();
        let Some(entry) = self.ground.sessions.get_mut(session) else { return Ok(()) };
        if entry.calls.len() >= REQUESTS_MAX {
            let text = format!("this session has {REQUESTS_MAX} calls under way already");
            return Err(Failure::new(ErrorKind::QuotaExceeded, text));
        }
        let full = service.pending.len() >= SERVICE_PENDING_MAX
            || service.pending_bytes + message.cost() > SERVICE_PENDING_BYTES_MAX as u64;
        if all_busy && full {
            let text = format!(
                "service `{name}`: all servers are busy and {} calls wait already",
                service.pending.len()
            );
            return Err(Failure::new(ErrorKind::QuotaExceeded, text));
        }
        message.compact();
        self.next_call += 1;
        let call = self.next_call;
        let deadline = self.ground.now.after(timeout);
        service.requests += 1;
        service.pending.push_back(call);
        service.pending_bytes += message.cost();
        entry.calls.insert(ticket, call);
        let sender = entry.sender.clone();
        let entry = Call {
            session,
            ticket,
            service: id,
            server: None,
            deadline,
            sender,
            message: Some(message),
        };
        self.calls.insert(call, entry);
        self.ground.timers.set(deadline, Timer::Call(call));
        self.dispatch(id);
        Ok(())
    }

    /// Hands waiting calls to servers that have credit, longest waiting first on both sides.
    pub(super) fn dispatch(&mut self, id: Id<Service>) {
        let Some(service) = self.services.get_mut(id) else { return };
        while !service.pending.is_empty() {
            let Some(server) = service.next_ready(&self.ground) else { return };
            let Some(number) = service.pending.pop_front() else { return };
            let Some(call) = self.calls.get_mut(&number) else { continue };
            let Some(message) = call.message.take() else { continue };
            let Some(entry) = service.servers.get_mut(server) else { return };
            service.pending_bytes -= message.cost();
            service.running += 1;
            entry.running += 1;
            let (session, channel) = (entry.session, entry.channel);
            if entry.running < entry.credit {
                service.ready.retain(|other| *other != server);
                service.ready.push_back(server);
            } else {
                service.ready.retain(|other| *other != server);
            }
            call.server = Some(session);
            if let Some(owner) = self.ground.sessions.get_mut(session) {
                owner.serving.insert(number, (id, server));
            }
            let timeout_ms = call.deadline.since(self.ground.now).as_millis() as u64;
            let sender = call.sender.clone();
            self.ground.tell(
                session,
                Output::Invoke { channel, call: number, timeout_ms, sender, message },
            );
        }
    }

    /// A server answers.
    pub(super) fn call_reply(
        &mut self,
        session: Id<Session>,
        number: u64,
        result: Result<Message, String>,
    ) {
        let Some((service, server)) =
            self.ground.sessions.get_mut(session).and_then(|entry| entry.serving.remove(&number))
        else {
            return;
        };
        if let Some(service) = self.services.get_mut(service) {
            service.running -= 1;
            if let Some(entry) = service.servers.get_mut(server) {
                entry.running -= 1;
                if entry.running + 1 == entry.credit {
                    service.ready.push_back(server);
                }
            }
            match self.calls.contains_key(&number) {
                true => service.replies += 1,
                false => service.late += 1,
            }
        }
        if let Some(call) = self.end_call(number) {
            let output = match result {
                Ok(message) => Output::Result { ticket: call.ticket, message },
                Err(text) => {
                    let failure = Failure::new(ErrorKind::ServiceFailed, text);
                    Output::Failed { ticket: call.ticket, failure }
                }
            };
            self.ground.tell(call.session, output);
        }
        self.dispatch(service);
    }

    /// Takes a call off the books. Its server, if it has one, still owes its reply.
    pub(super) fn end_call(&mut self, number: u64) -> Option<Call> {
        let call = self.calls.remove(&number)?;
        self.ground.timers.clear(call.deadline, Timer::Call(number));
        if let Some(entry) = self.ground.sessions.get_mut(call.session) {
            entry.calls.remove(&call.ticket);
        }
        if let (Some(message), Some(service)) = (&call.message, self.services.get_mut(call.service))
        {
            service.pending_bytes -= message.cost();
            service.pending.retain(|other| *other != number);
        }
        Some(call)
    }

    pub(super) fn call_is_over(&mut self, number: u64) {
        let Some(call) = self.end_call(number) else { return };
        let Some(service) = self.services.get_mut(call.service) else { return };
        service.expired += 1;
        let state =
            if call.server.is_some() { "its server has not replied" } else { "no server was free" };
        let text = format!("call to service `{}`: the deadline passed, {state}", service.name);
        self.ground.verdict(
            call.session,
            call.ticket,
            Err(Failure::new(ErrorKind::TimedOut, text)),
        );
    }

    /// A server goes: the calls that it was serving have no responder any more.
    pub(super) fn drop_server(
        &mut self,
        session: Id<Session>,
        id: Id<Service>,
        server: Id<Server>,
    ) {
        let Some(entry) = self.ground.sessions.get_mut(session) else { return };
        let mine: Vec<u64> = entry
            .serving
            .iter()
            .filter(|(_, by)| **by == (id, server))
            .map(|(call, _)| *call)
            .collect();
        for number in &mine {
            entry.serving.remove(number);
        }
        let Some(service) = self.services.get_mut(id) else { return };
        let name = service.name.clone();
        service.running -= mine.len() as u64;
        service.servers.remove(server);
        service.ready.retain(|other| *other != server);
        for number in mine {
            self.fail_call(number, &format!("the server of `{name}` went away before it replied"));
        }
        let Some(service) = self.services.get_mut(id) else { return };
        if service.servers.is_empty() {
            let pending: Vec<u64> = service.pending.iter().copied().collect();
            for number in pending {
                self.fail_call(number, &format!("nobody serves `{name}` any more"));
            }
            self.services.remove(id);
            self.service_names.remove(&name);
        }
    }

    fn fail_call(&mut self, number: u64, text: &str) {
        if let Some(call) = self.end_call(number) {
            let failure = Failure::new(ErrorKind::Unreachable, text);
            self.ground.verdict(call.session, call.ticket, Err(failure));
        }
    }
}

impl Service {
    fn new(name: Name, access: Access) -> Service {
        Service {
            name,
            access,
            servers: Arena::default(),
            ready: VecDeque::new(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            running: 0,
            requests: 0,
            replies: 0,
            late: 0,
            expired: 0,
        }
    }

    /// The server with credit that has waited longest and is connected.
    fn next_ready(&self, ground: &Ground) -> Option<Id<Server>> {
        let connected = |id: &&Id<Server>| {
            self.servers.get(**id).is_some_and(|server| {
                ground.is_connected(server.session) && ground.is_flowing(server.session)
            })
        };
        self.ready.iter().find(connected).copied()
    }
}
