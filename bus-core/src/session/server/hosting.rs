//! Queues that the client hosts: messages from their homes, and what is asked of those.
//!
//! The client names a sender before its first message, by a number that later ones bear.

use std::sync::Arc;

use bytes::Bytes;

use crate::frame::{FLAG_TRY, FrameError, Header, Kind, Notice, Parcel, message_of};
use crate::limits::ORIGINS_MAX;
use crate::message::{Sender, SharedSender};
use crate::router::{BridgeCommand, Channel, Command, HostedAsk, HostedTell, Lease, Peeked};

use super::ServerSession;

impl ServerSession {
    /// The client names a sender.
    pub(super) fn name_sender(&mut self, origin: u32, sender: Sender) -> Result<(), FrameError> {
        if origin == 0 || origin as usize > 2 * ORIGINS_MAX {
            let text = format!("sender {origin} is beyond the limit of {}", 2 * ORIGINS_MAX);
            return Err(FrameError::Violation(text));
        }
        self.named.insert(origin, Arc::new(sender));
        Ok(())
    }

    /// A message from the home of a hosted queue.
    pub(super) fn home_message(
        &mut self,
        header: &Header,
        body: Bytes,
    ) -> Result<Command, FrameError> {
        let message = message_of(header, body)?;
        let sender = self.named_sender(header.origin)?;
        let attempt = u32::try_from(header.extra).unwrap_or(u32::MAX);
        let tell = match header.kind {
            Kind::HomePeeked => {
                let request = u32::try_from(header.message_id).unwrap_or_default();
                let peeked = Peeked { message, attempt, sender: Sender::clone(&sender) };
                HostedTell::Peeked { request, peeked: Box::new(peeked) }
            }
            _ => {
                let (receiver, lease) = (header.sequence, header.message_id);
                if lease == Lease::MAX {
                    return Err(beyond_the_last());
                }
                HostedTell::Lease { receiver, lease, attempt, sender, message }
            }
        };
        Ok(Command::Bridge(BridgeCommand::Hosted { channel: header.channel, tell }))
    }

    /// Several messages from the home of a hosted queue.
    pub(super) fn home_parcel(
        &mut self,
        header: &Header,
        body: Bytes,
    ) -> Result<Command, FrameError> {
        let parcel = Parcel::check(Kind::Send, body, header.word)?;
        let sender = self.named_sender(header.origin)?;
        let (receiver, first) = (header.sequence, header.message_id);
        if first.checked_add(parcel.count()).is_none() {
            return Err(beyond_the_last());
        }
        let tell = HostedTell::LeaseParcel { receiver, first, sender, parcel };
        Ok(Command::Bridge(BridgeCommand::Hosted { channel: header.channel, tell }))
    }

    fn named_sender(&self, origin: u32) -> Result<SharedSender, FrameError> {
        let violation = || FrameError::Violation(format!("sender {origin} has not been named"));
        self.named.get(&origin).cloned().ok_or_else(violation)
    }

    /// Asks something of the home of a queue that the client hosts.
    pub(super) fn home_ask(&mut self, channel: Channel, ask: HostedAsk) {
        match ask {
            HostedAsk::Send { ticket, no_wait, message } => {
                let mut header = Header::new(Kind::HomeSend, channel, message.kind().get());
                header.message_id = ticket;
                if no_wait {
                    header = header.with_flags(FLAG_TRY);
                }
                self.outbound.push_message(&header, &message);
            }
            HostedAsk::SendParcel { first, parcel } => {
                let mut header = Header::new(Kind::HomeSendParcel, channel, parcel.count());
                header.message_id = first;
                self.outbound.push_parcel(&header, &parcel);
            }
            ask => self.notice(&Notice::HomeAsk { channel, ask }),
        }
    }
}

/// What follows the last of some leases must have a number as well.
fn beyond_the_last() -> FrameError {
    FrameError::Violation("leases beyond the last number".into())
}
