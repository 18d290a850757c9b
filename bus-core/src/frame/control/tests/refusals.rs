//! Each field of a request that can be wrong, and the answer that it gets.

use bus_proto::v1;
use bus_proto::v1::request::Command as Wire;
use prost::Message as _;

use super::super::{Kind, RequestError, decode_request};
use crate::error::ErrorKind::{self, InvalidArgument, InvalidName, InvalidType, Unsupported};
use crate::frame::FrameError;
use crate::limits::{
    BACKLOG_BYTES_MAX, BRIDGE_BACKLOG_BYTES_MAX, CHANNELS_MAX, CREDIT_MAX, HOLD_MAX, LEASE_MAX,
    QUEUE_BYTES_MAX, QUEUE_COUNT_MAX, REQUEST_BYTES_MAX, WINDOW_BYTES_MAX, WINDOW_BYTES_MIN,
};

/// The request is answered with this kind of failure, which says this.
#[track_caller]
fn check(command: Wire, kind: ErrorKind, words: &str) {
    let shown = format!("{command:?}");
    let body = v1::Request { request: 7, command: Some(command) }.encode_to_vec();
    let Err(RequestError::Invalid { request: 7, failure }) = decode_request(&body) else {
        panic!("{shown} was not refused");
    };
    assert_eq!(failure.kind(), kind, "{failure}");
    assert!(failure.text().contains(words), "`{failure}` does not say `{words}`");
}

fn lease_ms_max() -> u64 {
    LEASE_MAX.as_millis() as u64
}

fn hold_ms_max() -> u64 {
    HOLD_MAX.as_millis() as u64
}

fn name() -> String {
    "a.b".into()
}

#[test]
fn queue_options_out_of_range_are_refused() {
    let check = |change: fn(&mut v1::QueueOptions), kind, words: &str| {
        let mut options = v1::QueueOptions {
            bytes_max: QUEUE_BYTES_MAX,
            count_max: QUEUE_COUNT_MAX,
            lease_ms: lease_ms_max(),
            deliveries_max: 1,
            ..Default::default()
        };
        change(&mut options);
        let open = v1::OpenQueue { name: name(), options: Some(options), ..Default::default() };
        check(Wire::OpenQueue(open), kind, words);
    };
    check(|it| it.bytes_max = 0, InvalidArgument, "bytes_max is 0, allowed are 64 to");
    check(|it| it.bytes_max += 1, InvalidArgument, "bytes_max is");
    check(|it| it.count_max = 0, InvalidArgument, "count_max is 0, allowed are 1 to");
    check(|it| it.count_max += 1, InvalidArgument, "count_max is");
    check(|it| it.lease_ms = 0, InvalidArgument, "lease_ms is 0, allowed are 1 to");
    check(|it| it.lease_ms += 1, InvalidArgument, "lease_ms is");
    check(|it| it.deliveries_max = 0, InvalidArgument, "deliveries_max is 0");
    check(|it| it.mode = 0o777, InvalidArgument, "mode is 0o777, allowed are 0 to 0o777");
    check(|it| it.mode = 0o2000, InvalidArgument, "mode is 0o2000");
    check(|it| it.mode = u32::MAX, InvalidArgument, "mode");
    check(|it| it.lifetime = 4, Unsupported, "lifetime is 4, allowed are 0, 1, 2, 3 in this");
    check(|it| it.dead_letter = "a b".into(), InvalidName, "dead_letter: `a b` is not");
}

#[test]
fn queue_changes_out_of_range_are_refused() {
    let check = |change: fn(&mut v1::SetQueue), kind, words: &str| {
        let mut set = v1::SetQueue { name: name(), ..Default::default() };
        change(&mut set);
        check(Wire::SetQueue(set), kind, words);
    };
    check(|it| it.name = "a.>".into(), InvalidName, "name: `a.>`");
    check(|it| it.bytes_max = Some(0), InvalidArgument, "bytes_max");
    check(|it| it.bytes_max = Some(QUEUE_BYTES_MAX + 1), InvalidArgument, "bytes_max");
    check(|it| it.count_max = Some(0), InvalidArgument, "count_max");
    check(|it| it.lease_ms = Some(0), InvalidArgument, "lease_ms");
    check(|it| it.deliveries_max = Some(0), InvalidArgument, "deliveries_max");
    check(|it| it.mode = Some(0o1000), InvalidArgument, "mode is 0o1000");
    check(|it| it.dead_letter = Some(String::new()), InvalidName, "dead_letter");
}

#[test]
fn topic_settings_out_of_range_are_refused() {
    let options = |keep_last, hold_ms, mode| {
        let options = Some(v1::TopicOptions { keep_last, hold_ms, mode });
        let topic = name();
        Wire::OpenPublisher(v1::OpenPublisher { topic, options, ..Default::default() })
    };
    check(options(2, 0, 0), Unsupported, "keep_last is 2, allowed are 0, 1");
    check(options(0, hold_ms_max() + 1, 0), InvalidArgument, "hold_ms is");
    check(options(0, 0, 1), InvalidArgument, "mode is 0o1");
    let set = |set: v1::SetTopic| Wire::SetTopic(v1::SetTopic { name: name(), ..set });
    let hold_ms = Some(u64::MAX);
    check(set(v1::SetTopic { hold_ms, ..Default::default() }), InvalidArgument, "hold_ms");
    let keep_last = Some(7);
    check(set(v1::SetTopic { keep_last, ..Default::default() }), Unsupported, "keep_last is 7");
    let mode = Some(0o1777);
    check(set(v1::SetTopic { mode, ..Default::default() }), InvalidArgument, "mode is 0o1777");
}

#[test]
fn a_bridge_may_have_more_wait_and_not_without_end() {
    let given = |backlog_bytes| {
        let (pattern, window_bytes) = ("a.>".to_owned(), WINDOW_BYTES_MIN);
        let subscribe =
            v1::Subscribe { pattern, window_bytes, backlog_bytes, ..Default::default() };
        Wire::SubscribeBeyond(v1::SubscribeBeyond {
            subscribe: Some(subscribe),
            ..Default::default()
        })
    };
    let body = |command| v1::Request { request: 7, command: Some(command) }.encode_to_vec();
    assert!(decode_request(&body(given(BRIDGE_BACKLOG_BYTES_MAX))).is_ok());
    check(given(BRIDGE_BACKLOG_BYTES_MAX + 1), InvalidArgument, "backlog_bytes");
}

#[test]
fn subscriptions_out_of_range_are_refused() {
    let check = |change: fn(&mut v1::Subscribe), kind, words: &str| {
        let window_bytes = WINDOW_BYTES_MIN;
        let pattern = "a.>".into();
        let mut given = v1::Subscribe { pattern, window_bytes, ..Default::default() };
        change(&mut given);
        check(Wire::Subscribe(given), kind, words);
    };
    check(|it| it.pattern = "a.>.b".into(), InvalidName, "pattern: `a.>.b`");
    check(|it| it.policy = 4, Unsupported, "policy is 4");
    check(|it| it.window_bytes -= 1, InvalidArgument, "window_bytes is");
    check(|it| it.window_bytes = WINDOW_BYTES_MAX + 1, InvalidArgument, "window_bytes");
    check(|it| it.backlog_bytes = BACKLOG_BYTES_MAX + 1, InvalidArgument, "backlog_bytes");
    check(|it| it.group = "*".into(), InvalidName, "group: `*`");
    check(|it| it.selector = selector(0), InvalidType, "selector: 0 is not a message type");
    check(|it| it.selector = selector(u64::MAX), InvalidType, "selector");
    check(|it| it.selector = Some(v1::Selector { form: None }), Unsupported, "selector has a form");
}

fn selector(number: u64) -> Option<v1::Selector> {
    Some(v1::Selector { form: Some(v1::selector::Form::Upto(number)) })
}

#[test]
fn channels_out_of_range_are_refused() {
    let (channel, name) = (CHANNELS_MAX, name());
    let words = format!("channel is {channel}, allowed are 0 to {}", CHANNELS_MAX - 1);
    let options = Default::default();
    for command in [
        Wire::OpenQueue(v1::OpenQueue { channel, name: name.clone(), open: 0, options }),
        Wire::OpenPublisher(v1::OpenPublisher { channel, ..Default::default() }),
        Wire::Subscribe(v1::Subscribe { channel, ..Default::default() }),
        Wire::OpenService(v1::OpenService { channel, name }),
        Wire::Serve(v1::Serve { channel, ..Default::default() }),
        Wire::Consume(v1::Consume { channel, ..Default::default() }),
        Wire::Close(v1::Close { channel }),
        Wire::Flush(v1::Flush { channel }),
        Wire::WatchMatching(v1::WatchMatching { channel }),
    ] {
        check(command, InvalidArgument, &words);
    }
    let queue = u32::MAX;
    let consume = v1::Consume { queue, ..Default::default() };
    check(Wire::Consume(consume), InvalidArgument, "queue is 4294967295");
    let peek = v1::Peek { queue, ..Default::default() };
    check(Wire::Peek(peek), InvalidArgument, "queue is 4294967295");
}

#[test]
fn credit_and_times_out_of_range_are_refused() {
    let credit = CREDIT_MAX + 1;
    let words = format!("credit is {credit}, allowed are 0 to {CREDIT_MAX}");
    let serve = v1::Serve { name: name(), credit, ..Default::default() };
    check(Wire::Serve(serve), InvalidArgument, &words);
    let consume = v1::Consume { credit, ..Default::default() };
    check(Wire::Consume(consume), InvalidArgument, &words);
    let (delay_ms, by_ms) = (lease_ms_max() + 1, u64::MAX);
    check(Wire::Nack(v1::Nack { lease: 1, delay_ms }), InvalidArgument, "delay_ms is");
    check(Wire::Extend(v1::Extend { lease: 1, by_ms }), InvalidArgument, "by_ms");
}

#[test]
fn texts_out_of_range_are_refused() {
    let long = || "x".repeat(256);
    let reject = v1::Reject { lease: 1, reason: long() };
    check(Wire::Reject(reject), InvalidArgument, "reason is 256 bytes long, allowed are 0 to 255");
    let declare = |r#type, name: &str| Wire::Declare(v1::Declare { r#type, name: name.into() });
    check(declare(1, &long()), InvalidArgument, "name is 256 bytes long, allowed are 1 to 255");
    check(declare(1, ""), InvalidArgument, "name is 0 bytes long");
    check(declare(1, "a\u{1b}[2J"), InvalidArgument, "control character");
    check(declare(0, "a"), InvalidType, "type: 0 is not a message type");
    check(declare(1 << 63, "a"), InvalidType, "type: 9223372036854775808 is not");
    let list =
        |pattern: &str, kind, after| Wire::List(v1::List { pattern: pattern.into(), kind, after });
    check(list(">", 0, long()), InvalidArgument, "after is 256 bytes long");
    check(list(">", 5, String::new()), Unsupported, "kind is 5");
    check(list("", 0, String::new()), InvalidName, "pattern");
}

#[test]
fn names_and_choices_out_of_range_are_refused() {
    let open = |name: &str, open| {
        Wire::OpenQueue(v1::OpenQueue { channel: 1, name: name.into(), open, options: None })
    };
    check(open("", 0), InvalidName, "name: `` is not a valid name: it is empty");
    check(open("a", 3), Unsupported, "open is 3, allowed are 0, 1, 2 in this version");
    let admin = |kind, action, new_owner: &str| {
        Wire::Admin(v1::Admin { name: name(), kind, action, new_owner: new_owner.into() })
    };
    check(admin(5, 0, ""), Unsupported, "kind is 5");
    check(admin(0, 3, ""), Unsupported, "action is 3");
    check(admin(0, 0, "me"), InvalidArgument, "new_owner is 2 bytes long");
}

#[test]
fn request_without_a_known_command_is_answered() {
    // Field 500 stands for the command of a newer client.
    let body = [&[0x08, 7][..], &[0xa2, 0x1f, 0]].concat();
    let Err(RequestError::Invalid { request: 7, failure }) = decode_request(&body) else {
        panic!("it was not answered");
    };
    assert_eq!(failure.kind(), Unsupported);
}

#[test]
fn bytes_that_are_no_request_end_the_connection() {
    let malformed = |body: &[u8]| match decode_request(body) {
        Err(RequestError::Malformed(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(malformed(b"\xff"), FrameError::Control { kind: Kind::Request, .. }));
    let not_text = v1::Request { request: 1, command: Some(Wire::Broker(v1::Broker {})) };
    let mut body = not_text.encode_to_vec();
    body.extend_from_slice(&[0x2a, 4, 0x12, 2, 0xff, 0xff]);
    assert!(matches!(malformed(&body), FrameError::Control { .. }));
    let long = vec![0; REQUEST_BYTES_MAX + 1];
    assert!(matches!(malformed(&long), FrameError::TooLong { .. }));
}
