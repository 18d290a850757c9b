//! `bus doctor`: what it finds, and what its exit code says.

use crate::stage::{DONE, Stage, bus};

#[tokio::test]
async fn a_broker_that_runs_is_tried_over_all_that_it_listens_on() {
    let stage = Stage::new().await;
    let told = stage.bus(&["doctor", "--json"]).await;
    let value: serde_json::Value = serde_json::from_str(&told.out).expect("JSON");
    let findings = value["findings"].as_array().expect("a list");
    let of = |what: &str| findings.iter().filter(|found| found["what"] == what).collect::<Vec<_>>();
    for what in ["descriptors", "memory", "sealed memory", "passing descriptors", "clock"] {
        assert_eq!(of(what).len(), 1, "{what}: {value}");
    }
    let lanes = of("lane");
    assert_eq!(lanes.len(), 2, "both listeners: {value}");
    let lane = lanes[0]["found"].as_str().expect("text");
    assert!(lane.contains("connected over shared memory"), "{lane}");
    assert!(of("broker").iter().all(|found| found["verdict"] == "ok"), "{value}");
    assert!(of("connection").is_empty(), "{value}");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_broken() {
    let told = bus(&["doctor", "tcp://127.0.0.1:1", "--quiet"]).await;
    told.check(1, &["broken  connection", "tcp://127.0.0.1:1", "do: start a broker", "broken"]);
    bus(&["doctor", "--help"]).await.check(DONE, &["Examples:"]);
}

#[tokio::test]
async fn a_client_without_lanes_is_told_what_that_costs() {
    let stage = Stage::new().await;
    let told = stage.bus(&["doctor", "--no-shm", "--quiet"]).await;
    assert!(told.out.contains("costs   lane"), "{told:?}");
    assert!(told.out.contains("no shared memory"), "{told:?}");
}
