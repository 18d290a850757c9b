//! The page about the wire protocol: its vectors are what is written and read, and its table of kinds is whole.
//!
//! `UPDATE=1` writes the vectors anew; whoever changes one changes the protocol, and its version.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use bus_core::session::{Hello, Resume, SessionLimits, VERSION, Welcome};
use bus_core::transport::frame_bytes;
use bus_core::{
    Decoder, ErrorKind, FLAG_HEADERS, FLAG_RECEIPT, FLAG_TRY, Failure, Header, Kind, Message,
    MessageType, control,
};
use bytes::Bytes;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
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

/// Name and bytes of each.
fn vectors() -> Vec<(&'static str, Bytes)> {
    let ([hello, again], welcome) = (hellos(), welcome());
    let failure = Failure::new(ErrorKind::QueueFull, "queue `jobs` is full");
    let on = |kind, channel, word| Header::new(kind, channel, word);
    let extra = |header: Header, extra| Header { extra, ..header };
    let message = Message::new(MessageType::ONE, "hello").with_header("key", "value");
    let message = message.expect("short enough");
    let mut headed = (message.headers().encoded().len() as u16).to_le_bytes().to_vec();
    headed.extend_from_slice(message.headers().encoded());
    headed.extend_from_slice(message.payload());
    let plain = |kind, channel, word, body: &[u8]| frame_bytes(on(kind, channel, word), body);
    let parcel = [plain(Kind::Publish, 3, 1, b"one"), plain(Kind::Publish, 3, 2, b"two")].concat();
    vec![
        ("hello", plain(Kind::Hello, 0, 0, &control::encode_hello(&hello))),
        ("hello to resume", plain(Kind::Hello, 0, 0, &control::encode_hello(&again))),
        ("welcome", plain(Kind::Welcome, 0, 0, &control::encode_welcome(&welcome))),
        ("refuse", plain(Kind::Refuse, 0, 0, &control::encode_failure(&failure))),
        ("confirm 300 frames", plain(Kind::Confirm, 0, 300, b"")),
        ("ping 9", plain(Kind::Ping, 0, 9, b"")),
        ("pong 9", plain(Kind::Pong, 0, 9, b"")),
        ("publish type 2 on channel 3", plain(Kind::Publish, 3, 2, b"hello")),
        ("publish nothing of type 1", plain(Kind::Publish, 0, 1, b"")),
        (
            "publish with a header and a receipt",
            frame_bytes(on(Kind::Publish, 3, 1).with_flags(FLAG_HEADERS | FLAG_RECEIPT), &headed),
        ),
        ("publish on channel 70000", plain(Kind::Publish, 70_000, 2, b"hello")),
        ("send type 5 on channel 1", plain(Kind::Send, 1, 5, b"job")),
        (
            "send without waiting for room",
            frame_bytes(on(Kind::Send, 1, 5).with_flags(FLAG_TRY), b"job"),
        ),
        ("offer 1 MiB of type 5", plain(Kind::Offer, 1, 5, &(1_u64 << 20).to_le_bytes())),
        ("granted with ticket 12", frame_bytes(extra(on(Kind::Granted, 1, 5), 12), b"long")),
        ("acknowledge leases 40 to 42", plain(Kind::Ack, 2, 40, b"")),
        ("accepted tickets 12 and 13", plain(Kind::Accepted, 1, 12, b"")),
        ("failed ticket 12", plain(Kind::Failed, 0, 12, &control::encode_failure(&failure))),
        (
            "deliver type 2 from origin 5",
            frame_bytes(Header { origin: 5, ..on(Kind::Deliver, 4, 2) }, b"hello"),
        ),
        ("lease type 5", plain(Kind::Lease, 2, 5, b"job")),
        ("lost 13", plain(Kind::Lost, 4, 13, b"")),
        ("call with 250 ms", frame_bytes(extra(on(Kind::Call, 6, 1), 250), b"1+1")),
        ("deliver a parcel of two", plain(Kind::DeliverParcel, 4, 2, &parcel)),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("there is memory");
        text
    })
}

fn unhex(text: &str) -> Bytes {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits");
    (0..text.len()).step_by(2).map(byte).collect::<Vec<_>>().into()
}

/// The lines of the file: name and bytes.
fn listed() -> Vec<(String, Bytes)> {
    let text = std::fs::read_to_string(file("protocol-vectors.txt")).expect("it is there");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        let (name, bytes) = line.split_once(": ").expect("a name and bytes");
        (name.to_owned(), unhex(bytes))
    };
    lines.map(split).collect()
}

#[test]
fn what_is_written_is_what_the_file_says() {
    let vectors = vectors();
    if std::env::var_os("UPDATE").is_some() {
        let head =
            "# Frames of the wire protocol, version 1: a name, and the bytes of a whole frame.\n";
        let text = vectors
            .iter()
            .fold(head.to_owned(), |text, (name, bytes)| format!("{text}{name}: {}\n", hex(bytes)));
        std::fs::write(file("protocol-vectors.txt"), text).expect("it can be written");
    }
    let expected: Vec<_> =
        vectors.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
    for ((name, bytes), (listed, theirs)) in expected.iter().zip(&listed()) {
        assert_eq!((name, hex(bytes)), (listed, hex(theirs)));
    }
    assert_eq!(expected.len(), listed().len());
}

#[test]
fn what_the_file_says_is_read_as_one_frame_that_is_written_the_same() {
    for (name, bytes) in listed() {
        let mut decoder = Decoder::for_handshake();
        decoder.establish();
        decoder.buffer().extend_from_slice(&bytes);
        let frame = decoder.next_frame().unwrap_or_else(|error| panic!("{name}: {error}"));
        let frame = frame.unwrap_or_else(|| panic!("{name} is cut off"));
        assert!(decoder.buffer().is_empty(), "{name} has more than one frame");
        assert_eq!(frame_bytes(frame.header, &frame.body), bytes, "{name}");
    }
}

/// Some by hand, from the drawing alone.
#[test]
fn the_drawing_of_a_header_is_right() {
    let bytes = |wanted: &str| {
        let all = listed();
        let found = all.iter().find(|(name, _)| name == wanted).expect("it is listed");
        hex(&found.1)
    };
    let short = "05000000" /* length */.to_owned() + "11" /* Publish */ + "00" + "0300" /* channel */
        + "0200000000000000" /* type */ + "68656c6c6f";
    assert_eq!(bytes("publish type 2 on channel 3"), short);
    let full = "05000000".to_owned() + "11" + "01" /* full */ + "7011" /* low half of 70000 */
        + "0200000000000000" + "70110100" /* channel */ + "00000000" + &"00".repeat(24) + "68656c6c6f";
    assert_eq!(bytes("publish on channel 70000"), full);
    let headed = "1200000011120300".to_owned() + "0100000000000000"
        + "0b00" /* bytes of headers */ + "03" + "0500" + "6b6579" + "76616c7565" + "68656c6c6f";
    assert_eq!(bytes("publish with a header and a receipt"), headed);
}

#[test]
fn the_table_of_kinds_has_each_of_them_with_its_number_and_side() {
    let page = std::fs::read_to_string(file("protocol.md")).expect("it is there");
    let row = |kind: Kind| {
        let side = match kind {
            Kind::Refuse | Kind::Confirm | Kind::Ping | Kind::Pong | Kind::Goodbye => "either",
            Kind::Hello => "client",
            kind if kind.is_from_client() => "client",
            _ => "broker",
        };
        format!("| {} | `{kind:?}` | {side} | ", kind.code())
    };
    for kind in Kind::ALL {
        assert!(page.contains(&row(*kind)), "the page has no row {}", row(*kind));
    }
    let rows =
        page.lines().filter(|line| line.contains("| client |") || line.contains("| broker |"));
    let rows = rows.count() + page.matches("| either |").count();
    assert_eq!(rows, Kind::ALL.len(), "the page has rows of kinds that there are not");
}
