//! `bus top` for scripts. Its picture and its keys are tested in memory, beside them.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::stage::{DONE, NOTHING, PATIENCE, Process, Stage, USAGE};

#[tokio::test]
async fn one_picture_shows_rates_and_what_is_stuck() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs.full", "--count", "1"]).await;
    stage.good(&["send", "jobs.full", "first"]).await;
    let _waits = stage.start(&["send", "jobs.full", "second"]);
    stage.until(&["stat", "jobs.full", "--json"], |stat| stat["queues"][0]["blocked"] == 1).await;
    let top = ["top", "--once", "--interval", "250ms"];
    let told = stage.bus(&[&top[..], &["--json"]].concat()).await.json();
    let queue = &told["queues"][0];
    assert_eq!((&queue["name"], &queue["messages"]), (&"jobs.full".into(), &1.into()));
    assert_eq!((&queue["slow"], &queue["accepted_per_s"]), (&true.into(), &0.0.into()));
    let reason = queue["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("1 send waits for room (1 of 1 messages"), "{told}");
    let clients = told["clients"].as_array().expect("a list");
    // Whose send waits is marked as well; the control is who only looks, and has no reason.
    for client in clients {
        let looks = client["name"].as_str().is_some_and(|name| name.starts_with("bus top"));
        assert_eq!((&client["slow"], client["reason"].is_null()), (&(!looks).into(), looks));
    }
    assert!(clients.iter().any(|client| client["transport"] == "shared memory"), "{told}");
    let text = stage.bus(&top).await;
    text.check(
        DONE,
        &["QUEUES", "CLIENTS", "!  jobs.full", "IN/s", "REASON", "1 send waits for room"],
    );
    let none = stage.bus(&[&top[..], &["--filter", "nothing.like.that", "--json"]].concat()).await;
    // As `ls` does with a pattern that matches nothing.
    none.check(NOTHING, &["nothing.like.that", "\"queues\":[]"]);
}

#[tokio::test]
async fn a_picture_that_moves_needs_a_terminal() {
    let stage = Stage::new().await;
    stage.bus(&["top"]).await.check(USAGE, &["terminal", "--once"]);
    stage.bus(&["top", "--once", "--interval", "1ms"]).await.check(USAGE, &["is less than"]);
}

/// The program in a terminal, and what was seen there so far.
struct Terminal {
    script: Child,
    input: ChildStdin,
    output: ChildStdout,
    seen: String,
}

impl Terminal {
    fn start(stage: &Stage) -> Terminal {
        let line = format!(
            "stty rows 24 cols 80; stty -g; '{}' --url {} top; stty -g",
            env!("CARGO_BIN_EXE_bus"),
            stage.url
        );
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut script = script.spawn().expect("it starts");
        let input = script.stdin.take().expect("piped");
        let output = script.stdout.take().expect("piped");
        Terminal { script, input, output, seen: String::new() }
    }

    /// Waits until this is to be seen behind what was seen before.
    async fn until(&mut self, text: &str) {
        let before = self.seen.len();
        let mut block = [0; 4096];
        while !self.seen[before..].contains(text) {
            let read = timeout(PATIENCE, self.output.read(&mut block)).await;
            let read = read.unwrap_or_else(|_| panic!("no `{text}`: {}", self.seen));
            let read = read.expect("it can be read");
            assert!(read > 0, "it has ended: {}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&block[..read]));
        }
    }
}

/// What is to be seen when the program runs in a terminal, and ends by a key or else by a signal.
async fn in_a_terminal(stage: &Stage, key: bool) -> String {
    let mut terminal = Terminal::start(stage);
    terminal.until("quit").await;
    let Terminal { script: _script, mut input, mut output, mut seen } = terminal;
    if key {
        input.write_all(b"q").await.expect("it reads");
    } else {
        let list = stage.bus(&["ls", "--clients", "--json"]).await.json();
        let clients = list["clients"].as_array().expect("a list");
        let top = clients.iter().find(|client| client["sender"]["name"] == "bus top");
        let pid = top.expect("it is connected")["sender"]["pid"].as_i64().expect("a number");
        let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
        kill_process(pid, Signal::TERM).expect("it runs");
    }
    let rest = timeout(PATIENCE, output.read_to_string(&mut seen)).await.expect("it ends");
    rest.expect("it can be read");
    seen
}

#[tokio::test]
async fn a_broker_that_is_gone_is_told_and_one_that_comes_back_goes_on() {
    if command_exists("script").await.is_err() || command_exists("stty").await.is_err() {
        return eprintln!("skipped: there is no script or stty here");
    }
    let mut stage = Stage::new().await;
    let mut terminal = Terminal::start(&stage);
    terminal.until("quit").await;
    stage.broker.signal(Signal::KILL);
    stage.broker.end().await;
    terminal.until("no connection for ").await;
    let mut broker = Process::start(&["serve", "-l", &stage.url, "--name", "second"]);
    assert_eq!(broker.line().await, format!("listening on {}", stage.url));
    // Its line stands where the other one did.
    terminal.until("second").await;
    stage.good(&["create", "fresh.queue"]).await;
    terminal.until("fresh.queue").await;
    terminal.input.write_all(b"q").await.expect("it reads");
    assert!(timeout(PATIENCE, terminal.script.wait()).await.expect("it ends").is_ok());
}

#[tokio::test]
async fn the_terminal_is_given_back_as_it_was() {
    if command_exists("script").await.is_err() || command_exists("stty").await.is_err() {
        return eprintln!("skipped: there is no script or stty here");
    }
    let stage = Stage::new().await;
    stage.good(&["create", "jobs"]).await;
    for key in [true, false] {
        let seen = in_a_terminal(&stage, key).await;
        assert!(seen.contains("jobs") && seen.contains("1:queues"), "{seen}");
        let (into, back) = (seen.find("\u{1b}[?1049h"), seen.rfind("\u{1b}[?1049l"));
        assert!(into.is_some() && into < back, "{seen}");
        let lines: Vec<&str> =
            seen.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let (first, last) = (lines[0], lines[lines.len() - 1]);
        let settings = first.rsplit('\n').next().expect("a line");
        assert!(settings.contains(':') && last.ends_with(settings), "{first} {last}");
    }
}

async fn command_exists(name: &str) -> std::io::Result<()> {
    let mut asked = Command::new(name);
    asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().await.map(|_| ())
}
