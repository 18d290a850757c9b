//! Benchmarks of Busbar and of what it must be compared with, between real processes.
//!
//! The parent runs a plan: workloads (`workloads/`) times contenders (`contenders/`), in
//! interleaved rounds. For each run it starts itself again in several roles, lets
//! them begin together, and collects what they counted (`troupe`, `child`).
//! A contender and a workload meet only in the traits of `contender`.

mod accounting;
mod cell;
mod child;
mod cli;
mod contender;
mod contenders;
mod machine;
mod payload;
mod probe;
mod process;
mod report;
mod rounds;
mod stage;
mod statistics;
mod troupe;
mod wake_ups;
mod workloads;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Cli, Hidden};
use crate::machine::Notes;
use crate::process::Room;
use crate::report::{Report, table};
use crate::rounds::Record;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.hidden {
        Some(Hidden::Role { order }) => child::main(order).map(|()| true),
        Some(Hidden::Launch { core, command }) => process::launch(*core, command).map(|()| true),
        Some(Hidden::WakeUps(options)) => wake_ups::run(options).map(|()| true),
        None => measure(&cli),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bus-benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the plan and reports; false if a run failed.
fn measure(cli: &Cli) -> Result<bool> {
    let plan = cli.plan()?;
    if cli.list {
        print!("{}", cli::list(&plan));
        return Ok(true);
    }
    Room::sweep()?;
    let machine = Notes::read()?;
    let record = Record::make(&plan)?;
    let report = Report::new(&plan, machine, &record);
    print!("{}", table::text(&plan, &report));
    if let Some(path) = &cli.json {
        report.write_json(path)?;
    }
    Ok(record.runs.iter().all(|run| run.failure.is_none()))
}
