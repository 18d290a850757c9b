//! Messages through the command: what goes in comes out, in every form.

use serde_json::{Value, json};

use crate::stage::{DONE, FAILED, NOTHING, PATIENCE, Process, Stage, TIMED_OUT, UNREACHABLE};

#[tokio::test]
async fn subscriber_prints_what_is_published() {
    let stage = Stage::new().await;
    let mut text = stage.start(&["sub", "prices.*"]);
    stage.until_client("bus sub", 1).await;
    stage.good(&["pub", "prices.eur", "1.0853", "--type", "7", "-H", "from:desk"]).await;
    let line = text.line().await;
    assert!(line.starts_with("prices.eur type 7 from bus pub (uid "), "{line}");
    assert!(line.ends_with("[from: desk]: 1.0853"), "{line}");
}

#[tokio::test]
async fn subscriber_ends_after_its_count() {
    let stage = Stage::new().await;
    let mut raw = stage.start(&["sub", ">", "--raw", "--count", "2", "--selector", "!3"]);
    stage.until_client("bus sub", 1).await;
    stage.good(&["pub", "a", "passed over", "--type", "3"]).await;
    stage.bus_with(&["pub", "a.b", "-l"], b"one\ntwo\nthree").await.check(DONE, &[]);
    assert_eq!(raw.line().await, "one");
    assert_eq!(raw.line().await, "two");
    assert!(raw.end().await.success());
}

#[tokio::test]
async fn json_holds_text_and_bytes() {
    let stage = Stage::new().await;
    let mut sub = stage.start(&["sub", "a", "--json"]);
    stage.until_client("bus sub", 1).await;
    stage.good(&["--url", &stage.tcp, "pub", "a", "hi \"there\"", "-H", "k:v"]).await;
    let first: Value = serde_json::from_str(&sub.line().await).expect("JSON");
    assert_eq!(first["topic"], "a");
    assert_eq!(first["type"], 1);
    assert_eq!(first["payload"], "hi \"there\"");
    assert_eq!(first["headers"], json!({ "k": "v" }));
    assert_eq!(first["sender"]["uid"], Value::Null, "nobody vouches for a TCP peer");
    stage.bus_with(&["pub", "a"], &[0xff, 0, 10]).await.check(DONE, &[]);
    let second: Value = serde_json::from_str(&sub.line().await).expect("JSON");
    assert_eq!(second["payload_hex"], "ff000a");
    assert_eq!(second["payload"], Value::Null);
}

#[tokio::test]
async fn subscriber_without_messages_times_out() {
    let stage = Stage::new().await;
    let outcome = stage.bus(&["sub", "a", "--wait", "50ms"]).await;
    outcome.check(TIMED_OUT, &["nothing was published on `a`"]);
}

#[tokio::test]
async fn closed_pipe_ends_a_subscriber_quietly() {
    let stage = Stage::new().await;
    let mut sub = stage.start(&["sub", "a"]);
    stage.until_client("bus sub", 1).await;
    stage.good(&["pub", "a", "first"]).await;
    assert!(sub.line().await.ends_with(": first"));
    // Like `| head -1`.
    let mut child = sub.close_output();
    stage.good(&["pub", "a", "second"]).await;
    let status = tokio::time::timeout(PATIENCE, child.wait()).await;
    assert!(status.expect("it ends").expect("it ran").success());
}

#[tokio::test]
async fn queue_gives_what_was_sent() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs"]).await;
    let file = stage.directory.path().join("body");
    std::fs::write(&file, [1, 0xfe]).expect("a file");
    stage.good(&["send", "jobs", "low", "-t", "9"]).await;
    stage.good(&["send", "jobs", "--file", &file.display().to_string(), "-t", "2"]).await;
    stage.bus_with(&["send", "jobs", "-t", "4"], b"from\ninput\n").await.check(DONE, &[]);
    let all = stage.good(&["peek", "jobs", "--all", "--json"]).await;
    let types: Vec<Value> = all.lines().map(type_of).collect();
    assert_eq!(types, [9, 2, 4]);
    let lowest = stage.good(&["recv", "jobs", "<=5", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&lowest).expect("JSON")["payload_hex"], "01fe");
    assert_eq!(stage.good(&["recv", "jobs", "4", "--raw", "-N"]).await, "from\ninput\n");
    assert_eq!(stage.good(&["recv", "jobs", "any", "--raw"]).await, "low\n");
    stage.bus(&["recv", "jobs", "--try"]).await.check(NOTHING, &["`jobs`"]);
    stage.bus(&["peek", "jobs"]).await.check(NOTHING, &["`jobs`"]);
}

fn type_of(line: &str) -> Value {
    serde_json::from_str::<Value>(line).expect("JSON")["type"].clone()
}

#[tokio::test]
async fn waiting_receiver_gets_what_comes() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs"]).await;
    let mut receiver = stage.start(&["recv", "jobs", "5", "--raw", "--count", "2"]);
    stage.until(&["stat", "jobs", "--json"], |stat| stat["queues"][0]["waiting"] == 1).await;
    stage.good(&["send", "jobs", "other", "-t", "1"]).await;
    stage.good(&["send", "jobs", "mine", "-t", "5", "--count", "2"]).await;
    assert_eq!(receiver.line().await, "mine");
    assert_eq!(receiver.line().await, "mine");
    assert!(receiver.end().await.success());
    stage
        .until(&["stat", "jobs", "--json"], |stat| {
            let queue = &stat["queues"][0];
            queue["acked"] == 2 && queue["messages"] == 1 && queue["leased"] == 0
        })
        .await;
}

#[tokio::test]
async fn services_echo_execute_and_answer() {
    let stage = Stage::new().await;
    let served = |count: usize| {
        move |list: &Value| list["services"].as_array().is_some_and(|list| list.len() == count)
    };
    let _echo: Process = stage.start(&["reply", "echo", "--echo"]);
    let _upper: Process = stage.start(&["reply", "upper", "--exec", "tr a-z A-Z"]);
    let _fails: Process =
        stage.start(&["reply", "fails", "--exec", "echo out of paper >&2; exit 3"]);
    let mut fixed = stage.start(&["reply", "fixed", "always", "--count", "1"]);
    stage.until(&["ls", "--services", "--json"], served(4)).await;
    let reply = stage.good(&["request", "echo", "hi", "-t", "6", "-H", "k:v", "--json"]).await;
    let reply: Value = serde_json::from_str(&reply).expect("JSON");
    assert_eq!((&reply["payload"], &reply["type"]), (&json!("hi"), &json!(6)));
    assert_eq!(reply["headers"], json!({ "k": "v" }));
    assert_eq!(stage.good(&["request", "upper", "loud", "--raw", "-N"]).await, "LOUD");
    assert_eq!(stage.good(&["request", "fixed", "", "--raw"]).await, "always\n");
    assert!(fixed.end().await.success());
    stage.bus(&["request", "fails", "x"]).await.check(FAILED, &["out of paper"]);
    stage.bus(&["request", "fixed", "x"]).await.check(UNREACHABLE, &["`fixed`"]);
}

#[tokio::test]
async fn request_has_a_deadline_and_its_command_ends_with_it() {
    let stage = Stage::new().await;
    let file = stage.directory.path().join("pid");
    let command = format!("echo $$ > {}; sleep 60; true", file.display());
    let mut slow = stage.start(&["reply", "slow", "--exec", &command]);
    stage.until(&["ls", "--services", "--json"], |list| list["services"][0]["servers"] == 1).await;
    let outcome = stage.bus(&["request", "slow", "x", "--timeout", "500ms"]).await;
    outcome.check(TIMED_OUT, &["slow"]);
    stage.bus(&["request", "slow", "x", "--timeout", "0"]).await.check(TIMED_OUT, &[]);
    let pid = std::fs::read_to_string(file).expect("the command has begun");
    slow.signal(rustix::process::Signal::TERM);
    assert!(slow.end().await.success());
    // What has ended has no command line, even before anybody has waited for it.
    let gone = async {
        let words = || std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
        while !words().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the command has ended");
}
