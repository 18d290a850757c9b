//! The page about the wire protocol: its vectors are what is written and read, and its table of kinds is whole.
//!
//! `UPDATE=1` writes the vectors anew; whoever changes one changes the protocol, and its version.

mod bodies;
mod vectors;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use bus_core::transport::frame_bytes;
use bus_core::{Decoder, Frame, Kind};
use bytes::Bytes;

use vectors::vectors;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
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
        let line = |made: &vectors::Vector| format!("{}: {}\n", made.name, hex(&made.bytes));
        let text = vectors.iter().fold(head.to_owned(), |text, made| text + &line(made));
        std::fs::write(file("protocol-vectors.txt"), text).expect("it can be written");
    }
    for (made, (listed, theirs)) in vectors.iter().zip(&listed()) {
        assert_eq!((made.name, hex(&made.bytes)), (listed.as_str(), hex(theirs)));
    }
    assert_eq!(vectors.len(), listed().len());
}

#[test]
fn what_the_file_says_is_read_as_one_frame_that_is_written_the_same() {
    for (name, bytes) in listed() {
        let frame = read(&name, &bytes);
        assert_eq!(frame_bytes(frame.header, &frame.body), bytes, "{name}");
    }
}

/// The frame of a line.
fn read(name: &str, bytes: &[u8]) -> Frame {
    let mut decoder = Decoder::for_handshake();
    decoder.establish();
    decoder.buffer().extend_from_slice(bytes);
    let frame = decoder.next_frame().unwrap_or_else(|error| panic!("{name}: {error}"));
    let frame = frame.unwrap_or_else(|| panic!("{name} is cut off"));
    assert!(decoder.buffer().is_empty(), "{name} has more than one frame");
    frame
}

#[test]
fn each_kind_of_frame_has_a_vector() {
    let found = listed().iter().map(|(name, bytes)| read(name, bytes).header.kind.code()).collect();
    let all: BTreeSet<u8> = Kind::ALL.iter().map(|kind| kind.code()).collect();
    assert_eq!(all, found);
}

#[test]
fn a_control_body_of_the_file_says_what_it_was_made_of() {
    let mut count = 0;
    for ((name, bytes), value) in listed().iter().zip(vectors().into_iter().map(|made| made.value))
    {
        let frame = read(name, bytes);
        let found = bodies::read(frame.header.kind, &frame.body);
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found, value, "{name}");
        count += usize::from(value.is_some());
    }
    assert!(count > 20, "only {count} control bodies");
}

/// That the test before looks: one byte of a body is another one.
#[test]
fn a_control_body_with_another_byte_says_something_else() {
    let made = vectors();
    let made = made.iter().find(|made| made.name == "refuse").expect("it is listed");
    let mut bytes = made.bytes.to_vec();
    *bytes.last_mut().expect("not empty") ^= 1;
    let frame = read("refuse", &bytes);
    assert_ne!(bodies::read(frame.header.kind, &frame.body), Ok(made.value.clone()));
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
