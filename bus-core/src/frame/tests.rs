//! Headers survive both encodings; the decoder yields the same however the bytes arrive, and
//! believes no claim.

mod long;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::header::{FULL_BYTES, SHORT_BYTES};
use super::*;
use crate::limits::{CONTROL_BYTES_MAX, FRAME_BODY_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX};

/// A header that may take the short form, and one that takes the full form.
fn headers() -> impl Strategy<Value = Header> {
    let wide = (any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>());
    let narrow = any::<u16>().prop_map(|channel| (u32::from(channel), 0, 0, 0, 0));
    let rest = prop_oneof![narrow, wide];
    (prop::sample::select(Kind::ALL), any::<u8>(), any::<u64>(), rest).prop_map(
        |(kind, flags, word, (channel, origin, sequence, message_id, extra))| {
            // Bit 0 says which encoding it is, and is the encoder's.
            let flags = flags & !1;
            Header { kind, flags, channel, word, origin, sequence, message_id, extra }
        },
    )
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let body = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let frame = (headers(), body).prop_map(|(header, body)| Frame { header, body });
    prop::collection::vec(frame, 0..20)
}

fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.header.encode(frame.body.len(), &mut bytes);
        bytes.extend_from_slice(&frame.body);
    }
    bytes
}

/// A short header as a peer could write it.
fn claim(kind: Kind, length: u32) -> [u8; SHORT_BYTES] {
    let mut bytes = [0; SHORT_BYTES];
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4] = kind.code();
    bytes
}

fn established() -> Decoder {
    let mut decoder = Decoder::for_handshake();
    decoder.establish();
    decoder
}

fn deliver(channel: u32, kind: u64, payload: &'static [u8]) -> Frame {
    let header = Header::new(Kind::Deliver, channel, kind);
    Frame { header, body: Bytes::from_static(payload) }
}

proptest! {
    #[test]
    fn header_survives(header in headers(), length in 0..FRAME_BODY_BYTES_MAX) {
        let mut bytes = Vec::new();
        header.encode(length, &mut bytes);
        let short = header.channel <= 0xffff
            && header.origin == 0
            && header.sequence == 0
            && header.message_id == 0
            && header.extra == 0;
        prop_assert_eq!(bytes.len(), if short { SHORT_BYTES } else { FULL_BYTES });
        prop_assert_eq!(bytes.len(), header.encoded_len());
        prop_assert_eq!(Header::decode(&bytes), Ok(Some((header, bytes.len(), length))));
        for cut in 0..bytes.len() {
            prop_assert_eq!(Header::decode(&bytes[..cut]), Ok(None));
        }
    }

    #[test]
    fn pieces_yield_the_same_frames(frames in frames(), pieces in pieces()) {
        let bytes = encode(&frames);
        let mut decoder = established();
        let mut found = Vec::new();
        for piece in cut(&bytes, &pieces) {
            decoder.buffer().extend_from_slice(piece);
            while let Some(frame) = decoder.next_frame().expect("well formed") {
                found.push(frame);
            }
        }
        prop_assert_eq!(decoder.pending(), 0);
        prop_assert_eq!(found, frames);
    }

    #[test]
    fn runs_hold_neighbours_whole_and_in_order(
        sent in prop::collection::vec((0..3u32, 1..9u64, any::<bool>()), 0..40),
        pieces in pieces(),
    ) {
        let frames: Vec<Frame> = sent
            .iter()
            .map(|(channel, kind, other)| match other {
                true => Frame { header: Header::new(Kind::Ping, 0, *kind), body: Bytes::new() },
                false => deliver(*channel, *kind, b"payload"),
            })
            .collect();
        let mut decoder = established();
        let mut found = Vec::new();
        for piece in cut(&encode(&frames), &pieces) {
            decoder.buffer().extend_from_slice(piece);
            while let Some(incoming) = decoder.next_incoming().expect("well formed") {
                unpack(incoming, &mut found);
            }
        }
        prop_assert_eq!(found, frames);
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut decoder = established();
        decoder.buffer().extend_from_slice(&bytes);
        let _ = decoder.has_frame();
        while let Ok(Some(incoming)) = decoder.next_incoming() {
            drain(incoming);
        }
        let mut run = Run { channel: 0, frames: 1, numbered: 1, origins: Vec::new(), bytes: bytes.into() };
        while let Some(Ok(_)) = run.next_message() {}
    }

    #[test]
    fn random_frames_do_not_panic(frames in frames()) {
        let mut decoder = established();
        decoder.buffer().extend_from_slice(&encode(&frames));
        while let Ok(Some(incoming)) = decoder.next_incoming() {
            drain(incoming);
        }
    }

    #[test]
    fn message_survives(
        kind in 1..=MessageType::MAX,
        payload in prop::collection::vec(any::<u8>(), 0..100),
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5),
    ) {
        let mut message = Message::new(MessageType::new(kind).expect("in range"), payload);
        for value in values {
            message = message.with_header("key", value).expect("within the limits");
        }
        let mut bytes = BytesMut::new();
        let header = Header::new(Kind::Deliver, 3, kind);
        encode_message_head(&header, &message, &mut bytes);
        bytes.extend_from_slice(message.payload());
        let mut run = Run { channel: 3, frames: 1, numbered: 1, origins: Vec::new(), bytes: bytes.freeze() };
        let (header, found) = run.next_message().expect("one").expect("well formed");
        prop_assert_eq!(found, message);
        prop_assert_eq!(header.channel, 3);
        prop_assert!(run.next_message().is_none());
    }
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..300usize, 1..10)
}

/// Cuts the bytes into pieces of these lengths, over and over.
fn cut<'a>(bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, tail) = rest.split_at((*length).min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

/// The frames of a run, each for itself; they must be as many as it says, on its channel.
fn unpack(incoming: Incoming, found: &mut Vec<Frame>) {
    let mut run = match incoming {
        Incoming::Frame(frame) => return found.push(frame),
        Incoming::Run(run) => run,
    };
    assert!(run.frames > 0);
    while run.frames > 0 {
        let (header, message) = run.next_message().expect("as many as said").expect("well formed");
        assert_eq!(header.channel, run.channel);
        found.push(Frame { header, body: message.into_payload() });
    }
    assert!(run.next_message().is_none(), "more than said");
}

/// Reads a frame for all that is in it, whether or not that is well formed.
fn drain(incoming: Incoming) {
    match incoming {
        Incoming::Frame(frame) => {
            let split = split_body(&frame.header, &frame.body).map(|(_, payload)| payload.to_vec());
            let message = message_of(&frame.header, frame.body);
            if let (Ok(payload), Ok(message)) = (split, message) {
                assert_eq!(&payload[..], &message.payload()[..]);
            }
        }
        Incoming::Run(mut run) => while let Some(Ok(_)) = run.next_message() {},
    }
}

#[test]
fn neighbouring_deliveries_come_as_one_run() {
    let frames = [
        deliver(1, 5, b"a"),
        deliver(1, 6, b"b"),
        deliver(2, 7, b"c"),
        Frame { header: Header::new(Kind::Ping, 0, 9), body: Bytes::new() },
        deliver(2, 8, b"d"),
        deliver(2, 9, b"e"),
    ];
    let mut decoder = established();
    let bytes = encode(&frames);
    // The last delivery lacks a byte, so the run before it ends without it.
    decoder.buffer().extend_from_slice(&bytes[..bytes.len() - 1]);
    let mut shape = Vec::new();
    while let Some(incoming) = decoder.next_incoming().expect("well formed") {
        shape.push(match incoming {
            Incoming::Run(run) => (run.channel, run.frames),
            Incoming::Frame(frame) => (u32::MAX, frame.header.word),
        });
    }
    assert_eq!(shape, [(1, 2), (2, 1), (u32::MAX, 9), (2, 1)]);
    assert_eq!((decoder.has_frame(), decoder.pending()), (false, SHORT_BYTES));
}

#[test]
fn parcel_that_is_not_what_it_says_ends_the_connection() {
    let mut publishes = claim(Kind::Publish, 8).to_vec();
    publishes[8] = 1;
    publishes.extend_from_slice(&[7; 8]);
    let publishes = publishes.repeat(2);
    let deliver = |count: u8, body: &[u8]| {
        let mut frame = claim(Kind::DeliverParcel, body.len() as u32).to_vec();
        frame[8] = count;
        frame.extend_from_slice(body);
        let mut decoder = established();
        decoder.buffer().extend_from_slice(&frame);
        decoder.next_incoming()
    };
    match deliver(2, &publishes) {
        Ok(Some(Incoming::Run(run))) => assert_eq!((run.frames, run.views().count()), (2, 2)),
        other => panic!("{other:?}"),
    }
    let cut = &publishes[..publishes.len() - 1];
    let mut other_kind = publishes.clone();
    other_kind[4] = Kind::Ping.code();
    let cases =
        [(3, &publishes[..]), (1, &publishes), (0, &[]), (5, &[]), (2, cut), (2, &other_kind)];
    for (count, body) in cases {
        assert!(deliver(count, body).is_err(), "{count} in {} bytes", body.len());
    }
}

#[test]
fn leased_parcel_is_so_many_sends_and_nothing_else() {
    let send = |kind: Kind| {
        let mut frame = claim(kind, 8).to_vec();
        frame[8] = 1;
        frame.extend_from_slice(&[7; 8]);
        frame
    };
    let sends = send(Kind::Send).repeat(3);
    let check = |body: &[u8], count| Parcel::check(Kind::Send, Bytes::copy_from_slice(body), count);
    let parcel = check(&sends, 3).expect("as it was sent");
    assert_eq!((parcel.count(), parcel.longest(), parcel.messages().count()), (3, 8, 3));
    let mixed = [send(Kind::Send), send(Kind::Publish)].concat();
    for (body, count) in [(&sends[..], 2), (&sends[..71], 3), (&mixed, 2), (&[], 0)] {
        assert!(check(body, count).is_err(), "{count} in {} bytes", body.len());
    }
}

#[test]
fn sends_of_one_type_come_together() {
    let mut decoder = established();
    for (kind, flag) in [(1, 0), (1, 0), (2, 0), (2, 0), (2, FLAG_TRY), (2, 0)] {
        let header = Header::new(Kind::Send, 3, kind).with_flags(flag);
        header.encode(4, decoder.buffer());
        decoder.buffer().extend_from_slice(b"work");
    }
    let mut found = Vec::new();
    while let Some(arrival) = decoder.next_arrival().expect("well formed") {
        found.push(match arrival {
            Arrival::Sends { channel: 3, parcel } => (parcel.kind(), parcel.count()),
            Arrival::Frame(frame) => (MessageType::new(frame.header.word), 1),
            other => panic!("{other:?}"),
        });
    }
    let kind = MessageType::new;
    assert_eq!(found, [(kind(1), 2), (kind(2), 2), (kind(2), 1), (kind(2), 1)]);
}

#[test]
fn parcels_are_split_as_their_messages_are() {
    let lengths = [10, 10, 0, 300, 10, 10];
    let mut bytes = BytesMut::new();
    for length in lengths {
        Header::new(Kind::Send, 0, 1).encode(length, &mut bytes);
        bytes.extend_from_slice(&vec![7; length]);
    }
    let whole = Parcel::check(Kind::Send, bytes.freeze(), 6).expect("well formed");
    let cost = |lengths: &[usize]| lengths.iter().map(|length| *length as u64 + 64).sum::<u64>();
    assert_eq!(whole.cost(), cost(&lengths));
    for count in 0..=6 {
        let mut rest = whole.clone();
        let front = rest.split_to(count as u64);
        assert_eq!((front.count(), front.cost()), (count as u64, cost(&lengths[..count])));
        assert_eq!((rest.count(), rest.cost()), (6 - count as u64, cost(&lengths[count..])));
        assert_eq!(whole.fitting(front.cost(), 6), count as u64);
        assert_eq!(whole.fitting(front.cost() + 63, u64::MAX), count as u64);
        assert_eq!(whole.fitting(u64::MAX, count as u64), count as u64);
        let mut compact = rest.clone();
        compact.compact();
        assert!(compact.messages().eq(rest.messages()));
    }
}

#[test]
fn frame_that_claims_4_gib_is_refused_at_once() {
    for kind in Kind::ALL {
        let mut decoder = established();
        decoder.buffer().extend_from_slice(&claim(*kind, u32::MAX));
        let capacity = decoder.buffer().capacity();
        let error = decoder.next_incoming().expect_err("too long");
        assert!(matches!(error, FrameError::TooLong { .. }), "{kind:?}: {error}");
        assert_eq!(decoder.buffer().capacity(), capacity, "memory for a claim");
    }
}

#[test]
fn largest_body_depends_on_the_kind() {
    let check = |kind, limit: usize| {
        for (length, refused) in [(limit, false), (limit + 1, true)] {
            let mut decoder = established();
            decoder.buffer().extend_from_slice(&claim(kind, length as u32));
            assert_eq!(decoder.next_frame().is_err(), refused, "{kind:?} of {length} bytes");
        }
    };
    check(Kind::Send, FRAME_BODY_BYTES_MAX);
    check(Kind::Deliver, FRAME_BODY_BYTES_MAX);
    check(Kind::Request, CONTROL_BYTES_MAX);
    check(Kind::Notice, CONTROL_BYTES_MAX);
}

#[test]
fn handshake_takes_4_kib_and_no_more() {
    for kind in Kind::ALL {
        for (length, refused) in
            [(HANDSHAKE_FRAME_BYTES_MAX, false), (HANDSHAKE_FRAME_BYTES_MAX + 1, true)]
        {
            let mut decoder = Decoder::for_handshake();
            decoder.buffer().extend_from_slice(&claim(*kind, length as u32));
            assert_eq!(decoder.next_frame().is_err(), refused, "{kind:?} of {length} bytes");
        }
    }
}

#[test]
fn unknown_kind_is_refused() {
    let known: Vec<u8> = Kind::ALL.iter().map(|kind| kind.code()).collect();
    for code in 0..=u8::MAX {
        let mut bytes = claim(Kind::Ping, 0);
        bytes[4] = code;
        let found = Header::decode(&bytes);
        match known.contains(&code) {
            true => assert!(matches!(found, Ok(Some(_)))),
            false => assert_eq!(found, Err(FrameError::Kind(code))),
        }
    }
}

#[test]
fn body_with_headers_cut_off_is_refused() {
    let header = Header::new(Kind::Send, 1, 5).with_flags(FLAG_HEADERS);
    for body in [&b""[..], &[1], &[1, 0], &[5, 0, 1, 0, 0, b'k'], &[3, 0, 0, 0, 0]] {
        let body = Bytes::copy_from_slice(body);
        assert!(message_of(&header, body.clone()).is_err(), "{body:?} was taken");
    }
    for (kind, taken) in [(0, false), (1, true), (MessageType::MAX, true), (u64::MAX, false)] {
        let header = Header::new(Kind::Send, 1, kind);
        assert_eq!(message_of(&header, Bytes::new()).is_ok(), taken, "type {kind}");
    }
}
