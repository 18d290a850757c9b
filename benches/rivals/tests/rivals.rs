//! The rivals that are built in, in short runs of the real program.
//!
//! Not about figures: every rival takes part or is left out with a reason, and nothing is left behind,
//! neither a server nor shared memory, if the harness is killed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const RIVALS: [&str; 9] = [
    "nats",
    "redis",
    "zeromq",
    "zenoh",
    "zenoh-unix",
    "iceoryx2",
    "iceoryx2-spin",
    "aeron",
    "aeron-spin",
];
/// Two brokers each.
const JOINED: [&str; 3] = ["nats-leaf", "mosquitto-bridge", "mosquitto-bridge-qos1"];
const PATIENCE: Duration = Duration::from_secs(60);

fn harness(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bus-rivals"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a quick run of these cells found.
fn quick_report(rivals: &[&str], cells: &[&str]) -> Value {
    let names = rivals.join(",");
    let number = rivals.len() * 100 + cells.len();
    let name = format!("bus-rivals-test.{}.{number}.json", std::process::id());
    let file = std::env::temp_dir().join(name);
    let mut arguments = vec!["--quick", "--contender", &names, "--json", file.to_str().unwrap()];
    arguments.extend(cells);
    let output = harness(&arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    fs::remove_file(&file).unwrap();
    report
}

fn names(report: &Value, list: &str) -> BTreeSet<String> {
    let entries = report[list].as_array().unwrap().iter();
    entries.map(|entry| entry["contender"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_rival_takes_part_or_is_left_out_with_a_reason() {
    let report = quick_report(&RIVALS, &["one-way/64B", "one-way/1MiB", "fan-out", "fan-in"]);
    all_told(&report, &RIVALS);
}

#[test]
fn every_joined_rival_takes_part_or_is_left_out_with_a_reason() {
    let cells = ["bridged-one-way", "bridged-round-trip/64B", "bridged-round-trip/1MiB/unpinned"];
    all_told(&quick_report(&JOINED, &cells), &JOINED);
}

#[test]
fn joined_brokers_do_no_other_work_and_others_do_not_do_theirs() {
    for (rivals, cell) in [(&JOINED[..], "one-way/64B"), (&RIVALS, "bridged-one-way/64B")] {
        let report = quick_report(rivals, &[cell]);
        assert_eq!(names(&report, "runs"), BTreeSet::new());
        assert_eq!(names(&report, "refusals").len(), rivals.len());
    }
}

/// Checks that all are in the report, and why those are left out that are.
fn all_told(report: &Value, rivals: &[&str]) {
    let (ran, left_out) = (names(report, "runs"), names(report, "refusals"));
    let both: BTreeSet<_> = ran.union(&left_out).map(String::as_str).collect();
    assert_eq!(both, rivals.iter().copied().collect());
    for refusal in report["refusals"].as_array().unwrap() {
        let reason = refusal["reason"].as_str().unwrap();
        let told = ["not built in", "is not installed"].iter().any(|part| reason.contains(part));
        assert!(told, "{refusal}");
    }
}

#[test]
fn every_rival_answers_messages_that_are_larger_than_its_fragments() {
    quick_report(&RIVALS, &["round-trip/64B/one-core", "round-trip/1MiB/unpinned"]);
}

#[test]
fn killed_harness_leaves_no_process_and_no_memory() {
    let of = |rivals, cell| {
        names(&quick_report(rivals, &[cell]), "runs").into_iter().map(move |rival| (rival, cell))
    };
    let able = of(&RIVALS[..], "one-way/64B").chain(of(&JOINED, "bridged-one-way/64B"));
    for (rival, cell) in able {
        let arguments = [cell, "--seconds", "100", "--rounds", "1", "--contender", &rival];
        let mut parent =
            harness(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let children = children_at_work(&mut parent);
        let room = format!("bus-benches.{}.", parent.id());
        // What is to be gone afterwards was there before.
        assert!(children.iter().all(|&pid| lives(pid)), "{rival}: {children:?}");
        let keeps_memory = rival.starts_with("iceoryx2") || rival.starts_with("aeron");
        let deadline = Instant::now() + PATIENCE;
        while keeps_memory && memory_of(&room).is_empty() {
            assert!(Instant::now() < deadline, "{rival} keeps no memory");
            std::thread::yield_now();
        }
        parent.kill().unwrap();
        parent.wait().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while children.iter().any(|&pid| lives(pid)) || !memory_of(&room).is_empty() {
            assert!(Instant::now() < deadline, "{rival}: {children:?}, {:?}", memory_of(&room));
            std::thread::yield_now();
        }
    }
}

/// Waits until a sender is at work; gives all children of the harness.
fn children_at_work(parent: &mut Child) -> Vec<u32> {
    let path = format!("/proc/{0}/task/{0}/children", parent.id());
    loop {
        assert!(parent.try_wait().unwrap().is_none(), "the run ended before it was disturbed");
        let children = fs::read_to_string(&path).unwrap();
        let children: Vec<u32> =
            children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        let sends = |pid: &u32| {
            let orders = fs::read_to_string(format!("/proc/{pid}/cmdline"));
            orders.is_ok_and(|orders| orders.contains("\"sender\""))
        };
        if children.iter().any(sends) {
            return children;
        }
        std::thread::yield_now();
    }
}

/// Whether the process runs; one that is only not yet buried does not.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

/// What lies in shared memory with that prefix.
fn memory_of(prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new("/dev/shm")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains(prefix)).collect()
}
