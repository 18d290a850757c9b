//! Connecting for a verb, and what happens to its connection meanwhile.

use std::sync::OnceLock;
use std::time::Duration;

use bus_client::{Client, ClientEvent, ClientOptions, Waiting};
use clap::builder::FalseyValueParser;
use tokio::time::{Instant, sleep};

use crate::exit::{Problem, say};
use crate::show::printable;
use crate::{connecting, tls, token};

/// How long a verb that is done waits for its last words to be written.
const DRAIN: Duration = Duration::from_secs(1);
/// Between two looks whether there is a connection.
const LOOKS_APART: Duration = Duration::from_millis(200);

/// Flags for lanes in shared memory, of brokers and clients alike.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection to this broker")]
pub struct LaneArgs {
    /// Use no shared memory: neither grant it nor ask for it
    #[arg(long, global = true, env = "BUS_NO_SHM", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub no_shm: bool,
    /// How to wait for what comes over shared memory: park, adaptive or spin [default: adaptive]
    #[arg(long, global = true, env = "BUS_WAITING", value_name = "HOW", hide_env_values = true)]
    pub waiting: Option<Waiting>,
}

impl LaneArgs {
    /// The same as arguments, for a process of this program.
    pub fn arguments(self) -> Vec<String> {
        let waiting = self.waiting.map(|waiting| format!("--waiting={waiting}"));
        waiting.into_iter().chain(self.no_shm.then(|| "--no-shm".to_owned())).collect()
    }
}

static LANES: OnceLock<LaneArgs> = OnceLock::new();

/// Sets what was asked for, for all clients of this process.
pub fn set_lanes(lanes: LaneArgs) {
    // It is set once, by `main`.
    let _ = LANES.set(lanes);
}

/// What was asked for.
pub fn lanes() -> LaneArgs {
    LANES.get().copied().unwrap_or_default()
}

fn options(verb: &str) -> ClientOptions {
    let options = ClientOptions::default()
        .name(format!("bus {verb}"))
        .connect_timeout(connecting::limit(None))
        .shared_memory(!lanes().no_shm)
        .waiting(lanes().waiting.unwrap_or_default());
    let options = tls::apply(options);
    match token::shown() {
        Some((token, insecure)) => options.token(token).insecure(insecure),
        None => options,
    }
}

/// Options of a verb that does one thing: if the connection is lost, so is the verb.
pub fn once(verb: &str) -> ClientOptions {
    options(verb).reconnect(false).grace(Duration::ZERO)
}

/// Options of a verb that goes on: a lost connection is made again.
pub fn lasting(verb: &str) -> ClientOptions {
    options(verb)
}

/// Connects, does the work, and says goodbye, however it went.
pub async fn with_client<T>(
    url: &str,
    options: ClientOptions,
    work: impl AsyncFnOnce(&Client) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let client = Client::connect_with(url, options).await?;
    let result = work(&client).await;
    client.drain(DRAIN).await;
    result
}

/// Waits until the client has had no connection for so long.
pub async fn gone_for(client: &Client, limit: Duration) {
    let mut since = Instant::now();
    while since.elapsed() < limit {
        sleep(LOOKS_APART.min(limit)).await;
        if client.transport().transport.is_some() {
            since = Instant::now();
        }
    }
}

/// Tells on standard error what happens to the client from now on.
pub fn tell_events(client: &Client) {
    let mut events = client.events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Some(text) = sentence(&event) {
                say(printable(&text));
            }
        }
    });
}

fn sentence(event: &ClientEvent) -> Option<String> {
    Some(match event {
        ClientEvent::Connected { transport } => format!("connected over {transport}"),
        ClientEvent::Disconnected { reason } => {
            format!("disconnected: {reason}; trying again until there is a connection")
        }
        ClientEvent::Resumed { transport } => {
            format!("connected again over {transport}; nothing was lost")
        }
        ClientEvent::Restarted { reason, unknown, publishes_unknown } => {
            let outcome = unknown_outcome(*unknown as u64, *publishes_unknown);
            format!("connected again, to a new session ({reason}){outcome}")
        }
        ClientEvent::Lost { pattern, count, unconfirmed } => lost(pattern, *count, *unconfirmed),
        ClientEvent::Gap { pattern } => {
            format!("`{pattern}`: messages may have been missed while disconnected")
        }
        ClientEvent::StaleAck { lease } => {
            format!("an acknowledgement came too late (lease {lease}): the message comes again")
        }
        ClientEvent::Missed { count } => format!("{count} events were not told"),
        // Whoever waits gets these as an error.
        ClientEvent::TooSlow { .. } | ClientEvent::Closed { .. } => return None,
        _ => return None,
    })
}

/// Of what it is not known what became of it, if there is such a thing.
fn unknown_outcome(sends: u64, publishes: u64) -> String {
    let counted = [(sends, "send", "sends"), (publishes, "publish", "publishes")];
    let some: Vec<String> = counted
        .iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
        .collect();
    match some.is_empty() {
        true => String::new(),
        false => format!("; the outcome of {} is not known", some.join(" and ")),
    }
}

/// What is not known is not told as lost.
fn lost(pattern: &str, count: u64, unconfirmed: u64) -> String {
    let known = count.saturating_sub(unconfirmed);
    let cause = "this did not keep up, or a bridge could not bring them";
    let unknown = format!(
        "up to {unconfirmed} messages may have been missed: a bridge had sent them, and its broker was lost before it confirmed them"
    );
    match (known, unconfirmed) {
        (known, 0) => format!("`{pattern}`: {known} messages were lost: {cause}"),
        (0, _) => format!("`{pattern}`: {unknown}"),
        _ => format!("`{pattern}`: {known} messages were lost: {cause}; and {unknown}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_is_told_as_unknown() {
        assert_eq!(unknown_outcome(0, 0), "");
        assert_eq!(unknown_outcome(0, 3), "; the outcome of 3 publishes is not known");
        assert!(unknown_outcome(1, 3).contains("1 send and 3 publishes"));
    }

    #[test]
    fn what_may_have_arrived_is_not_told_as_lost() {
        assert!(lost("a", 3, 0).contains("3 messages were lost"));
        let unsure = lost("a", 13, 13);
        assert!(unsure.contains("up to 13 messages may") && !unsure.contains("were lost"));
        let both = lost("a", 5, 2);
        assert!(both.contains("3 messages were lost") && both.contains("up to 2 messages"));
    }
}
