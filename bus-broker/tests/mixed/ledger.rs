//! What those who stay have seen, and what must be true of it when the others are gone.

use std::collections::{BTreeMap, BTreeSet};

use crate::jobs::{Jobs, Worked};
use crate::record::{self, Row};

/// Whoever publishes to find out whether a way is open.
pub const PROBE: u64 = u64::MAX;

/// What a member had told until its end.
#[derive(Debug, Default)]
pub struct Fate {
    pub role: String,
    pub writer: u64,
    /// Over which it was connected; to be printed.
    #[allow(dead_code, reason = "it is there to be printed")]
    pub url: String,
    /// So many of its messages were accepted.
    pub accepted: u64,
    pub worked: Worked,
    /// Whether it has left as it wanted to.
    pub left: bool,
}

impl Fate {
    /// One more thing that it has told.
    pub fn hear(&mut self, line: &str) -> Result<(), String> {
        let (verb, number) = line.split_once(' ').ok_or_else(|| format!("it said {line}"))?;
        let number = number.parse().unwrap_or(0);
        match verb {
            _ if self.worked.hear(verb, number) => {}
            "accepted" => self.accepted = number,
            "left" => self.left = true,
            "seen" | "answered" => {}
            "wrong" => return Err(format!("it got another answer to question {number}")),
            other => return Err(format!("it said {other}")),
        }
        Ok(())
    }
}

/// What has come to those who stay.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Those who have begun.
    pub ready: usize,
    /// Over the topic, by reader and writer.
    pub published: BTreeMap<&'static str, BTreeMap<u64, Row>>,
    /// Readers whom a probe has reached.
    pub reached: BTreeSet<&'static str>,
    /// Through the queue, by writer.
    pub sent: BTreeMap<u64, Row>,
    pub news: Row,
    pub answers: u64,
    pub jobs: Jobs,
    /// The first thing that was wrong.
    pub wrong: Option<String>,
}

impl Ledger {
    pub fn published(&mut self, reader: &'static str, bytes: &[u8]) {
        let taken = record::read(bytes).and_then(|mark| match mark.writer {
            PROBE => {
                self.reached.insert(reader);
                Ok(())
            }
            writer => {
                let rows = self.published.entry(reader).or_default();
                let taken = rows.entry(writer).or_default().take(mark);
                taken.map_err(|error| format!("at the reader {reader}: {error}"))
            }
        });
        self.note(taken);
    }

    pub fn sent(&mut self, bytes: &[u8], attempt: u32) {
        let taken = record::read(bytes).and_then(|mark| match attempt {
            0 => self.sent.entry(mark.writer).or_default().take(mark),
            _ => Err(format!("{mark:?} was delivered before, and nobody was killed with it")),
        });
        self.note(taken);
    }

    pub fn news(&mut self, bytes: &[u8]) {
        let taken = record::read(bytes).and_then(|mark| self.news.take(mark));
        self.note(taken);
    }

    pub fn job(&mut self, bytes: &[u8]) {
        let taken = self.jobs.take(bytes);
        self.note(taken);
    }

    pub fn note(&mut self, result: Result<(), String>) {
        if let (None, Err(error)) = (&self.wrong, result) {
            self.wrong = Some(error);
        }
    }

    /// Whether all that was accepted of those who are gone has come to whoever it is for.
    pub fn has_all_of(&self, fates: &[Fate]) -> Result<(), String> {
        let whole = |rows: &BTreeMap<u64, Row>, fate: &Fate| {
            let row = rows.get(&fate.writer).copied().unwrap_or_default();
            row.has(fate.accepted).map_err(|error| format!("{fate:?}: {error}"))
        };
        for fate in fates {
            match fate.role.split('-').next() {
                Some("publish") => {
                    for (reader, rows) in &self.published {
                        whole(rows, fate).map_err(|error| format!("at {reader}: {error}"))?;
                    }
                }
                Some("send") => whole(&self.sent, fate)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What has become of every job.
    pub fn settle_jobs(&mut self, fates: &[Fate]) -> Result<(), String> {
        let all: Vec<_> = fates.iter().map(|fate| &fate.worked).collect();
        self.jobs.settle(&all)
    }

    /// How many messages have come of members.
    pub fn messages(&self) -> u64 {
        let rows = self.published.values().flat_map(BTreeMap::values).chain(self.sent.values());
        rows.map(|row| row.count).sum()
    }
}
