//! The command line, and what it makes of itself: one `Plan`.
//!
//! The hidden commands `role` and `launch` are how the harness starts itself again as
//! a child; nobody else should use them.
//! Invariant: a `Plan` names only contenders and cells that exist.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};

use crate::cell::{Cell, Timing, size_name};
use crate::contender::Contender;
use crate::workloads::{Scale, Workload};
use crate::{contenders, machine, wake_ups, workloads};

/// Benchmarks between real processes: every contender does the same work in the same run.
#[derive(Parser)]
#[command(name = "bus-benches", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Workloads, or the start of a cell's name such as round-trip/64B; all if none is given
    filters: Vec<String>,
    /// Contenders to run, by name; all if none is given
    #[arg(long, short, value_delimiter = ',')]
    contender: Vec<String>,
    /// Contender that ratios are made against; otherwise each workload has its own
    #[arg(long)]
    baseline: Option<String>,
    /// How often each contender runs in turn [default: 3]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds that each run counts [default: 1]
    #[arg(long)]
    seconds: Option<f64>,
    /// Seconds before the figures begin to count [default: 0.3]
    #[arg(long)]
    warm_up: Option<f64>,
    /// Seconds for which an idle server is watched [default: 10]
    #[arg(long)]
    idle_seconds: Option<f64>,
    /// Payload sizes of round-trip and one-way [default: 64,1KiB,64KiB,1MiB]
    #[arg(long, value_delimiter = ',', value_parser = parse_size)]
    sizes: Vec<usize>,
    /// Every workload once and very short, with the smallest and the largest payload: shows that
    /// it works, not how fast
    #[arg(long)]
    quick: bool,
    /// Writes everything that was found to a file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where server programs are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Counts the system calls of publish-cost with `strace -c`; the times are then strace's
    #[arg(long)]
    count_calls: bool,
    /// Shows workloads, cells and contenders, and runs nothing
    #[arg(long)]
    pub list: bool,
    /// What else it can do, and how it starts itself
    #[command(subcommand)]
    pub hidden: Option<Hidden>,
}

/// What is no plan of runs; mostly commands for the harness's own use.
#[derive(Subcommand)]
pub enum Hidden {
    /// Kills waiters and owners of the ways to wake a process, and tells what becomes of the others.
    WakeUps(wake_ups::Options),
    /// Plays a part in a run.
    #[command(hide = true)]
    Role {
        /// The order, as JSON.
        order: String,
    },
    /// Ties itself to the parent, pins itself and becomes a server.
    #[command(hide = true)]
    Launch {
        /// The core to run on.
        #[arg(long)]
        core: Option<usize>,
        /// Program and arguments.
        #[arg(last = true)]
        command: Vec<String>,
    },
}

/// What is to be run.
pub struct Plan {
    /// Workloads with the cells chosen of each.
    pub work: Vec<(&'static dyn Workload, Vec<Cell>)>,
    /// Contenders, in the order of reports.
    pub contenders: Vec<Box<dyn Contender>>,
    /// Names of those among them that are other systems, brought along by the program.
    pub rivals: Vec<String>,
    /// Against whom, if the user said so.
    pub baseline: Option<String>,
    /// How often.
    pub rounds: usize,
    /// How long.
    pub timing: Timing,
    /// Where server programs are.
    pub binaries: PathBuf,
    /// Whether the system calls of publishers are counted.
    pub count_calls: bool,
    /// Cores that may be used.
    pub cores: Vec<usize>,
}

impl Cli {
    /// Turns arguments into a plan, or says which of them name nothing.
    pub fn plan(&self, contenders: Vec<Box<dyn Contender>>, rivals: Vec<String>) -> Result<Plan> {
        let cores = machine::allowed_cores()?;
        let contenders = self.chosen_contenders(contenders)?;
        if let Some(baseline) = &self.baseline {
            let known = contenders.iter().any(|contender| contender.name() == baseline);
            ensure!(known, "the baseline {baseline:?} does not run; name it with --contender too");
        }
        Ok(Plan {
            work: self.chosen_work(cores.len() > 1)?,
            contenders,
            rivals,
            baseline: self.baseline.clone(),
            rounds: self.rounds.unwrap_or(if self.quick { 1 } else { 3 }).max(1),
            timing: self.timing()?,
            binaries: self.binaries()?,
            count_calls: self.count_calls,
            cores,
        })
    }

    fn chosen_contenders(
        &self,
        mut all: Vec<Box<dyn Contender>>,
    ) -> Result<Vec<Box<dyn Contender>>> {
        for name in &self.contender {
            contenders::named(name, &all)?;
        }
        if !self.contender.is_empty() {
            all.retain(|contender| self.contender.iter().any(|name| name == contender.name()));
        }
        Ok(all)
    }

    fn chosen_work(&self, two_cores: bool) -> Result<Vec<(&'static dyn Workload, Vec<Cell>)>> {
        let scale = self.scale(two_cores);
        let mut used = vec![false; self.filters.len()];
        let mut work = Vec::new();
        for workload in workloads::all() {
            let mut cells = workload.cells(&scale);
            cells.retain(|cell| {
                let id = cell.id();
                let mut wanted = self.filters.is_empty();
                for (filter, used) in self.filters.iter().zip(&mut used) {
                    if starts_with_parts(&id, filter) {
                        (wanted, *used) = (true, true);
                    }
                }
                wanted
            });
            if !cells.is_empty() {
                work.push((workload, cells));
            }
        }
        if let Some(place) = used.iter().position(|&used| !used) {
            bail!("no cell is called {:?}; --list shows them", self.filters[place]);
        }
        Ok(work)
    }

    fn scale(&self, two_cores: bool) -> Scale {
        let sizes = match self.sizes.as_slice() {
            [] if self.quick => vec![64, 1 << 20],
            [] => vec![64, 1 << 10, 64 << 10, 1 << 20],
            sizes => sizes.to_vec(),
        };
        let full = Scale {
            sizes,
            idle_clients: 100,
            crowd_clients: 1_000,
            crowd_names: 10_000,
            two_cores,
        };
        match self.quick {
            true => Scale { idle_clients: 10, crowd_clients: 40, crowd_names: 100, ..full },
            false => full,
        }
    }

    fn timing(&self) -> Result<Timing> {
        let choose = |asked: Option<f64>, usual: f64, quick: f64| {
            milliseconds(asked.unwrap_or(if self.quick { quick } else { usual }))
        };
        Ok(Timing {
            warm_up_ms: choose(self.warm_up, 0.3, 0.02)?,
            measure_ms: choose(self.seconds, 1.0, 0.06)?.max(1),
            idle_ms: choose(self.idle_seconds, 10.0, 0.3)?.max(1),
            patience_ms: 30_000,
        })
    }

    fn binaries(&self) -> Result<PathBuf> {
        if let Some(binaries) = &self.binaries {
            return Ok(binaries.clone());
        }
        let program = std::env::current_exe().context("finding the own program")?;
        Ok(program.parent().context("the own program has no directory")?.to_owned())
    }
}

/// What `--list` prints.
pub fn list(plan: &Plan) -> String {
    let mut text = String::from("workloads\n");
    for (workload, cells) in &plan.work {
        text += &format!("  {:<18} {}\n", workload.kind().to_string(), workload.about());
        for cell in cells {
            text += &format!("    {}\n", cell.id());
        }
    }
    text += "contenders\n";
    for contender in &plan.contenders {
        text += &format!("  {:<16} {}\n", contender.name(), contender.about());
    }
    text
}

/// Whether `filter` is `id` or its first parts, each whole: `one-way/64` is not `one-way/64KiB`.
fn starts_with_parts(id: &str, filter: &str) -> bool {
    let rest = id.strip_prefix(filter.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn milliseconds(seconds: f64) -> Result<u64> {
    ensure!((0.0..=3600.0).contains(&seconds), "{seconds} seconds is not between 0 and 3600");
    Ok((seconds * 1000.0) as u64)
}

fn parse_size(text: &str) -> Result<usize> {
    const UNITS: [(&str, usize); 3] = [("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
    const LARGEST: usize = 64 << 20;
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (number, unit) = unit.unwrap_or((text, &1));
    let number: usize = number.trim().parse().with_context(|| format!("{text:?} is no size"))?;
    let bytes = number.saturating_mul(*unit);
    ensure!(
        (size_of::<u64>()..=LARGEST).contains(&bytes),
        "{text}: a payload has 8B (the sequence number) to {}",
        size_name(LARGEST)
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        assert_eq!(parse_size("64").unwrap(), 64);
        assert_eq!(parse_size("64KiB").unwrap(), 65536);
        for wrong in ["", "7", "KiB", "-8", "1GiB", "99999999999999999999MiB", "100MiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn filters_match_whole_parts() {
        assert!(starts_with_parts("one-way/64KiB", "one-way"));
        assert!(starts_with_parts("one-way/64KiB", "one-way/64KiB"));
        assert!(!starts_with_parts("one-way/64KiB", "one-way/64"));
        assert!(!starts_with_parts("one-way/64KiB", "one"));
    }

    #[test]
    fn unknown_names_are_refused() {
        let plan = |arguments: &[&str]| {
            Cli::parse_from(arguments).plan(contenders::all(), Vec::new()).map(drop)
        };
        assert!(plan(&["bus-benches", "--contender", "unix,sysv", "one-way"]).is_ok());
        assert!(plan(&["bus-benches", "--contender", "unicorn"]).is_err());
        assert!(plan(&["bus-benches", "one-weigh"]).is_err());
        assert!(plan(&["bus-benches", "--contender", "unix", "--baseline", "tcp"]).is_err());
    }
}
