//! Medians, ranges and ratios of the runs of a cell.
//!
//! Disturbed runs are left out as long as an undisturbed one is there. A ratio is made
//! within a round, where both ran side by side, and the median is of the ratios, not of
//! the figures.
//! Invariant: each row is one contender in one cell, and has at least one run, failed or not.

use serde::Serialize;

use crate::cell::{Cell, WorkloadKind};
use crate::cli::Plan;
use crate::contenders::default_baselines;
use crate::rounds::{Record, Run};
use crate::statistics::Spread;

/// One contender in one cell.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The kind of work.
    pub workload: WorkloadKind,
    /// The cell's name without the workload.
    pub variant: String,
    /// The contender's name.
    pub contender: String,
    /// What it found, the figure for ratios first.
    pub figures: Vec<SummedFigure>,
    /// First figure divided by the baseline's, round by round.
    pub ratio: Option<Ratio>,
    /// Runs that count.
    pub runs: usize,
    /// Runs that others disturbed, whether they count or not.
    pub disturbed: usize,
    /// Runs that failed.
    pub failed: usize,
}

/// A figure over all rounds.
#[derive(Clone, Debug, Serialize)]
pub struct SummedFigure {
    /// What it is.
    pub name: &'static str,
    /// In which unit.
    pub unit: &'static str,
    /// Median and range.
    #[serde(flatten)]
    pub spread: Spread,
}

/// A comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    /// Against whom.
    pub baseline: String,
    /// Median and range.
    #[serde(flatten)]
    pub spread: Spread,
}

/// All rows, in the order of cells and contenders.
pub fn rows(plan: &Plan, record: &Record) -> Vec<Row> {
    let mut rows = Vec::new();
    for cell in plan.work.iter().flat_map(|(_, cells)| cells) {
        let id = cell.id();
        let of_contender = |name: &str| -> Vec<&Run> {
            let runs = record.runs.iter();
            runs.filter(|run| run.cell == id && run.contender == name).collect()
        };
        let baseline = baseline_of(plan, cell, &of_contender);
        for contender in &plan.contenders {
            let runs = of_contender(contender.name());
            if !runs.is_empty() {
                rows.push(row(cell, contender.name(), &runs, baseline.as_ref()));
            }
        }
    }
    rows
}

/// The baseline's name and runs, if one of those wanted has a run that did not fail.
fn baseline_of<'record>(
    plan: &Plan,
    cell: &Cell,
    of_contender: &impl Fn(&str) -> Vec<&'record Run>,
) -> Option<(String, Vec<&'record Run>)> {
    let names = match &plan.baseline {
        Some(name) => vec![name.as_str()],
        None => default_baselines(cell.workload).to_vec(),
    };
    let candidates = names.into_iter().map(|name| (name.to_owned(), of_contender(name)));
    candidates.into_iter().find(|(_, runs)| runs.iter().any(|run| run.failure.is_none()))
}

fn row(cell: &Cell, contender: &str, runs: &[&Run], baseline: Option<&(String, Vec<&Run>)>) -> Row {
    let counting = counting(runs);
    let first = counting.first().map(|run| run.figures.as_slice()).unwrap_or_default();
    let figures = first.iter().enumerate().filter_map(|(place, figure)| {
        let values = counting.iter().filter_map(|run| Some(run.figures.get(place)?.value));
        let spread = Spread::of(values.collect())?;
        Some(SummedFigure { name: figure.name, unit: figure.unit, spread })
    });
    Row {
        workload: cell.workload,
        variant: cell.variant(),
        contender: contender.to_owned(),
        figures: figures.collect(),
        ratio: baseline.and_then(|(name, base)| ratio(name, &counting, base)),
        runs: counting.len(),
        disturbed: runs.iter().filter(|run| run.disturbed()).count(),
        failed: runs.iter().filter(|run| run.failure.is_some()).count(),
    }
}

/// Runs without failure and, if there are any such, without disturbance.
pub fn counting<'record>(runs: &[&'record Run]) -> Vec<&'record Run> {
    let sound = || runs.iter().copied().filter(|run| run.failure.is_none());
    let quiet: Vec<_> = sound().filter(|run| !run.disturbed()).collect();
    if quiet.is_empty() { sound().collect() } else { quiet }
}

/// Of the first figures, round by round.
pub fn ratio(baseline: &str, runs: &[&Run], base: &[&Run]) -> Option<Ratio> {
    let base = counting(base);
    let of_round = |round| base.iter().copied().find(|run: &&Run| run.round == round);
    let quotient = |run: &Run, base: &Run| {
        let (value, base) = (run.figures.first()?.value, base.figures.first()?.value);
        (base != 0.0).then(|| value / base)
    };
    let pairs = runs.iter().filter_map(|&run| quotient(run, of_round(run.round)?));
    let spread = Spread::of(pairs.collect())?;
    Some(Ratio { baseline: baseline.to_owned(), spread })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::Load;
    use crate::workloads::Figure;

    fn run(round: usize, value: f64, disturbed: bool, failed: bool) -> Run {
        let figures = if failed { vec![] } else { vec![Figure::new("p50", "us", value)] };
        Run {
            cell: "round-trip/64B/one-core".to_owned(),
            contender: "one".to_owned(),
            round,
            figures,
            failure: failed.then(|| "why".to_owned()),
            load: Load { others_cores: 0.0, disturbed },
            cache_line_ns: [None; 2],
            seconds: 1.0,
        }
    }

    #[test]
    fn disturbed_runs_count_only_if_there_are_no_others() {
        let (quiet, loud) = (run(0, 1.0, false, false), run(1, 9.0, true, false));
        assert_eq!(counting(&[&quiet, &loud]).len(), 1);
        assert_eq!(counting(&[&loud, &loud]).len(), 2);
    }

    #[test]
    fn ratios_are_made_within_a_round_and_skip_failures() {
        let ours =
            [run(0, 2.0, false, false), run(1, 30.0, false, false), run(2, 5.0, false, false)];
        let base =
            [run(0, 1.0, false, false), run(1, 10.0, false, false), run(2, 0.0, false, true)];
        let (ours, base): (Vec<_>, Vec<_>) = (ours.iter().collect(), base.iter().collect());
        let ratio = ratio("base", &ours, &base).unwrap();
        assert_eq!((ratio.spread.low, ratio.spread.high), (2.0, 3.0));
    }
}
