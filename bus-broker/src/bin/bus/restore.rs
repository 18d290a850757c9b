//! `bus restore`: what `bus dump` wrote, into a queue.
//!
//! Invariants: of a file nothing is sent before all of it was read and found whole; of a pipe, which
//! can be read only once, each message was checked before it is sent, and how far it came is said.
//! Messages are sent one after the other, so that a failure leaves a known number in the queue.

use std::path::PathBuf;
use std::time::Duration;

use bus_broker::{ArchiveContent, ArchiveDescription, ArchiveEntry};
use bus_client::{Client, Name, Queue, QueueOptions};
use serde_json::json;

use crate::archive_file::Reader;
use crate::exit::{Exit, Problem, say};
use crate::output::Out;
use crate::patience::Patience;
use crate::show::printable;
use crate::{connecting, send, session, value};

/// Flags of `restore`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bus restore jobs jobs.bus                 into a queue that is there; waits while it is full
  bus restore jobs.again jobs.bus --create  into a new one, made as the old one was
  bus restore jobs jobs.bus --try           a full queue is an answer (6), which says how many went in
  bus restore jobs jobs.bus --skip 1200     go on where that ended
  bus restore jobs jobs.bus --partial       what is whole of a file that was cut off")]
pub struct Args {
    /// The queue
    queue: String,
    /// The file [default: standard input]; `-` is that too
    file: Option<PathBuf>,
    /// Create the queue if it is not there, as the one was that was dumped
    #[arg(long)]
    create: bool,
    /// Do not wait for room: a full queue is an answer
    #[arg(long = "try", conflicts_with = "timeout")]
    no_wait: bool,
    /// Wait at most so long for room, for each message: 5 (seconds), 250ms [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// Pass over so many messages at the beginning
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u64,
    /// Take what stands before the damage of a file that is cut off or damaged
    #[arg(long)]
    partial: bool,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    let mut reader = Reader::open(args.file.as_ref(), args.partial).await?;
    let description = reader.description().await?;
    if description.content != ArchiveContent::Queue {
        let text = format!("{} is a record of topics: `bus replay` plays it", reader.name());
        return Err(Problem::usage(text));
    }
    let checked = reader.check().await?;
    let options = session::once("restore").connect_timeout(connecting::limit(args.timeout));
    session::with_client(url, options, async |client| {
        let queue = open(client, &args, &description).await?;
        let restored = fill(client, &queue, &mut reader, &args).await?;
        let mut out = Out::new();
        match args.json {
            true => out.json(&json!({
                "queue": args.queue,
                "messages": restored,
                "skipped": args.skip,
                "checked_first": checked.is_some(),
            }))?,
            false => {
                out.line(format_args!("restored {restored} messages to queue {}", args.queue))?
            }
        }
        out.flush()
    })
    .await
}

async fn open(
    client: &Client,
    args: &Args,
    description: &ArchiveDescription,
) -> Result<Queue, Problem> {
    let Some(made) = description.queue.as_ref().filter(|_| args.create) else {
        return send::open(client, &args.queue, args.create).await;
    };
    let mut options = QueueOptions::default()
        .bytes_max(made.bytes_max)
        .count_max(made.count_max)
        .lease(Duration::from_millis(made.lease_ms))
        .deliveries_max(made.deliveries_max)
        .mode(made.mode);
    if let Some(name) = &made.dead_letter {
        options = options.dead_letter(Name::new(name).map_err(bus_client::Error::from)?);
    }
    Ok(client.queue_with(&args.queue, options).await?)
}

/// Sends what is in the file; the answer is how many messages that were.
async fn fill(
    client: &Client,
    queue: &Queue,
    reader: &mut Reader,
    args: &Args,
) -> Result<u64, Problem> {
    let (mut patience, mut read, mut accepted) = (Patience::sending(client, queue), 0u64, 0u64);
    let so_far = |problem: Problem, accepted: u64| {
        match problem.exit() {
        Exit::Lost => problem.hint(format_args!(
            " (messages restored before that one: {accepted}; if the broker began anew they are gone with it, else --skip {} goes on with that one: `bus stat` tells)",
            args.skip + accepted
        )),
        _ => problem.hint(format_args!(
            " (messages restored: {accepted}; --skip {} goes on behind them)",
            args.skip + accepted
        )),
    }
    };
    while let Some(entry) = reader.next().await.map_err(|problem| so_far(problem, accepted))? {
        let archived = match entry {
            ArchiveEntry::Message(archived) => archived,
            ArchiveEntry::Gap(_) => continue,
            ArchiveEntry::End(end) => {
                if !end.whole {
                    say(format_args!(
                        "what the dump says of its queue: {}",
                        printable(&end.reason)
                    ));
                }
                continue;
            }
        };
        read += 1;
        if read <= args.skip {
            continue;
        }
        let sent = match args.timeout {
            _ if args.no_wait => patience.wait(queue.try_send(archived.message)).await,
            Some(limit) => patience.wait(queue.send_timeout(archived.message, limit)).await,
            None => patience.wait(queue.send(archived.message)).await,
        };
        sent.map_err(|error| so_far(error.into(), accepted))?;
        accepted += 1;
    }
    if read < args.skip {
        let text = format!("--skip {}: {} has {read} messages", args.skip, reader.name());
        return Err(Problem::usage(text));
    }
    Ok(accepted)
}
