//! Deliveries of a queue over connections that are cut anywhere: whatever is cut, the client sees
//! each lease once and in order, from the sender that it came from, as one or as a parcel.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::{ChannelKind, ClientSession, Event, Outbound, ServerSession};
use crate::frame::{Arrival, Decoder, Frame, FrameError, Header, Incoming, Kind, Parcel};
use crate::message::{Message, Sender};
use crate::message_type::MessageType;
use crate::name::Name;
use crate::router::{Command, ConsumeOptions, Output};

/// A lease, the number in its message, and the session that sent it.
type Seen = (u64, u64, u64);

struct Ends {
    server: ServerSession,
    client: ClientSession,
    decoder: Decoder,
    sent: Vec<Seen>,
    seen: Vec<Seen>,
}

fn message(number: u64, length: usize) -> Message {
    let mut payload = vec![0; length.max(8)];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    Message::new(MessageType::ONE, payload)
}

fn number_of(message: &Message) -> u64 {
    let number = message.payload().first_chunk().expect("as it was made");
    u64::from_le_bytes(*number)
}

fn decoder() -> Decoder {
    let mut decoder = Decoder::for_handshake();
    decoder.establish();
    decoder
}

/// What is sent to a queue together.
fn parcel(from: u64, count: u64, length: usize) -> Parcel {
    let mut outbound = Outbound::default();
    for number in from..from + count {
        outbound.push_message(&Header::new(Kind::Send, 0, 1), &message(number, length));
    }
    let mut slices = Vec::new();
    outbound.unsent(usize::MAX, usize::MAX, &mut slices);
    let mut decoder = decoder();
    slices.iter().for_each(|slice| decoder.buffer().extend_from_slice(slice));
    match decoder.next_arrival() {
        Ok(Some(Arrival::Sends { parcel, .. })) => parcel,
        other => panic!("no parcel: {other:?}"),
    }
}

impl Ends {
    /// A client with a consumer on channel 1.
    fn new() -> Ends {
        let (server, mut client) = (ServerSession::default(), ClientSession::default());
        let name = Name::new("jobs").expect("a name");
        let open = |request, channel| Command::OpenService { request, channel, name };
        client.open(ChannelKind::Queue, open).expect("a channel");
        let options = ConsumeOptions::default();
        let consume = |request, channel| Command::Consume { request, channel, queue: 0, options };
        client.open(ChannelKind::Consumer { auto_ack: false }, consume).expect("a channel");
        Ends { server, client, decoder: decoder(), sent: Vec::new(), seen: Vec::new() }
    }

    fn lease(&mut self, count: u64, length: usize, from: u64) {
        let first = self.sent.len() as u64 + 1;
        let sender = Arc::new(Sender { session: from, ..Sender::default() });
        let (channel, attempt, auto_ack) = (1, 0, false);
        self.server.output(match count {
            1 => {
                let message = message(first, length);
                Output::Lease { channel, lease: first, attempt, auto_ack, sender, message }
            }
            _ => {
                let parcel = parcel(first, count, length);
                Output::LeaseParcel { channel, first, auto_ack, sender, parcel }
            }
        });
        self.sent.extend((first..first + count).map(|number| (number, number, from)));
    }

    fn carry(&mut self, bytes: usize) {
        self.server.seal();
        let mut slices = Vec::new();
        self.server.outbound.unsent(bytes, 64, &mut slices);
        let bytes = slices.concat();
        self.server.outbound.advance(bytes.len());
        self.decoder.buffer().extend_from_slice(&bytes);
        while let Some(incoming) = self.decoder.next_incoming().expect("well formed") {
            match self.client.incoming(incoming).expect("well formed") {
                Some(Event::Lease(one)) => self.note(one),
                Some(Event::LeaseParcel(mut several)) => {
                    while let Some(one) = several.pop_front() {
                        self.note(one);
                    }
                }
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        }
    }

    fn note(&mut self, leased: super::Leased) {
        let from = leased.origin.sender.session;
        self.seen.push((leased.lease, number_of(&leased.message), from));
    }

    /// The connection is lost, and another one goes on behind so many frames fewer.
    fn cut(&mut self, missing: u64) {
        self.decoder = decoder();
        let received = self.client.inbound.received().saturating_sub(missing);
        assert!(self.server.outbound.rewind(received) || missing > 0);
    }

    fn finish(&mut self) {
        self.cut(0);
        while self.server.wants_write() {
            self.carry(1 << 20);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn leases_survive_cuts(
        steps in prop::collection::vec((0u8..6, 2u64..200, 8usize..3000, 1u64..4), 1..60),
    ) {
        let mut ends = Ends::new();
        for (action, count, length, from) in steps {
            match action {
                0 | 1 => ends.lease(count.min(60_000 / (length as u64 + 16)).max(2), length, from),
                2 => ends.lease(1, length, from),
                3 => ends.carry(count as usize * length),
                4 => if let Some(received) = ends.client.inbound.confirm() {
                    prop_assert!(ends.server.outbound.confirm(received));
                },
                _ => ends.cut(0),
            }
        }
        ends.finish();
        prop_assert_eq!(ends.seen, ends.sent);
    }
}

#[test]
fn connection_that_goes_on_at_the_wrong_place_is_noticed() {
    let mut ends = Ends::new();
    for _ in 0..3 {
        ends.lease(20, 100, 1);
        ends.carry(usize::MAX);
    }
    ends.cut(1);
    ends.carry(usize::MAX);
    assert_ne!(ends.seen, ends.sent);
}

#[test]
fn a_count_of_answers_beyond_all_tickets_ends_those_that_are_there() {
    let mut ends = Ends::new();
    let tickets: Vec<_> = (0..3).map(|at| ends.client.send(0, message(at, 8), false)).collect();
    let accepted = |first, channel| {
        let header = Header::new(Kind::Accepted, channel, first);
        Incoming::Frame(Frame { header, body: Bytes::new() })
    };
    let event = ends.client.incoming(accepted(tickets[1], u32::MAX)).expect("well formed");
    assert!(matches!(event, Some(Event::Accepted { first, count: 2 }) if first == tickets[1]));
    assert!(ends.client.incoming(accepted(u64::MAX, u32::MAX)).expect("well formed").is_none());
    let event = ends.client.incoming(accepted(0, u32::MAX)).expect("well formed");
    assert!(matches!(event, Some(Event::Accepted { first: 0, count: 4 })));
}

#[test]
fn tickets_of_a_hosted_queue_that_do_not_count_on_end_the_session() {
    let mut ends = Ends::new();
    let send = |ticket| {
        let mut header = Header::new(Kind::HomeSend, 0, 1);
        header.message_id = ticket;
        Incoming::Frame(Frame { header, body: Bytes::from_static(b"x") })
    };
    let sends = |first| {
        let parcel = parcel(1, 3, 8);
        let mut outbound = Outbound::default();
        let mut header = Header::new(Kind::HomeSendParcel, 0, parcel.count());
        header.message_id = first;
        outbound.push_parcel(&header, &parcel);
        let mut slices = Vec::new();
        outbound.unsent(usize::MAX, usize::MAX, &mut slices);
        let mut decoder = decoder();
        slices.iter().for_each(|slice| decoder.buffer().extend_from_slice(slice));
        decoder.next_incoming().expect("well formed").expect("a parcel")
    };
    let mut takes = |incoming| match ends.client.incoming(incoming) {
        Ok(event) => {
            assert!(matches!(event, Some(Event::Hosted { channel: 0, .. })));
            true
        }
        Err(failure) => {
            assert!(matches!(failure, FrameError::Violation(_)));
            false
        }
    };
    assert!(takes(send(5)));
    assert!(!takes(send(5)), "a ticket twice");
    assert!(!takes(sends(4)), "several over one that was there");
    assert!(takes(sends(6)));
    assert!(!takes(send(8)), "one out of those");
    assert!(takes(send(9)));
    assert!(!takes(send(u64::MAX)), "none can follow it");
    assert!(!takes(sends(u64::MAX - 2)), "none can follow the last of them");
    assert!(takes(sends(u64::MAX - 3)));
}
