//! The report for people: machine notes, a table for each workload, what was left out.
//!
//! A figure is the median with the range of the rounds in parentheses. It only lays out
//! what `summary` found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::Report;
use super::number::{ranged, short};
use super::rivals;
use super::summary::{Row, SummedFigure};
use crate::accounting::DISTURBED_CORES;
use crate::cli::Plan;
use crate::machine::Notes;
use crate::rounds::Record;
use crate::statistics::Spread;

/// The whole report as text.
pub fn text(plan: &Plan, report: &Report<'_>) -> String {
    let mut text = machine_lines(&report.machine);
    text += &run_lines(report);
    for (workload, _) in &plan.work {
        let of_workload = |row: &&Row| row.workload == workload.kind();
        let rows: Vec<&Row> = report.summary.iter().filter(of_workload).collect();
        if !rows.is_empty() {
            text += &format!("\n{}: {}\n", workload.kind(), workload.about());
            text += &table(&rows);
        }
    }
    text += &rival_table(report);
    text + &refusal_lines(report.record) + &failure_lines(report.record)
}

fn machine_lines(machine: &Notes) -> String {
    let limits: Vec<_> =
        machine.limits.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let mut text = format!(
        "{}, {}, cores {:?}{}, {} MiB, load before {}\n{}\n",
        machine.kernel,
        machine.cpu_model,
        machine.cores,
        if machine.hypervisor { " (virtual)" } else { "" },
        machine.memory_mib,
        machine.load_average,
        limits.join("; "),
    );
    if !machine.optimised {
        text += "WARNING: the harness is not an optimised build; the figures mean little\n";
    }
    text
}

fn run_lines(report: &Report<'_>) -> String {
    let runs = &report.record.runs;
    let probes = runs.iter().flat_map(|run| run.cache_line_ns).flatten();
    let probe = match Spread::of(probes.collect()) {
        Some(spread) => format!("{} ns", ranged(&spread, short)),
        None => "not possible on one core".to_owned(),
    };
    let loads = Spread::of(runs.iter().map(|run| run.load.others_cores).collect());
    let load = loads.map(|spread| ranged(&spread, |value| format!("{value:.2}")));
    format!(
        "{} rounds of {} ms after {} ms; cores taken by others {}, {} of {} runs disturbed (above {}); \
         cache-line round trip between cores {probe}\n",
        report.rounds,
        report.timing.measure_ms,
        report.timing.warm_up_ms,
        load.unwrap_or_default(),
        runs.iter().filter(|run| run.disturbed()).count(),
        runs.len(),
        DISTURBED_CORES,
    )
}

/// Lays out rows that have the same figures.
fn table(rows: &[&Row]) -> String {
    let figures = rows.iter().map(|row| &row.figures).find(|figures| !figures.is_empty());
    let mut header = vec!["variant".to_owned(), "contender".to_owned()];
    for figure in figures.into_iter().flatten() {
        header.push(format!("{} {}", figure.name, figure.unit));
    }
    let figure_count = header.len() - 2;
    header.push("ratio".to_owned());
    header.push("runs".to_owned());
    let mut lines = vec![header];
    let mut variant_before = "";
    for row in rows {
        let variant = if row.variant == variant_before { "" } else { &row.variant };
        variant_before = &row.variant;
        let mut line = vec![variant.to_owned(), row.contender.clone()];
        for place in 0..figure_count {
            line.push(row.figures.get(place).map_or("-".to_owned(), figure_cell));
        }
        line.push(ratio_cell(row));
        line.push(runs_cell(row));
        lines.push(line);
    }
    aligned(&lines)
}

/// The bus against each rival, if one was brought along and ran.
fn rival_table(report: &Report<'_>) -> String {
    match rivals::lines(&report.rivals).as_slice() {
        [] => String::new(),
        lines => format!("\nthe bus divided by each rival\n{}", aligned(lines)),
    }
}

fn figure_cell(figure: &SummedFigure) -> String {
    match figure.unit {
        "% CPU" => ranged(&figure.spread, |value| format!("{value:.3}")),
        "x" => ranged(&figure.spread, |value| format!("{value:.2}")),
        _ => ranged(&figure.spread, short),
    }
}

fn ratio_cell(row: &Row) -> String {
    let Some(ratio) = &row.ratio else { return "-".to_owned() };
    format!("{} x {}", ranged(&ratio.spread, |value| format!("{value:.2}")), ratio.baseline)
}

fn runs_cell(row: &Row) -> String {
    let mut text = row.runs.to_string();
    if row.disturbed > 0 {
        let _ = write!(text, ", {} disturbed", row.disturbed);
    }
    if row.failed > 0 {
        let _ = write!(text, ", {} FAILED", row.failed);
    }
    text
}

/// Pads columns: text to the left, figures to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    const TEXT_COLUMNS: usize = 2;
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < TEXT_COLUMNS {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "  {}", line.trim_end());
    }
    text
}

/// One line for each reason: whom it kept from which workloads. The JSON has each cell.
fn refusal_lines(record: &Record) -> String {
    let mut reasons = BTreeMap::<&str, (BTreeSet<&str>, BTreeSet<&str>)>::new();
    for refusal in &record.refusals {
        let (contenders, workloads) = reasons.entry(&refusal.reason).or_default();
        contenders.insert(&refusal.contender);
        workloads.extend(refusal.cell.split('/').next());
    }
    let joined = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    for (reason, (contenders, workloads)) in reasons {
        let title = if text.is_empty() { "\nleft out\n" } else { "" };
        let (contenders, workloads) = (joined(&contenders), joined(&workloads));
        let _ = writeln!(text, "{title}  {contenders}: {reason} ({workloads})");
    }
    text
}

fn failure_lines(record: &Record) -> String {
    let mut text = String::new();
    for run in &record.runs {
        if let Some(failure) = &run.failure {
            if text.is_empty() {
                text += "\nFAILED\n";
            }
            let _ = writeln!(
                text,
                "  {} {} round {}: {failure}",
                run.cell,
                run.contender,
                run.round + 1
            );
        }
    }
    text
}
