//! What the survivors have seen, and what must be true of it when the victims are dead.

use std::collections::BTreeMap;

use crate::jobs::{Jobs, Worked};
use crate::record::{self, Row};

/// What a victim had told until its end.
#[derive(Debug, Default)]
pub struct Fate {
    pub role: String,
    pub writer: u64,
    /// So many of its messages were accepted.
    pub accepted: u64,
    pub worked: Worked,
}

impl Fate {
    /// One more thing that it has told.
    pub fn hear(&mut self, line: &str) -> Result<(), String> {
        let (verb, number) = line.split_once(' ').ok_or_else(|| format!("it said {line}"))?;
        let number = number.parse().unwrap_or(0);
        match verb {
            _ if self.worked.hear(verb, number) => {}
            "accepted" => self.accepted = number,
            "seen" => {}
            other => return Err(format!("it said {other}")),
        }
        Ok(())
    }
}

/// What has come to the survivors.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Survivors that have begun.
    pub ready: usize,
    /// Over the topic and through the queue, by writer.
    pub published: BTreeMap<u64, Row>,
    pub sent: BTreeMap<u64, Row>,
    pub news: Row,
    pub jobs: Jobs,
    /// The first thing that was wrong.
    pub wrong: Option<String>,
}

impl Ledger {
    pub fn published(&mut self, bytes: &[u8]) {
        let taken = record::read(bytes)
            .and_then(|mark| self.published.entry(mark.writer).or_default().take(mark));
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

    /// Whether all that was accepted of the victims has come.
    pub fn has_all_of(&self, fates: &[Fate]) -> Result<(), String> {
        for fate in fates {
            let rows = match fate.role.as_str() {
                role if role.starts_with("publish") => &self.published,
                "send" => &self.sent,
                _ => continue,
            };
            let row = rows.get(&fate.writer).copied().unwrap_or_default();
            row.has(fate.accepted).map_err(|error| format!("{fate:?}: {error}"))?;
        }
        Ok(())
    }

    /// What has become of every job.
    pub fn settle_jobs(&mut self, fates: &[Fate]) -> Result<(), String> {
        let all: Vec<_> = fates.iter().map(|fate| &fate.worked).collect();
        self.jobs.settle(&all)
    }
}
