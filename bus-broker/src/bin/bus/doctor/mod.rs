//! `bus doctor`: what this machine gives the bus, what is missing, what that costs, and what to do.
//!
//! It looks and tries, and changes nothing. What is found is judged by pure functions (`judge.rs`), apart
//! from where it is read (`probe.rs`) and from the brokers that are tried (`brokers.rs`).

mod brokers;
mod finding;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "judges what Linux tells"))]
mod judge;
#[cfg_attr(not(target_os = "linux"), path = "probe_elsewhere.rs")]
mod probe;

use bus_client::BusUrl;
use serde_json::json;

use crate::exit::{Exit, Problem};
use crate::output::Out;
use finding::{Finding, Verdict};

/// Flags of `doctor`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bus doctor                          this machine, and the broker that runs here
  bus doctor tls://10.77.0.1:4550     that broker too; each URL is connected to
  bus doctor --json                   one JSON object
  bus doctor --quiet                  only what is not in order

Ends with 0 if nothing is broken, also where something costs; else with 1.")]
pub struct Args {
    /// Brokers to try [default: as --url, else the one that runs here, over all that it listens on]
    pub urls: Vec<BusUrl>,
    /// Show only what is not in order
    #[arg(long, short)]
    quiet: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    let mut findings = probe::machine();
    findings.extend(brokers::findings(url, &args.urls).await);
    let broken = findings.iter().filter(|found| found.verdict == Verdict::Broken).count();
    let costs = findings.iter().filter(|found| found.verdict == Verdict::Costs).count();
    let shown = findings.iter().filter(|found| !args.quiet || found.verdict != Verdict::Ok);
    let mut out = Out::new();
    match args.json {
        true => out.json(&json!({
            "broken": broken,
            "costs": costs,
            "findings": shown.map(Finding::json).collect::<Vec<_>>(),
        }))?,
        false => {
            for found in shown {
                out.line(found.text())?;
            }
        }
    }
    out.flush()?;
    match broken {
        0 => Ok(()),
        1 => Err(Problem::new(Exit::Other, "one thing is broken")),
        count => Err(Problem::new(Exit::Other, format!("{count} things are broken"))),
    }
}
