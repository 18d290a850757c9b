//! `[[bridge]]` in the file of a broker that runs, and what it tells of its bridges.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bridge::{Other, until_out};
use crate::stage::{DONE, NOTHING, PATIENCE, Process, Stage, bus};

fn bridge(name: &str, out: &str) -> String {
    // Nobody answers there: what stands in the file is what counts here.
    format!("[[bridge]]\nname = \"{name}\"\nurl = \"tcp://127.0.0.1:1\"\nout = [\"{out}\"]\n")
}

/// The next line that the broker logs with all of these in it.
async fn logged(broker: &mut Process, parts: &[&str]) -> String {
    loop {
        let line = broker.word().await;
        if parts.iter().all(|part| line.contains(part)) {
            return line;
        }
    }
}

/// The next line that it prints has all of these in it.
async fn says(broker: &mut Process, parts: &[&str]) {
    let told = broker.line().await;
    for part in parts {
        assert!(told.contains(part), "{told} lacks {part}");
    }
}

#[tokio::test]
async fn sighup_ends_begins_and_changes_bridges_and_leaves_those_added_since() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("local:{}", directory.path().join("bus.sock").display());
    let path = directory.path().join("bus.toml");
    let write = |bridges: &[String]| {
        let text = format!("listen = [\"{url}\"]\n{}", bridges.concat());
        fs::write(&path, text).expect("a file");
    };
    write(&[bridge("goes", "a"), bridge("changes", "b"), bridge("stays", "s")]);
    let file = path.display().to_string();
    bus(&["serve", "--check", "--config", &file])
        .await
        .check(DONE, &["[[bridge]]\nname = \"goes\"", "spool = \"268435456 B\""]);
    let mut broker = Process::start(&["serve", "--config", &file]);
    assert_eq!(broker.line().await, format!("listening on {url}"));
    let call = async |more: &[&str]| bus(&[&["--url", &url, "bridge"], more].concat()).await;
    call(&["add", "added", "tcp://127.0.0.1:1", "--in", "d"]).await.check(DONE, &[]);
    let outs = async || -> Vec<Value> {
        let list = call(&["ls", "--json"]).await.json();
        let all = list["bridges"].as_array().expect("a list");
        all.iter().map(|bridge| json!([bridge["name"], bridge["out"]["topics"]])).collect()
    };
    assert_eq!(
        outs().await,
        [
            json!(["added", null]),
            json!(["changes", ["b"]]),
            json!(["goes", ["a"]]),
            json!(["stays", ["s"]])
        ]
    );

    let mut now = vec![bridge("changes", "c.>"), bridge("comes", "e"), bridge("stays", "s")];
    write(&now);
    broker.signal(Signal::HUP);
    says(&mut broker, &["bridges begun: 1; bridges changed: 1; bridges ended: 1;"]).await;
    let [added, stays] = [json!(["added", null]), json!(["stays", ["s"]])];
    let expected = [added, json!(["changes", ["c.>"]]), json!(["comes", ["e"]]), stays];
    assert_eq!(outs().await, expected);

    // One whose name is taken does not begin, and that is said.
    now.push(bridge("added", "f"));
    write(&now);
    broker.signal(Signal::HUP);
    let none = "bridges begun: 0; bridges changed: 0; bridges ended: 0;";
    says(&mut broker, &[none, "bridges not as in the file: 1;"]).await;
    let parts = ["`added` of the file does not begin", "`bus bridge add` goes on", "bus bridge rm"];
    says(&mut broker, &parts).await;
    logged(&mut broker, &["WARN", "does not begin", "added", "goes on"]).await;
    assert_eq!(outs().await, expected);

    // One that cannot be run changes nothing at all.
    write(&[format!("{}token_file = \"/no/token\"\n", bridge("comes", "e"))]);
    broker.signal(Signal::HUP);
    logged(&mut broker, &["ERROR", "/no/token"]).await;
    assert_eq!(outs().await, expected);
}

#[tokio::test]
async fn events_tell_how_a_bridge_stands() {
    let (here, mut there) = (Stage::new().await, Other::new().await);
    let mut events = here.start(&["sub", "$bus.events", "--raw"]);
    here.until_client("bus sub", 1).await;
    here.good(&["bridge", "add", "b", &there.local, "--out", "news"]).await;
    let connected =
        json!({ "event": "bridge", "bridge": "b (out)", "state": "connected", "reason": null });
    assert_eq!(next_event(&mut events).await, connected);
    there.broker.signal(Signal::TERM);
    assert!(there.broker.end().await.success());
    let lost = next_event(&mut events).await;
    assert_eq!((&lost["bridge"], &lost["state"]), (&json!("b (out)"), &json!("connecting")));
    assert!(lost["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{lost}");
    let path = there.directory.path().join("other.toml").display().to_string();
    there.broker = Process::start(&["serve", "--config", &path]);
    let back = async {
        loop {
            let event = next_event(&mut events).await;
            if event == connected {
                return;
            }
            // Meanwhile other reasons may be told.
            assert_eq!(event["state"], "connecting", "{event}");
        }
    };
    tokio::time::timeout(PATIENCE, back).await.expect("it comes back");
    until_out(&here, |out| out["state"] == "connected" && out["reconnects"] == 1).await;
    here.good(&["bridge", "rm", "b"]).await;
    here.bus(&["bridge", "rm", "b"]).await.check(NOTHING, &["`b`"]);
}

/// The next one that is about a bridge.
async fn next_event(events: &mut Process) -> Value {
    loop {
        let event: Value = serde_json::from_str(&events.line().await).expect("JSON");
        if event["event"] == "bridge" {
            return event;
        }
    }
}
