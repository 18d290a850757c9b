//! `bus record`: what is published on topics, into a file, with its times.
//!
//! Invariants: however it ends, by a limit, a signal or an error of the bus, the file has its end and
//! can be read; what was missed stands in it where it was missed, and is said. By default it holds
//! nobody back who publishes.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use bus_broker::{ArchiveDescription, ArchiveEncoder, ArchiveEnd, ArchiveGap, ArchivedMessage};
use bus_client::{
    Client, ClientEvent, Error, ErrorKind, Pattern, Received, SlowPolicy, SubscribeOptions,
    Subscriber,
};
use futures::stream::{self, BoxStream, select_all};
use futures::{FutureExt, Stream, StreamExt};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::archive_file::{self, Writer, now_ms};
use crate::exit::{Exit, Problem, say};
use crate::serve::Signals;
use crate::value::show_bytes;
use crate::{session, value};

/// Bytes that may wait at the broker for this when nothing else is said.
const BACKLOG_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of an entry beside topic, sender and message, and of an end with its reason.
const ENTRY_BYTES: u64 = 40;
const END_BYTES: u64 = 128;
/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 500;

/// Flags of `record`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bus record 'prices.>' -o prices.bus                until interrupted, which ends the file well
  bus record a.b 'c.*' -o day.bus --for 24h --max-bytes 2GiB
  bus record prices.eur -n 100 | bus replay --speed 10 --to test
                                                     at once, elsewhere and faster

Each message is kept with its topic, type, headers, sender and the time at which it came;
`bus replay` plays them. What was missed is written into the record, and said.")]
pub struct Args {
    /// The topics: names, or patterns (`*` is one token, `>` the rest), of which no two overlap
    #[arg(value_name = "TOPIC", required = true, num_args = 1..=64)]
    patterns: Vec<String>,
    /// The file [default: standard output]; `-` is that too
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, short)]
    force: bool,
    /// End after so many messages
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so long: 5 (seconds), 24h
    #[arg(long = "for", value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    duration: Option<Duration>,
    /// End before the file is longer than that: 64MiB
    #[arg(long, value_name = "BYTES", value_parser = value::bytes)]
    max_bytes: Option<u64>,
    /// What happens when this does not keep up: drop the oldest, end, or hold publishers back
    #[arg(long, value_enum, default_value = "drop")]
    policy: Policy,
    /// Bytes that may wait for this at the broker before that, such as 4MiB [default: 16MiB]
    #[arg(long, value_parser = value::bytes, default_value_t = BACKLOG_BYTES, hide_default_value = true)]
    backlog: u64,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Policy {
    Drop,
    End,
    Hold,
}

/// When to end.
#[derive(Clone, Copy, Default)]
struct Limits {
    count: Option<u64>,
    duration: Option<Duration>,
    bytes: Option<u64>,
}

/// What a record is made of.
enum Heard {
    Message(ArchivedMessage),
    Missed {
        count: u64,
        unconfirmed: u64,
        reason: String,
    },
    /// A subscription is over.
    Over(Error),
    /// Somebody asks for the end.
    Interrupted,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    check(&args.patterns)?;
    let mut signals = Signals::new()?;
    session::with_client(url, session::lasting("record"), async |client| {
        session::tell_events(client);
        let mut sources = Vec::new();
        for pattern in &args.patterns {
            sources.push(subscribe(client, pattern, &args).await?);
        }
        sources.push(events(client));
        let interrupted = async move {
            signals.next().await;
            Heard::Interrupted
        };
        sources.push(stream::once(interrupted).boxed());
        let mut description = ArchiveDescription::of_topics(args.patterns.clone());
        description.broker = client.admin().broker().await?.name;
        description.begun_at_ms = now_ms();
        check_room(&args, &description)?;
        let mut writer = Writer::create(args.output.as_deref(), args.force, &description).await?;
        let limits = Limits { count: args.count, duration: args.duration, bytes: args.max_bytes };
        let (mut end, failed) = take(select_all(sources), limits, &mut writer).await?;
        end.whole = end.whole && writer.counted().gaps == 0;
        let stream = writer.is_stream();
        let end = writer.end(end).await?;
        tell(&args, stream, &end)?;
        failed.map_or(Ok(()), Err)
    })
    .await
}

/// What two patterns match would be recorded twice.
fn check(patterns: &[String]) -> Result<(), Problem> {
    let mut parsed: Vec<Pattern> = Vec::new();
    for text in patterns {
        let pattern = Pattern::new(text).map_err(Error::from)?;
        if let Some(other) = parsed.iter().find(|other| other.intersection(&pattern).is_some()) {
            return Err(Problem::usage(format!(
                "`{other}` and `{pattern}` overlap: what both match would be recorded twice"
            )));
        }
        parsed.push(pattern);
    }
    Ok(())
}

/// A file that may not even hold one message is nobody's wish. Nothing is written before that is known.
fn check_room(args: &Args, description: &ArchiveDescription) -> Result<(), Problem> {
    let Some(max) = args.max_bytes else { return Ok(()) };
    let (_, head) = ArchiveEncoder::begin(description).map_err(|error| {
        Problem::new(Exit::Full, format!("these topics cannot be described in a file: {error}"))
    })?;
    let least = head.len() as u64 + ENTRY_BYTES + END_BYTES;
    match max < least {
        true => Err(Problem::usage(format!(
            "--max-bytes {max} has no room for a record with a message in it: this one needs {least} bytes at the least"
        ))),
        false => Ok(()),
    }
}

async fn subscribe(
    client: &Client,
    pattern: &str,
    args: &Args,
) -> Result<BoxStream<'static, Heard>, Problem> {
    let policy = match args.policy {
        Policy::Drop => SlowPolicy::DropOldest,
        Policy::End => SlowPolicy::End,
        Policy::Hold => SlowPolicy::Hold,
    };
    let options = SubscribeOptions::default().policy(policy).backlog_bytes(args.backlog);
    let subscriber = client.subscribe_with(pattern, options).await?;
    Ok(hear(subscriber, pattern.to_owned()))
}

/// What a subscription brings; what it lost stands before what came behind it.
fn hear(subscriber: Subscriber, pattern: String) -> BoxStream<'static, Heard> {
    let state = (Some(subscriber), 0u64, 0u64);
    stream::unfold((state, pattern), |((subscriber, lost, unsure), pattern)| async move {
        let mut subscriber = subscriber?;
        let (heard, subscriber) = match subscriber.next().await? {
            Ok(received) => (vec![Heard::Message(archived(received))], Some(subscriber)),
            Err(error) => (vec![Heard::Over(error)], None),
        };
        let now = subscriber.as_ref().map_or((lost, unsure), |s| (s.lost(), s.unconfirmed()));
        let missed = (now.0 > lost).then(|| Heard::Missed {
            count: now.0 - lost,
            unconfirmed: now.1.saturating_sub(unsure),
            reason: format!("`{pattern}`: this did not keep up, or a bridge could not bring them"),
        });
        let all = stream::iter(missed.into_iter().chain(heard));
        Some((all, ((subscriber, now.0, now.1), pattern)))
    })
    .flatten()
    .boxed()
}

fn archived(received: Received) -> ArchivedMessage {
    ArchivedMessage {
        at: Duration::ZERO,
        topic: received.topic().to_owned(),
        sender: received.sender().to_string(),
        attempt: 0,
        message: received.into_message(),
    }
}

/// What the client itself noticed to be missing.
fn events(client: &Client) -> BoxStream<'static, Heard> {
    let heard = |event| async move {
        match event {
            ClientEvent::Gap { pattern } => Some(Heard::Missed {
                count: 0,
                unconfirmed: 0,
                reason: format!("`{pattern}`: the connection was lost meanwhile"),
            }),
            _ => None,
        }
    };
    client.events().filter_map(heard).boxed()
}

/// Writes what is heard until a limit, an interruption or an error ends it.
async fn take(
    heard: impl Stream<Item = Heard>,
    limits: Limits,
    writer: &mut Writer,
) -> Result<(ArchiveEnd, Option<Problem>), Problem> {
    let begun = Instant::now();
    let ended = |reason: &str, whole: bool| ArchiveEnd {
        at: begun.elapsed(),
        whole,
        reason: reason.to_owned(),
        ..ArchiveEnd::default()
    };
    let mut heard = pin!(heard);
    loop {
        // What waits in the pipe's other end is not kept back while nothing comes.
        let next = match heard.next().now_or_never() {
            Some(next) => next,
            None => {
                writer.flush().await?;
                let over = limits.duration.map(|limit| value::deadline(begun, limit));
                tokio::select! {
                    biased;
                    next = heard.next() => next,
                    () = sleep_until(over.unwrap_or(begun)), if over.is_some() => None,
                }
            }
        };
        let timely = limits.duration.is_none_or(|limit| begun.elapsed() < limit);
        match next {
            Some(Heard::Message(mut message)) if timely => {
                message.at = begun.elapsed();
                let needed = writer.bytes() + length(&message);
                if limits.bytes.is_some_and(|max| needed > max) {
                    let failed = (writer.counted().messages == 0).then(|| too_small(needed));
                    return Ok((ended("as long as it may be", true), failed));
                }
                writer.message(message).await?;
                if limits.count == Some(writer.counted().messages) {
                    return Ok((ended("as many messages as were asked for", true), None));
                }
            }
            Some(Heard::Missed { count, unconfirmed, reason }) => {
                say(format_args!("a gap is in the record: {reason} ({})", how_many(count)));
                let reason = shortened(reason);
                writer.gap(ArchiveGap { at: begun.elapsed(), count, unconfirmed, reason }).await?;
            }
            Some(Heard::Over(error)) => {
                let reason = shortened(error.to_string());
                let gap = ArchiveGap { at: begun.elapsed(), count: 0, unconfirmed: 0, reason };
                writer.gap(gap).await?;
                return Ok((ended(over_word(&error), false), Some(error.into())));
            }
            Some(Heard::Interrupted) => return Ok((ended("interrupted", true), None)),
            Some(Heard::Message(_)) | None => {
                return Ok((ended("as much time as was asked for", true), None));
            }
        }
    }
}

/// The first message already does not fit.
fn too_small(needed: u64) -> Problem {
    let text = format!("nothing was recorded: with the first message the file has {needed} bytes");
    Problem::new(Exit::Full, text)
}

fn over_word(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::TooSlow => "this did not keep up",
        _ => "the subscription ended",
    }
}

/// What is left of a file's bytes is enough for this message and an end.
fn length(message: &ArchivedMessage) -> u64 {
    let texts = message.topic.len() + message.sender.len() + message.message.len();
    texts as u64 + ENTRY_BYTES + END_BYTES
}

fn how_many(count: u64) -> String {
    match count {
        0 => "how many messages is not known".to_owned(),
        count => format!("messages: up to {count}"),
    }
}

/// So that it fits into a record.
fn shortened(mut text: String) -> String {
    while text.len() > REASON_BYTES_MAX {
        text.pop();
    }
    text
}

fn tell(args: &Args, stream: bool, end: &ArchiveEnd) -> Result<(), Problem> {
    let text = match args.json {
        true => json!({
            "messages": end.messages,
            "payload_bytes": end.payload_bytes,
            "gaps": end.gaps,
            "duration_ms": u64::try_from(end.at.as_millis()).unwrap_or(u64::MAX),
            "whole": end.whole,
            "ended": end.reason,
        })
        .to_string(),
        false => format!(
            "recorded {} messages ({}) in {:.1?}, gaps: {}; ended: {}",
            end.messages,
            show_bytes(end.payload_bytes),
            end.at,
            end.gaps,
            end.reason
        ),
    };
    archive_file::tell(stream, text)
}

#[cfg(test)]
mod tests;
