//! How a received message is printed: for people, as JSON, or raw.

use std::fmt::Write as _;

use bus_client::{Headers, MessageType, Sender};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::exit::Problem;
use crate::output::Out;

/// Bytes of a binary payload that people are shown.
const BINARY_BYTES_SHOWN: usize = 32;

/// How to print messages.
#[derive(Clone, Copy, clap::Args)]
pub struct ShowArgs {
    /// Print the payload only, as it is: what it does to a terminal is its sender's word
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print no line end after a raw payload
    #[arg(long, short = 'N', requires = "raw")]
    no_newline: bool,
    /// Print each message as one line of JSON
    #[arg(long)]
    json: bool,
}

/// A message to print; what is `None` is not known here.
pub struct Shown<'a> {
    pub topic: Option<&'a str>,
    pub index: Option<u64>,
    pub attempt: Option<u32>,
    pub sender: Option<&'a Sender>,
    pub kind: MessageType,
    pub headers: &'a Headers,
    pub payload: &'a [u8],
}

/// As it stands in JSON: the payload is text, or else hexadecimal under another key.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(rename = "type")]
    kind: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<Value>,
    headers: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
}

impl ShowArgs {
    /// Prints one message.
    pub fn show(&self, out: &mut Out, shown: &Shown<'_>) -> Result<(), Problem> {
        if self.raw {
            out.bytes(shown.payload)?;
            return if self.no_newline { Ok(()) } else { out.bytes(b"\n") };
        }
        match self.json {
            true => out.json(&shown.row()),
            false => out.line(shown.text()),
        }
    }
}

impl Shown<'_> {
    fn row(&self) -> Row<'_> {
        let payload = std::str::from_utf8(self.payload).ok();
        Row {
            topic: self.topic,
            index: self.index,
            kind: self.kind.get(),
            attempt: self.attempt,
            sender: self.sender.map(sender_json),
            headers: headers_json(self.headers),
            payload,
            payload_hex: payload.is_none().then(|| hex(self.payload)),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(index) = self.index {
            let _ = write!(text, "{index}: ");
        }
        if let Some(topic) = self.topic {
            let _ = write!(text, "{topic} ");
        }
        let _ = write!(text, "type {}", self.kind);
        if let Some(sender) = self.sender {
            let _ = write!(text, " from {}", printable(&sender.to_string()));
        }
        match self.attempt {
            None | Some(0) => {}
            Some(attempt) => {
                let _ = write!(text, " (attempt {})", u64::from(attempt) + 1);
            }
        }
        for (key, value) in self.headers.iter() {
            let value = String::from_utf8_lossy(value);
            let _ = write!(text, " [{}: {}]", printable(key), printable(&value));
        }
        let _ = write!(text, ": {}", payload_text(self.payload));
        text
    }
}

/// A sender in JSON.
pub fn sender_json(sender: &Sender) -> Value {
    json!({
        "session": sender.session,
        "name": sender.name,
        "pid": sender.pid,
        "uid": sender.uid,
        "gid": sender.gid,
        "user": sender.user.as_ref().map(ToString::to_string),
    })
}

/// Keys and values; a key that stands there again has an array.
fn headers_json(headers: &Headers) -> Map<String, Value> {
    let mut map = Map::new();
    for (key, value) in headers.iter() {
        let value = match std::str::from_utf8(value) {
            Ok(text) => Value::from(text),
            Err(_) => json!({ "hex": hex(value) }),
        };
        match map.get_mut(key) {
            None => {
                map.insert(key.into(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    map
}

fn payload_text(payload: &[u8]) -> String {
    match std::str::from_utf8(payload) {
        Ok(text) => printable(text),
        Err(_) => {
            let shown = &payload[..payload.len().min(BINARY_BYTES_SHOWN)];
            let more = if shown.len() < payload.len() { "..." } else { "" };
            format!("<{} bytes: {}{more}>", payload.len(), hex(shown))
        }
    }
}

/// Control characters escaped, so that a message cannot rule the terminal or fake a line.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            other => push_harmless(&mut shown, other),
        }
    }
    shown
}

/// The same of a text of several lines, which are this program's own.
pub fn printable_lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|character| push_harmless(&mut shown, character));
    shown
}

fn push_harmless(shown: &mut String, character: char) {
    match character {
        '\t' | '\n' => shown.push(character),
        // None of them is above that.
        control if control.is_control() => {
            let _ = write!(shown, "\\x{:02x}", u32::from(control));
        }
        other => shown.push(other),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<'a>(headers: &'a Headers, payload: &'a [u8]) -> Shown<'a> {
        Shown {
            topic: Some("a.b"),
            index: None,
            attempt: None,
            sender: None,
            kind: MessageType::ONE,
            headers,
            payload,
        }
    }

    #[test]
    fn messages_cannot_rule_the_terminal() {
        let none = Headers::default();
        assert_eq!(shown(&none, b"hi\x1b[2J\n").text(), r"a.b type 1: hi\x1b[2J\n");
        assert_eq!(shown(&none, &[0xff, 0]).text(), "a.b type 1: <2 bytes: ff00>");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_left_and_all_else_is_as_it_was() {
        let text: String = ('\u{0}'..'\u{300}').collect();
        for (shown, kept) in [(printable(&text), "\t"), (printable_lines(&text), "\t\n")] {
            assert!(!shown.chars().any(|one| one.is_control() && !kept.contains(one)), "{shown}");
            assert!(shown.contains(r"\x1b") && shown.contains(r"\x9b") && shown.contains(r"\x7f"));
        }
        assert_eq!(printable("a \\ ä 日"), "a \\ ä 日");
        assert_eq!(printable("a\r\nb"), r"a\r\nb");
    }

    #[test]
    fn json_keeps_what_is_not_text() {
        let headers = Headers::default().with("k", b"v").expect("short");
        let headers = headers.with("k", &[0xff]).expect("short");
        let value = serde_json::to_value(shown(&headers, &[0xff]).row()).expect("JSON");
        assert_eq!(value["payload_hex"], "ff");
        assert_eq!(value["headers"]["k"], json!(["v", { "hex": "ff" }]));
    }
}
