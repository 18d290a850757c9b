//! What bridges do for calls: serve a name for those beyond, and call for callers elsewhere.
//!
//! A bridge is a server here, for whoever serves beyond it, and at the broker beyond a caller.
//! Invariant: the table of what is served has a way exactly as often as servers give it, so that a
//! name is told to peers as served only while somebody serves it.

use std::sync::Arc;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{HOPS_MAX, WAYS_MAX};
use crate::name::{Name, Pattern};

use super::Router;
use super::bridge_command::ServeBeyond;
use super::command::Channel;
use super::effect::{Answer, Output, Source};
use super::fault::Fault;
use super::interest::InterestOffer;
use super::provenance::{Epoch, Provenance};
use super::service::{Server, Service, passed};
use super::session::{Handle, Session};

impl Router {
    /// A bridge serves a name on behalf of those beyond; or the ways to them are others.
    pub(super) fn serve_beyond(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        asked: ServeBeyond,
    ) -> Result<Answer, Failure> {
        let ServeBeyond { name, credit, bytes_max, mode, ways } = asked;
        self.check_bridge_service(session, &name)?;
        check_ways(&ways)?;
        // A way that leads back here is none.
        let is_way = |way: &Vec<Epoch>| !way.contains(&self.config.epoch);
        let ways: Vec<_> = ways.into_iter().filter(is_way).collect();
        if let Ok(Handle::Server { service, server }) = self.ground.handle(session, channel) {
            return self.change_ways(&name, channel, (*service, *server), ways);
        }
        let Some(entry) = self.ground.sessions.get(session) else {
            return Ok(Answer::Done { count: 0 });
        };
        entry.check_free(channel)?;
        self.note_served(&name, Some(&ways), true);
        let server = Server::new(session, channel, credit);
        let server = Server { bytes_max, ways: Some(ways.clone()), ..server };
        let joined = self.join_service(session, channel, &name, mode, server);
        if joined.is_err() {
            self.note_served(&name, Some(&ways), false);
        }
        joined
    }

    fn change_ways(
        &mut self,
        name: &Name,
        channel: Channel,
        (id, server): (Id<Service>, Id<Server>),
        ways: Vec<Vec<Epoch>>,
    ) -> Result<Answer, Failure> {
        let service = self.services.get_mut(id).filter(|service| service.name == *name);
        let server = service.and_then(|service| service.servers.get_mut(server));
        let Some(before) = server.and_then(|server| server.ways.as_mut()) else {
            let text = format!("channel {channel} is another server");
            return Err(Failure::new(ErrorKind::Protocol, text));
        };
        let before = std::mem::replace(before, ways.clone());
        // First what is new: what is in both never leaves the table.
        self.note_served(name, Some(&ways), true);
        self.note_served(name, Some(&before), false);
        self.fail_stranded(id);
        self.dispatch(id);
        Ok(Answer::Opened { id: id.serial(), created: false, hosted: false })
    }

    /// Opens a service for a caller elsewhere.
    pub(super) fn open_caller(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        name: Name,
        provenance: Arc<Provenance>,
    ) -> Result<Answer, Failure> {
        self.check_bridge_service(session, &name)?;
        if let Err(failure) = provenance.check_for(self.config.epoch) {
            self.relays.stat.loops += u64::from(failure.kind() == ErrorKind::Loop);
            return Err(failure);
        }
        let may = self.deeds(session, &name);
        let id = self.service_names.get(&name).map_or(0, |id| id.serial());
        let Some(entry) = self.ground.sessions.get_mut(session) else {
            return Ok(Answer::Done { count: 0 });
        };
        entry.check_free(channel)?;
        self.next_source += 1;
        let (key, sender) = (self.next_source, entry.sender.clone());
        let source = Source { key, sender, topic: name.clone(), provenance: Some(provenance) };
        let relayed = Some(Arc::new(source));
        entry.open(channel, Handle::Caller { name, may, relayed })?;
        Ok(Answer::Opened { id, created: false, hosted: false })
    }

    /// Whether there is a server for what has come this way. If there are only such as lead back,
    /// the bridges form a loop, and it goes no further.
    pub(super) fn check_ways(
        &mut self,
        id: Id<Service>,
        relayed: Option<&Source>,
    ) -> Result<(), Failure> {
        let Some(service) = self.services.get(id) else { return Ok(()) };
        if service.leads_on(&self.ground, passed(relayed)) {
            return Ok(());
        }
        self.relays.stat.loops += u64::from(relayed.is_some());
        Err(Failure::new(ErrorKind::Unreachable, stranded(&service.name)))
    }

    /// Calls that wait, and for which there is no server any more, have no responder.
    pub(super) fn fail_stranded(&mut self, id: Id<Service>) {
        let Some(service) = self.services.get(id) else { return };
        if service.beyond < service.servers.len() {
            return;
        }
        let is_stranded = |number: &u64| {
            let call = self.calls.get(number);
            let hops = passed(call.and_then(|call| call.relayed.as_deref()));
            !service.leads_on(&self.ground, hops)
        };
        let stranded_calls: Vec<u64> =
            service.pending.iter().copied().filter(is_stranded).collect();
        let text = stranded(&service.name);
        for number in stranded_calls {
            self.fail_call(number, &text);
        }
    }

    /// A caller does not wait any more. Whoever serves for others can spare them the work.
    pub(super) fn give_up(&mut self, number: u64) {
        let Some(session) = self.end_call(number).and_then(|call| call.server) else { return };
        let entry = self.ground.sessions.get(session);
        let Some(serving) = entry.and_then(|entry| entry.serving.get(&number)) else { return };
        let service = self.services.get(serving.service);
        let server = service.and_then(|service| service.servers.get(serving.server));
        if server.is_some_and(|server| server.ways.is_some()) {
            self.ground.tell(session, Output::GivenUp { call: number });
        }
    }

    /// Somebody begins, or ends, to serve a name: here, or beyond by these ways.
    pub(super) fn note_served(&mut self, name: &Name, ways: Option<&[Vec<Epoch>]>, begins: bool) {
        let own = self.config.epoch;
        if own == 0 || (!begins && self.ground.planted(Fault::ServedStays)) {
            return;
        }
        // A name is a pattern that matches itself.
        let Ok(pattern) = Pattern::new(name.as_str()) else { return };
        let here: &[Vec<Epoch>] = &[Vec::new()];
        for way in ways.unwrap_or(here) {
            match begins {
                true => self.served.add(own, &pattern, way),
                false => self.served.remove(own, &pattern, way),
            }
        }
    }

    /// What a bridge tells the broker of this epoch: what is served here and beyond, of what
    /// matches one of these.
    pub fn served_for(&self, peer: Epoch, patterns: &[Pattern]) -> InterestOffer {
        self.served.offer_of(self.config.epoch, peer, |served| {
            patterns.iter().any(|pattern| pattern.contains(served))
        })
    }
}

fn stranded(name: &Name) -> String {
    format!("nobody serves `{name}` where this call has not been: the bridges form a loop")
}

fn check_ways(ways: &[Vec<Epoch>]) -> Result<(), Failure> {
    if ways.len() > WAYS_MAX {
        let text = format!("a service beyond has at most {WAYS_MAX} ways, not {}", ways.len());
        return Err(Failure::new(ErrorKind::InvalidArgument, text));
    }
    if ways.iter().any(|way| !(1..=HOPS_MAX).contains(&way.len())) {
        let text = format!("a way leads over 1 to {HOPS_MAX} brokers");
        return Err(Failure::new(ErrorKind::InvalidArgument, text));
    }
    Ok(())
}
