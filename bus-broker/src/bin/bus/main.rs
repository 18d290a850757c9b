//! The `bus` command: a broker, a client and an operator's tool in one.
//!
//! Thin: it parses the command line, runs one verb on a runtime of one thread, and turns the
//! result into a sentence and an exit code.

#![forbid(unsafe_code)]

mod archive_file;
mod bench;
mod bridge;
mod bridge_table;
#[cfg(feature = "tls")]
mod cert;
mod cli;
mod completions;
mod connecting;
mod context;
mod create;
mod demo;
mod doctor;
mod dump;
mod events;
mod exit;
mod helper;
mod ls;
mod message;
mod output;
mod patience;
mod peek;
mod ping;
mod publish;
mod receive;
mod record;
mod reload;
mod removal;
mod replay;
mod reply;
mod request;
mod restore;
mod role;
mod scratch;
mod send;
mod serve;
mod service;
mod session;
mod set;
mod shape;
mod show;
mod stat;
mod stat_json;
mod stat_text;
mod subscribe;
mod subscribers;
mod suggest;
mod table;
mod tls;
mod token;
mod top;
mod unknown;
mod users;
mod value;

use std::process::ExitCode;

use exit::Problem;

fn main() -> ExitCode {
    exit::finish(cli::parse().and_then(run))
}

fn run(cli: cli::Cli) -> Result<(), Problem> {
    if cli.serves() {
        service::take()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(cli.run());
    // A read of standard input may still be going on; nobody waits for it any more.
    runtime.shutdown_background();
    result
}
