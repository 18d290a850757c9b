//! Everything survives its way over the wire; what must not pass is refused by name.

mod draw;
mod draw_bridge;
mod draw_hosted;
mod draw_stat;
mod refusals;

use std::fmt::Debug;

use bus_proto::v1;
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::error::{ErrorKind, Failure};
use crate::limits::REQUEST_BYTES_MAX;
use crate::message::Message;
use crate::message_type::MessageType;
use crate::router::{
    AdminAction, Command, ConsumeOptions, Lifetime, ObjectKind, OpenMode, Peeked, QueueOptions,
    SlowPolicy, TopicOptions,
};
use draw::Draw;

/// Domain values without equality compare by what they print.
fn assert_same(given: &impl Debug, found: &impl Debug) {
    assert_eq!(format!("{given:?}"), format!("{found:?}"));
}

/// Every decoder on these bytes: they may refuse, and no more.
fn decode_all(bytes: &[u8]) {
    let _ = decode_request(bytes);
    let _ = decode_reply(bytes);
    let _ = Notice::decode(bytes);
    let _ = decode_failure(Kind::Failed, bytes);
    let _ = decode_hello(bytes);
    let _ = decode_welcome(bytes);
}

/// One body of each sort.
fn bodies(draw: &mut Draw) -> Vec<Bytes> {
    let mut bodies: Vec<Bytes> = draw.commands().iter().filter_map(encode_request).collect();
    bodies.extend(draw.answers().into_iter().map(|answer| encode_reply(1, &Ok(answer))));
    bodies.extend(draw.notices().iter().map(Notice::encode));
    bodies.push(encode_failure(&draw.failure()));
    bodies.push(encode_hello(&draw.hello()));
    bodies.push(encode_welcome(&draw.welcome()));
    bodies
}

proptest! {
    #[test]
    fn every_command_survives(seed: u64) {
        for command in Draw::new(seed).commands() {
            let body = encode_request(&command).expect("a control message");
            assert_same(&Ok::<_, RequestError>(&command), &decode_request(&body));
        }
    }

    #[test]
    fn every_answer_survives(seed: u64, request: u32) {
        let mut draw = Draw::new(seed);
        let mut results: Vec<_> = draw.answers().into_iter().map(Ok).collect();
        results.push(Err(draw.failure()));
        for result in results {
            let body = encode_reply(request, &result);
            prop_assert_eq!(decode_reply(&body), Ok((request, result)));
        }
    }

    #[test]
    fn notices_and_handshake_survive(seed: u64) {
        let mut draw = Draw::new(seed);
        for notice in draw.notices() {
            prop_assert_eq!(Notice::decode(&notice.encode()), Ok(notice));
        }
        let (hello, welcome, failure) = (draw.hello(), draw.welcome(), draw.failure());
        prop_assert_eq!(decode_hello(&encode_hello(&hello)), Ok(hello));
        prop_assert_eq!(decode_welcome(&encode_welcome(&welcome)), Ok(welcome));
        let body = encode_failure(&failure);
        prop_assert_eq!(decode_failure(Kind::Refuse, &body), Ok(failure));
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        decode_all(&bytes);
    }

    #[test]
    fn damaged_bytes_do_not_panic(seed: u64, at: prop::sample::Index, value: u8, cut: bool) {
        for body in bodies(&mut Draw::new(seed)) {
            let mut body = body.to_vec();
            if body.is_empty() {
                continue;
            }
            let at = at.index(body.len());
            body[at] = value;
            decode_all(if cut { &body[..at] } else { &body });
        }
    }
}

#[test]
fn commands_with_frames_of_their_own_are_no_requests() {
    let message = Message::new(MessageType::ONE, Bytes::new());
    for command in [
        Command::Publish { channel: 1, message: message.clone(), ticket: None },
        Command::Consumed { channel: 1, bytes: 1 },
        Command::Granted { ticket: 1, message: message.clone() },
        Command::Withdraw { ticket: 1 },
        Command::Taken { channel: 1, lease: 1 },
        Command::Ack { first: 1, count: 1 },
        Command::CallReply { call: 1, result: Ok(message) },
    ] {
        assert_eq!(encode_request(&command), None, "{command:?}");
    }
}

#[test]
fn options_that_are_left_out_are_the_default() {
    use v1::request::Command as Wire;
    let decode = |command| {
        let request = v1::Request { request: 1, command: Some(command) };
        decode_request(&request.encode_to_vec()).expect("a valid request")
    };
    let name = || "a".to_owned();
    let queue = v1::OpenQueue { name: name(), ..Default::default() };
    let Command::OpenQueue { options, .. } = decode(Wire::OpenQueue(queue)) else { panic!() };
    assert_eq!(options, QueueOptions::default());
    let publisher = v1::OpenPublisher { topic: name(), ..Default::default() };
    let publisher = decode(Wire::OpenPublisher(publisher));
    let Command::OpenPublisher { options, .. } = publisher else { panic!() };
    assert_eq!(options, TopicOptions::default());
    let consume = v1::Consume { credit: 1, wait: true, ..Default::default() };
    let Command::Consume { options, .. } = decode(Wire::Consume(consume)) else { panic!() };
    assert_eq!(options, ConsumeOptions::default());
}

#[test]
fn mode_without_bits_differs_from_no_mode() {
    let serve =
        |mode| Command::Serve { request: 1, channel: 1, name: draw::name("a"), credit: 1, mode };
    for mode in [None, Some(0), Some(0o777)] {
        let body = encode_request(&serve(mode)).expect("a control message");
        let Ok(Command::Serve { mode: found, .. }) = decode_request(&body) else { panic!() };
        assert_eq!(found, mode);
    }
}

/// Both directions come from one table, so a round trip does not show a changed number.
#[test]
fn numbers_on_the_wire_are_fixed() {
    fn check<T: Convert<u32> + Debug>(in_order: &[T]) {
        for (number, choice) in in_order.iter().enumerate() {
            assert_eq!(choice.to_wire(), number as u32, "{choice:?}");
        }
    }
    check(&[OpenMode::Open, OpenMode::OpenOrCreate, OpenMode::Create]);
    check(&[Lifetime::Volatile, Lifetime::Session, Lifetime::LastHolder, Lifetime::Durable]);
    check(&[SlowPolicy::Auto, SlowPolicy::Hold, SlowPolicy::DropOldest, SlowPolicy::End]);
    use ObjectKind::{Client, Queue, Service, Subscription, Topic};
    check(&[Queue, Topic, Service, Client, Subscription]);
    check(&[AdminAction::Remove, AdminAction::Retire, AdminAction::Purge]);
    check(&[false, true]);
    let mode = |mode: Option<u16>| -> u32 { mode.to_wire() };
    assert_eq!([mode(None), mode(Some(0)), mode(Some(0o640))], [0, 0o1000, 0o1640]);
    assert_eq!(Convert::<u32>::to_wire(&0o640_u16), 0o640);
    assert_eq!(Convert::<u32>::to_wire(&None::<u32>), 0);
}

#[test]
fn limit_of_zero_is_not_taken_for_none() {
    let options = ConsumeOptions { bytes_max: 0, ..ConsumeOptions::default() };
    let consume = Command::Consume { request: 1, channel: 1, queue: 2, options };
    let body = encode_request(&consume).expect("a control message");
    let Ok(Command::Consume { options, .. }) = decode_request(&body) else { panic!() };
    assert_eq!(options.bytes_max, 1);
}

#[test]
fn durations_round_up_and_never_overflow() {
    use std::time::Duration;
    let wire = |duration: Duration| -> u64 { duration.to_wire() };
    assert_eq!(wire(Duration::ZERO), 0);
    assert_eq!(wire(Duration::from_nanos(1)), 1);
    assert_eq!(wire(Duration::from_micros(2_000)), 2);
    assert_eq!(wire(Duration::MAX), u64::MAX);
}

#[test]
fn largest_return_fits_into_a_request() {
    let body = encode_request(&Command::Return { leases: vec![u64::MAX; RETURN_LEASES_MAX] });
    let body = body.expect("a control message");
    assert!(body.len() <= REQUEST_BYTES_MAX, "{}", body.len());
    assert!(decode_request(&body).is_ok());
}

#[test]
fn peeked_headers_must_lie_in_the_body() {
    let reply = |headers, body: &'static [u8]| {
        let sender = Some(v1::Sender::default());
        let peeked = v1::Peeked { r#type: 1, body: body.into(), headers, attempt: 0, sender };
        let result = Some(v1::reply::Result::Peeked(peeked));
        decode_reply(&v1::Reply { request: 1, result }.encode_to_vec())
    };
    assert!(reply(5, b"\x01\x00\x00kx").is_err());
    assert!(reply(6, b"\x01\x00\x00kx").is_err());
    assert!(reply(u32::MAX, b"").is_err());
    let Ok((1, Ok(Answer::Peeked(peeked)))) = reply(4, b"\x01\x00\x00kx") else { panic!() };
    let Peeked { message, .. } = *peeked;
    assert_eq!((message.headers().get("k"), &message.payload()[..]), (Some(&b""[..]), &b"x"[..]));
}

#[test]
fn empty_messages_of_the_broker_are_malformed() {
    let is_control = |error: FrameError, wanted: Kind| {
        assert!(matches!(error, FrameError::Control { kind, .. } if kind == wanted), "{error}");
    };
    is_control(decode_reply(b"").expect_err("has no result"), Kind::Reply);
    is_control(Notice::decode(b"").expect_err("has no kind"), Kind::Notice);
    let ended = v1::Ended { channel: 1, failure: None };
    let notice = v1::Notice { kind: Some(v1::notice::Kind::Ended(ended)) };
    is_control(Notice::decode(&notice.encode_to_vec()).expect_err("has no failure"), Kind::Notice);
    is_control(decode_failure(Kind::Failed, b"\xff").expect_err("is cut off"), Kind::Failed);
}

#[test]
fn kind_of_a_newer_peer_is_other() {
    let body = v1::Failure { kind: 9999, text: "new".into() }.encode_to_vec();
    let failure = decode_failure(Kind::Failed, &body).expect("well formed");
    assert_eq!(failure, Failure::new(ErrorKind::Other, "new"));
}
