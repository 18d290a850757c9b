//! `bus demo`: the main job, shown with real processes, in a few seconds.
//!
//! A broker, a publisher and subscribers over shared memory, the local socket and TCP, and a work queue with
//! selective receivers. TCP clients are anonymous, so everything is open to others here.

mod jobs;
mod stream;

use std::time::Duration;

use bus_client::Client;

use crate::bench::OwnBroker;
use crate::exit::{Exit, Problem};
use crate::helper::Helper;
use crate::output::Out;
use crate::serve::Signals;
use crate::session;

/// How long a child may take to say the next thing.
const PATIENCE: Duration = Duration::from_secs(15);

/// Flags of `demo`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs it.
pub async fn run(_: Args) -> Result<(), Problem> {
    let mut signals = Signals::new()?;
    tokio::select! {
        result = show() => result,
        // Children that are dropped are killed.
        () = signals.next() => Err(Problem::new(Exit::Other, "interrupted")),
    }
}

async fn show() -> Result<(), Problem> {
    let mut out = Out::new();
    let broker = OwnBroker::start(&["tcp://127.0.0.1:0"]).await?;
    let [local, tcp] = &broker.urls[..] else {
        return Err(Problem::new(Exit::Other, "the broker listens somewhere else"));
    };
    out.line(format_args!("broker, process {}, on {local} and {tcp}", broker.pid()))?;
    out.flush()?;
    let client = Client::connect_with(local, session::once("demo")).await?;
    let socket = local.replacen("local:", "unix:", 1);
    let stage = Stage { client: &client, local, socket, tcp };
    let result = play(&stage, &mut out).await;
    client.drain(Duration::from_secs(1)).await;
    broker.stop().await;
    result?;
    out.line("\nthe broker and all processes have ended; nothing is left behind")?;
    out.flush()
}

async fn play(stage: &Stage<'_>, out: &mut Out) -> Result<(), Problem> {
    stream::play(stage, out).await?;
    jobs::play(stage, out).await
}

/// Where the demo takes place.
struct Stage<'a> {
    client: &'a Client,
    local: &'a str,
    /// The same place, by its socket alone.
    socket: String,
    tcp: &'a str,
}

/// A child in its part, which has said that it is ready.
async fn ready(label: &str, role: &str, url: &str, more: &[&str]) -> Result<Helper, Problem> {
    let mut arguments = vec!["__role", role, "--url", url];
    arguments.extend(more);
    let mut helper = Helper::start(label, &arguments)?;
    helper.line(PATIENCE).await?;
    Ok(helper)
}
