//! What an exchange asks of its guest broker, and what that says, in terms of channels.
//!
//! Invariant: a name has at most one channel, and what is said of another one is not meant for it.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_core::bridge::{Exchange, ExchangeAction, Invoked};
use bus_core::router::{BridgeCommand, Channel, Command, RequestId};
use bus_core::session::{ChannelKind, ClientSession, Event};
use bus_core::{ErrorKind, Failure, Message, Name, Time};

/// Bytes of answers that the connection has not taken; of more than these there is no room.
const REPLIES_UNSENT_MAX: usize = 128 * 1024 * 1024;

/// The names that are served at the guest.
#[derive(Default)]
pub(super) struct Servers {
    by_name: BTreeMap<Name, Channel>,
    by_channel: BTreeMap<Channel, Name>,
    requests: BTreeMap<RequestId, (Name, Channel)>,
}

impl Servers {
    /// There is another session.
    pub fn clear(&mut self) {
        *self = Servers::default();
    }

    /// Says what the exchange wants said. What is for home is not for here.
    pub fn act(
        &mut self,
        now: Time,
        exchange: &mut Exchange,
        session: &mut ClientSession,
        action: ExchangeAction,
    ) {
        match action {
            ExchangeAction::Serve { serve } => {
                let name = serve.name.clone();
                let make = |request, channel| {
                    Command::Bridge(BridgeCommand::ServeBeyond { request, channel, serve })
                };
                if let Some(channel) = self.by_name.get(&name).copied() {
                    let request = session.request(|request| make(request, channel));
                    self.requests.insert(request, (name, channel));
                } else {
                    match session.open(ChannelKind::Server, make) {
                        Ok((channel, request)) => {
                            self.by_name.insert(name.clone(), channel);
                            self.by_channel.insert(channel, name.clone());
                            self.requests.insert(request, (name, channel));
                        }
                        Err(failure) => exchange.serving_ended(now, &name, failure),
                    }
                }
            }
            ExchangeAction::StopServing { name } => {
                if let Some(channel) = self.by_name.remove(&name) {
                    self.by_channel.remove(&channel);
                    session.close(channel);
                }
            }
            ExchangeAction::Reply { call, result } => reply(session, call, &result),
            _ => {}
        }
    }

    /// Takes what the broker has said. `full` says that home is not given more now.
    pub fn take(
        &mut self,
        now: Time,
        exchange: &mut Exchange,
        session: &mut ClientSession,
        event: Event,
        full: bool,
    ) {
        match event {
            Event::Invoke { channel, call, timeout_ms, origin, message } => {
                let Some(name) = self.by_channel.get(&channel) else { return };
                let invoked = Invoked {
                    call,
                    name,
                    timeout: Duration::from_millis(timeout_ms),
                    sender: &origin.sender,
                    provenance: origin.provenance.as_deref(),
                    message,
                };
                exchange.invoked(now, invoked, full);
            }
            Event::GivenUp { call } => exchange.call_given_up(call),
            Event::Reply { request, result } => {
                if let (Some((name, channel)), Err(failure)) =
                    (self.requests.remove(&request), result)
                {
                    self.end(now, exchange, session, &name, channel, failure);
                }
            }
            Event::Ended { channel, failure } => match self.by_channel.get(&channel).cloned() {
                Some(name) => self.end(now, exchange, session, &name, channel, failure),
                None => {
                    session.close(channel);
                }
            },
            // Nothing else is asked for.
            _ => {}
        }
    }

    fn end(
        &mut self,
        now: Time,
        exchange: &mut Exchange,
        session: &mut ClientSession,
        name: &Name,
        channel: Channel,
        failure: Failure,
    ) {
        if self.by_name.get(name) == Some(&channel) {
            self.by_name.remove(name);
            self.by_channel.remove(&channel);
            // One that could not be opened is gone; one that the broker has ended keeps its number.
            session.close(channel);
            exchange.serving_ended(now, name, failure);
        }
    }
}

fn reply(session: &mut ClientSession, call: u64, result: &Result<Message, Failure>) {
    let full = session.outbound.unsent_bytes() > REPLIES_UNSENT_MAX;
    match result {
        Ok(message) if !full => session.call_reply(call, Ok(message)),
        Ok(_) => {
            let text = "the bridge has too many answers under way to bring this one";
            let failure = Failure::new(ErrorKind::QuotaExceeded, text);
            session.call_reply(call, Err(&failure));
        }
        Err(failure) => session.call_reply(call, Err(failure)),
    }
}
