//! How calls end: with a reply, at their deadline, or with their server.
//!
//! Invariant: a call that is taken off the books is told to its caller once, or was given up by him.

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::message::Message;

use super::Router;
use super::effect::Output;
use super::service::{Call, Server, Service, Serving};
use super::session::Session;
use super::timer::Timer;

impl Router {
    /// A server answers. What a bridge says is the answer of whoever served, and the broker's own services
    /// speak for it; another server can only have failed.
    pub(super) fn call_reply(
        &mut self,
        session: Id<Session>,
        number: u64,
        result: Result<Message, Failure>,
    ) {
        let Some(entry) = self.ground.sessions.get_mut(session) else { return };
        let Some(Serving { service, server, cost }) = entry.serving.remove(&number) else { return };
        let mut may_say_why = entry.identity.system;
        if let Some(service) = self.services.get_mut(service) {
            service.running -= 1;
            if let Some(entry) = service.servers.get_mut(server) {
                let had_room = entry.has_room();
                entry.running -= 1;
                entry.bytes -= cost;
                may_say_why |= entry.ways.is_some();
                if !had_room && entry.has_room() {
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
                Err(failure) => {
                    let failed =
                        |failure: Failure| Failure::new(ErrorKind::ServiceFailed, failure.text());
                    let failure = if may_say_why { failure } else { failed(failure) };
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
            .filter(|(_, by)| (by.service, by.server) == (id, server))
            .map(|(call, _)| *call)
            .collect();
        for number in &mine {
            entry.serving.remove(number);
        }
        let Some(service) = self.services.get_mut(id) else { return };
        let name = service.name.clone();
        service.running -= mine.len() as u64;
        let ways = service.servers.remove(server).and_then(|gone| gone.ways);
        service.beyond -= usize::from(ways.is_some());
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
        self.note_served(&name, ways.as_deref(), false);
        self.fail_stranded(id);
        self.dispatch(id);
    }

    pub(super) fn fail_call(&mut self, number: u64, text: &str) {
        if let Some(call) = self.end_call(number) {
            let failure = Failure::new(ErrorKind::Unreachable, text);
            self.ground.verdict(call.session, call.ticket, Err(failure));
        }
    }
}
