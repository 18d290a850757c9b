//! Queues that this client hosts: what their homes say goes out, what is asked of those comes in.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::frame::{FLAG_TRY, FrameError, Header, Kind, Parcel, message_of};
use crate::limits::ORIGINS_MAX;
use crate::message::SharedSender;
use crate::router::{BridgeCommand, Channel, Command, HostedAsk, HostedTell, Ticket};

use super::{ClientSession, Event};

/// Senders that the broker was told of, by their numbers at home.
#[derive(Debug, Default)]
pub(super) struct NamedSenders {
    names: BTreeMap<u64, (u32, SharedSender)>,
    last: u32,
}

impl ClientSession {
    /// Tells the broker what the home of a queue says that is hosted on this channel.
    pub fn tell_hosted(&mut self, channel: Channel, tell: HostedTell) {
        if !self.is_open(channel) {
            return;
        }
        match tell {
            HostedTell::Lease { receiver, lease, attempt, sender, message } => {
                let mut header = Header::new(Kind::HomeLease, channel, message.kind().get());
                header.origin = self.name_of(&sender);
                (header.sequence, header.message_id) = (receiver, lease);
                header.extra = u64::from(attempt);
                self.outbound.push_message(&header, &message);
            }
            HostedTell::LeaseParcel { receiver, first, sender, parcel } => {
                let mut header = Header::new(Kind::HomeLeaseParcel, channel, parcel.count());
                header.origin = self.name_of(&sender);
                (header.sequence, header.message_id) = (receiver, first);
                self.outbound.push_parcel(&header, &parcel);
            }
            HostedTell::Peeked { request, peeked } => {
                let kind = peeked.message.kind().get();
                let mut header = Header::new(Kind::HomePeeked, channel, kind);
                header.origin = self.name_of(&peeked.sender.into());
                (header.message_id, header.extra) = (request.into(), peeked.attempt.into());
                self.outbound.push_message(&header, &peeked.message);
            }
            tell => self.push_command(&Command::Bridge(BridgeCommand::Hosted { channel, tell })),
        }
    }

    /// The number of a sender; the broker is told it first if it is new.
    fn name_of(&mut self, sender: &SharedSender) -> u32 {
        let NamedSenders { names, last } = &mut self.named;
        if let Some((origin, known)) = names.get(&sender.session)
            && known == sender
        {
            return *origin;
        }
        if names.len() >= ORIGINS_MAX {
            names.clear();
        }
        // Numbers go round: the broker replaces what a number stood for.
        *last = *last % (2 * ORIGINS_MAX as u32) + 1;
        let origin = *last;
        names.insert(sender.session, (origin, sender.clone()));
        let sender = sender.as_ref().clone();
        self.push_command(&Command::Bridge(BridgeCommand::NameSender { origin, sender }));
        origin
    }

    /// A message for the home of a hosted queue.
    pub(super) fn home_send(
        &mut self,
        header: &Header,
        body: Bytes,
    ) -> Result<Option<Event>, FrameError> {
        let message = message_of(header, body)?;
        let (ticket, no_wait) = (header.message_id, header.has(FLAG_TRY));
        self.note_tickets(header.channel, ticket, 1)?;
        Ok(self.asked(header.channel, HostedAsk::Send { ticket, no_wait, message }))
    }

    /// Several messages for the home of a hosted queue.
    pub(super) fn home_sends(
        &mut self,
        header: &Header,
        body: Bytes,
    ) -> Result<Option<Event>, FrameError> {
        let parcel = Parcel::check(Kind::Send, body, header.word)?;
        let first = header.message_id;
        self.note_tickets(header.channel, first, parcel.count())?;
        Ok(self.asked(header.channel, HostedAsk::SendParcel { first, parcel }))
    }

    /// The broker gives the sends of a queue tickets that count on, and the next one must have a
    /// number as well.
    fn note_tickets(
        &mut self,
        channel: Channel,
        first: Ticket,
        count: u64,
    ) -> Result<(), FrameError> {
        let Some(next) = first.checked_add(count) else {
            return Err(FrameError::Violation("tickets beyond the last number".into()));
        };
        let Some(entry) = self.channels.get_mut(channel) else { return Ok(()) };
        if first <= entry.last_ticket {
            let last = entry.last_ticket;
            let text = format!("ticket {first} of a hosted queue came after ticket {last}");
            return Err(FrameError::Violation(text));
        }
        entry.last_ticket = next - 1;
        Ok(())
    }

    /// Something is asked of the home of a hosted queue.
    pub(super) fn asked(&self, channel: Channel, ask: HostedAsk) -> Option<Event> {
        self.is_open(channel).then_some(Event::Hosted { channel, ask })
    }
}
