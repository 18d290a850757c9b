//! What an exchange asks of its home broker, and what that says, in terms of channels and tickets.
//!
//! Each caller of each name has a channel, which says once where his calls come from. Invariant: a
//! ticket is here exactly while home has not answered it and the exchange wants to know.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bus_core::bridge::{CallId, Exchange, ExchangeAction};
use bus_core::router::{BridgeCommand, Channel, Command, Epoch, Provenance, RequestId, Ticket};
use bus_core::session::{ChannelKind, ClientSession, Event};
use bus_core::{Failure, Name, Pattern};

/// Callers that have a channel; the oldest makes way for a new one.
const CALLERS_MAX: usize = 1024;

/// A caller of a name: by the boot of his broker, his session there, and the way from there.
type CallerKey = (Name, Epoch, u64, Vec<Epoch>);

/// A call that home has been asked.
struct Asked {
    id: CallId,
    /// The request that opened its channel.
    opening: RequestId,
}

/// What is called at home, and for whom.
#[derive(Default)]
pub(super) struct Callers {
    open: BTreeMap<CallerKey, (Channel, RequestId)>,
    /// Oldest first.
    order: VecDeque<CallerKey>,
    tickets: BTreeMap<Ticket, Asked>,
    by_id: BTreeMap<CallId, Ticket>,
    /// The channel that tells what is served, and for which broker.
    watch: Option<(Channel, Epoch)>,
    watch_request: RequestId,
    /// It has said that it tells.
    pub watched: bool,
    /// What could not be told of that, the last time.
    pub left_out: u64,
}

impl Callers {
    /// There is another session.
    pub fn clear(&mut self) {
        *self = Callers::default();
    }

    /// Asks what is served, on behalf of a guest broker of this epoch, unless it is asked already.
    pub fn watch(
        &mut self,
        exchange: &mut Exchange,
        session: &mut ClientSession,
        peer: Epoch,
        patterns: &[Pattern],
    ) {
        if self.watch.is_some_and(|(_, asked)| asked == peer) {
            return;
        }
        if let Some((channel, _)) = self.watch.take() {
            session.close(channel);
        }
        let opened = session.open(ChannelKind::Interest, |request, channel| {
            let patterns = patterns.to_vec();
            Command::Bridge(BridgeCommand::WatchServices { request, channel, peer, patterns })
        });
        if let Ok((channel, request)) = opened {
            self.watch = Some((channel, peer));
            self.watch_request = request;
            exchange.home_tells_anew();
        }
    }

    /// Says what the exchange wants said. What is for the guest is not for here.
    pub fn act(
        &mut self,
        exchange: &mut Exchange,
        session: &mut ClientSession,
        action: ExchangeAction,
    ) {
        match action {
            ExchangeAction::Call { id, name, provenance, message, timeout } => {
                match self.channel(session, name, provenance) {
                    Ok((channel, opening)) => {
                        let ticket = session.call(channel, &message, timeout);
                        self.tickets.insert(ticket, Asked { id, opening });
                        self.by_id.insert(id, ticket);
                    }
                    Err(failure) => exchange.answered(id, Err(failure)),
                }
            }
            ExchangeAction::Withdraw { id } => {
                if let Some(ticket) = self.by_id.get(&id) {
                    session.withdraw(*ticket);
                }
            }
            _ => {}
        }
    }

    /// The channel of a caller.
    fn channel(
        &mut self,
        session: &mut ClientSession,
        name: Name,
        provenance: Arc<Provenance>,
    ) -> Result<(Channel, RequestId), Failure> {
        let Provenance { epoch, publisher, hops, .. } = &*provenance;
        let key = (name.clone(), *epoch, *publisher, hops.clone());
        if let Some(found) = self.open.get(&key) {
            return Ok(*found);
        }
        while self.order.len() >= CALLERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            // Its calls are answered all the same.
            if let Some((channel, _)) = self.open.remove(&oldest) {
                session.close(channel);
            }
        }
        let opened = session.open(ChannelKind::Caller, |request, channel| {
            Command::Bridge(BridgeCommand::OpenCaller { request, channel, name, provenance })
        })?;
        self.open.insert(key.clone(), opened);
        self.order.push_back(key);
        Ok(opened)
    }

    /// Takes what the broker has said. Fails when it does not say what is served.
    pub fn take(
        &mut self,
        exchange: &mut Exchange,
        session: &mut ClientSession,
        event: Event,
    ) -> Result<(), Failure> {
        match event {
            Event::Result { ticket, message } => {
                if let Some(id) = self.answered(ticket) {
                    exchange.answered(id, Ok(message));
                }
            }
            Event::Failed { ticket, failure } => {
                if let Some(id) = self.answered(ticket) {
                    exchange.answered(id, Err(failure));
                }
            }
            Event::Wanted { channel, added, removed, left_out, complete }
                if self.watch.is_some_and(|(watch, _)| watch == channel) =>
            {
                self.left_out = left_out;
                exchange.home_tells(added, &removed, complete);
            }
            Event::Reply { request, result: Err(failure) } if request == self.watch_request => {
                return Err(failure);
            }
            Event::Reply { request, result: Ok(_) } if request == self.watch_request => {
                self.watched = true;
            }
            Event::Reply { request, result: Err(failure) } => {
                self.refused(exchange, request, &failure);
            }
            Event::Ended { channel, failure } => {
                session.close(channel);
                if self.watch.is_some_and(|(watch, _)| watch == channel) {
                    return Err(failure);
                }
            }
            // Nothing else is asked for.
            _ => {}
        }
        Ok(())
    }

    fn answered(&mut self, ticket: Ticket) -> Option<CallId> {
        let Asked { id, .. } = self.tickets.remove(&ticket)?;
        self.by_id.remove(&id);
        Some(id)
    }

    /// A channel could not be opened: what was called on it fails for that reason, and not since
    /// there is no such channel.
    fn refused(&mut self, exchange: &mut Exchange, request: RequestId, failure: &Failure) {
        self.open.retain(|_, (_, opening)| *opening != request);
        self.order.retain(|key| self.open.contains_key(key));
        let on_it = self.tickets.iter().filter(|(_, asked)| asked.opening == request);
        for ticket in on_it.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            if let Some(id) = self.answered(ticket) {
                exchange.answered(id, Err(failure.clone()));
            }
        }
    }
}
