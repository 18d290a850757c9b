//! Other processes: this test's own program, started again as another user, or to be killed.
//!
//! A child is told by its environment what to do, and answers in lines that begin with a mark.
//! The test that it runs is named by `CHILD` at the root of each test that has this file; in an
//! ordinary run that test finds nothing to do.

#![allow(dead_code, reason = "no test needs all of it")]

use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::CHILD;

const TASK: &str = "BUS_TEST_TASK";
const MARK: &str = "child says: ";
/// Longer than anything takes that works, also where the machine has much else to do.
const PATIENCE: Duration = Duration::from_secs(180);

/// The user that a child shall be, if not the same.
#[derive(Clone, Copy, Default)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// A supplementary group.
    pub group: Option<u32>,
}

/// A running child. Dropping it kills it.
pub struct Process {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// The command that starts a child with this task.
pub fn program(user: Option<User>, task: &str) -> std::process::Command {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = match user {
        Some(User { uid, gid, group: Some(group) }) => {
            let mut command = std::process::Command::new("setpriv");
            command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
            command.arg(format!("--groups={group}")).arg("--").arg(program);
            command
        }
        Some(User { uid, gid, group: None }) => {
            let mut command = std::process::Command::new(program);
            command.uid(uid).gid(gid);
            command
        }
        None => std::process::Command::new(program),
    };
    command.args(["--exact", CHILD, "--nocapture"]).env(TASK, task);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// What this process is to do, if it is a child.
pub fn task() -> Option<String> {
    std::env::var(TASK).ok()
}

/// How long the threads of a process have run.
pub fn cpu_time(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("this is Linux");
    let nanos = tasks.flatten().filter_map(|task| {
        // One that has ended meanwhile has no file.
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Says something to whoever has started this child.
pub fn say(word: impl std::fmt::Display) {
    println!("{MARK}{word}");
}

impl Process {
    /// Starts one with this task; `None` if this user may not, or cannot, do that.
    pub fn start(user: Option<User>, task: &str) -> Option<Process> {
        match Process::spawn(program(user, task)) {
            Ok(process) => Some(process),
            Err(error) => {
                eprintln!("skipped: no process of another user can be started: {error}");
                None
            }
        }
    }

    /// Starts one by a command of [`program`].
    pub fn spawn(command: std::process::Command) -> std::io::Result<Process> {
        let mut process = Command::from(command).kill_on_drop(true).spawn()?;
        let stdout = process.stdout.take().expect("it is piped");
        Ok(Process { process, lines: BufReader::new(stdout).lines() })
    }

    pub fn pid(&self) -> u32 {
        self.process.id().expect("it runs")
    }

    /// Whether it sleeps or runs, and how long it has, for whoever wonders why it is silent.
    fn state(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", self.pid()));
        [read("stat"), read("wchan"), read("schedstat")].map(Result::unwrap_or_default).join("; ")
    }

    /// Ends it as nothing else would: it has no time for a word.
    pub async fn kill(&mut self) {
        self.process.kill().await.expect("it runs");
    }

    /// How it ended.
    pub async fn status(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.process.wait()).await.expect("it ends").expect("it ran")
    }

    /// What it says next; `None` when it has ended.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            let Ok(line) = timeout(PATIENCE, self.lines.next_line()).await else {
                panic!("it says nothing: {}", self.state());
            };
            let line = line.expect("it can be read")?;
            // The harness may have begun the line.
            if let Some((_, said)) = line.split_once(MARK) {
                return Some(said.to_owned());
            }
        }
    }

    /// All that it says until its end.
    pub async fn answers(mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = self.line().await {
            all.push(line);
        }
        all
    }
}

/// Whether other users' processes can be started; says so if not.
pub fn may_become_others() -> bool {
    let root = bus_core::sys::effective_uid() == 0;
    if !root {
        eprintln!("skipped: only root can start processes of other users");
    }
    root
}
