//! Queues and topics in files: dumped and restored, recorded and played.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::stage::{CONFLICT, DONE, FILE, FULL, Stage, USAGE, command, run};

impl Stage {
    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// A queue with messages of several types, one of them with headers that are no text.
    async fn filled(&self) -> Vec<Value> {
        self.good(&["create", "jobs", "--count", "9", "--lease", "7s", "--mode", "0750"]).await;
        self.good(&["send", "jobs", "first", "-t", "7", "-H", "k:v", "-H", "k:w"]).await;
        self.bus_with(&["send", "jobs", "-t", "2"], &[0xff, 0, 10, 13]).await.check(DONE, &[]);
        self.good(&["send", "jobs", "", "-t", "7"]).await;
        self.content("jobs").await
    }

    /// What a queue holds, in its order.
    async fn content(&self, queue: &str) -> Vec<Value> {
        let text = self.good(&["peek", queue, "--all", "--json"]).await;
        let rows = text.lines().map(|line| {
            let mut row: Value = serde_json::from_str(line).expect("JSON");
            row.as_object_mut().expect("an object").remove("sender");
            row
        });
        rows.collect()
    }
}

#[tokio::test]
async fn dumped_queue_is_restored_with_types_bytes_headers_and_order() {
    let stage = Stage::new().await;
    let before = stage.filled().await;
    let file = stage.file("jobs.bus");
    let told = stage.bus(&["dump", "jobs", &file, "--json"]).await.json();
    assert_eq!(told["messages"], 3);
    assert_eq!(told["whole"], true);
    assert_eq!(stage.content("jobs").await, before, "a dump takes nothing");
    let outcome = stage.bus(&["restore", "again", &file]).await;
    outcome.check(crate::stage::NOTHING, &["again"]);
    stage.bus(&["restore", "again", &file, "--create"]).await.check(DONE, &["restored 3"]);
    assert_eq!(stage.content("again").await, before);
    let stat = stage.bus(&["stat", "again", "--json"]).await.json();
    let queue = &stat["queues"][0];
    assert_eq!(
        (&queue["count_max"], &queue["lease_ms"], &queue["access"]["mode"]),
        (&json!(9), &json!(7000), &json!("0750")),
        "made as the other one"
    );
}

#[tokio::test]
async fn dump_goes_through_a_pipe() {
    let stage = Stage::new().await;
    let before = stage.filled().await;
    let mut dump = command();
    dump.args(["--url", &stage.url, "dump", "jobs"]).stdout(Stdio::piped());
    let dumped = dump.output().await.expect("it runs");
    assert!(dumped.status.success());
    let outcome = stage.bus_with(&["restore", "again", "-", "--create"], &dumped.stdout).await;
    outcome.check(DONE, &["restored 3"]);
    assert_eq!(stage.content("again").await, before);
    let cut = &dumped.stdout[..dumped.stdout.len() - 80];
    let outcome = stage.bus_with(&["restore", "third", "--create"], cut).await;
    outcome.check(FILE, &["standard input", "cut off", "messages restored: 2"]);
}

#[tokio::test]
async fn file_that_is_broken_sends_nothing_unless_that_is_asked_for() {
    let stage = Stage::new().await;
    stage.filled().await;
    let (file, cut) = (stage.file("jobs.bus"), stage.file("cut.bus"));
    stage.good(&["dump", "jobs", &file]).await;
    stage.bus(&["dump", "jobs", &file]).await.check(CONFLICT, &["--force"]);
    let bytes = std::fs::read(&file).expect("a file");
    std::fs::write(&cut, &bytes[..bytes.len() - 80]).expect("a file");
    stage.good(&["create", "again"]).await;
    stage.bus(&["restore", "again", &cut]).await.check(FILE, &["cut off", "--partial"]);
    assert_eq!(stage.bus(&["stat", "again", "--json"]).await.json()["queues"][0]["messages"], 0);
    stage.bus(&["restore", "again", &cut, "--partial"]).await.check(DONE, &["restored 2"]);
    let mut changed = bytes.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(&cut, &changed).expect("a file");
    stage.bus(&["restore", "again", &cut]).await.check(FILE, &["damaged at byte"]);
    std::fs::write(&cut, "something else").expect("a file");
    stage.bus(&["restore", "again", &cut]).await.check(FILE, &["not a file of messages"]);
    stage.bus(&["replay", &file]).await.check(USAGE, &["bus restore"]);
}

#[tokio::test]
async fn restore_into_a_full_queue_says_how_far_it_came_and_goes_on_there() {
    let stage = Stage::new().await;
    let before = stage.filled().await;
    let file = stage.file("jobs.bus");
    stage.good(&["dump", "jobs", &file]).await;
    stage.good(&["create", "small", "--count", "2"]).await;
    let outcome = stage.bus(&["restore", "small", &file, "--try"]).await;
    outcome.check(FULL, &["messages restored: 2", "--skip 2"]);
    stage.good(&["set", "small", "--count", "5"]).await;
    stage.good(&["restore", "small", &file, "--skip", "2", "--try"]).await;
    assert_eq!(stage.content("small").await, before, "none is lost, and none there twice");
}

#[tokio::test]
async fn leased_messages_are_told_of() {
    let stage = Stage::new().await;
    stage.filled().await;
    let client = bus_client::Client::connect(&stage.url).await.expect("a broker");
    let queue = client.queue("jobs").await.expect("a queue");
    let taken = queue.receive(bus_client::Selector::Any).await.expect("a message");
    let file = stage.file("rest.bus");
    let told = stage.bus(&["dump", "jobs", &file, "--json"]).await;
    told.check(DONE, &["1 messages are leased"]);
    assert_eq!(told.json()["messages"], 2);
    drop(taken);
}

#[tokio::test]
async fn queue_that_changes_while_it_is_dumped_is_told_of() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs"]).await;
    let body = vec![b'x'; 100_000];
    stage.bus_with(&["send", "jobs", "--count", "80"], &body).await.check(DONE, &[]);
    for changes in [true, false] {
        let mut dump = command();
        dump.args(["--url", &stage.url, "dump", "jobs"]);
        dump.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut dump = dump.spawn().expect("it starts");
        let mut out = dump.stdout.take().expect("piped");
        // It has begun, and cannot go on: nobody reads what does not fit into the pipe.
        let mut first = [0; 16];
        out.read_exact(&mut first).await.expect("it writes");
        if changes {
            stage.good(&["recv", "jobs", "--raw"]).await;
        }
        let mut rest = Vec::new();
        out.read_to_end(&mut rest).await.expect("it writes");
        let ended = dump.wait_with_output().await.expect("it ran");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        let code = if changes { CONFLICT } else { DONE };
        assert_eq!(
            (ended.status.code(), said.contains("it changed")),
            (Some(code), changes),
            "{said}"
        );
        let file = stage.file("jobs.bus");
        std::fs::write(&file, [&first[..], &rest].concat()).expect("a file");
        let name = if changes { "changed" } else { "same" };
        let restored = stage.bus(&["restore", name, &file, "--create"]).await;
        restored.check(DONE, if changes { &["it changed while it was read"] } else { &[] });
    }
}

#[tokio::test]
async fn recorded_topics_are_played_below_another_name() {
    let stage = Stage::new().await;
    let file = stage.file("day.bus");
    let mut record = stage.start(&["record", "a.*", "b", "-o", &file, "-n", "3", "--json"]);
    stage.until_client("bus record", 2).await;
    stage.good(&["pub", "a.x", "one", "-t", "5", "-H", "k:v"]).await;
    stage.bus_with(&["pub", "b"], &[0xff]).await.check(DONE, &[]);
    stage.good(&["pub", "a.y", "three"]).await;
    let told: Value = serde_json::from_str(&record.line().await).expect("JSON");
    assert!(record.end().await.success());
    assert_eq!((&told["messages"], &told["gaps"]), (&json!(3), &json!(0)));
    let mut sub = stage.start(&["sub", "t.>", "--json", "-n", "6"]);
    stage.until_client("bus sub", 1).await;
    let arguments = ["replay", &file, "--to", "t", "--speed", "max", "--loop", "2"];
    stage.bus(&arguments).await.check(DONE, &["replayed 6"]);
    let mut rows = Vec::new();
    for _ in 0..6 {
        let row: Value = serde_json::from_str(&sub.line().await).expect("JSON");
        rows.push((row["topic"].clone(), row["type"].clone(), row["headers"].clone()));
    }
    assert_eq!(rows[0], (json!("t.a.x"), json!(5), json!({ "k": "v" })));
    assert_eq!(rows[1].0, "t.b");
    assert_eq!(rows[5].0, "t.a.y");
}

/// A record of four messages on `a`, published one after the other.
async fn recorded(stage: &Stage) -> String {
    let file = stage.file("four.bus");
    let mut record = stage.start(&["record", "a", "-o", &file, "-n", "4"]);
    stage.until_client("bus record", 1).await;
    for body in ["1", "2", "3", "4"] {
        stage.good(&["pub", "a", body]).await;
    }
    assert!(record.end().await.success());
    file
}

#[tokio::test]
async fn replay_that_is_interrupted_says_where_it_is_and_another_one_goes_on_there() {
    let stage = Stage::new().await;
    let file = recorded(&stage).await;
    let mut sub = stage.start(&["sub", "a", "--raw"]);
    stage.until_client("bus sub", 1).await;
    // The message behind the first one is hours away.
    let slow = ["replay", &file, "--speed", "0.000001", "--skip"];
    let mut replay = stage.start(&[&slow[..], &["1"]].concat());
    let mut at_the_end = stage.start(&[&slow[..], &["3"]].concat());
    let mut first = [sub.line().await, sub.line().await];
    first.sort();
    assert_eq!(first, ["2", "4"]);
    replay.signal(Signal::INT);
    assert_eq!(replay.end().await.code(), Some(1));
    let words = replay.words().await;
    let told = "interrupted (2 of 4 messages published; next is record 3: --skip 2 goes on there)";
    assert!(words.contains(told), "{words}");
    // The end of the record is hours away too.
    at_the_end.signal(Signal::TERM);
    at_the_end.end().await;
    assert!(at_the_end.words().await.contains("4 of 4 messages published"));
    let rest = stage.bus(&["replay", &file, "--skip", "2", "--speed", "max"]).await;
    rest.check(DONE, &["replayed 2"]);
    stage.bus(&["replay", &file, "--skip", "5"]).await.check(USAGE, &["has 4 messages"]);
}

#[tokio::test]
async fn replay_goes_on_at_a_broker_that_was_started_again() {
    let mut stage = Stage::new().await;
    let file = recorded(&stage).await;
    let mut sub = stage.start(&["sub", "a", "--raw"]);
    stage.until_client("bus sub", 1).await;
    let mut replay = stage.start(&["replay", &file, "--loop", "--speed", "0.5"]);
    assert_eq!(sub.line().await, "1");
    stage.broker.signal(Signal::KILL);
    stage.broker.end().await;
    let mut broker = crate::stage::Process::start(&["serve", "-l", &stage.url]);
    assert_eq!(broker.line().await, format!("listening on {}", stage.url));
    // Whatever was lost with the broker, all that follows comes.
    for body in ["4", "1", "2", "3", "4"] {
        while sub.line().await != body {}
    }
    replay.signal(Signal::INT);
    let code = replay.end().await.code();
    let words = replay.words().await;
    assert!(words.contains("connected again"), "{words}");
    // What was on its way when the broker died may be lost, and that is said.
    match code {
        Some(0) => assert!(!words.contains("is not known whether"), "{words}"),
        Some(8) => assert!(words.contains("is not known whether they arrived"), "{words}"),
        other => panic!("it ended with {other:?}: {words}"),
    }
}

#[tokio::test]
async fn record_that_is_interrupted_is_whole_and_one_that_is_killed_can_be_saved() {
    let stage = Stage::new().await;
    for (name, signal) in [("well.bus", Signal::INT), ("killed.bus", Signal::KILL)] {
        let file = stage.file(name);
        let mut record = stage.start(&["record", "a", "-o", &file]);
        stage.until_client("bus record", 1).await;
        stage.good(&["pub", "a", "one"]).await;
        // The file has it as soon as nothing more comes.
        let deadline = tokio::time::Instant::now() + crate::stage::PATIENCE;
        while !std::fs::read(&file).unwrap_or_default().windows(3).any(|bytes| bytes == b"one") {
            assert!(tokio::time::Instant::now() < deadline, "it is not written");
            tokio::task::yield_now().await;
        }
        record.signal(signal);
        assert_eq!(record.end().await.success(), signal == Signal::INT);
        stage
            .until(&["ls", "--clients", "--json"], |list| {
                let clients = list["clients"].as_array().map_or(0, Vec::len);
                clients == 1
            })
            .await;
    }
    let play = async |name: &str, more: &[&str]| {
        let file = stage.file(name);
        stage.bus(&[&["replay", file.as_str(), "--speed", "max"], more].concat()).await
    };
    play("well.bus", &[]).await.check(DONE, &["replayed 1"]);
    play("killed.bus", &[]).await.check(FILE, &["cut off", "--partial"]);
    play("killed.bus", &["--partial"]).await.check(DONE, &["replayed 1"]);
}

#[tokio::test]
async fn record_that_is_too_slow_says_so_in_the_file() {
    let stage = Stage::new().await;
    let file = stage.file("slow.bus");
    let mut record =
        stage.start(&["record", "a", "-o", &file, "--policy", "end", "--backlog", "0"]);
    stage.until_client("bus record", 1).await;
    record.signal(Signal::STOP);
    // More than its window, on which nobody looks now.
    let big = vec![b'x'; 60_000];
    for _ in 0..60 {
        stage.bus_with(&["pub", "a"], &big).await.check(DONE, &[]);
    }
    record.signal(Signal::CONT);
    assert_eq!(record.end().await.code(), Some(8));
    let outcome = stage.bus(&["replay", &file, "--speed", "max", "--json"]).await;
    assert_eq!(outcome.json()["gaps"], 1, "{outcome:?}");
}

#[tokio::test]
async fn files_are_refused_where_they_make_no_sense() {
    let stage = Stage::new().await;
    let outcome = stage.bus(&["record", "a.*", "a.b", "-o", &stage.file("x")]).await;
    outcome.check(USAGE, &["overlap"]);
    let file = stage.file("small");
    let small = stage.bus(&["record", "a", "-o", &file, "--max-bytes", "1"]).await;
    small.check(USAGE, &["--max-bytes 1 ", "bytes at the least"]);
    assert!(!std::path::Path::new(&file).exists(), "nothing is written first");
    let least = small.err.split("needs ").nth(1).and_then(|rest| rest.split(' ').next());
    // Beyond that a message has its topic and who has sent it.
    let room = least.and_then(|least| least.parse::<u64>().ok()).expect("it is said") + 512;
    let mut record = stage.start(&["record", "a", "-o", &file, "--max-bytes", &room.to_string()]);
    stage.until_client("bus record", 1).await;
    stage.good(&["pub", "a", ""]).await;
    stage.good(&["pub", "a", &"x".repeat(600)]).await;
    assert!(record.line().await.starts_with("recorded 1 messages"));
    assert!(record.end().await.success());
    stage.bus(&["replay", &stage.file("none")]).await.check(FILE, &["none"]);
    let mut replay = command();
    replay.args(["replay", "--loop"]);
    let description = b"not ours";
    run(replay, description).await.check(FILE, &["not a file of messages"]);
    stage.bus(&["replay", "x", "--speed", "0"]).await.check(USAGE, &["is not a speed"]);
}
