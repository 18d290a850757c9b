//! What was found, for people and for programs.
//!
//! `summary` makes medians and ratios of runs, `table` prints them, and `write_json`
//! keeps everything, each single run included, so that any other ratio can be made later.
//! Invariant: the table shows nothing that the JSON does not have.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cell::Timing;
use crate::cli::Plan;
use crate::machine::Notes;
use crate::report::rivals::Comparison;
use crate::report::summary::Row;
use crate::rounds::Record;

pub mod number;
pub mod rivals;
pub mod summary;
pub mod table;

/// Everything about one call of the harness.
#[derive(Serialize)]
pub struct Report<'run> {
    /// The machine.
    pub machine: Notes,
    /// How it was called.
    pub command_line: Vec<String>,
    /// Durations.
    pub timing: Timing,
    /// Rounds.
    pub rounds: usize,
    /// Medians and ratios.
    pub summary: Vec<Row>,
    /// The bus against each rival.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<Comparison>,
    /// Single runs and refusals.
    #[serde(flatten)]
    pub record: &'run Record,
}

impl<'run> Report<'run> {
    /// Sums up.
    pub fn new(plan: &Plan, machine: Notes, record: &'run Record) -> Report<'run> {
        Report {
            machine,
            command_line: std::env::args().collect(),
            timing: plan.timing,
            rounds: plan.rounds,
            summary: summary::rows(plan, record),
            rivals: rivals::comparisons(plan, record),
            record,
        }
    }

    /// Writes everything.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
    }
}
