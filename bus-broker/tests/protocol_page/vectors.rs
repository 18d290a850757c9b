//! What stands in the file of vectors: each kind of frame at least once, and what its control body says.

use std::time::Duration;

use bus_core::router::{
    AdminAction, Command, ConsumeOptions, ObjectKind, OpenMode, QueueOptions, SubscribeOptions,
    TopicOptions,
};
use bus_core::session::{Hello, Resume, SessionLimits, VERSION, Welcome};
use bus_core::transport::frame_bytes;
use bus_core::{
    Answer, ErrorKind, FLAG_AUTO, FLAG_HEADERS, FLAG_RECEIPT, FLAG_REDELIVERED, FLAG_TRY, Failure,
    Header, Kind, Message, MessageType, Name, Notice, Pattern, Selector, Sender, control,
};
use bytes::Bytes;

/// A line of the file.
pub struct Vector {
    pub name: &'static str,
    pub bytes: Bytes,
    /// What its control body says, if it has one.
    pub value: Option<String>,
}

/// What a client opens with: at first, and to resume.
fn hellos() -> [Hello; 2] {
    let hello = Hello {
        version_min: VERSION,
        version_max: VERSION,
        name: "sensor".into(),
        grace: Duration::from_secs(10),
        resume: None,
        lane_bytes: 0,
        rings: false,
        credential: None,
    };
    let resume = Resume {
        epoch: 0x1122_3344_5566_7788,
        session: 7,
        token: Bytes::from_static(&[0xaa; 16]),
        received: 300,
    };
    let again = Hello { resume: Some(resume), ..hello.clone() };
    [hello, again]
}

fn welcome() -> Welcome {
    Welcome {
        version: VERSION,
        epoch: 0x1122_3344_5566_7788,
        session: 7,
        token: Bytes::from_static(&[0xaa; 16]),
        resumed: false,
        received: 0,
        grace: Duration::from_secs(10),
        limits: SessionLimits {
            message_bytes: 64 << 20,
            window_bytes: 1 << 20,
            inline_bytes: 64 << 10,
            channels: 32_768,
            offers: 4096,
        },
        broker: "here".into(),
        pid: 4242,
        not_resumed: String::new(),
        lane_bytes: 0,
        no_lanes: String::new(),
        rings: false,
    }
}

/// All of them, in the order of the file.
pub fn vectors() -> Vec<Vector> {
    let mut all = handshake();
    all.extend(messages());
    all.extend(verdicts());
    all.extend(deliveries());
    all.extend(bridged());
    all.extend(requests());
    all.extend(replies());
    all.extend(notices());
    all
}

fn handshake() -> Vec<Vector> {
    let ([hello, again], welcome) = (hellos(), welcome());
    let closed = Failure::new(ErrorKind::Closed, "goodbye");
    vec![
        control("hello", on(Kind::Hello, 0, 0), &control::encode_hello(&hello), &hello),
        control("hello to resume", on(Kind::Hello, 0, 0), &control::encode_hello(&again), &again),
        control("welcome", on(Kind::Welcome, 0, 0), &control::encode_welcome(&welcome), &welcome),
        failed("refuse", on(Kind::Refuse, 0, 0)),
        control("goodbye", on(Kind::Goodbye, 0, 0), &control::encode_failure(&closed), &closed),
        plain("confirm 300 frames", on(Kind::Confirm, 0, 300), b""),
        plain("ping 9", on(Kind::Ping, 0, 9), b""),
        plain("pong 9", on(Kind::Pong, 0, 9), b""),
    ]
}

/// What a client says without asking.
fn messages() -> Vec<Vector> {
    let message = Message::new(MessageType::ONE, "hello").with_header("key", "value");
    let message = message.expect("short enough");
    let mut headed = (message.headers().encoded().len() as u16).to_le_bytes().to_vec();
    headed.extend_from_slice(message.headers().encoded());
    headed.extend_from_slice(message.payload());
    let noted = on(Kind::Publish, 3, 1).with_flags(FLAG_HEADERS | FLAG_RECEIPT);
    let impatient = on(Kind::Send, 1, 5).with_flags(FLAG_TRY);
    vec![
        plain("publish type 2 on channel 3", on(Kind::Publish, 3, 2), b"hello"),
        plain("publish nothing of type 1", on(Kind::Publish, 0, 1), b""),
        plain("publish with a header and a receipt", noted, &headed),
        plain("publish on channel 70000", on(Kind::Publish, 70_000, 2), b"hello"),
        plain("send type 5 on channel 1", on(Kind::Send, 1, 5), b"job"),
        plain("send without waiting for room", impatient, b"job"),
        plain("offer 1 MiB of type 5", on(Kind::Offer, 1, 5), &(1_u64 << 20).to_le_bytes()),
        plain("granted with ticket 12", extra(on(Kind::Granted, 1, 5), 12), b"long"),
        plain("withdraw ticket 12", on(Kind::Withdraw, 0, 12), b""),
        plain("acknowledge leases 40 to 42", on(Kind::Ack, 2, 40), b""),
        plain("taken up to lease 42", on(Kind::Taken, 2, 42), b""),
        plain("consumed 65536 bytes", on(Kind::Consumed, 4, 65_536), b""),
        plain("call with 250 ms", extra(on(Kind::Call, 6, 1), 250), b"1+1"),
        plain("reply to call 9", extra(on(Kind::CallReply, 0, 1), 9), b"2"),
        failed("call 9 failed", extra(on(Kind::CallFailed, 0, 0), 9)),
    ]
}

/// What a broker says to what was sent.
fn verdicts() -> Vec<Vector> {
    vec![
        plain("accepted tickets 12 and 13", on(Kind::Accepted, 1, 12), b""),
        failed("failed ticket 12", on(Kind::Failed, 0, 12)),
        plain("ticket 12 may be sent", on(Kind::Grant, 0, 12), b""),
        plain("credit for 65536 bytes", on(Kind::Credit, 3, 65_536), b""),
        plain("settled leases 40 to 42", on(Kind::Settled, 2, 40), b""),
        failed("lease 40 was not there", on(Kind::Unsettled, 0, 40)),
        plain("result of ticket 12", extra(on(Kind::Result, 0, 1), 12), b"2"),
    ]
}

fn deliveries() -> Vec<Vector> {
    let invoke = Header { message_id: 9, extra: 250, origin: 5, ..on(Kind::Invoke, 7, 1) };
    let again = on(Kind::Lease, 2, 5).with_flags(FLAG_REDELIVERED);
    let (published, sent) = (parcel(Kind::Publish, 3), parcel(Kind::Send, 1));
    vec![
        plain(
            "deliver type 2 from origin 5",
            Header { origin: 5, ..on(Kind::Deliver, 4, 2) },
            b"hello",
        ),
        plain("deliver a parcel of two", on(Kind::DeliverParcel, 4, 2), &published),
        plain("lost 13", on(Kind::Lost, 4, 13), b""),
        plain("lease type 5", on(Kind::Lease, 2, 5), b"job"),
        plain("lease type 5 once more", extra(again, 1), b"job"),
        plain("lease that is acknowledged", on(Kind::Lease, 2, 5).with_flags(FLAG_AUTO), b"job"),
        plain("lease a parcel of two", on(Kind::LeaseParcel, 2, 2), &sent),
        plain("invoke call 9", invoke, b"1+1"),
    ]
}

/// Between a bridge and the broker at which it hosts a queue.
fn bridged() -> Vec<Vector> {
    let leased = Header { sequence: 8, message_id: 40, origin: 5, ..on(Kind::HomeLease, 2, 5) };
    let run = Header { sequence: 8, message_id: 40, origin: 5, ..on(Kind::HomeLeaseParcel, 2, 2) };
    let peeked = Header { message_id: 11, origin: 5, ..on(Kind::HomePeeked, 2, 5) };
    let named = |kind, word| Header { message_id: 77, ..on(kind, 2, word) };
    let sent = parcel(Kind::Send, 1);
    vec![
        plain("lease 40 from home for receiver 8", leased, b"job"),
        plain("two leases from home for receiver 8", run, &sent),
        plain("seen at home for request 11", peeked, b"job"),
        plain("send home with ticket 77", named(Kind::HomeSend, 5), b"job"),
        plain("send two home from ticket 77", named(Kind::HomeSendParcel, 2), &sent),
    ]
}

fn requests() -> Vec<Vector> {
    let name = |text: &str| Name::new(text).expect("a name");
    let request = |title, command: Command| {
        let body = control::encode_request(&command).expect("it is a request");
        control(title, on(Kind::Request, 0, 0), &body, &command)
    };
    let (options, open) = (QueueOptions::default(), OpenMode::OpenOrCreate);
    let queue = Command::OpenQueue { request: 1, channel: 1, name: name("jobs"), open, options };
    let (topic, options) = (name("sensors.oven"), TopicOptions::default());
    let publisher =
        Command::OpenPublisher { request: 2, channel: 3, topic, options, exclusive: false };
    let pattern = Pattern::new("sensors.*").expect("a pattern");
    let options = SubscribeOptions::default();
    let subscribe =
        Command::Subscribe { request: 3, channel: 4, pattern: pattern.clone(), options };
    let upto = MessageType::new(5).expect("a type");
    let options =
        ConsumeOptions { selector: Selector::Upto(upto), credit: 16, ..Default::default() };
    let service = Command::OpenService { request: 5, channel: 6, name: name("sums") };
    let serve =
        Command::Serve { request: 6, channel: 7, name: name("sums"), credit: 4, mode: None };
    let (object, action) = (ObjectKind::Queue, AdminAction::Purge);
    let by = Duration::from_secs(30);
    vec![
        request("open queue `jobs` on channel 1", queue),
        request("publish on `sensors.oven` by channel 3", publisher),
        request("subscribe to `sensors.*` on channel 4", subscribe),
        request(
            "consume up to type 5, 16 at a time",
            Command::Consume { request: 4, channel: 2, queue: 1, options },
        ),
        request("call `sums` by channel 6", service),
        request("serve `sums` on channel 7", serve),
        request("close channel 4", Command::Close { request: 7, channel: 4 }),
        request("flush channel 3", Command::Flush { request: 8, channel: 3 }),
        request(
            "give lease 40 back",
            Command::Nack { request: 9, lease: 40, delay: Duration::ZERO },
        ),
        request("extend lease 40", Command::Extend { request: 10, lease: 40, by }),
        request(
            "peek at the first",
            Command::Peek { request: 11, queue: 1, selector: Selector::Any, index: 0 },
        ),
        request("purge `jobs`", Command::Admin { request: 12, name: name("jobs"), object, action }),
        request(
            "list topics of `sensors.*`",
            Command::List {
                request: 13,
                pattern: pattern.clone(),
                object: ObjectKind::Topic,
                after: None,
            },
        ),
        request(
            "list who would hear something of `sensors.*`",
            Command::List { request: 14, pattern, object: ObjectKind::Subscription, after: None },
        ),
    ]
}

fn replies() -> Vec<Vector> {
    let reply = |title, request, result: Result<Answer, Failure>| {
        let body = control::encode_reply(request, &result);
        control(title, on(Kind::Reply, 0, 0), &body, &(request, result))
    };
    vec![
        reply(
            "request 1 has opened",
            1,
            Ok(Answer::Opened { id: 17, created: true, hosted: false }),
        ),
        reply("request 12 is done, 3 times", 12, Ok(Answer::Done { count: 3 })),
        reply("request 2 failed", 2, Err(failure())),
    ]
}

fn notices() -> Vec<Vector> {
    let notice =
        |title, notice: Notice| control(title, on(Kind::Notice, 0, 0), &notice.encode(), &notice);
    let sender = Sender {
        session: 7,
        name: "sensor".into(),
        pid: Some(4242),
        uid: Some(1000),
        gid: Some(1000),
        user: None,
    };
    let topic = Name::new("sensors.oven").ok();
    let origin = Notice::Origin { origin: 5, sender, topic, publisher: 3, provenance: None };
    vec![
        notice("origin 5 is a publisher", origin),
        notice("channel 4 has ended", Notice::Ended { channel: 4, failure: failure() }),
        notice("somebody else could have lease 40", Notice::Recall { lease: 40 }),
    ]
}

fn on(kind: Kind, channel: u32, word: u64) -> Header {
    Header::new(kind, channel, word)
}

fn extra(header: Header, extra: u64) -> Header {
    Header { extra, ..header }
}

fn failure() -> Failure {
    Failure::new(ErrorKind::QueueFull, "queue `jobs` is full")
}

/// Two messages behind each other, as they were sent.
fn parcel(kind: Kind, channel: u32) -> Vec<u8> {
    [frame_bytes(on(kind, channel, 1), b"one"), frame_bytes(on(kind, channel, 2), b"two")].concat()
}

fn plain(name: &'static str, header: Header, body: &[u8]) -> Vector {
    Vector { name, bytes: frame_bytes(header, body), value: None }
}

fn control(
    name: &'static str,
    header: Header,
    body: &[u8],
    value: &impl std::fmt::Debug,
) -> Vector {
    Vector { name, bytes: frame_bytes(header, body), value: Some(format!("{value:?}")) }
}

/// A control frame that says that queue is full.
fn failed(name: &'static str, header: Header) -> Vector {
    control(name, header, &control::encode_failure(&failure()), &failure())
}
