//! What `/proc` says about processes and about everybody else on the machine.
//!
//! `Usage` is one process's CPU time, `Memory` its pages, `Load` the share of the
//! machine that others took during a run. Times of `/proc/*/stat` come in ticks
//! of 10 ms; `schedstat` knows nanoseconds and is read beside them.
//! Invariant: nothing here is estimated; a file that cannot be read fails the run.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::{field, first_number};

/// A run in which others took more than this share of a core is marked as disturbed.
pub const DISTURBED_CORES: f64 = 0.25;

/// CPU time of one process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time, in ticks.
    pub ticks: u64,
    /// Time on a core, of all threads that live, in nanoseconds.
    pub run_ns: u64,
}

impl Usage {
    /// Of the process `pid`.
    pub fn of(pid: u32) -> Result<Usage> {
        let times = stat_times(&format!("/proc/{pid}/stat"))?;
        let mut run_ns = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end between the listing and the reading; its time is then lost.
            let schedstat = fs::read_to_string(task?.path().join("schedstat"));
            run_ns += schedstat.ok().and_then(|text| first_number(&text)).unwrap_or(0);
        }
        Ok(Usage { ticks: times.own, run_ns })
    }
}

/// Ticks in a second, as the kernel counts them for programs.
pub fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Memory of one process, in KiB.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Pages that no other process maps: Pss without its part in shared pages.
    pub private_kib: u64,
    /// Those of them that were written: heap and stacks, but no program text. (`Private_Dirty`
    /// would count text, too, as long as the file system has not written a fresh program out.)
    pub written_kib: u64,
    /// Own pages and a fair part of shared ones.
    pub pss_kib: u64,
    /// The part of `pss_kib` in shared memory.
    pub pss_shmem_kib: u64,
}

impl Memory {
    /// Of the process `pid`.
    pub fn of(pid: u32) -> Result<Memory> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let table = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let value = |name| {
            let value = field(&table, name).and_then(first_number);
            value.with_context(|| format!("{path} has no {name}"))
        };
        Ok(Memory {
            private_kib: value("Private_Clean")? + value("Private_Dirty")?,
            written_kib: value("Pss_Anon")?,
            pss_kib: value("Pss")?,
            pss_shmem_kib: value("Pss_Shmem")?,
        })
    }
}

/// The start of a span over which others are watched.
pub struct Watch {
    begun: Instant,
    machine_ticks: u64,
    own_ticks: u64,
}

/// What others did in a span.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Load {
    /// Cores taken by others (interrupts aside), steal included.
    pub others_cores: f64,
    /// Whether that is too much.
    pub disturbed: bool,
}

impl Watch {
    /// Begins. All children that end within the span must also be reaped within it.
    pub fn begin() -> Result<Watch> {
        Ok(Watch {
            begun: Instant::now(),
            machine_ticks: machine_ticks()?,
            own_ticks: own_ticks()?,
        })
    }

    /// Ends.
    pub fn end(&self) -> Result<Load> {
        let all = machine_ticks()?.saturating_sub(self.machine_ticks);
        let own = own_ticks()?.saturating_sub(self.own_ticks);
        let elapsed_ticks = self.begun.elapsed().as_secs_f64() * ticks_per_second();
        let others_cores = all.saturating_sub(own) as f64 / elapsed_ticks.max(1.0);
        Ok(Load { others_cores, disturbed: others_cores > DISTURBED_CORES })
    }
}

/// Busy ticks of all cores. Interrupts are left out: those of our own traffic
/// cannot be told from others'.
fn machine_ticks() -> Result<u64> {
    let table = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let mut columns = table.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let mut busy = 0;
    // user nice system idle iowait irq softirq steal
    for wanted in [true, true, true, false, false, false, false, true] {
        let ticks: u64 = columns.next().unwrap_or("0").parse()?;
        busy += if wanted { ticks } else { 0 };
    }
    Ok(busy)
}

/// Ticks of this process and of all children that it has reaped.
fn own_ticks() -> Result<u64> {
    let times = stat_times("/proc/self/stat")?;
    Ok(times.own + times.reaped_children)
}

struct StatTimes {
    own: u64,
    reaped_children: u64,
}

fn stat_times(path: &str) -> Result<StatTimes> {
    let line = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    parse_stat(&line).with_context(|| format!("{path} has another form than expected"))
}

/// The name in parentheses may hold anything, so the columns are counted from its end.
fn parse_stat(line: &str) -> Option<StatTimes> {
    const USER_TIME: usize = 11;
    let (_, columns) = line.rsplit_once(')')?;
    let times: Vec<u64> = columns
        .split_whitespace()
        .skip(USER_TIME)
        .take(4)
        .map_while(|column| column.parse().ok())
        .collect();
    let &[user, system, children_user, children_system] = times.as_slice() else { return None };
    Some(StatTimes { own: user + system, reaped_children: children_user + children_system })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_malicious_name() {
        let line = "7 (a) b (c) R 1 7 7 0 -1 4194304 96 0 0 0 11 22 33 44 20 0 1 0 100 0 0";
        let times = parse_stat(line).unwrap();
        assert_eq!((times.own, times.reaped_children), (33, 77));
        assert!(parse_stat("nothing").is_none());
    }

    #[test]
    fn own_process_can_be_read() {
        Memory::of(std::process::id()).unwrap();
        Usage::of(std::process::id()).unwrap();
    }
}
