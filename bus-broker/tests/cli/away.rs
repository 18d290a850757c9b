//! What a user of one broker is told of a queue that lives at another one, and of a service of the
//! broker's own that cannot do what it is asked.

use std::net::TcpListener;

use crate::bridge::Other;
use crate::stage::{DENIED, DONE, NOTHING, PATIENCE, Stage, TIMED_OUT, UNREACHABLE, USAGE};

/// An address at which nobody answers.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    format!("tcp://{}", listener.local_addr().expect("an address"))
}

#[tokio::test]
async fn whoever_waits_for_a_home_that_is_away_is_told_what_he_waits_for() {
    let stage = Stage::new().await;
    let url = nobody();
    stage.good(&["bridge", "add", "b", &url, "--in-queues", "jobs"]).await;
    let refused = |stat: &serde_json::Value| {
        let trouble = stat["queues"][0]["hosted"]["trouble"].as_str();
        trouble.is_some_and(|text| text.contains("refused"))
    };
    stage.until(&["stat", "jobs", "--json"], refused).await;
    let home = format!("broker `{url}`, which is the home of queue `jobs`, cannot be reached");
    for arguments in [&["send", "jobs", "x"][..], &["recv", "jobs"], &["recv", "jobs", "--follow"]]
    {
        let mut waits = stage.start(arguments);
        let told = waits.word().await;
        assert!(told.starts_with("bus: waits: ") && told.contains(&home), "{arguments:?}: {told}");
        assert!(told.contains("over bridge `b`") && told.contains("`bus bridge ls`"), "{told}");
    }
    let sent = stage.bus(&["send", "jobs", "x", "--timeout", "50ms"]).await;
    sent.check(TIMED_OUT, &["not accepted within 50ms", &home]);
    let taken = stage.bus(&["recv", "jobs", "--wait", "50ms"]).await;
    taken.check(TIMED_OUT, &["nothing came within 50ms", &home]);
    stage.bus(&["send", "jobs", "x", "--try"]).await.check(UNREACHABLE, &[&home]);
    stage.bus(&["stat", "jobs"]).await.check(DONE, &[&home]);
    stage.good(&["bridge", "pause", "b"]).await;
    let paused = stage.bus(&["recv", "jobs", "--try"]).await;
    paused.check(UNREACHABLE, &["the bridge is paused", "`bus bridge resume`"]);
}

#[tokio::test]
async fn whoever_waits_says_so_once_and_goes_on() {
    let stage = Stage::new().await;
    stage.good(&["create", "full", "--count", "1"]).await;
    stage.good(&["send", "full", "first"]).await;
    let mut waits = stage.start(&["send", "full", "second"]);
    let told = waits.word().await;
    assert!(told.starts_with("bus: waits: queue `full` is full: messages 1 (limit 1)"), "{told}");
    stage.bus(&["recv", "full"]).await.check(DONE, &["first"]);
    assert!(waits.end().await.success());
    assert_eq!(waits.words().await, "", "it has said it twice");
    stage.bus(&["recv", "full"]).await.check(DONE, &["second"]);
}

#[tokio::test]
async fn what_the_home_refuses_is_told_with_its_exit_code() {
    let (stage, other) = (Stage::new().await, Other::allowing("send = \"none\"").await);
    let (token, queues) = (other.token(), ["none", "sealed"]);
    other.bus(&["create", "sealed", "--mode", "0777"]).await.check(DONE, &[]);
    let add = ["bridge", "add", "b", &other.tcp, "--remote-token-file", &token, "--in-queues"];
    stage.good(&[&add[..], &queues].concat()).await;
    stage
        .until(&["stat", "none", "--json"], |stat| {
            let trouble = stat["queues"][0]["hosted"]["trouble"].as_str();
            trouble.is_some_and(|text| text.contains("no queue"))
        })
        .await;
    for verb in [&["send", "none", "x"][..], &["recv", "none"], &["peek", "none"]] {
        let told = tokio::time::timeout(PATIENCE, stage.bus(verb)).await.expect("at once");
        told.check(NOTHING, &["there is no queue `none`", "at broker", "over bridge `b`"]);
    }
    // There the other broker lets the bridge carry, and nothing else.
    let told = stage.bus(&["send", "sealed", "x"]).await;
    told.check(DENIED, &["`send`", "`sealed`", "at broker", "over bridge `b`"]);
}

#[tokio::test]
async fn service_of_the_broker_that_cannot_do_what_it_is_asked_fails() {
    let stage = Stage::new().await;
    let ask = async |text: &str| stage.bus(&["request", "$bus.bridge", text]).await;
    ask("garbage").await.check(USAGE, &["`$bus.bridge`", "JSON"]);
    ask(r#"{"action":"fly"}"#).await.check(USAGE, &["`fly` is no action"]);
    ask(r#"{"action":"remove","name":"b"}"#).await.check(NOTHING, &["there is no bridge `b`"]);
    ask(r#"{"action":"list"}"#).await.check(DONE, &["bridges"]);
}
