//! The harness as a whole: short runs of the real program.
//!
//! Not about figures, only about what must hold of any run: everything asked for is
//! reported, a failure is one, and nothing is left behind, whoever dies.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

fn harness(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bus-benches"));
    command.args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn quick_run_reports_every_contender_and_no_failure() {
    let contenders = "unix,unix-tokio,unix-tokio-64k,tcp,tcp-tokio,unix-relay,bus-shm,bus-local,bus-tcp,\
                      bus-queue-shm,bus-queue-local,ring-futex,eventfd-tokio,raw-sync,lane-adaptive,\
                      lane-park";
    let file = std::env::temp_dir().join(format!("bus-benches-test.{}.json", std::process::id()));
    let path = file.to_str().unwrap();
    let cells = [
        "round-trip/64B/one-core",
        "one-way/1MiB",
        "fan-out",
        "fan-in",
        "selective",
        "shared",
        "idle",
        "crowd",
        "publish-cost",
    ];
    let mut arguments = vec!["--quick", "--contender", contenders, "--json", path];
    arguments.extend(cells);
    let output = harness(&arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    fs::remove_file(&file).unwrap();
    let runs = report["runs"].as_array().unwrap();
    assert!(runs.iter().all(|run| run["figures"][0]["value"].is_number()), "{errors}");
    let ran: BTreeSet<_> = runs.iter().map(|run| run["contender"].as_str().unwrap()).collect();
    assert_eq!(ran, contenders.split(',').collect());
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(contenders.split(',').all(|name| table.contains(name)), "{table}");
}

#[test]
fn killed_owner_of_a_mutex_leaves_its_waiter_waiting_and_no_other_owner_does() {
    let output = harness(&["wake-ups", "--tries", "1", "--patience-ms", "1000"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let table = String::from_utf8_lossy(&output.stdout);
    let stuck = |name: &str| {
        let line = table.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.and_then(|line| line.split_whitespace().last()).unwrap().to_owned()
    };
    for name in ["futex", "eventfd", "eventfd-tokio", "socket-byte"] {
        assert_eq!(stuck(name), "0", "{table}");
    }
    // The control: here somebody does wait for ever.
    assert_eq!(stuck("raw-sync"), "1", "{table}");
}

#[test]
fn unknown_names_are_an_error_that_repeats_them() {
    for arguments in [["--contender", "unicorn"], ["--quick", "one-weigh"]] {
        let output = harness(&arguments).output().unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains(arguments[1]));
    }
}

#[test]
fn killed_worker_fails_the_run_at_once_and_is_named() {
    let mut parent = long_run("unix-tokio");
    let victim = workers(&mut parent, "\"sender\"").pop().unwrap();
    kill(victim);
    let mut errors = String::new();
    parent.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(errors.contains("FAILED: unix-tokio"), "{errors}");
    assert!(!parent.wait().unwrap().success());
}

#[test]
fn killed_harness_leaves_no_process_and_no_queue() {
    let before = kernel_queues();
    let mut parent = long_run("sysv");
    workers(&mut parent, "\"sender\"");
    assert!(kernel_queues().len() > before.len());
    kill(parent.id());
    parent.wait().unwrap();
    // All workers hold the other end of the pipe; it ends with the last of them.
    let mut errors = String::new();
    parent.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(kernel_queues().difference(&before).count(), 0);
}

/// A run that would take minutes, were it not for what the test does.
fn long_run(contender: &str) -> Child {
    let arguments = ["one-way/64B", "--seconds", "100", "--rounds", "1", "--contender", contender];
    harness(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the harness has workers whose orders hold `part`; gives their pids.
fn workers(parent: &mut Child, part: &str) -> Vec<u32> {
    let path = format!("/proc/{0}/task/{0}/children", parent.id());
    loop {
        assert!(parent.try_wait().unwrap().is_none(), "the run ended before it was disturbed");
        let children = fs::read_to_string(&path).unwrap();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        let found: Vec<u32> = children
            .filter(|pid| {
                let orders = fs::read_to_string(format!("/proc/{pid}/cmdline"));
                orders.is_ok_and(|orders| orders.contains(part))
            })
            .collect();
        if !found.is_empty() {
            return found;
        }
        std::thread::yield_now();
    }
}

fn kernel_queues() -> BTreeSet<String> {
    let table = BufReader::new(fs::File::open("/proc/sysvipc/msg").unwrap());
    let id = |line: String| line.split_whitespace().nth(1).map(str::to_owned);
    table.lines().skip(1).filter_map(|line| id(line.unwrap())).collect()
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
