//! How the command ends: the one table of exit codes, and the sentence on standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use bus_client::{Error, ErrorKind, Knob};
use bus_core::sys::{file_limit, is_out_of_files};

use crate::show::{printable, printable_lines};

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Other = 1,
    Usage = 2,
    Nothing = 3,
    Denied = 4,
    Unreachable = 5,
    Full = 6,
    TimedOut = 7,
    Lost = 8,
    Conflict = 9,
    Failed = 10,
    File = 11,
}

/// Every exit code, what it means, and the kinds of error that end with it.
const TABLE: &[(Exit, &str, &[ErrorKind])] = {
    use ErrorKind as K;
    &[
        (Exit::Done, "done", &[]),
        (
            Exit::Other,
            "something else went wrong",
            &[K::Other, K::Protocol, K::VersionMismatch, K::Forked],
        ),
        (
            Exit::Usage,
            "wrong usage: an argument, name, type, selector, URL or configuration",
            &[
                K::InvalidName,
                K::InvalidType,
                K::InvalidArgument,
                K::InvalidUrl,
                K::Unsupported,
                K::Config,
            ],
        ),
        (Exit::Nothing, "nothing there: no such name, or an empty queue", &[K::NotFound, K::Empty]),
        (
            Exit::Denied,
            "denied: no right to do that, unknown credentials, or no trust in a certificate",
            &[
                K::PermissionDenied,
                K::SessionDenied,
                K::Unauthenticated,
                K::Insecure,
                K::Untrusted,
                K::Loop,
            ],
        ),
        (
            Exit::Unreachable,
            "unreachable: no broker, connection lost, nobody serves the name, or the queue's home is away",
            &[K::NoBroker, K::Unreachable, K::Disconnected, K::ShuttingDown, K::Closed],
        ),
        (
            Exit::Full,
            "no room: queue full, message too big, quota used up, or too few files may be open",
            &[K::QueueFull, K::TooBig, K::QuotaExceeded],
        ),
        (Exit::TimedOut, "timed out", &[K::TimedOut]),
        (
            Exit::Lost,
            "lost: too slow, or the outcome is not known",
            &[K::TooSlow, K::OutcomeUnknown],
        ),
        (
            Exit::Conflict,
            "conflict: exists already, was changed or removed meanwhile, or came too late",
            &[K::AlreadyExists, K::Removed, K::StaleLease, K::TypeClash, K::Withdrawn],
        ),
        (
            Exit::Failed,
            "the service failed, or a payload is not what it should be",
            &[K::ServiceFailed, K::Decode],
        ),
        (
            Exit::File,
            "a file or stream cannot be read or written, or an address cannot be had",
            &[K::Io],
        ),
    ]
};

/// Why a verb did not end well.
#[derive(Debug)]
pub enum Problem {
    /// Nobody reads what is printed any more, or what was asked for was help: not an error.
    Quiet,
    /// The user has been told already.
    Told(Exit),
    /// To be told in one sentence.
    Said(Exit, String),
}

impl Problem {
    /// A problem of this sort, told in one sentence.
    pub fn new(exit: Exit, text: impl Into<String>) -> Problem {
        Problem::Said(exit, text.into())
    }

    /// The user asked for something that makes no sense.
    pub fn usage(text: impl Into<String>) -> Problem {
        Problem::new(Exit::Usage, text)
    }

    /// The same, with more behind the sentence.
    pub fn hint(self, hint: impl std::fmt::Display) -> Problem {
        match self {
            Problem::Said(exit, text) => Problem::Said(exit, format!("{text}{hint}")),
            other => other,
        }
    }

    /// The same, after so many messages that were accepted.
    pub fn after(self, accepted: u64) -> Problem {
        match accepted {
            0 => self,
            count => self.hint(format_args!(" (messages accepted before: {count})")),
        }
    }

    /// The same, where it is not known how many of so many messages were accepted.
    pub fn not_known_of(self, published: u64) -> Problem {
        match published {
            0 => self,
            count => self.hint(format_args!(
                " (messages published before: {count}; how many of them arrived is not known)"
            )),
        }
    }

    /// Its exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Problem::Quiet => Exit::Done,
            Problem::Told(exit) | Problem::Said(exit, _) => *exit,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        Problem::new(exit_of(error.kind()), printable(&error.told(flags).to_string()))
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Problem::Quiet,
            _ if is_out_of_files(&error) => {
                let limit = file_limit().map_or("no more".into(), |limit| limit.to_string());
                Problem::new(
                    Exit::Full,
                    format!("{error}: this process may have {limit} open (ulimit -n)"),
                )
            }
            _ => Problem::new(Exit::File, error.to_string()),
        }
    }
}

/// What a setting of whoever connects is called on the command line and in the environment.
fn flags(knob: Knob) -> &'static str {
    match knob {
        Knob::Authority => "--tls-ca, BUS_TLS_CA",
        Knob::Certificate => "--tls-cert and --tls-key, BUS_TLS_CERT and BUS_TLS_KEY",
        Knob::Key => "--tls-key, BUS_TLS_KEY",
        Knob::ServerName => "--tls-name, BUS_TLS_NAME",
        Knob::Insecure => "--token-insecure, BUS_TOKEN_INSECURE",
        // One that this program does not set.
        _ => "an option of clients",
    }
}

/// The exit code of errors of this kind.
pub fn exit_of(kind: ErrorKind) -> Exit {
    let row = TABLE.iter().find(|(_, _, kinds)| kinds.contains(&kind));
    row.map_or(Exit::Other, |(exit, _, _)| *exit)
}

/// Tells the user, and gives the process its exit code.
pub fn finish(result: Result<(), Problem>) -> ExitCode {
    let exit = match &result {
        Ok(()) => Exit::Done,
        Err(problem) => problem.exit(),
    };
    if let Err(Problem::Said(_, text)) = result {
        say(text);
    }
    ExitCode::from(exit as u8)
}

/// One line on standard error. What it repeats of an argument, or of what a stranger has said, rules no terminal.
pub fn say(text: impl std::fmt::Display) {
    // If even that cannot be written there is nobody to tell.
    let _ = writeln!(io::stderr(), "bus: {}", printable_lines(&text.to_string()));
}

/// The table for `bus --help`. It is broken here, so that no terminal breaks a row into what looks like
/// another one.
pub fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (exit, meaning, _) in TABLE {
        let mut line = format!("  {:>2} ", *exit as u8);
        for word in meaning.split(' ') {
            if line.len() + 1 + word.len() > HELP_COLUMNS {
                text.push_str(&line);
                line = String::from("\n     ");
            }
            line.push(' ');
            line.push_str(word);
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Columns that every terminal has.
const HELP_COLUMNS: usize = 78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_has_one_row_and_no_line_is_wider_than_a_terminal() {
        let help = help();
        assert!(help.lines().all(|line| line.len() <= HELP_COLUMNS), "{help}");
        let numbered = help.lines().filter_map(|line| line.get(..4)?.trim().parse::<u8>().ok());
        let codes: Vec<u8> = TABLE.iter().map(|(exit, ..)| *exit as u8).collect();
        assert_eq!(numbered.collect::<Vec<_>>(), codes);
        assert_eq!(codes, (0..=11).collect::<Vec<u8>>());
    }

    #[test]
    fn every_kind_has_exactly_one_exit_code() {
        for kind in ErrorKind::ALL {
            let rows = TABLE.iter().filter(|(_, _, kinds)| kinds.contains(kind)).count();
            assert_eq!(rows, 1, "{kind:?}");
        }
    }
}
