//! What becomes of a broker that may open few files, and of its clients.
//!
//! Limits of other processes are set by their number, or by the shell that starts them.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::stage::{DONE, FULL, PATIENCE, Process, Stage, USAGE, bus, run};

/// How many files a process has open.
fn open_files(process: &Process) -> u64 {
    let all = std::fs::read_dir(format!("/proc/{}/fd", process.pid())).expect("it runs");
    all.count() as u64
}

/// Waits until it has no more files open than so many: those of a client that has gone go a moment later.
async fn until_at_rest(process: &Process, at_rest: u64) {
    let deadline = Instant::now() + PATIENCE;
    while open_files(process) > at_rest {
        assert!(Instant::now() < deadline, "{} files stay open", open_files(process));
        sleep(Duration::from_millis(1)).await;
    }
}

/// So many more it may open from now on.
fn leave(process: &Process, more: u64) -> u64 {
    let limit = open_files(process) + more;
    let pid = i32::try_from(process.pid()).ok().and_then(Pid::from_raw);
    let new = Rlimit { current: Some(limit), maximum: Some(limit) };
    prlimit(pid, Resource::Nofile, new).expect("our own process");
    limit
}

#[tokio::test]
async fn clients_for_whose_lanes_no_descriptors_are_left_go_over_the_socket() {
    // With room for its socket and for one of those that it hands over, for all of them, and for half
    // of what the broker makes for it.
    for more in [2, 4, 6] {
        let stage = Stage::new().await;
        let at_rest = open_files(&stage.broker);
        let path = stage.url.replace("local:", "shm:");
        stage.bus(&["ping", "-n", "1"]).await.check(DONE, &["shared memory"]);
        until_at_rest(&stage.broker, at_rest).await;
        let limit = leave(&stage.broker, more);
        let reason = format!("no descriptors left for it: {limit} files may be open");
        stage.bus(&["ping", "-n", "1"]).await.check(DONE, &["local socket", &reason]);
        bus(&["--url", &path, "ping"]).await.check(USAGE, &["no shared memory", &reason]);
        stage.bus(&["create", "a"]).await.check(DONE, &[]);
    }
}

/// A broker with this limit, run to its end: those that listen are none that it ends well with.
fn with_limit(limit: &str, url: &str) -> Command {
    let mut command = Command::new("sh");
    let line = format!("ulimit -n {limit}; exec '{}' serve -l {url}", env!("CARGO_BIN_EXE_bus"));
    command.args(["-c", &line]).env_remove("BUS_LISTEN").env_remove("BUS_CONFIG");
    command
}

#[tokio::test]
async fn broker_that_could_serve_nobody_does_not_start_and_says_what_it_needs() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("local:{}", directory.path().join("bus.sock").display());
    for limit in ["10", "16", "24"] {
        let refused = run(with_limit(limit, &url), b"").await;
        refused.check(FULL, &["ulimit -n"]);
        assert!(!refused.out.contains("listening"), "{refused:?}");
    }
    let refused = run(with_limit("24", &url), b"").await;
    let told = refused.err.split("let it have ").nth(1).and_then(|rest| rest.split(' ').next());
    let mut broker = with_limit(told.expect("it says so"), &url);
    broker.kill_on_drop(true);
    let mut broker = Process::of(broker);
    assert_eq!(broker.line().await, format!("listening on {url}"));
    assert!(broker.word().await.contains("few files may be open"));
    bus(&["--url", &url, "ping", "-n", "1"]).await.check(DONE, &[]);
}
