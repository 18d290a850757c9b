//! What hostile peers do, each to one listener.

use std::time::{Duration, Instant};

use bus_client::{Client, Object};
use bus_core::router::{Command, OpenMode, QueueOptions};
use bus_core::session::{Hello, Resume, VERSION};
use bus_core::transport::frame_bytes;
use bus_core::{ErrorKind, Header, Kind, Selector, control};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::timeout;

use crate::SOON;
use crate::dice::{Dice, given};
use crate::raw::{Raw, honest, resuming};

/// Connections of random bytes, on each listener.
pub const RANDOM_CONNECTIONS: u64 = 10_000;
/// How many of them there are at a time.
pub const AT_A_TIME: usize = 32;
const HALF_OPEN: usize = 600;

/// A listener to attack.
pub struct Target {
    pub tag: &'static str,
    pub url: String,
    seed: u64,
}

/// The seed of all random bytes: the one that is given, or the usual one.
pub fn seed() -> u64 {
    given("BUS_HOSTILE_SEED", 0x5eed)
}

impl Target {
    pub fn new(tag: &'static str, url: &str, seed: u64) -> Target {
        Target { tag, url: url.to_owned(), seed }
    }

    /// The connection must end by the broker's doing.
    async fn ends(&self, mut raw: Raw, what: &str) -> Vec<Kind> {
        let ended = timeout(SOON, raw.read_to_end()).await;
        ended.unwrap_or_else(|_| panic!("{}: {what} did not end the connection", self.tag))
    }
}

/// Random bytes, some behind the header of a plausible frame, some after a handshake.
async fn one_random(target: &Target, number: u64) {
    let mut dice = Dice::new(target.seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut raw = match number % 4 {
        3 => Raw::established(&target.url).await,
        _ => Raw::connect(&target.url).await,
    };
    let length = (dice.next() % 600) as usize;
    let mut bytes = dice.bytes(length);
    if number.is_multiple_of(2) && bytes.len() >= 16 {
        // A kind that there is, and a length that is not absurd.
        bytes[4] = Kind::ALL[dice.next() as usize % Kind::ALL.len()].code();
        bytes[2..4].fill(0);
    }
    raw.bytes(bytes).await;
    if number.is_multiple_of(8) {
        // Some wait for what is said to them; the others are gone already.
        let _ = timeout(Duration::from_millis(50), raw.read_to_end()).await;
    }
}

pub async fn random_bytes(target: &Target) {
    some_random(target, RANDOM_CONNECTIONS).await;
}

pub async fn warm_up(target: &Target) {
    some_random(target, 500).await;
    half_open_handshakes_of(target, HALF_OPEN, false).await;
}

async fn some_random(target: &Target, count: u64) {
    let mut running = FuturesUnordered::new();
    for number in 0..count {
        running.push(one_random(target, number));
        if running.len() >= AT_A_TIME {
            running.next().await;
        }
    }
    while running.next().await.is_some() {}
}

/// A header that claims 4 GiB, of each kind, before and after the handshake.
pub async fn giant_frames(target: &Target) {
    for kind in Kind::ALL {
        for established in [false, true] {
            let mut raw = match established {
                true => Raw::established(&target.url).await,
                false => Raw::connect(&target.url).await,
            };
            let mut header = frame_bytes(Header::new(*kind, 1, 1), &[]).to_vec();
            header[..4].fill(0xff);
            raw.bytes(header).await;
            target.ends(raw, &format!("4 GiB of {kind:?}")).await;
        }
    }
}

/// Handshakes that are too long, of another kind, or no protobuf.
pub async fn broken_handshakes(target: &Target) {
    let hello = |body: &[u8]| frame_bytes(Header::new(Kind::Hello, 0, 0), body);
    let long = 4 * 1024 + 1;
    let named = |name: String| control::encode_hello(&Hello { name, ..honest() });
    let cases = [
        ("a hello of more than 4 KiB", hello(&vec![0; long])),
        ("a hello that claims more than 4 KiB", hello(&vec![0; long]).slice(..16)),
        ("a hello that is no message", hello(&[0xff; 100])),
        ("a request first", frame_bytes(Header::new(Kind::Request, 0, 0), b"")),
        ("a publish first", frame_bytes(Header::new(Kind::Publish, 0, 1), b"body")),
        ("a ping first", frame_bytes(Header::new(Kind::Ping, 0, 1), b"")),
        ("a goodbye first", frame_bytes(Header::new(Kind::Goodbye, 0, 0), b"")),
        ("a name that is too long", hello(&named("n".repeat(65)))),
        ("a name with a line break", hello(&named("a\nb".into()))),
        ("an unknown kind", Bytes::from_static(b"GET / HTTP/1.1\r\nHost: bus\r\n\r\n")),
    ];
    for (what, bytes) in cases {
        let mut raw = Raw::connect(&target.url).await;
        raw.bytes(bytes).await;
        let kinds = target.ends(raw, what).await;
        assert!(matches!(kinds[..], [] | [Kind::Refuse]), "{what} was answered with {kinds:?}");
    }
}

pub async fn wrong_versions(target: &Target) {
    for (min, max) in [(VERSION + 1, VERSION + 5), (0, VERSION - 1), (u32::MAX, 0)] {
        let hello = Hello { version_min: min, version_max: max, ..honest() };
        let refused = Raw::connect(&target.url).await.hello(&hello).await;
        let failure = refused.expect_err("there is no common version");
        assert_eq!(failure.kind(), ErrorKind::VersionMismatch, "{failure}");
    }
}

/// Going on with somebody else's session, by its number, a guessed token or an impossible frame.
pub async fn stolen_sessions(target: &Target) {
    let mut victim = Raw::connect(&target.url).await;
    let grace = Duration::from_secs(60);
    let welcome = victim.hello(&Hello { grace, ..honest() }).await.expect("the broker takes it");
    let theft = |change: &dyn Fn(&mut Resume)| {
        let mut hello = resuming(&welcome);
        hello.resume.as_mut().into_iter().for_each(change);
        hello
    };
    let token = welcome.token.clone();
    let mut guessed = token.to_vec();
    guessed[15] ^= 1;
    let guessed = Bytes::from(guessed);
    let thefts = [
        theft(&|resume| resume.token = Bytes::new()),
        theft(&|resume| resume.token = guessed.clone()),
        theft(&|resume| resume.token = token.slice(..8)),
        theft(&|resume| resume.session = 1),
        theft(&|resume| resume.received = u64::MAX),
    ];
    for hello in thefts {
        let refused = Raw::connect(&target.url).await.hello(&hello).await;
        let failure = refused.expect_err("it is somebody else's");
        assert_eq!(failure.kind(), ErrorKind::SessionDenied, "{failure}");
        // A number is named, and no secret.
        let named = hello.resume.expect("it is a theft").session.to_string();
        assert!(failure.text().contains(&named), "{failure}");
    }
    let mut other = Raw::connect(&target.url).await;
    let fresh = other.hello(&theft(&|resume| resume.epoch ^= 1)).await.expect("a new session");
    assert!(!fresh.resumed && fresh.session != welcome.session);
    victim.frame(Header::new(Kind::Ping, 0, 5), &[]).await;
    let pong = victim.next().await.expect("the victim goes on");
    assert_eq!((pong.header.kind, pong.header.word), (Kind::Pong, 5));
    victim.frame(Header::new(Kind::Goodbye, 0, 0), &[]).await;
    target.ends(victim, "a goodbye").await;
}

pub async fn frames_that_a_client_may_not_send(target: &Target) {
    for kind in Kind::ALL.iter().filter(|kind| !kind.is_from_client()) {
        let mut raw = Raw::established(&target.url).await;
        raw.frame(Header::new(*kind, 0, 1), &[]).await;
        target.ends(raw, &format!("{kind:?}")).await;
    }
    for (what, header) in [
        ("confirming what was never sent", Header::new(Kind::Confirm, 0, u64::MAX)),
        ("a second hello", Header::new(Kind::Hello, 0, 0)),
        ("type 0", Header::new(Kind::Send, 0, 0)),
        ("an ack of what was never given", Header::new(Kind::Ack, 0, 1)),
        ("as many acks as there can be", Header::new(Kind::Ack, u32::MAX, 0)),
    ] {
        let mut raw = Raw::established(&target.url).await;
        raw.frame(header, &[]).await;
        target.ends(raw, what).await;
    }
}

/// Every number as large as it can be, in every frame that a client may send: it is answered,
/// passed over, or the end of the connection.
pub async fn largest_numbers(target: &Target) {
    for kind in Kind::ALL.iter().filter(|kind| kind.is_from_client()) {
        for word in [0, 1, u64::MAX >> 1, u64::MAX] {
            for flags in [0, 0xfe] {
                let mut raw = Raw::established(&target.url).await;
                let mut header = Header::new(*kind, u32::MAX, word).with_flags(flags);
                (header.origin, header.sequence) = (u32::MAX, u64::MAX);
                (header.message_id, header.extra) = (u64::MAX, u64::MAX);
                raw.frame(header, &u64::MAX.to_le_bytes()).await;
                raw.frame(Header::new(Kind::Goodbye, 0, 0), &[]).await;
                target.ends(raw, &format!("{header:?}")).await;
            }
        }
    }
}

/// Leases, tickets, calls and channels of nobody: each is passed over or answered.
pub async fn foreign_leases(target: &Target) {
    let mut raw = Raw::established(&target.url).await;
    for number in 0..200u64 {
        raw.frame(Header::new(Kind::Taken, 1, number), &[]).await;
        raw.frame(Header::new(Kind::Withdraw, 0, number), &[]).await;
        let mut reply = Header::new(Kind::CallReply, 0, 1);
        reply.extra = number;
        raw.frame(reply, b"mine").await;
        let mut granted = Header::new(Kind::Granted, 0, 1);
        granted.extra = number;
        raw.frame(granted, b"mine").await;
        raw.frame(Header::new(Kind::Ping, 0, number), &[]).await;
        loop {
            let frame = timeout(SOON, raw.next()).await.expect("it answers");
            let frame = frame.expect("its connection is let be");
            if frame.header.kind == Kind::Pong {
                break;
            }
        }
    }
}

/// Asks again and again for a long answer, and reads none.
pub async fn greedy_peeks(target: &Target) {
    let name = format!("large.{}", target.tag);
    let owner = Client::connect(&target.url).await.expect("connects");
    let queue = owner.queue(&name).await.expect("opens");
    queue.send(vec![7; 1 << 20]).await.expect("there is room");
    let sessions = async || owner.admin().broker().await.expect("answers").sessions;
    let before = sessions().await;
    let mut raw = Raw::established(&target.url).await;
    let open = Command::OpenQueue {
        request: 1,
        channel: 0,
        name: name.parse().expect("a name"),
        open: OpenMode::Open,
        options: QueueOptions::default(),
    };
    let peek = |request| {
        let (selector, index) = (Selector::Any, 0);
        let command = Command::Peek { request, queue: 0, selector, index };
        control::encode_request(&command).expect("it has a body")
    };
    let open = control::encode_request(&open).expect("it has a body");
    let mut all = BytesMut::from(&frame_bytes(Header::new(Kind::Request, 0, 0), &open)[..]);
    for request in 2..4000 {
        let frame = frame_bytes(Header::new(Kind::Request, 0, 0), &peek(request));
        all.extend_from_slice(&frame);
    }
    raw.bytes(all).await;
    // All answers would be 4 GB.
    let gone = async { while sessions().await > before {} };
    timeout(SOON, gone).await.expect("it is ended");
    let kinds = target.ends(raw, "peeks without end").await;
    assert!(kinds.len() < 600, "{} answers", kinds.len());
    owner.admin().remove(Object::Queue, &name).await.expect("its own");
}

/// Ends connections within each part of a frame, and within a payload of a megabyte.
pub async fn cut_in_the_middle_of_a_frame(target: &Target) {
    let whole = frame_bytes(Header::new(Kind::Publish, 3, 1), &vec![1; 1 << 20]);
    for length in (1..64).chain([1000, 100_000, 1 << 20]) {
        let mut raw = Raw::established(&target.url).await;
        raw.bytes(whole.slice(..length)).await;
        drop(raw);
    }
}

/// Connections that say nothing, or half a word, are ended after the time for a handshake.
pub async fn half_open_handshakes(target: &Target) {
    half_open_handshakes_of(target, HALF_OPEN, true).await;
}

async fn half_open_handshakes_of(target: &Target, count: usize, wait: bool) {
    let hello = frame_bytes(Header::new(Kind::Hello, 0, 0), &control::encode_hello(&honest()));
    let began = Instant::now();
    let mut open = Vec::new();
    for number in 0..count {
        let mut raw = Raw::connect(&target.url).await;
        raw.bytes(hello.slice(..number % hello.len())).await;
        open.push(raw);
    }
    // Who says all of it is let in meanwhile.
    timeout(SOON, Raw::established(&target.url)).await.expect("there is room for it");
    if !wait {
        return;
    }
    for raw in open {
        target.ends(raw, "half a handshake").await;
    }
    // Each had its two seconds, and was ended; a busy machine may add to that.
    let took = began.elapsed().as_secs();
    assert!(took >= 2, "they were ended after {took} s");
}
