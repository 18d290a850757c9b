//! `bus dump`: what a queue holds, into a file. Takes nothing: it peeks.
//!
//! The queue goes on meanwhile. Invariant: whether it changed while it was read is found out and
//! said, in the file, on standard error and by the exit code, so that a dump that says nothing is
//! what the queue held at one moment.

use std::path::PathBuf;

use bus_broker::{ArchiveDescription, ArchiveEnd, ArchivedMessage, ArchivedQueue};
use bus_client::{Client, ErrorKind, Queue, QueueStat, Selector};
use futures::StreamExt;
use serde_json::json;
use tokio::time::Instant;

use crate::archive_file::{self, Writer, now_ms};
use crate::exit::{Exit, Problem, say};
use crate::value::show_bytes;
use crate::{send, session};

/// Bytes of peeks that are under way at once, about, and how many these are at most.
const UNDER_WAY_BYTES: u64 = 4 * 1024 * 1024;
const UNDER_WAY_MAX: u64 = 64;

/// Flags of `dump`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bus dump jobs jobs.bus                 all that waits in the queue, into a file
  bus dump jobs | ssh beta bus restore jobs --create
                                         to a queue on another host
  bus dump jobs jobs.bus --force --json  in place of what is there; tell it as JSON

Types, bytes, headers and order are kept; `bus restore` brings them back. Messages that are
leased to a receiver at that moment are not in the queue: how many these are is said. Ends
with 9 if the queue changed while it was read: the file is good, but not one moment.")]
pub struct Args {
    /// The queue
    queue: String,
    /// Where to [default: standard output]; `-` is that too
    file: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, short)]
    force: bool,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    session::with_client(url, session::once("dump"), async |client| {
        let queue = send::open_existing(client, &args.queue, "").await?;
        let before = stat(client, &queue).await?;
        let description = describe(client, &queue, &before).await?;
        let mut writer = Writer::create(args.file.as_deref(), args.force, &description).await?;
        let begun = Instant::now();
        copy(&queue, &before, &mut writer).await?;
        let after = stat(client, &queue).await?;
        let changed = change(&before, &after);
        let end = ArchiveEnd {
            at: begun.elapsed(),
            whole: changed.is_none(),
            reason: changed.unwrap_or("all that waited").into(),
            ..ArchiveEnd::default()
        };
        let stream = writer.is_stream();
        let end = writer.end(end).await?;
        tell(&args, stream, &end, after.leased)?;
        match changed {
            Some(changed) if after.hosted.is_none() => {
                Err(Problem::new(Exit::Conflict, format!("queue `{}`: {changed}", args.queue)))
            }
            Some(unknown) => {
                say(format_args!("queue `{}`: {unknown}", args.queue));
                Ok(())
            }
            None => Ok(()),
        }
    })
    .await
}

async fn describe(
    client: &Client,
    queue: &Queue,
    stat: &QueueStat,
) -> Result<ArchiveDescription, Problem> {
    let options = &stat.options;
    let mut description = ArchiveDescription::of_queue(queue.name());
    description.broker = client.admin().broker().await?.name;
    description.begun_at_ms = now_ms();
    description.queue = stat.hosted.is_none().then(|| ArchivedQueue {
        bytes_max: options.bytes_max,
        count_max: options.count_max,
        lease_ms: u64::try_from(options.lease.as_millis()).unwrap_or(u64::MAX),
        deliveries_max: options.deliveries_max,
        mode: stat.access.mode,
        dead_letter: options.dead_letter.as_ref().map(ToString::to_string),
    });
    Ok(description)
}

/// Copies what waits, in its order. Some peeks are under way at once, as many as memory allows.
async fn copy(queue: &Queue, stat: &QueueStat, writer: &mut Writer) -> Result<(), Problem> {
    let average = stat.bytes / stat.messages.max(1);
    let under_way = (UNDER_WAY_BYTES / average.max(1)).clamp(1, UNDER_WAY_MAX);
    let peeks = (0u64..).map(|index| queue.peek(Selector::Any, index));
    let mut peeked = futures::stream::iter(peeks).buffered(under_way as usize);
    while let Some(result) = peeked.next().await {
        let found = match result {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::Empty => break,
            Err(error) => return Err(error.into()),
        };
        let archived = ArchivedMessage {
            at: std::time::Duration::ZERO,
            topic: String::new(),
            sender: found.sender.to_string(),
            attempt: found.attempt,
            message: found.message,
        };
        writer.message(archived).await?;
    }
    Ok(())
}

async fn stat(client: &Client, queue: &Queue) -> Result<QueueStat, Problem> {
    let name = queue.name().as_str();
    let found = client.admin().queues(name).await?.into_iter().find(|stat| !stat.retired);
    found
        .ok_or_else(|| Problem::new(Exit::Nothing, format!("queue `{name}` was removed meanwhile")))
}

/// What happened to the queue between two looks, if anything did.
fn change(before: &QueueStat, after: &QueueStat) -> Option<&'static str> {
    if before.hosted.is_some() || after.hosted.is_some() {
        return Some("it lives at another broker, so whether it changed meanwhile is not known");
    }
    let counts = |stat: &QueueStat| {
        [
            stat.id,
            stat.messages,
            stat.leased,
            stat.accepted,
            stat.delivered,
            stat.acked,
            stat.dead,
            stat.dropped,
        ]
    };
    (counts(before) != counts(after))
        .then_some("it changed while it was read: messages may be missing, or there twice")
}

fn tell(args: &Args, stream: bool, end: &ArchiveEnd, leased: u64) -> Result<(), Problem> {
    if leased > 0 {
        say(format_args!("{leased} messages are leased to receivers, and not in the dump"));
    }
    let text = match args.json {
        true => json!({
            "queue": args.queue,
            "messages": end.messages,
            "payload_bytes": end.payload_bytes,
            "leased": leased,
            "whole": end.whole,
        })
        .to_string(),
        false => format!(
            "dumped {} messages ({}) of queue {}",
            end.messages,
            show_bytes(end.payload_bytes),
            args.queue
        ),
    };
    archive_file::tell(stream, text)
}
