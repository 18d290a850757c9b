//! Services: calls, the servers that share them, and their replies.
//!
//! A call is in exactly one state: waiting at its service, or running at one server. Its
//! deadline, its reply, or the end of its server ends it; a reply that comes later is dropped
//! and counted, and only gives the server's credit back. Which server gets a call is said in
//! `choosing`, how it ends in `call_ends`, what is done for those beyond bridges in `calls_beyond`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::arena::{Arena, Id};
use crate::error::{ErrorKind, Failure};
use crate::limits::{REQUESTS_MAX, SERVICE_PENDING_BYTES_MAX, SERVICE_PENDING_MAX};
use crate::message::{Message, SharedSender};
use crate::name::Name;
use crate::time::Time;

use super::Router;
use super::command::{Channel, Ticket};
use super::effect::{Answer, Output, Source};
use super::policy::Deed;
use super::provenance::Epoch;
use super::rights::{Access, Right};
use super::session::{Handle, Session};
use super::timer::Timer;

/// A service: it is there as long as it has servers.
pub struct Service {
    pub(crate) name: Name,
    pub(crate) access: Access,
    pub(crate) servers: Arena<Server>,
    pub(crate) ready: VecDeque<Id<Server>>,
    /// How many of the servers are bridges, for servers beyond.
    pub(crate) beyond: usize,
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
    /// What its calls count, and what they may count before it is given no more.
    pub(crate) bytes: u64,
    pub(crate) bytes_max: u64,
    /// Of a bridge: the ways to those who serve beyond it.
    pub(crate) ways: Option<Vec<Vec<Epoch>>>,
}

/// A call that a session is serving.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Serving {
    pub service: Id<Service>,
    pub server: Id<Server>,
    /// What the call counts.
    pub cost: u64,
}

/// A call that is not answered.
pub(crate) struct Call {
    pub session: Id<Session>,
    pub ticket: Ticket,
    pub service: Id<Service>,
    pub server: Option<Id<Session>>,
    pub deadline: Time,
    pub sender: SharedSender,
    /// Where it comes from, if other brokers have passed it on.
    pub relayed: Option<Arc<Source>>,
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
        entry.open(channel, Handle::Caller { name, may, relayed: None })?;
        Ok(Answer::Opened { id, created: false, hosted: false })
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
        let id = self.service_names.get(&name).copied();
        if let Some(access) = id.and_then(|id| self.services.get(id)).map(|found| found.access) {
            self.check_right(session, &access, Right::Administer, "service", &name)?;
        }
        self.note_served(&name, None, true);
        let joined =
            self.join_service(session, channel, &name, mode, Server::new(session, channel, credit));
        if joined.is_err() {
            self.note_served(&name, None, false);
        }
        joined
    }

    /// One server more, of a service that is made if it is not there.
    pub(super) fn join_service(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        name: &Name,
        mode: Option<u16>,
        server: Server,
    ) -> Result<Answer, Failure> {
        let (id, created) = match self.service_names.get(name).copied() {
            Some(id) => (id, false),
            None => {
                let (default, needed) = (self.config.service_mode, &[Right::Administer]);
                let access = self.new_access(session, name, "service", mode, default, needed)?;
                self.check_count("services", self.services.len(), self.config.services_max)?;
                let id = self.services.insert_with(|_| Service::new(name.clone(), access));
                self.service_names.insert(name.clone(), id);
                (id, true)
            }
        };
        let Some(service) = self.services.get_mut(id) else { return Ok(Answer::Done { count: 0 }) };
        let (has_room, is_beyond) = (server.has_room(), server.ways.is_some());
        let server = service.servers.insert_with(|_| server);
        service.beyond += usize::from(is_beyond);
        if has_room {
            service.ready.push_back(server);
        }
        if let Some(entry) = self.ground.sessions.get_mut(session) {
            entry.open(channel, Handle::Server { service: id, server })?;
        }
        self.dispatch(id);
        Ok(Answer::Opened { id: id.serial(), created, hosted: false })
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
        let Handle::Caller { name, may, relayed } = self.ground.handle(session, channel)? else {
            return Err(Failure::new(
                ErrorKind::InvalidArgument,
                format!("channel {channel} is not a service"),
            ));
        };
        let deed = if relayed.is_some() { Deed::Bridge } else { Deed::Call };
        self.check_noted(session, *may, deed, "service", name)?;
        let relayed = relayed.clone();
        let Some(id) = self.service_names.get(name).copied() else {
            return Err(Failure::new(ErrorKind::Unreachable, format!("nobody serves `{name}`")));
        };
        let Some(service) = self.services.get(id) else { return Ok(()) };
        let (access, name) = (service.access, service.name.clone());
        self.check_right(session, &access, Right::Write, "service", &name)?;
        self.check_ways(id, relayed.as_deref())?;
        let Some(service) = self.services.get_mut(id) else { return Ok(()) };
        let all_busy = service.choose(&self.ground, passed(relayed.as_deref())).is_none();
        let Some(entry) = self.ground.sessions.get_mut(session) else { return Ok(()) };
        if entry.calls.len() >= REQUESTS_MAX {
            let text = format!("this session has {REQUESTS_MAX} calls under way already");
            return Err(Failure::new(ErrorKind::QuotaExceeded, text));
        }
        if all_busy {
            service.check_pending(&message)?;
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
            relayed,
            message: Some(message),
        };
        self.calls.insert(call, entry);
        self.ground.timers.set(deadline, Timer::Call(call));
        self.dispatch(id);
        Ok(())
    }

    /// Hands waiting calls to servers that have credit, longest waiting first on both sides.
    pub(super) fn dispatch(&mut self, id: Id<Service>) {
        // Calls before this one wait for a server that they may be handed to.
        let mut waiting = 0;
        loop {
            let Some(service) = self.services.get_mut(id) else { return };
            let Some(number) = service.pending.get(waiting).copied() else { return };
            let call = self.calls.get(&number);
            let hops = passed(call.and_then(|call| call.relayed.as_deref()));
            match service.choose(&self.ground, hops) {
                Some(server) => {
                    service.pending.remove(waiting);
                    self.hand_over(id, server, number);
                }
                // Whoever has passed nobody may be handed to all: if he waits, so does everybody.
                None if hops.is_empty() || service.ready.is_empty() => return,
                None => waiting += 1,
            }
        }
    }

    fn hand_over(&mut self, id: Id<Service>, server: Id<Server>, number: u64) {
        let Some(service) = self.services.get_mut(id) else { return };
        let Some(call) = self.calls.get_mut(&number) else { return };
        let Some(message) = call.message.take() else { return };
        let Some(entry) = service.servers.get_mut(server) else { return };
        let cost = message.cost();
        service.pending_bytes -= cost;
        service.running += 1;
        entry.running += 1;
        entry.bytes += cost;
        let (session, channel) = (entry.session, entry.channel);
        service.ready.retain(|other| *other != server);
        if entry.has_room() {
            service.ready.push_back(server);
        }
        call.server = Some(session);
        if let Some(owner) = self.ground.sessions.get_mut(session) {
            owner.serving.insert(number, Serving { service: id, server, cost });
        }
        let timeout_ms = call.deadline.since(self.ground.now).as_millis() as u64;
        let (sender, relayed) = (call.sender.clone(), call.relayed.clone());
        self.ground.tell(
            session,
            Output::Invoke { channel, call: number, timeout_ms, sender, relayed, message },
        );
    }
}

/// The brokers that a call has passed.
pub(super) fn passed(relayed: Option<&Source>) -> &[Epoch] {
    let provenance = relayed.and_then(|source| source.provenance.as_deref());
    provenance.map_or(&[], |provenance| &provenance.hops)
}

impl Service {
    fn new(name: Name, access: Access) -> Service {
        Service {
            name,
            access,
            servers: Arena::default(),
            ready: VecDeque::new(),
            beyond: 0,
            pending: VecDeque::new(),
            pending_bytes: 0,
            running: 0,
            requests: 0,
            replies: 0,
            late: 0,
            expired: 0,
        }
    }

    /// Whether one more call may wait.
    fn check_pending(&self, message: &Message) -> Result<(), Failure> {
        let bytes = self.pending_bytes + message.cost();
        let (count, name) = (self.pending.len(), &self.name);
        if count < SERVICE_PENDING_MAX && bytes <= SERVICE_PENDING_BYTES_MAX as u64 {
            return Ok(());
        }
        let text = format!("service `{name}`: all servers are busy and {count} calls wait already");
        Err(Failure::new(ErrorKind::QuotaExceeded, text))
    }
}

impl Server {
    /// One that serves here.
    pub(super) fn new(session: Id<Session>, channel: Channel, credit: u32) -> Server {
        let (bytes, bytes_max) = (0, u64::MAX);
        Server { session, channel, credit, running: 0, bytes, bytes_max, ways: None }
    }

    /// Whether it may be given one more call.
    pub(super) fn has_room(&self) -> bool {
        self.running < self.credit && self.bytes < self.bytes_max
    }
}
