//! The order of runs: workload by workload, in each of several rounds all contenders in turn.
//!
//! A cell's contenders stand side by side in time, so that a drift of the machine
//! hits all of them, and each round begins with another one. Around each run the load by
//! others and the cache-line probe are recorded.
//! Invariant: a failed run is recorded as such and never becomes a figure.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use crate::accounting::{Load, Watch};
use crate::cell::{Cell, WorkloadKind};
use crate::cli::Plan;
use crate::contender::Contender;
use crate::probe::cache_line_round_trip_ns;
use crate::process::Room;
use crate::report::number::short;
use crate::stage::Stage;
use crate::workloads::{Figure, Workload};

/// One contender in one cell in one round.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The cell's name.
    pub cell: String,
    /// The contender's name.
    pub contender: String,
    /// From 0.
    pub round: usize,
    /// What it found; empty if it failed.
    pub figures: Vec<Figure>,
    /// Why it failed.
    pub failure: Option<String>,
    /// What others did meanwhile.
    pub load: Load,
    /// The probe before and after, in nanoseconds.
    pub cache_line_ns: [Option<f64>; 2],
    /// The whole run with start and end of all processes.
    pub seconds: f64,
}

impl Run {
    /// Whether others took too much of the machine.
    pub fn disturbed(&self) -> bool {
        self.load.disturbed
    }
}

/// A cell that a contender does not take part in.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// The cell's name.
    pub cell: String,
    /// The contender's name.
    pub contender: String,
    /// Why.
    pub reason: String,
}

/// All runs of a plan.
#[derive(Default, Serialize)]
pub struct Record {
    /// In the order in which they ran.
    pub runs: Vec<Run>,
    /// What was left out.
    pub refusals: Vec<Refusal>,
}

impl Record {
    /// Runs everything in the plan; tells about each run on standard error.
    pub fn make(plan: &Plan) -> Result<Record> {
        let mut record = Record::default();
        for (workload, cells) in &plan.work {
            let cells: Vec<_> =
                cells.iter().map(|cell| (cell, record.candidates(plan, cell))).collect();
            for round in 0..plan.rounds {
                for (cell, candidates) in &cells {
                    for step in 0..candidates.len() {
                        let contender = candidates[(step + round) % candidates.len()];
                        record.runs.push(run(plan, *workload, cell, contender, round)?);
                    }
                }
            }
        }
        Ok(record)
    }

    fn candidates<'plan>(&mut self, plan: &'plan Plan, cell: &Cell) -> Vec<&'plan dyn Contender> {
        let mut candidates = Vec::new();
        for contender in &plan.contenders {
            match takes_part(contender.as_ref(), cell) {
                Ok(()) => candidates.push(contender.as_ref()),
                Err(reason) => self.refusals.push(Refusal {
                    cell: cell.id(),
                    contender: contender.name().to_owned(),
                    reason,
                }),
            }
        }
        candidates
    }
}

/// Whether the contender does this work; if not, the reason.
fn takes_part(contender: &dyn Contender, cell: &Cell) -> Result<(), String> {
    contender.supports(cell)?;
    if cell.workload == WorkloadKind::Shared && !contender.has_groups() {
        return Err("it has no groups beside receivers of all".to_owned());
    }
    match (contender.is_bridged(), cell.workload.is_bridged()) {
        (true, false) => Err("it is measured across two brokers only".to_owned()),
        (false, true) => Err("it does not join two brokers".to_owned()),
        _ => Ok(()),
    }
}

fn run(
    plan: &Plan,
    workload: &dyn Workload,
    cell: &Cell,
    contender: &dyn Contender,
    round: usize,
) -> Result<Run> {
    let probe_before = cache_line_round_trip_ns(&plan.cores);
    let begun = Instant::now();
    let watch = Watch::begin()?;
    let result = attempt(plan, workload, cell, contender);
    let load = watch.end()?;
    let (figures, failure) = match result {
        Ok(figures) => (figures, None),
        Err(error) => (Vec::new(), Some(format!("{error:#}"))),
    };
    let run = Run {
        cell: cell.id(),
        contender: contender.name().to_owned(),
        round,
        figures,
        failure,
        load,
        seconds: begun.elapsed().as_secs_f64(),
        cache_line_ns: [probe_before, cache_line_round_trip_ns(&plan.cores)],
    };
    tell(&run);
    Ok(run)
}

/// Sets the stage, runs, and has taken everything down again when it returns.
fn attempt(
    plan: &Plan,
    workload: &dyn Workload,
    cell: &Cell,
    contender: &dyn Contender,
) -> Result<Vec<Figure>> {
    let room = Room::new(&plan.binaries, &plan.cores)?.traced(plan.count_calls);
    let mut stage = Stage::set(contender, cell, plan.timing, room)?;
    workload.run(&mut stage)
}

fn tell(run: &Run) {
    let found = match (&run.failure, run.figures.first()) {
        (Some(failure), _) => format!("FAILED: {failure}"),
        (None, Some(figure)) => format!("{} {} {}", figure.name, short(figure.value), figure.unit),
        (None, None) => "nothing".to_owned(),
    };
    let disturbed = if run.disturbed() { " (disturbed)" } else { "" };
    eprintln!("round {} {} {}: {found}{disturbed}", run.round + 1, run.cell, run.contender);
}
