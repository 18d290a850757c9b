//! How long a verb lets connecting take.
//!
//! Whoever gives a verb little time does not want to wait longer for a broker that does not answer; but
//! a way to another host is not given up for a wait of a few milliseconds for each message.

use std::sync::OnceLock;
use std::time::Duration;

use crate::value;

/// If nothing is said.
const DEFAULT: Duration = Duration::from_secs(5);
/// The least, unless it is said.
const LEAST: Duration = Duration::from_secs(1);

/// The flag.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection to this broker")]
pub struct ConnectArgs {
    /// Try at most so long to connect [default: 5s, or the --timeout or --wait of the verb if that is
    /// shorter, but at least 1s]
    #[arg(long, global = true, env = "BUS_CONNECT_TIMEOUT", value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true, hide_env_values = true)]
    connect_timeout: Option<Duration>,
}

static GIVEN: OnceLock<Option<Duration>> = OnceLock::new();

/// Sets what was asked for, for all clients of this process.
pub fn set(args: ConnectArgs) {
    // It is set once, by `main`.
    let _ = GIVEN.set(args.connect_timeout);
}

/// For a verb that waits so long for what it does, if it has a limit.
pub fn limit(verb: Option<Duration>) -> Duration {
    choose(GIVEN.get().copied().flatten(), verb)
}

/// For a verb with a limit of its own for connecting.
pub fn limit_or(own: Duration) -> Duration {
    GIVEN.get().copied().flatten().unwrap_or(own)
}

fn choose(given: Option<Duration>, verb: Option<Duration>) -> Duration {
    match (given, verb) {
        (Some(given), _) => given,
        (None, Some(verb)) => verb.clamp(LEAST, DEFAULT),
        (None, None) => DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_goes_before_the_verb_whose_limit_counts_within_bounds() {
        let seconds = Duration::from_secs;
        assert_eq!(choose(None, None), seconds(5));
        assert_eq!(choose(None, Some(seconds(2))), seconds(2));
        assert_eq!(choose(None, Some(Duration::from_millis(50))), seconds(1));
        assert_eq!(choose(None, Some(seconds(60))), seconds(5));
        assert_eq!(choose(Some(seconds(30)), Some(seconds(2))), seconds(30));
        assert_eq!(choose(Some(Duration::from_millis(50)), None), Duration::from_millis(50));
    }
}
