//! The whole program: parent, worker or launched server, as the command line says.
//!
//! Whoever calls `run` from its `main` is the harness, and is started again as its own workers;
//! so a contender must be handed over on every call, whatever the command line says.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::cli::{self, Cli, Hidden};
use crate::contender::Contender;
use crate::machine::Notes;
use crate::process::Room;
use crate::report::{Report, table};
use crate::rounds::Record;
use crate::{child, contenders, process, wake_ups};

/// Does what the command line says, with the harness's own contenders and, after them, `rivals`.
pub fn run(rivals: Vec<Box<dyn Contender>>) -> ExitCode {
    let cli = Cli::parse();
    let names = rivals.iter().map(|rival| rival.name().to_owned()).collect();
    let mut contenders = contenders::all();
    contenders.extend(rivals);
    let result = match &cli.hidden {
        Some(Hidden::Role { order }) => child::main(order, &contenders).map(|()| true),
        Some(Hidden::Launch { core, command }) => process::launch(*core, command).map(|()| true),
        Some(Hidden::WakeUps(options)) => wake_ups::run(options).map(|()| true),
        None => measure(&cli, contenders, names),
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
fn measure(cli: &Cli, contenders: Vec<Box<dyn Contender>>, rivals: Vec<String>) -> Result<bool> {
    let plan = cli.plan(contenders, rivals)?;
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
