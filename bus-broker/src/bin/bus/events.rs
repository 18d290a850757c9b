//! `bus events`: what happens at the broker, as it happens: clients that come and go, bridges that
//! change.
//!
//! It listens on the broker's topic `$bus.events`, and never holds the broker back: what this does
//! not keep up with is dropped, and how much that was is said. Invariant: no loss goes unsaid,
//! whether it happened on the way here or at the broker, before an event was published.

use std::time::{Duration, SystemTime};

use bus_broker::EVENT_KINDS;
use bus_client::{Client, SlowPolicy, SubscribeOptions, Subscriber};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::exit::{Exit, Problem, say};
use crate::output::Out;
use crate::show::printable;
use crate::{connecting, session, value};

/// The broker's topic, and the service that tells how many events it had to leave out.
const TOPIC: &str = "$bus.events";
const SERVICE: &str = "$bus.stat";
/// Bytes of events that may wait at the broker for this: some ten thousand events.
const BACKLOG_BYTES: u64 = 4 * 1024 * 1024;
/// How often the broker is asked whether it left some out.
const LOOKS_APART: Duration = Duration::from_secs(5);
/// How long it may take to answer that.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "Examples:
  bus events                                  all that happens, until interrupted
  bus events --kind disconnected --json       who goes, for a script
  bus events --kind bridge --name alpha       how the bridge `alpha` fares
  bus events -n 1 --name worker --wait 1m     wait until a worker comes or goes

Kinds:
";

/// Flags of `events`.
#[derive(clap::Args)]
#[command(after_help = help())]
pub struct Args {
    /// Only events of this kind, one of those below; can be given again
    #[arg(long, short, value_name = "KIND")]
    kind: Vec<String>,
    /// Only events of clients and bridges whose name contains this
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// End after so many events; 0 is never
    #[arg(long, short = 'n', value_name = "N", default_value_t = 0)]
    count: u64,
    /// End when nothing has happened for so long: 5 (seconds), 250ms
    #[arg(long, short, value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    wait: Option<Duration>,
    /// Print each event as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Examples, and the kinds of events as the broker has them.
fn help() -> String {
    let mut text = String::from(EXAMPLES);
    for kind in EVENT_KINDS {
        text.push_str(&format!("  {:<14}{}\n", kind.word, kind.meaning));
        for (state, meaning) in kind.states {
            text.push_str(&format!("    state={state:<12}{meaning}\n"));
        }
    }
    text.push_str("  lost          with --json: so many events were lost on the way here");
    text
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    // A misspelt kind would be waited for without end.
    let is_known = |kind: &&String| EVENT_KINDS.iter().any(|known| known.word == **kind);
    if let Some(kind) = args.kind.iter().find(|kind| !is_known(kind)) {
        let known: Vec<&str> = EVENT_KINDS.iter().map(|kind| kind.word).collect();
        let known = known.join(", ");
        return Err(Problem::usage(format!(
            "`{kind}` is no kind of event: there are {known} (`bus events --help` says what they are)"
        )));
    }
    let options = session::lasting("events").connect_timeout(connecting::limit(args.wait));
    session::with_client(url, options, async |client| {
        session::tell_events(client);
        let options =
            SubscribeOptions::default().policy(SlowPolicy::DropOldest).backlog_bytes(BACKLOG_BYTES);
        let subscriber = client.subscribe_with(TOPIC, options).await?;
        follow(client, subscriber, &args).await
    })
    .await
}

async fn follow(client: &Client, mut subscriber: Subscriber, args: &Args) -> Result<(), Problem> {
    let (mut out, mut printed, mut lost) = (Out::new(), 0, 0);
    let mut left_out = LeftOut { before: left_out(client).await };
    let mut looks = interval_at(Instant::now() + LOOKS_APART, LOOKS_APART);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent_since = Instant::now();
    loop {
        let silence = value::deadline(silent_since, args.wait.unwrap_or_default());
        let received = tokio::select! {
            biased;
            received = subscriber.next() => received,
            () = tokio::time::sleep_until(silence), if args.wait.is_some() => {
                return nothing(args, printed);
            }
            _ = looks.tick() => {
                if let Some(count) = left_out.since(left_out_or(client, left_out.before).await) {
                    tell_loss(&mut out, args, count, "the broker had no room for them")?;
                }
                continue;
            }
        };
        let Some(received) = received else { return Ok(()) };
        let received = received?;
        if subscriber.lost() > lost {
            let count = subscriber.lost() - lost;
            lost = subscriber.lost();
            tell_loss(&mut out, args, count, "this did not keep up")?;
        }
        let Ok(Value::Object(event)) = serde_json::from_slice(received.payload()) else {
            say("the broker told something that is not an event");
            continue;
        };
        if !is_wanted(&event, args) {
            continue;
        }
        silent_since = Instant::now();
        print(&mut out, args, event)?;
        printed += 1;
        if printed == args.count {
            return Ok(());
        }
    }
}

fn nothing(args: &Args, printed: u64) -> Result<(), Problem> {
    if printed >= args.count.max(1) {
        return Ok(());
    }
    let limit = args.wait.unwrap_or_default();
    Err(Problem::new(Exit::TimedOut, format!("nothing like that happened for {limit:?}")))
}

fn is_wanted(event: &Map<String, Value>, args: &Args) -> bool {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = args.kind.is_empty() || args.kind.iter().any(|kind| kind == text("event"));
    let named = |name: &String| ["name", "bridge"].iter().any(|key| text(key).contains(name));
    kind && args.name.as_ref().is_none_or(named)
}

fn print(out: &mut Out, args: &Args, mut event: Map<String, Value>) -> Result<(), Problem> {
    let now = SystemTime::now();
    match args.json {
        true => {
            let at = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            event.insert("heard_at_ms".into(), json!(at.as_millis()));
            out.json(&event)?;
        }
        false => {
            out.line(format_args!("{} {}", humantime::format_rfc3339_seconds(now), text(&event)))?;
        }
    }
    out.flush()
}

/// One event for people. What is not known here is shown as it stands.
fn text(event: &Map<String, Value>) -> String {
    let shown = |value: &Value| match value {
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    };
    let mut parts = vec![event.get("event").map(shown).unwrap_or_default()];
    for (key, value) in event {
        let empty = value.is_null() || value.as_str().is_some_and(str::is_empty);
        if key != "event" && !empty {
            parts.push(format!("{}={}", printable(key), shown(value)));
        }
    }
    parts.join(" ")
}

/// A loss stands among the events: whoever reads them in a script reads it too.
fn tell_loss(out: &mut Out, args: &Args, count: u64, why: &str) -> Result<(), Problem> {
    say(format_args!("{count} events were lost: {why}"));
    if args.json {
        out.json(&json!({ "event": "lost", "count": count, "reason": why }))?;
        out.flush()?;
    }
    Ok(())
}

/// How many events the broker had to leave out since the last look.
struct LeftOut {
    /// What the counter said; `None` as long as the broker has not told.
    before: Option<u64>,
}

impl LeftOut {
    fn since(&mut self, now: Option<u64>) -> Option<u64> {
        let before = std::mem::replace(&mut self.before, now);
        // A counter that went back is that of another broker: it begins anew.
        let more = now?.checked_sub(before?).unwrap_or(now?);
        (more > 0).then_some(more)
    }
}

async fn left_out(client: &Client) -> Option<u64> {
    let reply =
        timeout(ANSWER_LIMIT, client.request(SERVICE, "", ANSWER_LIMIT)).await.ok()?.ok()?;
    let told: Value = serde_json::from_slice(reply.payload()).ok()?;
    told["events_left_out"].as_u64()
}

/// The same; while it cannot be asked nothing has changed.
async fn left_out_or(client: &Client, before: Option<u64>) -> Option<u64> {
    left_out(client).await.or(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_left_out_is_told_once() {
        let mut left_out = LeftOut { before: None };
        assert_eq!(left_out.since(Some(7)), None, "what was before this came");
        assert_eq!(left_out.since(Some(9)), Some(2));
        assert_eq!(left_out.since(Some(9)), None);
        assert_eq!(left_out.since(Some(3)), Some(3), "a broker that was started again");
    }

    #[test]
    fn events_of_any_kind_are_shown_and_cannot_rule_the_terminal() {
        let event = json!({ "event": "new", "what": "a\u{1b}[2J", "count": 3, "none": null });
        let Value::Object(event) = event else { unreachable!("an object") };
        let shown = text(&event);
        assert!(shown.starts_with("new ") && shown.contains("count=3"), "{shown}");
        assert!(!shown.contains('\u{1b}') && !shown.contains("none"), "{shown}");
    }
}
