//! The broker's side of a session: frames to commands, outputs to frames.
//!
//! It decides nothing about messages; it numbers tickets as the client does, names sources
//! before their first delivery, and folds runs of receipts into one frame. Everything in it
//! outlives a connection.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::error::Failure;
use crate::frame::{
    FLAG_RECEIPT, FLAG_TRY, Frame, FrameError, Header, Kind, Notice, Parcel, control, message_of,
};
use crate::limits::{CHANNELS_MAX, INLINE_BYTES_MAX, REQUEST_TIMEOUT_MAX};
use crate::message::{Sender, SharedSender};
use crate::message_type::MessageType;
use crate::router::{BridgeCommand, Command, Lease, Output, Source, Ticket};

use super::outbound::word_frame;
use super::span::Span;
use super::{Inbound, Outbound};

mod deliveries;
mod hosting;

/// What a frame of a client comes to.
#[derive(Debug)]
pub enum Action {
    /// A command for the router.
    Command(Command),
    /// A control request that was refused before it got there.
    Refused,
    /// Nothing to be done.
    Nothing,
    /// The client has said goodbye.
    Goodbye,
}

/// The broker's side of one session.
#[derive(Debug, Default)]
pub struct ServerSession {
    /// Frames for the client.
    pub outbound: Outbound,
    /// What has come from the client.
    pub inbound: Inbound,
    last_ticket: Ticket,
    accepted: Span,
    settled: Span,
    last_lease: Lease,
    /// Acknowledgements so far.
    acks: u64,
    /// The source last named on each channel, 0 for none, and the number that goes on from its
    /// last message.
    channel_sources: Vec<(SourceKey, u64)>,
    origins: BTreeMap<SourceKey, u32>,
    next_origin: u32,
    /// Senders that the client has named, for messages of queues that it hosts.
    named: BTreeMap<u32, SharedSender>,
}

/// What an origin number stands for: a publisher on a topic (even) or a sender (odd).
type SourceKey = u64;

fn publisher_key(source: &Source) -> SourceKey {
    source.key << 1
}

fn sender_key(sender: &Sender) -> SourceKey {
    sender.session << 1 | 1
}

impl ServerSession {
    /// Takes a frame from the client.
    ///
    /// # Errors
    /// When the client breaks the protocol; its connection must end.
    pub fn frame(&mut self, frame: Frame) -> Result<Action, FrameError> {
        let Frame { header, body } = frame;
        if header.kind.is_sequenced() {
            self.inbound.note(1, header.encoded_len() + body.len());
        }
        let command = match header.kind {
            Kind::Publish => self.publish(&header, body)?,
            Kind::Send => {
                let message = message_of(&header, body)?;
                if message.payload().len() > INLINE_BYTES_MAX {
                    let text = format!(
                        "a payload of {} bytes must be offered first",
                        message.payload().len()
                    );
                    return Err(FrameError::Violation(text));
                }
                let (ticket, no_wait) = (self.next_ticket(), header.has(FLAG_TRY));
                Command::Send { channel: header.channel, ticket, message, no_wait }
            }
            Kind::Consumed => Command::Consumed { channel: header.channel, bytes: header.word },
            Kind::Taken => Command::Taken { channel: header.channel, lease: header.word },
            Kind::Ack => self.ack(&header)?,
            Kind::Offer => self.offer(&header, &body)?,
            Kind::Granted => {
                Command::Granted { ticket: header.extra, message: message_of(&header, body)? }
            }
            Kind::Withdraw => Command::Withdraw { ticket: header.word },
            Kind::Call => Command::Call {
                channel: header.channel,
                ticket: self.next_ticket(),
                message: message_of(&header, body)?,
                timeout: Duration::from_millis(header.extra).min(REQUEST_TIMEOUT_MAX),
            },
            Kind::CallReply => {
                Command::CallReply { call: header.extra, result: Ok(message_of(&header, body)?) }
            }
            Kind::CallFailed => {
                let failure = control::decode_failure(header.kind, &body)?;
                Command::CallReply { call: header.extra, result: Err(failure) }
            }
            Kind::HomeLease | Kind::HomePeeked => self.home_message(&header, body)?,
            Kind::HomeLeaseParcel => self.home_parcel(&header, body)?,
            Kind::Request => return self.request(&body),
            _ => return self.link_frame(&header),
        };
        Ok(Action::Command(command))
    }

    /// Several messages that the client has published on a channel have come.
    #[inline]
    pub fn note_parcel(&mut self, parcel: &Parcel) {
        self.inbound.note(parcel.count(), parcel.frame_bytes());
    }

    #[inline]
    fn publish(&mut self, header: &Header, body: Bytes) -> Result<Command, FrameError> {
        let message = message_of(header, body)?;
        let ticket = if header.has(FLAG_RECEIPT) { Some(self.next_ticket()) } else { None };
        Ok(Command::Publish { channel: header.channel, message, ticket })
    }

    /// Each lease is answered, so that a small frame can ask for many answers. But a lease is
    /// acknowledged at most once, and so never more often than leases were given.
    fn ack(&mut self, header: &Header) -> Result<Command, FrameError> {
        let (first, count) = (header.word, header.channel.saturating_add(1));
        let last = first.saturating_add(u64::from(count - 1));
        if last > self.last_lease || count > CHANNELS_MAX {
            let text = format!("lease {last} was acknowledged before it was given");
            return Err(FrameError::Violation(text));
        }
        self.acks += u64::from(count);
        if self.acks > self.last_lease {
            let text = format!("{} acknowledgements of {} leases", self.acks, self.last_lease);
            return Err(FrameError::Violation(text));
        }
        Ok(Command::Ack { first, count })
    }

    fn offer(&mut self, header: &Header, body: &[u8]) -> Result<Command, FrameError> {
        let kind = MessageType::new(header.word).ok_or(FrameError::Type(header.word))?;
        let length = body.try_into().map(u64::from_le_bytes).map_err(|_| FrameError::Cut)?;
        let (ticket, no_wait) = (self.next_ticket(), header.has(FLAG_TRY));
        Ok(Command::Offer { channel: header.channel, ticket, kind, length, no_wait })
    }

    fn request(&mut self, body: &[u8]) -> Result<Action, FrameError> {
        match control::decode_request(body) {
            Ok(Command::Bridge(BridgeCommand::NameSender { origin, sender })) => {
                self.name_sender(origin, sender)?;
                Ok(Action::Nothing)
            }
            Ok(command) => {
                if let Command::Subscribe { channel, .. }
                | Command::Consume { channel, .. }
                | Command::Bridge(BridgeCommand::SubscribeBeyond { channel, .. }) = &command
                {
                    self.forget_source(*channel);
                }
                Ok(Action::Command(command))
            }
            Err(control::RequestError::Malformed(error)) => Err(error),
            Err(control::RequestError::Invalid { request, failure }) => {
                self.reply(request, &Err(failure));
                Ok(Action::Refused)
            }
        }
    }

    /// Frames that keep the connection and are not sequenced.
    fn link_frame(&mut self, header: &Header) -> Result<Action, FrameError> {
        match header.kind {
            Kind::Confirm if self.outbound.confirm(header.word) => Ok(Action::Nothing),
            Kind::Confirm => Err(FrameError::Violation(format!(
                "frame {} was confirmed before it was sent",
                header.word
            ))),
            Kind::Ping => {
                self.inbound.hurry();
                self.outbound.push(&word_frame(Kind::Pong, header.word), &[]);
                Ok(Action::Nothing)
            }
            Kind::Pong => Ok(Action::Nothing),
            Kind::Goodbye => Ok(Action::Goodbye),
            kind => Err(FrameError::Unexpected(kind)),
        }
    }

    fn next_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// Several messages that the client has sent to a queue have come. The ticket of the first.
    #[inline]
    pub fn note_sends(&mut self, parcel: &Parcel) -> Ticket {
        self.note_parcel(parcel);
        let first = self.last_ticket + 1;
        self.last_ticket += parcel.count();
        first
    }

    /// Turns an output of the router into frames.
    pub fn output(&mut self, output: Output) {
        match output {
            Output::Deliver { channel, stamp, message } => self.deliver(channel, &stamp, &message),
            Output::DeliverParcel { channel, stamp, parcel } => {
                self.deliver_parcel(channel, &stamp, parcel);
            }
            Output::Lease { channel, lease, attempt, auto_ack, sender, message } => {
                self.lease(channel, lease, attempt, auto_ack, &sender, &message);
            }
            Output::LeaseParcel { channel, first, auto_ack, sender, parcel } => {
                self.lease_parcel(channel, first, auto_ack, &sender, parcel);
            }
            Output::Accepted { first, count } => {
                if let Some(span) = self.accepted.add(first, count) {
                    self.push_span(Kind::Accepted, &span);
                }
            }
            Output::Settled { first, count } => {
                if let Some(span) = self.settled.add(first, count) {
                    self.push_span(Kind::Settled, &span);
                }
            }
            Output::Credit { channel, bytes } => {
                self.outbound.push(&Header::new(Kind::Credit, channel, bytes), &[])
            }
            Output::Lost { channel, count, unconfirmed } => {
                let header = Header::new(Kind::Lost, channel, count);
                self.outbound.push(&Header { extra: unconfirmed, ..header }, &[])
            }
            Output::Grant { ticket } => self.outbound.push(&word_frame(Kind::Grant, ticket), &[]),
            Output::Failed { ticket, failure } => self.push_failure(Kind::Failed, ticket, &failure),
            Output::Unsettled { lease, failure } => {
                // Answers of one queue keep their order.
                let settled = std::mem::take(&mut self.settled);
                self.push_span(Kind::Settled, &settled);
                self.push_failure(Kind::Unsettled, lease, &failure)
            }
            Output::Reply { request, result } => self.reply(request, &result),
            Output::Invoke { channel, call, timeout_ms, sender, relayed, message } => {
                let header = Header::new(Kind::Invoke, channel, message.kind().get());
                let header = Header { message_id: call, extra: timeout_ms, ..header };
                self.invoke(header, &sender, relayed.as_deref(), &message);
            }
            Output::Result { ticket, message } => self.result(ticket, &message),
            Output::Ended { channel, failure } => {
                self.forget_source(channel);
                self.notice(&Notice::Ended { channel, failure });
            }
            Output::Hosted { channel, ask } => self.home_ask(channel, ask),
            Output::Relay { .. }
            | Output::Wanted { .. }
            | Output::Matching { .. }
            | Output::HomeWay { .. }
            | Output::GivenUp { .. }
            | Output::Recall { .. } => self.output_notice(output),
            Output::Expired { failure } => self.push_failure(Kind::Refuse, 0, &failure),
        }
    }

    /// What is told without being asked, and is no more than a notice.
    fn output_notice(&mut self, output: Output) {
        self.notice(&match output {
            Output::Relay { channel, state } => Notice::Relay { channel, state },
            Output::Wanted { channel, added, removed, left_out, complete } => {
                Notice::Wanted { channel, added, removed, left_out, complete }
            }
            Output::Matching { channel, matched } => Notice::Matching { channel, matched },
            Output::HomeWay { channel, hops } => Notice::HomeWay { channel, hops },
            Output::GivenUp { call } => Notice::GivenUp { call },
            Output::Recall { lease } => Notice::Recall { lease },
            _ => return,
        });
    }

    /// Writes what was folded, and a confirmation, before bytes go out.
    pub fn seal(&mut self) {
        for (kind, span) in
            [(Kind::Accepted, &mut self.accepted), (Kind::Settled, &mut self.settled)]
        {
            if span.count > 0 {
                let span = std::mem::take(span);
                self.outbound.push(&Header::new(kind, span.count - 1, span.first), &[]);
            }
        }
        let with_others = self.outbound.has_unsent() && self.inbound.may_confirm();
        if (with_others || self.inbound.must_confirm())
            && let Some(received) = self.inbound.confirm()
        {
            self.outbound.push(&word_frame(Kind::Confirm, received), &[]);
        }
    }

    /// Whether there is something that must be written.
    pub fn wants_write(&self) -> bool {
        self.outbound.has_unsent()
            || self.accepted.count > 0
            || self.settled.count > 0
            || self.inbound.must_confirm()
    }

    fn push_span(&mut self, kind: Kind, span: &Span) {
        if span.count > 0 {
            self.outbound.push(&Header::new(kind, span.count - 1, span.first), &[]);
        }
    }

    fn push_failure(&mut self, kind: Kind, word: u64, failure: &Failure) {
        self.outbound.push(&word_frame(kind, word), &control::encode_failure(failure));
    }

    /// Asks whether the client is there.
    pub fn ping(&mut self) {
        self.outbound.push(&word_frame(Kind::Ping, 0), &[]);
    }

    /// Answers a control request.
    pub fn reply(&mut self, request: u32, result: &Result<crate::frame::Answer, Failure>) {
        if request != 0 {
            self.outbound
                .push(&word_frame(Kind::Reply, 0), &control::encode_reply(request, result));
        }
    }

    fn notice(&mut self, notice: &Notice) {
        self.outbound.push(&word_frame(Kind::Notice, 0), &notice.encode());
    }
}

#[cfg(test)]
mod tests;
