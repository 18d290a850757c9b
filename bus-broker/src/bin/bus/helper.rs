//! Child processes of `demo` and `bench`: this program again, in another role.
//!
//! Each is ended by its own process number, also when its parent fails or is killed.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use bus_core::sys::ask_to_end;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::exit::{Exit, Problem};
use crate::{session, token};

/// How long a child may take to end when it is asked to.
const END_LIMIT: Duration = Duration::from_secs(3);
/// Settings that a user has for commands of his own.
const ENVIRONMENT: &[&str] =
    &["BUS_URL", "BUS_CONTEXT", "BUS_LISTEN", "BUS_CONFIG", "BUS_INSECURE", "BUS_NAME", "RUST_LOG"];

/// A running child. Dropping it kills it.
pub struct Helper {
    label: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    /// Starts this program with these arguments.
    pub fn start(label: &str, arguments: &[&str]) -> Result<Helper, Problem> {
        let failed =
            |what: String| Problem::new(Exit::Other, format!("cannot start the {label}: {what}"));
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let mut command = Command::new(program);
        for key in ENVIRONMENT.iter().chain(token::VARIABLES) {
            command.env_remove(key);
        }
        command.envs(token::for_children());
        let mut child = command
            .args(arguments)
            .args(session::lanes().arguments())
            .args(crate::tls::arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let Some(output) = child.stdout.take() else {
            return Err(failed("it has no output".into()));
        };
        let lines = BufReader::new(output).lines();
        Ok(Helper { label: label.into(), input: child.stdin.take(), child, lines })
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// The next line that it prints.
    pub async fn line(&mut self, limit: Duration) -> Result<String, Problem> {
        let label = &self.label;
        match timeout(limit, self.lines.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => {
                Err(Problem::new(Exit::Other, format!("the {label} ended without a word")))
            }
            Ok(Err(error)) => {
                Err(Problem::new(Exit::Other, format!("the {label} cannot be heard: {error}")))
            }
            Err(_) => {
                Err(Problem::new(Exit::TimedOut, format!("the {label} said nothing for {limit:?}")))
            }
        }
    }

    /// The next line that it prints, as JSON.
    pub async fn json(&mut self, limit: Duration) -> Result<serde_json::Value, Problem> {
        let line = self.line(limit).await?;
        serde_json::from_str(&line).map_err(|_| {
            Problem::new(Exit::Other, format!("the {} said something else: {line}", self.label))
        })
    }

    /// Lets it go on.
    pub async fn go(&mut self) -> Result<(), Problem> {
        let Some(mut input) = self.input.take() else { return Ok(()) };
        input.write_all(b"go\n").await.map_err(|error| {
            Problem::new(Exit::Other, format!("the {} does not listen: {error}", self.label))
        })
    }

    /// Waits until it has ended by itself, well.
    pub async fn finish(mut self) -> Result<(), Problem> {
        match timeout(END_LIMIT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                Err(Problem::new(Exit::Other, format!("the {} ended with {status}", self.label)))
            }
            Ok(Err(error)) => {
                Err(Problem::new(Exit::Other, format!("the {} was lost: {error}", self.label)))
            }
            Err(_) => Err(Problem::new(Exit::TimedOut, format!("the {} does not end", self.label))),
        }
    }

    /// Asks it to end, and kills it if it does not.
    pub async fn stop(mut self) {
        // It has not been waited for, so the number is still its own.
        let told = self.child.id().is_some_and(ask_to_end);
        if !told || timeout(END_LIMIT, self.child.wait()).await.is_err() {
            // Dropping does the same, but this waits.
            let _ = self.child.kill().await;
        }
    }
}

/// Has the kernel end this process when its parent ends. Where it cannot do that a parent still ends its children
/// itself, unless it is killed.
pub fn end_with_parent() -> Result<(), Problem> {
    match bus_core::sys::end_with_parent() {
        Err(error) if error.kind() != io::ErrorKind::Unsupported => {
            let text = format!("cannot be tied to the parent process: {error}");
            Err(Problem::new(Exit::Other, text))
        }
        _ => Ok(()),
    }
}
