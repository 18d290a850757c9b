//! The client takes frames of the broker.
//!
//! A frame that the broker could not have sent ends the connection; one for a channel that is
//! closing is answered as the contract asks (deliveries go back).

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Failure;
use crate::frame::{
    FLAG_AUTO, Frame, FrameError, Header, Incoming, Kind, Notice, Parcel, Run, control, message_of,
};
use crate::limits::CHANNELS_MAX;
use crate::router::Ticket;

use super::super::outbound::word_frame;
use super::channel::Entry;
use super::{ChannelKind, ClientSession, Event, Leased, LeasedParcel, Origin};

impl ClientSession {
    /// Takes what the decoder yields.
    ///
    /// # Errors
    /// When the broker breaks the protocol; the connection must end.
    pub fn incoming(&mut self, incoming: Incoming) -> Result<Option<Event>, FrameError> {
        match incoming {
            Incoming::Run(run) => self.run(run),
            Incoming::Frame(frame) => self.frame(frame),
        }
    }

    #[inline]
    fn run(&mut self, run: Run) -> Result<Option<Event>, FrameError> {
        self.inbound.note(run.numbered, run.bytes.len());
        if self.channels.get(run.channel).is_none_or(|entry| entry.closing || entry.over) {
            return Ok(None);
        }
        let named = |origin: &u32| (*origin, self.origins.get(origin).cloned().unwrap_or_default());
        let origins = run.origins.iter().map(named).collect();
        Ok(Some(Event::Run { run, origins }))
    }

    fn frame(&mut self, frame: Frame) -> Result<Option<Event>, FrameError> {
        let Frame { header, body } = frame;
        if header.kind.is_sequenced() {
            self.inbound.note(1, header.encoded_len() + body.len());
        }
        let event = match header.kind {
            Kind::Lease => return self.lease(&header, body),
            Kind::LeaseParcel => return self.lease_parcel(&header, body),
            Kind::Accepted => return Ok(self.accepted(&header)),
            Kind::Settled => {
                let (first, count) = (header.word, header.channel.saturating_add(1));
                self.acks.answer(first, u64::from(count.min(CHANNELS_MAX)));
                Event::Settled { first, count, answered: self.acks.answered() }
            }
            Kind::Unsettled => {
                let (lease, failure) = (header.word, control::decode_failure(header.kind, &body)?);
                let Some(number) = self.acks.number_of(lease) else { return Ok(None) };
                self.acks.answer(lease, 1);
                Event::Unsettled { number, lease, failure }
            }
            Kind::Failed => {
                self.end_ticket(header.word);
                Event::Failed {
                    ticket: header.word,
                    failure: control::decode_failure(header.kind, &body)?,
                }
            }
            Kind::Grant => {
                self.grant(header.word);
                Event::Granted
            }
            Kind::Credit => {
                if let Some(entry) = self.channels.get_mut(header.channel) {
                    entry.accepted = entry.accepted.max(header.word.min(entry.sent));
                }
                Event::Credit { channel: header.channel }
            }
            Kind::HomeSend => return self.home_send(&header, body),
            Kind::HomeSendParcel => return self.home_sends(&header, body),
            Kind::Lost => {
                let (channel, count) = (header.channel, header.word);
                Event::Lost { channel, count, unconfirmed: header.extra.min(count) }
            }
            Kind::Reply => return self.reply(&body),
            Kind::Notice => return self.notice(Notice::decode(&body)?),
            Kind::Invoke => Event::Invoke {
                channel: header.channel,
                call: header.message_id,
                timeout_ms: header.extra,
                origin: self.origins.get(&header.origin).cloned().unwrap_or_default(),
                message: message_of(&header, body)?,
            },
            Kind::Result => {
                self.end_ticket(header.extra);
                Event::Result { ticket: header.extra, message: message_of(&header, body)? }
            }
            _ => return self.link_frame(&header, &body),
        };
        Ok(Some(event))
    }

    fn link_frame(&mut self, header: &Header, body: &[u8]) -> Result<Option<Event>, FrameError> {
        match header.kind {
            Kind::Confirm if self.outbound.confirm(header.word) => Ok(None),
            Kind::Confirm => Err(FrameError::Violation(format!(
                "frame {} was confirmed before it was sent",
                header.word
            ))),
            Kind::Ping => {
                self.inbound.hurry();
                self.outbound.push(&word_frame(Kind::Pong, header.word), &[]);
                Ok(None)
            }
            Kind::Pong => Ok(Some(Event::Pong { word: header.word })),
            Kind::Refuse | Kind::Goodbye => {
                Ok(Some(Event::Refused { failure: control::decode_failure(header.kind, body)? }))
            }
            kind => Err(Self::unexpected(kind)),
        }
    }

    fn lease(&mut self, header: &Header, body: Bytes) -> Result<Option<Event>, FrameError> {
        self.last_lease += 1;
        let lease = self.last_lease;
        let Some(entry) = self.channels.get_mut(header.channel) else {
            self.returns.push(lease);
            return Ok(None);
        };
        if header.origin != 0 {
            entry.origin = header.origin;
        }
        if entry.closing || entry.over {
            self.returns.push(lease);
            return Ok(None);
        }
        let leased = Leased {
            lease,
            channel: header.channel,
            serial: entry.serial,
            attempt: u32::try_from(header.extra).unwrap_or(u32::MAX),
            auto_ack: header.has(FLAG_AUTO),
            origin: self.origins.get(&entry.origin).cloned().unwrap_or_default(),
            message: message_of(header, body)?,
        };
        if matches!(entry.kind, ChannelKind::Receive { .. }) {
            entry.over = true;
            entry.delivered = true;
        }
        Ok(Some(Event::Lease(leased)))
    }

    fn lease_parcel(&mut self, header: &Header, body: Bytes) -> Result<Option<Event>, FrameError> {
        let parcel = Parcel::check(Kind::Send, body, header.word)?;
        let first = self.last_lease + 1;
        self.last_lease += parcel.count();
        let open = |entry: &&Entry| !entry.closing && !entry.over;
        let Some(entry) = self.channels.get(header.channel).filter(open) else {
            self.returns.extend(first..=self.last_lease);
            return Ok(None);
        };
        if !matches!(entry.kind, ChannelKind::Consumer { .. }) {
            return Err(FrameError::Violation("several deliveries for what is no consumer".into()));
        }
        Ok(Some(Event::LeaseParcel(LeasedParcel {
            first,
            channel: header.channel,
            serial: entry.serial,
            auto_ack: header.has(FLAG_AUTO),
            origin: self.origins.get(&entry.origin).cloned().unwrap_or_default(),
            parcel,
        })))
    }

    /// The count is a peer's word: the cost goes by the tickets that are there.
    fn accepted(&mut self, header: &Header) -> Option<Event> {
        let first = header.word;
        let more = u64::from(header.channel.min(u32::MAX - 1));
        let last = first.saturating_add(more).min(self.tickets.last());
        let known = last.checked_sub(first)?.saturating_add(1);
        let mut next = first;
        while let Some(ticket) = self.tickets.next_from(next).filter(|ticket| *ticket <= last) {
            self.end_ticket(ticket);
            next = ticket + 1;
        }
        Some(Event::Accepted { first, count: u32::try_from(known).unwrap_or(u32::MAX) })
    }

    /// Gives back what a ticket took of its window.
    fn end_ticket(&mut self, ticket: Ticket) {
        let Some(ended) = self.tickets.remove(ticket) else { return };
        if let Some(entry) =
            self.channels.get_mut(ended.channel).filter(|entry| entry.serial == ended.serial)
        {
            entry.sent -= ended.charge;
        }
        if let Some(offered) = &ended.offered {
            self.offers.remove(offered);
        }
    }

    /// Sends what was offered.
    fn grant(&mut self, ticket: Ticket) {
        let Some(ticketed) = self.tickets.get_mut(ticket) else { return };
        let Some(offered) = ticketed.offered.take() else { return };
        ticketed.sent = true;
        let kind = offered.message.kind();
        let mut header = Header::new(Kind::Granted, ticketed.channel, kind.get());
        header.extra = ticket;
        self.outbound.push_message(&header, &offered.message);
        self.offers.remove(&offered);
    }

    fn reply(&mut self, body: &[u8]) -> Result<Option<Event>, FrameError> {
        let (request, result) = control::decode_reply(body)?;
        let Some(channel) = self.requests.remove(&request) else { return Ok(None) };
        let Some(channel) = channel else { return Ok(Some(Event::Reply { request, result })) };
        let closing = self.channels.get(channel).is_some_and(|entry| entry.closing);
        // What was closed before it was open has two answers to wait for.
        let is_last = || !self.requests.values().any(|other| *other == Some(channel));
        // The channel was open once, and could not be opened again.
        let ended = result.is_err() && self.reopened(request) && !closing;
        if ended {
            self.channels.end(channel);
        } else if (result.is_err() || closing) && is_last() {
            self.channels.release(channel);
        }
        Ok(Some(match result {
            Err(failure) if self.reopened(request) => Event::Ended { channel, failure },
            result => Event::Reply { request, result },
        }))
    }

    fn notice(&mut self, notice: Notice) -> Result<Option<Event>, FrameError> {
        Ok(match notice {
            Notice::Origin { origin, sender, topic, publisher, provenance } => {
                let named = Origin { sender, topic, publisher, provenance };
                self.origins.insert(origin, Arc::new(named));
                None
            }
            Notice::GivenUp { call } => Some(Event::GivenUp { call }),
            Notice::Ended { channel, failure } => self.ended(channel, failure),
            Notice::Recall { lease } => Some(Event::Recall { lease }),
            Notice::HomeAsk { channel, ask } => self.asked(channel, ask),
            Notice::HomeWay { channel, hops } => {
                self.is_open(channel).then_some(Event::HomeWay { channel, hops })
            }
            Notice::Matching { channel, matched } => self.matching(channel, matched),
            Notice::Relay { channel, state } => {
                self.is_open(channel).then_some(Event::Relay { channel, state })
            }
            Notice::Wanted { channel, added, removed, left_out, complete } => {
                let event = Event::Wanted { channel, added, removed, left_out, complete };
                self.is_open(channel).then_some(event)
            }
        })
    }

    /// Whether what is told of a channel is meant for what it is now.
    pub(super) fn is_open(&self, channel: u32) -> bool {
        self.channels.get(channel).is_some_and(|entry| !entry.closing && !entry.over)
    }

    /// The broker has ended a channel. One that is closing waits for the answer to its close.
    fn ended(&mut self, channel: u32, failure: Failure) -> Option<Event> {
        let entry = self.channels.get(channel)?;
        if entry.closing || entry.over {
            return None;
        }
        self.flush_taken();
        self.channels.end(channel);
        Some(Event::Ended { channel, failure })
    }
}
