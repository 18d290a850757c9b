//! Standard output: buffered, and quiet when nobody reads it any more.

use std::fmt;
use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use crate::exit::{Exit, Problem};
use crate::show::printable_lines;

/// What a verb prints on.
pub struct Out(BufWriter<Stdout>);

impl Out {
    /// Standard output.
    pub fn new() -> Out {
        Out(BufWriter::with_capacity(64 * 1024, io::stdout()))
    }

    /// Prints one line, or several, for people: without anything that a terminal would obey.
    pub fn line(&mut self, line: impl fmt::Display) -> Result<(), Problem> {
        writeln!(self.0, "{}", printable_lines(&line.to_string())).map_err(problem)
    }

    /// Prints these bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.0.write_all(bytes).map_err(problem)
    }

    /// Prints a value as one line of JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Problem> {
        let text = serde_json::to_string(value)
            .map_err(|error| Problem::new(Exit::Other, format!("cannot write JSON: {error}")))?;
        writeln!(self.0, "{}", harmless(text)).map_err(problem)
    }

    /// Has everything printed.
    pub fn flush(&mut self) -> Result<(), Problem> {
        self.0.flush().map_err(problem)
    }
}

/// JSON with the control characters escaped that it may have as they are: those above the letters.
fn harmless(json: String) -> String {
    if !json.contains(char::is_control) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for one in json.chars() {
        match one.is_control() {
            true => escaped.push_str(&format!("\\u{:04x}", u32::from(one))),
            false => escaped.push(one),
        }
    }
    escaped
}

fn problem(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Problem::Quiet,
        _ => Problem::new(Exit::File, format!("cannot write to standard output: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_what_it_was_and_rules_no_terminal() {
        let text = "a \u{1b}[2J \u{9b}2J \u{7f} \n";
        let written = harmless(serde_json::to_string(text).expect("JSON"));
        assert!(!written.contains(char::is_control), "{written}");
        let read: String = serde_json::from_str(&written).expect("JSON");
        assert_eq!(read, text);
    }
}
