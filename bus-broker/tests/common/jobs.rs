//! Numbered jobs of a queue: who was handed which, who has done which, and what must be true of them in the end.
//!
//! Fed from 0 on; those who take them may be killed at any moment. Whoever checks gives what is wrong as text, so that a
//! test can see that it is found.

use std::collections::BTreeSet;

use crate::record::{self, Mark};

/// What somebody had told of his jobs until his end.
#[derive(Debug, Default)]
pub struct Worked {
    /// Those that he had been handed.
    pub got: Vec<u64>,
    /// Those that the broker had settled for him.
    pub done: Vec<u64>,
}

impl Worked {
    /// One more thing that he has told. Whether it is about jobs.
    pub fn hear(&mut self, verb: &str, number: u64) -> bool {
        match verb {
            "got" => self.got.push(number),
            "done" => self.done.push(number),
            _ => return false,
        }
        true
    }
}

/// All of them, as those know who stay.
#[derive(Debug, Default)]
pub struct Jobs {
    /// Those below this one the broker has accepted.
    pub fed: u64,
    /// Where the feeder has stopped, once it has.
    pub stopped_at: u64,
    /// Those that nobody had done, in the order in which they came.
    left: Vec<u64>,
    /// Those below this one were looked at before.
    looked_at: u64,
}

impl Jobs {
    /// The feeder goes on.
    pub fn begin(&mut self) {
        self.stopped_at = u64::MAX;
    }

    /// Whether it has stopped, and all that it has fed is in the queue.
    pub fn are_fed(&self) -> bool {
        self.fed == self.stopped_at
    }

    /// One that was left is taken.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Mark { number, .. } = record::read(bytes)?;
        if self.left.last().is_some_and(|last| *last >= number) {
            return Err(format!("job {number} came after {:?}", self.left.last()));
        }
        self.left.push(number);
        Ok(())
    }

    /// Every job was done once by whoever had it last, and comes to those who stay if it was not.
    pub fn settle(&mut self, all: &[&Worked]) -> Result<(), String> {
        let left: BTreeSet<u64> = std::mem::take(&mut self.left).into_iter().collect();
        let got: BTreeSet<u64> = all.iter().flat_map(|one| one.got.iter().copied()).collect();
        let mut done = BTreeSet::new();
        let told = left.iter().chain(&got).chain(all.iter().flat_map(|one| &one.done));
        if let Some(job) = told.into_iter().find(|job| **job < self.looked_at) {
            return Err(format!("job {job} came again, of a round that is over"));
        }
        for job in all.iter().flat_map(|one| &one.done) {
            if !done.insert(*job) {
                return Err(format!("job {job} was done twice"));
            }
            if left.contains(job) {
                return Err(format!("job {job} was done, and came once more"));
            }
        }
        let lost = |job: &u64| !left.contains(job) && !got.contains(job);
        if let Some(job) = (self.looked_at..self.fed).find(lost) {
            return Err(format!("job {job} is lost"));
        }
        self.looked_at = self.fed;
        Ok(())
    }
}
