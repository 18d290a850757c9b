//! What is delivered becomes frames: published and leased messages, one by one or as parcels.
//!
//! A source is named to the client before its first delivery, by a number that later ones bear;
//! a delivery whose source is that of the last one on its channel bears none.

use std::sync::Arc;

use crate::frame::{FLAG_AUTO, FLAG_REDELIVERED, Header, Kind, Notice, Parcel};
use crate::limits::ORIGINS_MAX;
use crate::message::{Message, Sender};
use crate::router::{Channel, Lease, Source, Stamp, Ticket};

use super::{ServerSession, SourceKey, publisher_key, sender_key};

impl ServerSession {
    #[inline]
    pub(super) fn deliver(&mut self, channel: Channel, stamp: &Stamp, message: &Message) {
        let Stamp { source, sequence } = stamp;
        let mut header = Header::new(Kind::Deliver, channel, message.kind().get());
        let said = self.note_source(channel, publisher_key(source), sequence + 1);
        if said != (publisher_key(source), *sequence) {
            header.sequence = *sequence;
        }
        if said.0 != publisher_key(source) {
            header.origin = self.origin(publisher_key(source), &source.sender, Some(source));
            // Sources may have been forgotten to name it.
            self.note_source(channel, publisher_key(source), sequence + 1);
        }
        self.outbound.push_message(&header, message);
    }

    /// As one frame, behind a first message that names the source if that is a new one.
    pub(super) fn deliver_parcel(&mut self, channel: Channel, stamp: &Stamp, mut parcel: Parcel) {
        let key = publisher_key(&stamp.source);
        let end = stamp.sequence + parcel.count();
        let goes_on = self.channel_sources.get(channel as usize) == Some(&(key, stamp.sequence));
        if !goes_on && let Some(message) = parcel.pop_front() {
            self.deliver(channel, stamp, &message);
        }
        if !parcel.is_empty() {
            self.note_source(channel, key, end);
            let header = Header::new(Kind::DeliverParcel, channel, parcel.count());
            self.outbound.push_parcel(&header, &parcel);
        }
    }

    pub(super) fn lease(
        &mut self,
        channel: Channel,
        lease: Lease,
        attempt: u32,
        auto_ack: bool,
        sender: &Arc<Sender>,
        message: &Message,
    ) {
        let mut header = Header::new(Kind::Lease, channel, message.kind().get());
        if self.note_source(channel, sender_key(sender), 0).0 != sender_key(sender) {
            header.origin = self.origin(sender_key(sender), sender, None);
        }
        if attempt > 0 {
            header = header.with_flags(FLAG_REDELIVERED);
            header.extra = u64::from(attempt);
        }
        if auto_ack {
            header = header.with_flags(FLAG_AUTO);
        }
        debug_assert_eq!(lease, self.last_lease + 1, "leases count on");
        self.last_lease = lease;
        self.outbound.push_message(&header, message);
    }

    /// As one frame, behind a first message that names the sender if that is a new one.
    pub(super) fn lease_parcel(
        &mut self,
        channel: Channel,
        mut first: Lease,
        auto_ack: bool,
        sender: &Arc<Sender>,
        mut parcel: Parcel,
    ) {
        let named = self.channel_sources.get(channel as usize) == Some(&(sender_key(sender), 0));
        if !named && let Some(message) = parcel.pop_front() {
            self.lease(channel, first, 0, auto_ack, sender, &message);
            first += 1;
        }
        if parcel.is_empty() {
            return;
        }
        debug_assert_eq!(first, self.last_lease + 1, "leases count on");
        self.last_lease += parcel.count();
        let mut header = Header::new(Kind::LeaseParcel, channel, parcel.count());
        if auto_ack {
            header = header.with_flags(FLAG_AUTO);
        }
        self.outbound.push_parcel(&header, &parcel);
    }

    /// The reply to a call.
    pub(super) fn result(&mut self, ticket: Ticket, message: &Message) {
        let kind = message.kind().get();
        let header = Header { extra: ticket, ..Header::new(Kind::Result, 0, kind) };
        self.outbound.push_message(&header, message);
    }

    /// What the client takes for the source and number of the channel's next message, if that
    /// does not say; from now on it is this.
    #[inline]
    fn note_source(&mut self, channel: Channel, key: SourceKey, next: u64) -> (SourceKey, u64) {
        let index = channel as usize;
        if self.channel_sources.len() <= index {
            self.channel_sources.resize(index + 1, (0, 0));
        }
        // The index is within the length by the line before.
        std::mem::replace(&mut self.channel_sources[index], (key, next))
    }

    pub(super) fn forget_source(&mut self, channel: Channel) {
        if let Some(last) = self.channel_sources.get_mut(channel as usize) {
            *last = (0, 0);
        }
    }

    /// Hands a call over. Who calls is a session here, or somebody elsewhere for whom it calls.
    pub(super) fn invoke(
        &mut self,
        mut header: Header,
        sender: &Arc<Sender>,
        relayed: Option<&Source>,
        message: &Message,
    ) {
        let key = relayed.map_or_else(|| sender_key(sender), publisher_key);
        header.origin = self.origin(key, sender, relayed);
        self.outbound.push_message(&header, message);
    }

    /// The number of a source; names it to the client first if it is new.
    fn origin(&mut self, key: SourceKey, sender: &Arc<Sender>, source: Option<&Source>) -> u32 {
        if let Some(origin) = self.origins.get(&key) {
            return *origin;
        }
        if self.origins.len() >= ORIGINS_MAX {
            self.origins.clear();
            // Their numbers will stand for others: no channel goes on with one unsaid.
            self.channel_sources.fill((0, 0));
        }
        // Numbers go round: a client replaces what a number stood for.
        self.next_origin = self.next_origin % (2 * ORIGINS_MAX as u32) + 1;
        let origin = self.next_origin;
        self.origins.insert(key, origin);
        self.notice(&Notice::Origin {
            origin,
            sender: Sender::clone(sender),
            topic: source.map(|source| source.topic.clone()),
            publisher: source.map_or(0, |source| source.key),
            provenance: source.and_then(|source| source.provenance.clone()),
        });
        origin
    }
}
