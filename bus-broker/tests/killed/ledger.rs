//! What the survivors have seen, and what must be true of it when the victims are dead.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{self, Mark, Row};

/// What a victim had told until its end.
#[derive(Debug, Default)]
pub struct Fate {
    pub role: String,
    pub writer: u64,
    /// So many of its messages were accepted.
    pub accepted: u64,
    /// Jobs that it had been handed, and jobs that the broker had settled for it.
    pub got: Vec<u64>,
    pub done: Vec<u64>,
}

impl Fate {
    /// One more thing that it has told.
    pub fn hear(&mut self, line: &str) -> Result<(), String> {
        let (verb, number) = line.split_once(' ').ok_or_else(|| format!("it said {line}"))?;
        let number = number.parse().unwrap_or(0);
        match verb {
            "accepted" => self.accepted = number,
            "got" => self.got.push(number),
            "done" => self.done.push(number),
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
    /// Jobs that the broker has accepted, and those that no victim had done, in the order in
    /// which they came.
    pub fed: u64,
    /// Where the feeder has stopped, once it has.
    pub stopped_at: u64,
    pub jobs: Vec<u64>,
    /// Jobs below this one were looked at before.
    pub looked_at: u64,
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
        let taken = record::read(bytes).and_then(|Mark { number, .. }| {
            if self.jobs.last().is_some_and(|last| *last >= number) {
                return Err(format!("job {number} came after {:?}", self.jobs.last()));
            }
            self.jobs.push(number);
            Ok(())
        });
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

    /// Every job was done once by whoever had it last, and comes to the survivors if it was not.
    pub fn settle_jobs(&mut self, fates: &[Fate]) -> Result<(), String> {
        let left: BTreeSet<u64> = std::mem::take(&mut self.jobs).into_iter().collect();
        let got: BTreeSet<u64> = fates.iter().flat_map(|fate| fate.got.iter().copied()).collect();
        let mut done = BTreeSet::new();
        for job in fates.iter().flat_map(|fate| &fate.done) {
            if !done.insert(*job) {
                return Err(format!("job {job} was done twice"));
            }
            if left.contains(job) {
                return Err(format!("job {job} was done, and came once more"));
            }
        }
        for job in self.looked_at..self.fed {
            if !left.contains(&job) && !got.contains(&job) {
                return Err(format!("job {job} is lost"));
            }
        }
        self.looked_at = self.fed;
        Ok(())
    }
}
