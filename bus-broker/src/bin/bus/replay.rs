//! `bus replay`: publishes what `bus record` wrote, with its timing.
//!
//! Each message is due at its time in the record, counted from the beginning, so that what is late
//! once makes nothing else late. Invariants: of a file nothing is published before all of it was
//! found whole; a gap in the record is said where it is; it goes on over a lost connection, and however it ends before
//! its time, it says how far it came.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use bus_broker::{ArchiveContent, ArchiveEntry, ArchivedMessage};
use bus_client::{Client, ErrorKind, Name, Publisher};
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};

use crate::archive_file::Reader;
use crate::exit::{Exit, Problem, say};
use crate::output::Out;
use crate::serve::Signals;
use crate::session;
use crate::show::printable;
use crate::unknown::Unknown;

/// Topics of one record.
const TOPICS_MAX: usize = 4096;
/// What is later than that is said, once.
const LATE: Duration = Duration::from_secs(1);

/// How long a replay that ends early waits for what it has published to arrive.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Flags of `replay`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bus replay prices.bus                    as it was
  bus replay prices.bus --speed max        as fast as it goes
  bus replay prices.bus --speed 0.5 --loop over and over, at half the speed
  bus replay prices.bus --to test          on test.prices.eur, not on prices.eur
  bus replay prices.bus --rename prices=quotes
                                           on quotes.eur
  bus replay prices.bus --skip 1200        go on where another one ended: it says how far it came

A lost connection is made again, and what was on its way is published once, unless the broker has
begun anew: then it says how many may be missing, and ends with 8.")]
pub struct Args {
    /// The file [default: standard input]; `-` is that too
    file: Option<PathBuf>,
    /// How fast: 1 is as it was, 2 twice as fast, max without pauses
    #[arg(long, value_name = "FACTOR", default_value = "1", allow_hyphen_values = true)]
    speed: Speed,
    /// Play it so many times; without a number until interrupted
    #[arg(long = "loop", value_name = "N", num_args = 0..=1)]
    times: Option<Option<NonZeroU64>>,
    /// Publish below this name: `test` makes `test.a` of `a`
    #[arg(long, value_name = "PREFIX")]
    to: Option<Name>,
    /// Publish what is at or below one name at or below another; can be given again
    #[arg(long, value_name = "FROM=TO", value_parser = renaming)]
    rename: Vec<(Name, Name)>,
    /// Pass over so many messages at the beginning; the next one comes at once
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u64,
    /// Take what stands before the damage of a record that is cut off or damaged
    #[arg(long)]
    partial: bool,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

/// How fast a record is played.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speed {
    Times(f64),
    Max,
}

impl std::str::FromStr for Speed {
    type Err = String;
    fn from_str(text: &str) -> Result<Speed, String> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Speed::Max),
            Ok(factor) if factor.is_finite() && factor >= 1e-6 => Ok(Speed::Times(factor)),
            _ => Err(format!("`{text}` is not a speed: write 1, 0.5, 20 or max")),
        }
    }
}

impl Speed {
    /// When something is due that came at this time of the record.
    fn due(self, begun: Instant, at: Duration) -> Result<Instant, Problem> {
        let Speed::Times(factor) = self else { return Ok(begun) };
        let scaled = Duration::try_from_secs_f64(at.as_secs_f64() / factor).ok();
        scaled.and_then(|pause| begun.checked_add(pause)).ok_or_else(|| {
            Problem::new(Exit::File, "the record has a time that never comes".to_owned())
        })
    }
}

fn renaming(text: &str) -> Result<(Name, Name), String> {
    let Some((from, to)) = text.split_once('=') else {
        return Err(format!("`{text}` is no renaming: write FROM=TO"));
    };
    let name = |text| Name::new(text).map_err(|error| error.to_string());
    Ok((name(from)?, name(to)?))
}

/// What was played.
#[derive(Debug, Default, PartialEq)]
struct Played {
    messages: u64,
    gaps: u64,
    /// So many messages of this round are behind it, those that were passed over too.
    position: u64,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    let mut reader = Reader::open(args.file.as_ref(), args.partial).await?;
    if reader.description().await?.content != ArchiveContent::Topics {
        let text = format!("{} is a dump of a queue: `bus restore` takes it", reader.name());
        return Err(Problem::usage(text));
    }
    let all = reader.check().await?;
    // None is for ever.
    let times = args.times.unwrap_or(Some(NonZeroU64::MIN)).map(NonZeroU64::get);
    if times != Some(1) && all.is_none() {
        return Err(Problem::usage("what comes through a pipe can be played only once"));
    }
    if let Some(all) = all.filter(|all| *all < args.skip) {
        let text = format!("--skip {}: {} has {all} messages", args.skip, reader.name());
        return Err(Problem::usage(text));
    }
    let mut signals = Signals::new()?;
    session::with_client(url, session::lasting("replay"), async |client| {
        session::tell_events(client);
        let mut events = client.events();
        let mut stage = Stage { client, args: &args, publishers: BTreeMap::new() };
        let mut played = Played::default();
        let mut unknown = Unknown::default();
        let ended = tokio::select! {
            biased;
            () = signals.next() => Ended::Interrupted,
            () = unknown.follow(&mut events) => Ended::Early(Problem::new(Exit::Unreachable, "the client has ended")),
            result = play_all(&mut stage, &mut reader, times, &mut played) => match result {
                Ok(()) => Ended::AtItsEnd,
                Err(problem) => Ended::Early(problem),
            },
        };
        let confirmed = matches!(ended, Ended::AtItsEnd) || stage.confirms().await;
        // What was told in the meantime.
        unknown.catch_up(&mut events);
        match ended {
            Ended::AtItsEnd => {}
            // There is no other end of that.
            Ended::Interrupted if times.is_none() && confirmed => {}
            Ended::Interrupted => {
                let problem = Problem::new(Exit::Other, "interrupted");
                return Err(problem.hint(so_far(&played, all, confirmed, &unknown)));
            }
            Ended::Early(problem) => {
                return Err(problem.hint(so_far(&played, all, confirmed, &unknown)));
            }
        }
        report(&args, &played, &unknown)
    })
    .await
}

/// How it ended.
enum Ended {
    AtItsEnd,
    Interrupted,
    Early(Problem),
}

/// Plays it as often as was asked for; after that all of it has arrived.
async fn play_all(
    stage: &mut Stage<'_>,
    reader: &mut Reader,
    times: Option<u64>,
    played: &mut Played,
) -> Result<(), Problem> {
    let (mut round, mut skip, speed) = (0u64, stage.args.skip, stage.args.speed);
    loop {
        let put = async |message: ArchivedMessage| stage.publish(message).await;
        play(async || reader.next().await, (speed, skip), put, played).await?;
        (round, skip) = (round + 1, 0);
        if Some(round) == times {
            return stage.flush().await;
        }
        reader.rewind().await?;
        played.position = 0;
    }
}

/// How far it came, and how to go on there.
fn so_far(played: &Played, all: Option<u64>, confirmed: bool, unknown: &Unknown) -> String {
    let Played { messages, position, .. } = played;
    let of = all.map_or(String::new(), |all| format!(" of {all}"));
    let missing = unknown.told().map_or(String::new(), |told| format!("; {told}"));
    let unsure = match (confirmed, messages) {
        (true, _) | (_, 0) => "",
        _ => "; the last of them may not have arrived",
    };
    format!(
        " ({position}{of} messages published{unsure}{missing}; next is record {}: --skip {position} goes on there)",
        position + 1
    )
}

fn report(args: &Args, played: &Played, unknown: &Unknown) -> Result<(), Problem> {
    let Played { messages, gaps, .. } = played;
    let mut out = Out::new();
    match args.json {
        true => {
            out.json(&json!({ "messages": messages, "gaps": gaps, "unknown": unknown.count }))?
        }
        false => out.line(format_args!("replayed {messages} messages"))?,
    }
    out.flush()?;
    unknown.told().map_or(Ok(()), |text| Err(Problem::new(Exit::Lost, text)))
}

/// Plays entries, each at its time, from behind so many messages on.
async fn play(
    mut next: impl AsyncFnMut() -> Result<Option<ArchiveEntry>, Problem>,
    (speed, skip): (Speed, u64),
    mut put: impl AsyncFnMut(ArchivedMessage) -> Result<(), Problem>,
    played: &mut Played,
) -> Result<(), Problem> {
    let (mut begun, mut told_late, mut from) = (Instant::now(), false, None);
    while let Some(entry) = next().await? {
        let at = match &entry {
            ArchiveEntry::Message(_) | ArchiveEntry::Gap(_) if played.position < skip => {
                played.position += u64::from(matches!(entry, ArchiveEntry::Message(_)));
                continue;
            }
            ArchiveEntry::Message(message) => message.at,
            ArchiveEntry::Gap(gap) => gap.at,
            ArchiveEntry::End(end) => end.at,
        };
        // Behind what was passed over the first one is due at once.
        let from = *from.get_or_insert_with(|| {
            begun = Instant::now();
            if skip == 0 { Duration::ZERO } else { at }
        });
        let due = speed.due(begun, at.saturating_sub(from))?;
        let late = Instant::now().saturating_duration_since(due);
        if late > LATE && !told_late && speed != Speed::Max {
            say(format_args!("it does not keep up: {late:.1?} late, and told only this once"));
            told_late = true;
        }
        // What is due already does not yield first.
        if late.is_zero() {
            sleep_until(due).await;
        }
        match entry {
            ArchiveEntry::Message(message) => {
                put(message).await?;
                played.messages += 1;
                played.position += 1;
            }
            ArchiveEntry::Gap(gap) => {
                let count = match gap.count {
                    0 => "an unknown number of".to_owned(),
                    count => format!("up to {count}"),
                };
                say(format_args!(
                    "here {count} messages are missing in the record: {}",
                    printable(&gap.reason)
                ));
                played.gaps += 1;
            }
            ArchiveEntry::End(_) => {}
        }
    }
    Ok(())
}

/// Where it is published.
struct Stage<'a> {
    client: &'a Client,
    args: &'a Args,
    publishers: BTreeMap<String, Publisher>,
}

impl Stage<'_> {
    async fn publish(&mut self, archived: ArchivedMessage) -> Result<(), Problem> {
        let ArchivedMessage { topic, message, .. } = archived;
        if !self.publishers.contains_key(&topic) {
            if self.publishers.len() == TOPICS_MAX {
                let text = format!("the record has more than {TOPICS_MAX} topics");
                return Err(Problem::new(Exit::Full, text));
            }
            let name = mapped(&topic, &self.args.rename, self.args.to.as_ref());
            let publisher = self.client.publisher(&name).await?;
            self.publishers.insert(topic.clone(), publisher);
        }
        match self.publishers.get(&topic) {
            Some(publisher) => Ok(publisher.publish(message).await?),
            // It was put there.
            None => Ok(()),
        }
    }

    /// Waits until all of it has arrived. A broker that begins anew meanwhile is asked once more.
    async fn flush(&self) -> Result<(), Problem> {
        for publisher in self.publishers.values() {
            loop {
                match publisher.flush().await {
                    Ok(()) => break,
                    Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Whether all of it has arrived, as far as that is known soon.
    async fn confirms(&self) -> bool {
        matches!(timeout(LAST_WORD, self.flush()).await, Ok(Ok(())))
    }
}

/// What a topic is called now: renamed by the first that fits, then put below the prefix.
fn mapped(topic: &str, renamings: &[(Name, Name)], prefix: Option<&Name>) -> String {
    let renamed = renamings.iter().find_map(|(from, to)| {
        let rest = topic.strip_prefix(from.as_str())?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{to}{rest}"))
    });
    let name = renamed.unwrap_or_else(|| topic.to_owned());
    match prefix {
        Some(prefix) => format!("{prefix}.{name}"),
        None => name,
    }
}

#[cfg(test)]
mod tests;
