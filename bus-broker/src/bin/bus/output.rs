//! Standard output: buffered, and quiet when nobody reads it any more.

use std::fmt;
use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use crate::exit::{Exit, Problem};

/// What a verb prints on.
pub struct Out(BufWriter<Stdout>);

impl Out {
    /// Standard output.
    pub fn new() -> Out {
        Out(BufWriter::with_capacity(64 * 1024, io::stdout()))
    }

    /// Prints one line.
    pub fn line(&mut self, line: impl fmt::Display) -> Result<(), Problem> {
        writeln!(self.0, "{line}").map_err(problem)
    }

    /// Prints these bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.0.write_all(bytes).map_err(problem)
    }

    /// Prints a value as one line of JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Problem> {
        let text = serde_json::to_string(value)
            .map_err(|error| Problem::new(Exit::Other, format!("cannot write JSON: {error}")))?;
        self.line(text)
    }

    /// Has everything printed.
    pub fn flush(&mut self) -> Result<(), Problem> {
        self.0.flush().map_err(problem)
    }
}

fn problem(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Problem::Quiet,
        _ => Problem::new(Exit::File, format!("cannot write to standard output: {error}")),
    }
}
