//! What an operator does: look, create, change, remove.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::stage::{DONE, NOTHING, Stage, TIMED_OUT, USAGE, bus};

#[tokio::test]
async fn lists_show_what_there_is() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs.a", "--count", "7", "--bytes", "1MiB", "--mode", "0750"]).await;
    stage.good(&["create", "jobs.b"]).await;
    stage.good(&["create", "prices", "--topic", "--keep-last"]).await;
    stage.good(&["send", "jobs.a", "hello", "--count", "3"]).await;
    let text = stage.good(&["ls"]).await;
    for part in ["QUEUE", "jobs.a", "0750", "jobs.b", "TOPIC", "prices"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!stage.good(&["ls", "jobs.a"]).await.contains("jobs.b"));
    assert!(!stage.good(&["ls", "--topics"]).await.contains("jobs"));
    let list: Value =
        serde_json::from_str(&stage.good(&["ls", "jobs.*", "--json"]).await).expect("JSON");
    let first = &list["queues"][0];
    assert_eq!(first["name"], "jobs.a");
    assert_eq!(first["messages"], 3);
    assert_eq!(first["bytes"], 3 * (5 + 64));
    assert_eq!(first["count_max"], 7);
    assert_eq!(first["access"]["mode"], "0750");
    assert_eq!(list["queues"][1]["name"], "jobs.b");
    let clients = stage.bus(&["ls", "--clients", "--json"]).await.json();
    assert_eq!(clients["clients"][0]["sender"]["name"], "bus ls");
    assert_eq!(clients["clients"][0]["transport"], "shared memory");
}

#[tokio::test]
async fn stat_tells_everything_about_a_queue() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs", "--lease", "5s", "--deliveries", "2"]).await;
    stage.good(&["send", "jobs", "a", "-t", "4"]).await;
    stage.good(&["send", "jobs", "b", "-t", "9"]).await;
    stage.good(&["recv", "jobs", "4"]).await;
    let text = stage.good(&["stat", "jobs"]).await;
    for part in ["creator", "bus create (uid", "each for 5s", "last send", "bus send", "bus recv"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let stat = stage.bus(&["stat", "jobs", "--json"]).await.json();
    let queue = &stat["queues"][0];
    assert_eq!(queue["accepted"], 2);
    assert_eq!(queue["acked"], 1);
    assert_eq!(queue["types"], json!([{ "type": 9, "name": "", "messages": 1 }]));
    assert_eq!(queue["last_receive"]["sender"]["name"], "bus recv");
}

#[tokio::test]
async fn stat_without_a_name_is_about_the_broker() {
    let stage = Stage::new().await;
    let stat = stage.bus(&["stat", "--json"]).await.json();
    assert_eq!(stat["pid"], stage.broker.pid());
    assert_eq!(stat["listeners"], json!([stage.url, stage.tcp]));
    stage.bus(&["stat"]).await.check(DONE, &["listens on", &stage.tcp]);
}

#[tokio::test]
async fn ping_tells_the_transport() {
    let stage = Stage::new().await;
    let ping = stage.bus(&["ping", "--count", "3", "--json"]).await.json();
    assert_eq!(ping["transport"], "shared memory");
    let outcome = stage.bus(&["ping", "-n", "1", "--no-shm"]).await;
    outcome.check(DONE, &["over local socket", "is told to use no shared memory"]);
    let socket = stage.url.replacen("local:", "unix:", 1);
    let outcome = stage.bus(&["--url", &socket, "ping", "-n", "1"]).await;
    outcome.check(DONE, &["over local socket"]);
    let forced = stage.url.replacen("local:", "shm:", 1);
    let outcome = stage.bus(&["--url", &forced, "ping", "-n", "1"]).await;
    outcome.check(DONE, &["over shared memory"]);
    assert_eq!(ping["round_trips_ns"].as_array().map(Vec::len), Some(3));
    let outcome = stage.bus(&["--url", &stage.tcp, "ping", "-n", "1"]).await;
    outcome.check(DONE, &["1: ", "over tcp", "min "]);
}

#[tokio::test]
async fn queue_is_changed_emptied_and_removed() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs"]).await;
    stage.good(&["create", "jobs", "--if-missing"]).await;
    stage.good(&["set", "jobs", "--count", "2", "--mode", "0777", "--owner", "65534"]).await;
    let stat = stage.bus(&["stat", "jobs", "--json"]).await.json();
    assert_eq!(stat["queues"][0]["count_max"], 2);
    assert_eq!(stat["queues"][0]["access"]["mode"], "0777");
    assert_eq!(stat["queues"][0]["access"]["owner"], 65534);
    stage.good(&["send", "jobs", "x", "--count", "2"]).await;
    stage.bus(&["purge", "jobs"]).await.check(DONE, &["purged queue jobs", "2"]);
    stage.good(&["send", "jobs", "x"]).await;
    let removed = stage.bus(&["rm", "jobs", "--json"]).await.json();
    assert_eq!(removed, json!({ "done": "rm", "queue": "jobs", "count": 1 }));
    stage.bus(&["stat", "jobs"]).await.check(NOTHING, &["`jobs`"]);
}

#[tokio::test]
async fn removal_tells_who_waits() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs"]).await;
    let mut receiver = stage.start(&["recv", "jobs"]);
    stage.until(&["stat", "jobs", "--json"], |stat| stat["queues"][0]["waiting"] == 1).await;
    stage.good(&["rm", "jobs"]).await;
    let word = receiver.word().await;
    assert!(word.contains("`jobs`") && word.contains("removed"), "{word}");
    assert_eq!(receiver.end().await.code(), Some(crate::stage::CONFLICT));
}

#[tokio::test]
async fn same_name_as_queue_and_topic_is_told_apart() {
    let stage = Stage::new().await;
    stage.good(&["create", "both"]).await;
    stage.good(&["create", "both", "--topic"]).await;
    stage.bus(&["rm", "both"]).await.check(USAGE, &["a queue and a topic"]);
    stage.bus(&["rm", "both", "--topic"]).await.check(DONE, &["removed topic both"]);
    stage.bus(&["retire", "both"]).await.check(DONE, &["retired queue both"]);
    stage.bus(&["ls", "both"]).await.check(NOTHING, &[]);
}

#[tokio::test]
async fn retirement_tells_what_becomes_of_the_messages() {
    let stage = Stage::new().await;
    stage.good(&["create", "old"]).await;
    stage.good(&["send", "old", "x", "--count", "3"]).await;
    let outcome = stage.bus(&["retire", "old"]).await;
    outcome.check(DONE, &["retired queue old, which nobody held; messages gone: 3"]);
    stage.good(&["create", "old"]).await;
    stage.good(&["send", "old", "x", "--type", "2"]).await;
    let mut holder = stage.start(&["recv", "old", "1"]);
    stage.until(&["stat", "old", "--json"], |stat| stat["queues"][0]["waiting"] == 1).await;
    let retired = stage.bus(&["retire", "old", "--json"]).await.json();
    assert_eq!((&retired["messages"], &retired["holders"]), (&json!(1), &json!(2)));
    holder.signal(Signal::INT);
    holder.end().await;
}

#[tokio::test]
async fn selectors_stand_behind_the_name_or_in_a_flag() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs"]).await;
    for kind in ["7", "3", "5"] {
        stage.good(&["send", "jobs", kind, "--type", kind]).await;
    }
    assert_eq!(stage.good(&["peek", "jobs", "-s", "5", "--raw"]).await, "5\n");
    assert_eq!(stage.good(&["recv", "jobs", "<=5", "--raw"]).await, "3\n");
    assert_eq!(stage.good(&["recv", "jobs", "--selector", "!7", "--raw"]).await, "5\n");
    stage.bus(&["recv", "jobs", "7", "-s", "7"]).await.check(USAGE, &["--selector"]);
}

#[tokio::test]
async fn topic_keeps_its_last_message_for_late_subscribers() {
    let stage = Stage::new().await;
    stage.good(&["create", "state", "--topic", "--keep-last"]).await;
    stage.good(&["pub", "state", "old"]).await;
    stage.good(&["pub", "state", "new"]).await;
    let late = stage.good(&["sub", "state", "--count", "1", "--raw", "--wait", "10s"]).await;
    assert_eq!(late, "new\n");
    stage.bus(&["purge", "state"]).await.check(DONE, &["purged topic state", "1"]);
    stage.good(&["set", "state", "--topic", "--keep-last", "false", "--hold", "2s"]).await;
    let stat = stage.bus(&["stat", "state", "--json"]).await.json();
    assert_eq!(stat["topics"][0]["keep_last"], false);
    assert_eq!(stat["topics"][0]["hold_ms"], 2000);
}

#[tokio::test]
async fn name_that_is_missing_does_not_save_the_others() {
    let stage = Stage::new().await;
    for name in ["one", "two"] {
        stage.good(&["create", name]).await;
    }
    let outcome = stage.bus(&["rm", "one", "missing", "two"]).await;
    outcome.check(NOTHING, &["removed queue one", "`missing`", "removed queue two"]);
    stage.bus(&["ls", "*"]).await.check(NOTHING, &[]);
}

#[tokio::test]
async fn verb_that_ends_leaves_no_session() {
    let stage = Stage::new().await;
    let over_tcp =
        async |arguments: &[&str]| bus(&[&["--url", stage.tcp.as_str()], arguments].concat()).await;
    over_tcp(&["sub", "zz", "--wait", "10ms"]).await.check(TIMED_OUT, &["`zz`"]);
    let clients = stage.bus(&["ls", "--clients", "--json"]).await.json();
    let names: Vec<_> = clients["clients"].as_array().into_iter().flatten().collect();
    assert!(names.iter().all(|client| client["sender"]["name"] != "bus sub"), "{clients}");
}
