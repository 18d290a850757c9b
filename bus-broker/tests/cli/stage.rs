//! Running the program: to its end, or beside the test.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{Instant, timeout};

/// Longer than anything takes that works, also where the machine has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const DONE: i32 = 0;
pub const USAGE: i32 = 2;
pub const NOTHING: i32 = 3;
pub const DENIED: i32 = 4;
pub const UNREACHABLE: i32 = 5;
pub const FULL: i32 = 6;
pub const TIMED_OUT: i32 = 7;
pub const LOST: i32 = 8;
pub const CONFLICT: i32 = 9;
pub const FAILED: i32 = 10;
pub const FILE: i32 = 11;

/// How a run of the program ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Outcome {
    /// It ended with this code, and these parts stand in what it printed on either stream.
    #[track_caller]
    pub fn check(&self, code: i32, parts: &[&str]) -> &Outcome {
        assert_eq!(self.code, code, "{self:#?}");
        for part in parts {
            let said = self.out.contains(part) || self.err.contains(part);
            assert!(said, "`{part}` was not said: {self:#?}");
        }
        if code != DONE {
            assert!(self.err.starts_with("bus: "), "no sentence: {self:#?}");
        }
        self
    }

    /// Its output is one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        self.check(DONE, &[]);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// The program, with nothing of the user's environment in it.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bus"));
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("BUS_") || key == "RUST_LOG" {
            command.env_remove(key);
        }
    }
    // Nor a context that he uses.
    command.env("XDG_CONFIG_HOME", "/nowhere");
    command.kill_on_drop(true);
    command
}

/// Runs the program to its end.
pub async fn bus(arguments: &[&str]) -> Outcome {
    let mut command = command();
    command.args(arguments);
    run(command, b"").await
}

/// Runs a command to its end, with this standard input.
pub async fn run(mut command: Command, input: &[u8]) -> Outcome {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    let write = async move {
        // It may end without reading all of it.
        let _ = stdin.write_all(input).await;
    };
    let both = async { tokio::join!(write, child.wait_with_output()).1 };
    let output = timeout(PATIENCE, both).await.expect("it ends").expect("it runs");
    Outcome {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The program running beside the test. Dropping it kills it.
pub struct Process {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Process {
    pub fn start(arguments: &[&str]) -> Process {
        Process::start_with(arguments, &[])
    }

    /// Starts it with this in its environment.
    pub fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        let mut command = command();
        command.envs(environment.iter().copied());
        command.args(arguments);
        Process::of(command)
    }

    /// Starts this.
    pub fn of(mut command: Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("piped")).lines();
        let err = BufReader::new(child.stderr.take().expect("piped")).lines();
        Process { child, out, err }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The next line of its output.
    pub async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.out.next_line()).await.expect("it says something");
        match line.expect("its output can be read") {
            Some(line) => line,
            None => {
                let mut rest = String::new();
                // Only to tell why.
                let _ = self.err.get_mut().read_to_string(&mut rest).await;
                panic!("it has ended: {rest}");
            }
        }
    }

    /// The next line that it says on standard error.
    pub async fn word(&mut self) -> String {
        let line = timeout(PATIENCE, self.err.next_line()).await.expect("it says something");
        line.expect("its words can be read").expect("it has not ended")
    }

    /// All that it still says on standard error before it ends.
    pub async fn words(&mut self) -> String {
        let mut rest = String::new();
        let read = timeout(PATIENCE, self.err.get_mut().read_to_string(&mut rest)).await;
        read.expect("it ends").expect("its words can be read");
        rest
    }

    /// All that it still prints before it ends.
    pub async fn rest(&mut self) -> String {
        let mut rest = String::new();
        let read = timeout(PATIENCE, self.out.get_mut().read_to_string(&mut rest)).await;
        read.expect("it ends").expect("its output can be read");
        rest
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    /// Waits until it has ended.
    pub async fn end(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("it ran")
    }

    /// Closes the pipe that it prints into.
    pub fn close_output(self) -> Child {
        self.child
    }
}

/// A broker with a directory of its own, on a local socket and on TCP.
pub struct Stage {
    pub broker: Process,
    pub url: String,
    pub tcp: String,
    pub directory: TempDir,
}

impl Stage {
    pub async fn new() -> Stage {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("local:{}", directory.path().join("bus.sock").display());
        let mut broker = Process::start(&["serve", "-l", &url, "-l", "tcp://127.0.0.1:0"]);
        assert_eq!(broker.line().await, format!("listening on {url}"));
        let line = broker.line().await;
        let tcp = line.strip_prefix("listening on ").expect("an address").to_owned();
        Stage { broker, url, tcp, directory }
    }

    /// Runs a verb to its end.
    pub async fn bus(&self, arguments: &[&str]) -> Outcome {
        self.bus_with(arguments, b"").await
    }

    /// Runs a verb that must end well, and gives its output.
    #[track_caller]
    pub fn good<'a>(&'a self, arguments: &'a [&'a str]) -> impl Future<Output = String> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let outcome = self.bus(arguments).await;
            assert_eq!(outcome.code, DONE, "{caller}: {arguments:?}: {outcome:#?}");
            outcome.out
        }
    }

    /// Runs a verb to its end, with this standard input.
    pub async fn bus_with(&self, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut command = command();
        command.args(arguments).env("BUS_URL", &self.url);
        run(command, input).await
    }

    /// Starts a verb that goes on.
    pub fn start(&self, arguments: &[&str]) -> Process {
        let mut all = vec!["--url", self.url.as_str()];
        all.extend(arguments);
        Process::start(&all)
    }

    /// Waits until the condition holds for the JSON that a verb prints.
    pub async fn until(&self, arguments: &[&str], holds: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let outcome = self.bus(arguments).await;
            let value = serde_json::from_str(&outcome.out).unwrap_or(Value::Null);
            if holds(&value) {
                return;
            }
            assert!(Instant::now() < deadline, "it never holds: {outcome:#?}");
        }
    }

    /// Waits until a client of this name has so many open channels.
    pub async fn until_client(&self, name: &str, channels: u64) {
        self.until(&["ls", "--clients", "--json"], |list| {
            let mut clients = list["clients"].as_array().into_iter().flatten();
            clients.any(|client| client["sender"]["name"] == name && client["channels"] == channels)
        })
        .await;
    }
}

/// Another user of this machine, who has rights of nobody's.
pub struct Nobody<'a> {
    stage: &'a Stage,
    program: PathBuf,
}

impl Nobody<'_> {
    /// Why not, if that cannot be had here.
    pub async fn new(stage: &Stage) -> Result<Nobody<'_>, &'static str> {
        use std::os::unix::fs::PermissionsExt;
        if bus_core::sys::effective_uid() != 0 {
            return Err("only root can act as another user");
        }
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(stage.directory.path(), open).expect("our own directory");
        if !as_nobody().arg("true").output().await.is_ok_and(|tried| tried.status.success()) {
            return Err("setpriv cannot act as another user here");
        }
        // Another name, since that user may not look into the directory of the build.
        let (built, program) = (env!("CARGO_BIN_EXE_bus"), stage.directory.path().join("bus"));
        if std::fs::hard_link(built, &program).is_err() {
            // On another file system it is a copy. This process must not make it: whatever another test
            // starts meanwhile has what this one writes to open until it is another program, and so
            // long the copy could not be executed.
            let copied = Command::new("cp").arg(built).arg(&program).status().await;
            assert!(copied.expect("cp runs").success(), "no copy of {built}");
        }
        let nobody = Nobody { stage, program };
        nobody.bus(&["--version"]).await.check(DONE, &[]);
        Ok(nobody)
    }

    /// Runs a verb to its end.
    pub async fn bus(&self, arguments: &[&str]) -> Outcome {
        let mut command = as_nobody();
        command.arg(&self.program).args(["--url", &self.stage.url]).args(arguments);
        run(command, b"").await
    }
}

/// A command that goes on with another one as that user.
fn as_nobody() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command
}
