//! Who listens to what: `bus ls --subscriptions`, its groups, and `bus stat`.

use serde_json::{Value, json};

use crate::stage::{DONE, NOTHING, Stage};

/// Three subscribers, two of them a group.
async fn listeners(stage: &Stage) -> [crate::stage::Process; 3] {
    stage.good(&["create", "news.eu", "--topic"]).await;
    let started = [
        stage.start(&["sub", "news.>", "--policy", "drop"]),
        stage.start(&["sub", "news.*", "--group", "workers"]),
        stage.start(&["sub", "news.*", "<=3", "--group", "workers"]),
    ];
    let all = ["ls", "--subscriptions", "--json"];
    stage.until(&all, |list| list["subscriptions"].as_array().map(Vec::len) == Some(3)).await;
    started
}

#[tokio::test]
async fn subscribers_and_groups_are_listed_by_what_they_would_hear() {
    let stage = Stage::new().await;
    let mut started = listeners(&stage).await;
    let listed = stage.bus(&["ls", "--subscriptions", "news.eu", "--json"]).await.json();
    let rows = listed["subscriptions"].as_array().expect("a list");
    let told = |row: &Value, key: &str| row[key].clone();
    let shown = |key| rows.iter().map(|row| told(row, key)).collect::<Vec<_>>();
    assert_eq!(shown("pattern"), ["news.*", "news.*", "news.>"]);
    assert_eq!(shown("group"), [json!("workers"), json!("workers"), Value::Null]);
    assert_eq!(shown("policy"), ["auto", "auto", "drop"]);
    let selectors = shown("selector");
    assert!(selectors.contains(&json!("<=3")), "{selectors:?}");
    let pids: Vec<u32> = started.iter().map(crate::stage::Process::pid).collect();
    for row in rows {
        let pid = row["sender"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        assert!(pids.contains(&pid.expect("a process")), "{row}");
    }
    // A name that one of the patterns does not reach, and one that none does.
    let deeper = stage.bus(&["ls", "-S", "news.eu.fr", "--json"]).await.json();
    assert_eq!(deeper["subscriptions"].as_array().map(Vec::len), Some(1));
    stage.bus(&["ls", "-S", "jobs"]).await.check(NOTHING, &["there is nothing like `jobs`"]);
    let text = stage.good(&["ls", "--subscriptions"]).await;
    for part in ["PATTERN", "news.>", "workers", "<=3", "drop", "UNDERWAY", "LOST", "ok"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("MEMBERS"), "only what was asked for: {text}");
    let text = stage.good(&["ls"]).await;
    assert!(text.contains("MEMBERS") && text.contains("workers"), "{text}");
    let groups = stage.bus(&["ls", "--groups", "--json"]).await.json();
    let group = &groups["groups"][0];
    assert_eq!((&group["name"], &group["members"]), (&json!("workers"), &json!(2)));
    assert!(groups.get("queues").is_none(), "{groups}");
    // A process that is gone is in no list.
    started[2].signal(rustix::process::Signal::TERM);
    started[2].end().await;
    stage.until(&["ls", "--groups", "--json"], |list| list["groups"][0]["members"] == 1).await;
}

#[tokio::test]
async fn stat_of_a_topic_names_its_subscribers_by_wildcard_and_its_groups() {
    let stage = Stage::new().await;
    let _started = listeners(&stage).await;
    let outcome = stage.bus(&["stat", "news.eu"]).await;
    outcome.check(DONE, &["workers on news.*: 2 members", "on news.>: takes any, 0 messages wait"]);
    let stat = stage.bus(&["stat", "news.eu", "--json"]).await.json();
    let topic = &stat["topics"][0];
    assert_eq!((&topic["subscribers"], &topic["groups"][0]["members"]), (&json!(2), &json!(2)));
    assert_eq!(topic["subscriptions"][0]["pattern"], "news.>");
}

#[tokio::test]
async fn counts_of_the_broker_are_what_ls_lists() {
    let stage = Stage::new().await;
    stage.good(&["create", "news.eu", "--topic"]).await;
    stage.good(&["create", "jobs"]).await;
    let listed = stage.bus(&["ls", "--json"]).await.json();
    let stat = stage.bus(&["stat", "--json"]).await.json();
    for kind in ["queues", "topics", "services"] {
        let length = listed[kind].as_array().map(Vec::len);
        assert_eq!(stat[kind].as_u64(), length.map(|it| it as u64), "{kind}");
    }
    // The broker's own are there, and listed when they are asked for.
    let own = stage.good(&["ls", "$bus.>"]).await;
    assert!(own.contains("$bus.events") && own.contains("$bus.stat"), "{own}");
}
