//! The client sends: publishes, sends and offers, calls, replies, acknowledgements.
//!
//! Windows keep what is under way bounded. While an offer of a type is not granted, later
//! sends of that type to the same queue are offered too, so that they stay behind it.

use std::time::Duration;

use crate::error::Failure;
use crate::frame::{FLAG_RECEIPT, FLAG_TRY, Header, Kind, Parcel, control};
use crate::limits::{CHANNELS_MAX, window_charge};
use crate::message::Message;
use crate::message_type::MessageType;
use crate::router::{Channel, Command, Forsaken, Lease, Ticket};

use super::super::outbound::word_frame;
use super::channel::Entry;
use super::offers::Offered;
use super::{ChannelKind, ClientSession};

/// A ticket that has no verdict yet.
#[derive(Debug)]
pub(super) struct Ticketed {
    pub channel: Channel,
    pub serial: u64,
    /// What it takes of the window of its queue.
    pub charge: u64,
    /// What is offered and not granted yet. Most tickets offer nothing, and stay small.
    pub offered: Option<Box<Offered>>,
    /// Whether its message was ever handed to the broker.
    pub sent: bool,
}

impl ClientSession {
    /// Whether a message of this length can be published now without passing the window.
    #[inline]
    pub fn can_publish(&self, channel: Channel, length: usize) -> bool {
        let window = self.limits.window_bytes;
        self.channels.get(channel).is_none_or(|entry| {
            entry.sent - entry.accepted + window_charge(length, window) <= window
        })
    }

    /// Publishes. With `receipt` the broker answers the ticket.
    #[inline]
    pub fn publish(
        &mut self,
        channel: Channel,
        message: &Message,
        receipt: bool,
    ) -> Option<Ticket> {
        let mut header = Header::new(Kind::Publish, channel, message.kind().get());
        let window = self.limits.window_bytes;
        let mut serial = 0;
        if let Some(entry) = self.channels.get_mut(channel) {
            entry.sent += window_charge(message.len(), window);
            serial = entry.serial;
        }
        let ticket = receipt.then(|| {
            header = header.with_flags(FLAG_RECEIPT);
            self.tickets.push(Ticketed { channel, serial, charge: 0, offered: None, sent: true })
        });
        self.outbound.push_message(&header, message);
        ticket
    }

    /// Publishes the messages of a parcel.
    pub fn publish_parcel(&mut self, channel: Channel, parcel: &Parcel) {
        let window = self.limits.window_bytes;
        if let Some(entry) = self.channels.get_mut(channel) {
            entry.sent += parcel.charge(window);
        }
        match u16::try_from(channel) {
            Ok(channel) => self.outbound.push_each(Kind::Publish, channel, parcel),
            Err(_) => parcel.clone().messages().for_each(|message| {
                let header = Header::new(Kind::Publish, channel, message.kind().get());
                self.outbound.push_message(&header, &message);
            }),
        }
    }

    /// Bytes that were accepted of a publisher in all, as windows count them.
    pub fn accepted_bytes(&self, channel: Channel) -> u64 {
        self.channels.get(channel).map_or(0, |entry| entry.accepted)
    }

    /// As [`ClientSession::publish`], for a short payload that is copied and without headers.
    #[inline]
    pub fn publish_slice(&mut self, channel: Channel, kind: MessageType, payload: &[u8]) {
        if let Some(entry) = self.channels.get_mut(channel) {
            entry.sent += window_charge(payload.len(), self.limits.window_bytes);
        }
        self.outbound.push(&Header::new(Kind::Publish, channel, kind.get()), payload);
    }

    /// Whether a message can be handed over for this queue now.
    pub fn can_send(&self, channel: Channel, message: &Message) -> bool {
        let queue = self.channels.get(channel).and_then(Entry::queue);
        self.fits_inline(channel, message)
            || queue.is_none_or(|queue| self.offers.may_add(queue, message, self.limits.offers))
    }

    /// Sends to a queue: small messages at once, others are offered.
    pub fn send(&mut self, channel: Channel, message: Message, no_wait: bool) -> Ticket {
        let inline = self.fits_inline(channel, &message);
        let flags = if no_wait { FLAG_TRY } else { 0 };
        let serial = self.serial(channel);
        let kind = message.kind();
        if inline {
            let charge = message.cost();
            if let Some(entry) = self.channels.get_mut(channel) {
                entry.sent += charge;
            }
            let header = Header::new(Kind::Send, channel, kind.get()).with_flags(flags);
            self.outbound.push_message(&header, &message);
            return self.tickets.push(Ticketed {
                channel,
                serial,
                charge,
                offered: None,
                sent: true,
            });
        }
        let header = Header::new(Kind::Offer, channel, kind.get()).with_flags(flags);
        self.outbound.push(&header, &(message.len() as u64).to_le_bytes());
        // What is no queue has nothing to grant: the broker refuses the offer.
        let queue = self.channels.get(channel).and_then(Entry::queue).cloned();
        let offered = queue.map(|queue| Box::new(Offered { queue, message }));
        if let Some(offered) = &offered {
            self.offers.add(offered);
        }
        self.tickets.push(Ticketed { channel, serial, charge: 0, offered, sent: false })
    }

    /// How many off the front of a parcel can be sent together as small messages now.
    pub fn sends_together(&self, channel: Channel, parcel: &Parcel) -> u64 {
        let (Some(entry), Ok(_)) = (self.channels.get(channel), u16::try_from(channel)) else {
            return 0;
        };
        let kind = parcel.kind();
        let offered =
            kind.is_none_or(|kind| entry.queue().is_some_and(|queue| self.offers.any(queue, kind)));
        if offered || parcel.longest() > self.limits.inline_bytes {
            return 0;
        }
        parcel.fitting(self.limits.window_bytes.saturating_sub(entry.sent), u64::MAX)
    }

    /// Sends the messages of a parcel to a queue, which fit as [`ClientSession::sends_together`]
    /// says: the ticket of the first, which those of the others follow.
    pub fn send_parcel(&mut self, channel: Channel, parcel: &Parcel) -> Ticket {
        let (first, serial) = (self.tickets.last() + 1, self.serial(channel));
        if let Some(entry) = self.channels.get_mut(channel) {
            entry.sent += parcel.cost();
        }
        if let Ok(channel) = u16::try_from(channel) {
            self.outbound.push_each(Kind::Send, channel, parcel);
        }
        for charge in parcel.costs() {
            self.tickets.push(Ticketed { channel, serial, charge, offered: None, sent: true });
        }
        first
    }

    fn fits_inline(&self, channel: Channel, message: &Message) -> bool {
        self.channels.get(channel).is_some_and(|entry| {
            message.payload().len() as u64 <= self.limits.inline_bytes
                && !entry.queue().is_some_and(|queue| self.offers.any(queue, message.kind()))
                && entry.sent + message.cost() <= self.limits.window_bytes
        })
    }

    /// Takes back a send that may still wait, or a call.
    pub fn withdraw(&mut self, ticket: Ticket) {
        if self.tickets.get(ticket).is_some() {
            self.outbound.push(&word_frame(Kind::Withdraw, ticket), &[]);
        }
    }

    /// Calls a service.
    pub fn call(&mut self, channel: Channel, message: &Message, timeout: Duration) -> Ticket {
        let mut header = Header::new(Kind::Call, channel, message.kind().get());
        // A deadline of 0 ms has passed when it arrives, as one asked for.
        header.extra = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.outbound.push_message(&header, message);
        let serial = self.serial(channel);
        self.tickets.push(Ticketed { channel, serial, charge: 0, offered: None, sent: true })
    }

    /// Answers a call that this client serves.
    pub fn call_reply(&mut self, call: u64, result: Result<&Message, &Failure>) {
        match result {
            Ok(message) => {
                let mut header = Header::new(Kind::CallReply, 0, message.kind().get());
                header.extra = call;
                self.outbound.push_message(&header, message);
            }
            Err(failure) => {
                let mut header = Header::new(Kind::CallFailed, 0, 0);
                header.extra = call;
                self.outbound.push(&header, &control::encode_failure(failure));
            }
        }
    }

    /// Acknowledges a lease; its answer bears the number that is returned.
    pub fn ack(&mut self, channel: Channel, serial: u64, lease: Lease) -> u64 {
        self.note_settled(channel, serial);
        if self.ack_count > 0
            && self.ack_first + u64::from(self.ack_count) == lease
            && self.ack_count < CHANNELS_MAX
        {
            self.ack_count += 1;
        } else {
            self.flush_acks();
            (self.ack_first, self.ack_count) = (lease, 1);
        }
        self.acks.give(lease)
    }

    /// All acknowledgements up to this number are answered.
    pub fn acks_answered(&self) -> u64 {
        self.acks.answered()
    }

    /// Whether the acknowledgement of this number is answered.
    pub fn is_ack_answered(&self, number: u64) -> bool {
        self.acks.is_answered(number)
    }

    /// Notes that a lease is settled in another way than by `ack`.
    pub fn note_settled(&mut self, channel: Channel, serial: u64) {
        if let Some(entry) = self.channels.get_mut(channel).filter(|entry| entry.serial == serial) {
            entry.unsettled = entry.unsettled.saturating_sub(1);
        }
    }

    /// Notes that the application has a delivery in its hands: its clock runs.
    pub fn take(&mut self, channel: Channel, serial: u64, lease: Lease) {
        let mine = |entry: &&mut Entry| entry.serial == serial && !entry.over;
        match self.channels.get_mut(channel).filter(mine) {
            Some(entry) if matches!(entry.kind, ChannelKind::Consumer { .. }) => {
                entry.taken = entry.taken.max(lease);
                entry.unsettled += 1;
                if !std::mem::replace(&mut entry.noted, true) {
                    self.taken.push(channel);
                }
            }
            // A single receive ends with its delivery; a consumer may have been ended.
            _ => self.outbound.push(&Header::new(Kind::Taken, CHANNELS_MAX - 1, lease), &[]),
        }
    }

    /// Says which deliveries were taken, for consumers that hold some of them unsettled: an
    /// acknowledgement says it as well.
    pub(super) fn flush_taken(&mut self) {
        if !self.taken.is_empty() {
            // A Taken speaks for all deliveries before it: those that went back go first.
            self.flush_returns();
        }
        for channel in std::mem::take(&mut self.taken) {
            let Some(entry) = self.channels.get_mut(channel) else { continue };
            entry.noted = false;
            let auto_ack = entry.kind == (ChannelKind::Consumer { auto_ack: true });
            if auto_ack || entry.unsettled > 0 {
                let header = Header::new(Kind::Taken, channel, entry.taken);
                self.outbound.push(&header, &[]);
            }
            if auto_ack {
                entry.unsettled = 0;
            }
        }
    }

    /// Gives back a delivery that nobody has looked at.
    pub fn give_back(&mut self, lease: Lease) {
        self.returns.push(lease);
    }

    /// Gives back deliveries that somebody had through this client who is gone.
    pub fn forsake(&mut self, forsaken: Forsaken) {
        self.flush_returns();
        self.push_command(&Command::Forsake(forsaken));
    }

    /// Says that a recalled delivery is taken already: the next frame tells it.
    pub fn keep(&mut self, lease: Lease) {
        self.flush_returns();
        self.outbound.push(&Header::new(Kind::Taken, CHANNELS_MAX - 1, lease), &[]);
    }

    /// A subscriber has used up so many bytes in all.
    #[inline]
    pub fn consumed(&mut self, channel: Channel, bytes: u64) {
        self.outbound.push(&Header::new(Kind::Consumed, channel, bytes), &[]);
    }
}
