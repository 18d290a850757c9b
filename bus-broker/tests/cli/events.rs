//! `bus events`: what happens at the broker.

use serde_json::Value;

use crate::stage::{DONE, Stage, TIMED_OUT, USAGE};

#[tokio::test]
async fn clients_that_come_and_go_are_told() {
    let stage = Stage::new().await;
    let mut events = stage.start(&["events", "--json", "--name", "bus ping", "--count", "2"]);
    let mut text = stage.start(&["events", "--kind", "disconnected", "--name", "bus ping"]);
    stage.until_client("bus events", 1).await;
    stage
        .until(&["ls", "--clients", "--json"], |list| {
            let all = list["clients"].as_array().into_iter().flatten();
            all.filter(|client| client["sender"]["name"] == "bus events").count() == 2
        })
        .await;
    stage
        .until(&["stat", "$bus.events", "--json"], |stat| stat["topics"][0]["subscribers"] == 2)
        .await;
    stage.good(&["ping", "-n", "1"]).await;
    let mut line = async || -> Value { serde_json::from_str(&events.line().await).expect("JSON") };
    assert_eq!(line().await["event"], "connected");
    let gone = line().await;
    assert_eq!(gone["event"], "disconnected");
    assert_eq!(gone["transport"], "shared memory");
    assert!(gone["heard_at_ms"].as_u64() > Some(0), "{gone}");
    assert!(events.end().await.success());
    let told = text.line().await;
    assert!(told.contains(" disconnected ") && told.contains("name=bus ping"), "{told}");
}

#[tokio::test]
async fn silence_ends_a_wait() {
    let stage = Stage::new().await;
    let outcome = stage.bus(&["events", "--kind", "bridge", "--wait", "50ms"]).await;
    outcome.check(TIMED_OUT, &["nothing like that happened"]);
    let bogus = stage.bus(&["events", "--kind", "bogus"]).await;
    bogus.check(USAGE, &["`bogus` is no kind of event", "disconnected"]);
    stage.bus(&["events", "--help"]).await.check(DONE, &["Examples:"]);
}
