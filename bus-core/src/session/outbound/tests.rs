//! A stream of frames that is cut anywhere goes on where it was.

use proptest::prelude::*;

use super::*;
use crate::frame::{Arrival, Decoder};
use crate::message_type::MessageType;

fn message(length: usize, number: u64) -> Message {
    let mut payload = vec![0; length.max(8)];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    Message::new(MessageType::ONE, payload)
}

/// Messages as they are when they were published together.
fn parcel(messages: &[Message]) -> Parcel {
    let mut publisher = Outbound::default();
    for message in messages {
        publisher.push_message(&Header::new(Kind::Publish, 9, 1), message);
    }
    let mut decoder = Decoder::for_handshake();
    decoder.establish();
    decoder.buffer().extend_from_slice(&send_some(&mut publisher, usize::MAX));
    match decoder.next_arrival() {
        Ok(Some(Arrival::Parcel { parcel, .. })) => parcel,
        other => panic!("no parcel: {other:?}"),
    }
}

fn send_some(outbound: &mut Outbound, bytes: usize) -> Vec<u8> {
    let mut slices = Vec::new();
    outbound.unsent(bytes, 64, &mut slices);
    let sent: Vec<u8> = slices.concat();
    outbound.advance(sent.len());
    sent
}

/// Two messages that were published together, if they are short enough for that. How many there
/// are then.
fn push_pair(outbound: &mut Outbound, pushed: u64, size: usize) -> u64 {
    let pair = [message(size % 500, pushed + 1), message(size, pushed + 2)];
    match size < COPY_BYTES_MAX {
        true => outbound.push_each(Kind::Publish, 3, &parcel(&pair)),
        false => {
            let header = Header::new(Kind::Publish, 1, 1);
            pair.iter().for_each(|one| outbound.push_message(&header, one));
        }
    }
    pushed + 2
}

proptest! {
    /// Whatever is cut, and wherever: after each resumption the peer sees every frame once.
    #[test]
    fn a_cut_stream_goes_on_where_it_was(
        steps in prop::collection::vec((0u8..7, 0usize..40_000), 1..120),
    ) {
        let mut outbound = Outbound::default();
        let mut decoder = Decoder::for_handshake();
        decoder.establish();
        let (mut pushed, mut received, mut seen) = (0u64, 0u64, Vec::new());
        let mut take = |decoder: &mut Decoder, received: &mut u64| {
            while let Some(frame) = decoder.next_frame().expect("well formed") {
                if frame.header.kind.is_sequenced() {
                    *received += 1;
                    // A parcel's frames have headers of their own.
                    let at = if frame.header.kind == Kind::DeliverParcel { 16 } else { 0 };
                    let number = frame.body[at..at + 8].try_into().expect("eight bytes");
                    seen.push(u64::from_le_bytes(number));
                }
            }
        };
        for (action, size) in steps {
            match action {
                0 | 1 => {
                    pushed += 1;
                    let length = if action == 0 { size } else { size % 100 };
                    outbound.push_message(&Header::new(Kind::Publish, 1, 1), &message(length, pushed));
                }
                5 => {
                    pushed += 1;
                    let one = message((size / 2).min(COPY_BYTES_MAX - 1), pushed);
                    let header = Header::new(Kind::DeliverParcel, 1, 2);
                    outbound.push_parcel(&header, &parcel(&[one.clone(), one]));
                }
                6 => pushed = push_pair(&mut outbound, pushed, size),
                2 => {
                    outbound.push(&word_frame(Kind::Ping, 7), &[]);
                    decoder.buffer().extend_from_slice(&send_some(&mut outbound, size));
                    take(&mut decoder, &mut received);
                }
                3 => prop_assert!(outbound.confirm(received)),
                _ => {
                    decoder = Decoder::for_handshake();
                    decoder.establish();
                    prop_assert!(outbound.rewind(received));
                }
            }
        }
        prop_assert!(outbound.rewind(received));
        let mut decoder = Decoder::for_handshake();
        decoder.establish();
        while outbound.has_unsent() {
            decoder.buffer().extend_from_slice(&send_some(&mut outbound, 10_000));
        }
        take(&mut decoder, &mut received);
        prop_assert_eq!(received, pushed);
        prop_assert_eq!(seen, (1..=pushed).collect::<Vec<_>>());
        prop_assert!(outbound.confirm(pushed));
        prop_assert_eq!(outbound.kept_bytes(), 0);
        prop_assert!(!outbound.confirm(pushed + 1));
    }
}
