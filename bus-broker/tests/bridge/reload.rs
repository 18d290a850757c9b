//! A bridge whose table changes while its broker runs: what waits is taken over, what stays is not
//! disturbed, and what is given up is said.

use std::collections::BTreeSet;

use bus_broker::{BridgeConfig, Broker, SpoolPolicy};
use bus_client::{Client, Name, Selector, Subscriber};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::proxy::Proxy;
use crate::stage::*;

/// Asks a broker about its bridges, or tells it something about one.
async fn ask(client: &Client, asked: Value) -> Value {
    let asked = asked.to_string().into_bytes();
    let reply = client.request("$bus.bridge", asked, PATIENCE).await.expect("answers");
    serde_json::from_slice(reply.payload()).expect("JSON")
}

/// The only bridge that there is.
async fn shown(client: &Client) -> Value {
    ask(client, json!({ "action": "list" })).await["bridges"][0].clone()
}

/// The sessions that bridges have at a broker, and whether they are connected.
async fn sessions(client: &Client) -> BTreeSet<(String, u64, bool)> {
    let clients = client.admin().clients().await.expect("lists");
    let bridges = clients.into_iter().filter(|client| client.sender.name.starts_with("bridge "));
    bridges
        .map(|client| (client.sender.name.to_string(), client.sender.session, client.connected))
        .collect()
}

/// The next event of a bridge that is in this state.
async fn next_event(events: &mut Subscriber, state: &str) -> Value {
    let told = async {
        loop {
            let event = events.next().await.expect("goes on").expect("an event");
            let event: Value = serde_json::from_slice(event.payload()).expect("JSON");
            if event["state"] == state {
                return event;
            }
        }
    };
    timeout(PATIENCE, told).await.expect("it is told")
}

/// How many bridges have begun, changed and ended.
async fn reload(here: &Broker, bridge: BridgeConfig) -> (usize, usize, usize) {
    let bridges = here.reload(config("here", vec![bridge])).await.expect("reloads").bridges;
    assert_eq!(bridges.refused, Vec::<String>::new());
    (bridges.begun, bridges.changed, bridges.ended)
}

#[tokio::test]
async fn what_waits_survives_other_bounds_another_topic_and_another_address() {
    for changed in ["bounds", "policy", "a topic", "wider topics", "the address"] {
        let there = broker("there", Vec::new()).await;
        let proxy = Proxy::start("tcp", &there.urls()[0]).await;
        let other = Proxy::start("tcp", &there.urls()[0]).await;
        let before = bridge("b", &proxy.url, &["out.a"], &["in.>"]);
        let now = match changed {
            "bounds" => before.clone().spool(Some(1 << 30), None, Some(1 << 31)),
            "policy" => before.clone().policy(SpoolPolicy::DropOldest),
            "a topic" => bridge("b", &proxy.url, &["more.>", "out.a"], &["in.>", "others"]),
            "wider topics" => bridge("b", &proxy.url, &["out.>"], &["in.*"]),
            _ => bridge("b", &other.url, &["out.a"], &["in.>"]),
        };
        let here = broker("here", vec![before]).await;
        let (near, far) = (client(&here).await, client(&there).await);
        let mut out = far.subscribe("out.a").await.expect("subscribes");
        let mut incoming = near.subscribe("in.a").await.expect("subscribes");
        let sends = near.publisher("out.a").await.expect("opens");
        let answers = far.publisher("in.a").await.expect("opens");
        let next = find_way(&sends, &mut out, 0).await;
        let back = find_way(&answers, &mut incoming, 0).await;
        proxy.close();
        until("it is away", async || {
            let shown = shown(&near).await;
            shown["out"]["state"] == "connecting" && shown["in"]["state"] == "connecting"
        })
        .await;
        publish(&sends, next..next + 500).await;
        publish(&answers, back..back + 500).await;
        assert_eq!(reload(&here, now).await, (0, 1, 0), "{changed}");
        publish(&sends, next + 500..next + 1000).await;
        publish(&answers, back + 500..back + 1000).await;
        if changed != "the address" {
            proxy.open();
        }
        hears_all(&mut out, next..next + 1000).await;
        hears_all(&mut incoming, back..back + 1000).await;
        publish(&sends, next + 1000..next + 1500).await;
        publish(&answers, back + 1000..back + 1500).await;
        hears_all(&mut out, next + 1000..next + 1500).await;
        hears_all(&mut incoming, back + 1000..back + 1500).await;
        let shown = shown(&near).await;
        for way in ["out", "in"] {
            for lost in ["missed", "abandoned", "unknown", "dropped", "refused"] {
                assert_eq!(shown[way][lost], 0, "{changed}: {shown}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_on_the_bridge_any_more_is_given_up_and_its_number_is_said() {
    let there = broker("there", Vec::new()).await;
    let proxy = Proxy::start("tcp", &there.urls()[0]).await;
    let here = broker("here", vec![bridge("b", &proxy.url, &["gone.>", "out.>"], &[])]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let mut events = near.subscribe("$bus.events").await.expect("subscribes");
    let mut out = far.subscribe("out.a").await.expect("subscribes");
    let mut gone = far.subscribe("gone.a").await.expect("subscribes");
    let sends = near.publisher("out.a").await.expect("opens");
    let goes = near.publisher("gone.a").await.expect("opens");
    let next = find_way(&sends, &mut out, 0).await;
    let last = find_way(&goes, &mut gone, 0).await;
    until("all has arrived", async || shown(&near).await["out"]["lag_messages"] == 0).await;
    proxy.close();
    until("it is away", async || shown(&near).await["out"]["state"] == "connecting").await;
    publish(&sends, next..next + 50).await;
    publish(&goes, last..last + 70).await;
    until("all waits", async || shown(&near).await["out"]["lag_messages"] == 120).await;
    reload(&here, bridge("b", &proxy.url, &["out.>"], &[])).await;
    let event = next_event(&mut events, "changed").await;
    assert_eq!(event["bridge"], "b (out)");
    assert!(
        event["reason"].as_str().is_some_and(|text| text.starts_with("70 messages of `gone.a`")),
        "{event}"
    );
    until("it shows", async || {
        let out = shown(&near).await["out"].clone();
        (&out["abandoned"], &out["lag_messages"]) == (&json!(70), &json!(50))
    })
    .await;
    proxy.open();
    hears_all(&mut out, next..next + 50).await;
}

#[tokio::test]
async fn a_paused_bridge_stays_paused_when_its_table_changes() {
    let there = broker("there", Vec::new()).await;
    let proxy = Proxy::start("tcp", &there.urls()[0]).await;
    let before = bridge("b", &there.urls()[0], &["out.>"], &["in.>"]);
    let here = broker("here", vec![before]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let mut out = far.subscribe("out.a").await.expect("subscribes");
    let sends = near.publisher("out.a").await.expect("opens");
    let next = find_way(&sends, &mut out, 0).await;
    assert_eq!(ask(&near, json!({ "action": "pause", "name": "b" })).await["done"], true);
    until("it pauses", async || shown(&near).await["in"]["state"] == "paused").await;
    publish(&sends, next..next + 100).await;
    // Other topics, another address, and a way that was not there before.
    let now = bridge("b", &proxy.url, &["more", "out.>"], &["in.*"]);
    reload(&here, now.services_out(pattern("calc"))).await;
    until("what begins is paused", async || {
        let shown = shown(&near).await;
        let ways = ["out", "in", "out_services"];
        ways.iter().all(|way| shown[way]["state"] == "paused")
    })
    .await;
    assert!(sessions(&far).await.iter().all(|(_, _, connected)| !connected));
    let (lag, published) = (shown(&near).await["out"]["lag_messages"].clone(), 100);
    assert!(lag.as_u64() >= Some(published), "{lag} wait");
    assert_eq!(ask(&near, json!({ "action": "resume", "name": "b" })).await["done"], true);
    hears_all(&mut out, next..next + 100).await;
}

#[tokio::test]
async fn ways_whose_own_settings_stay_are_not_disturbed() {
    let there = broker("there", Vec::new()).await;
    let url = &there.urls()[0];
    let calls = |bridge: BridgeConfig, text: &str| bridge.services_out(pattern(text));
    let before = calls(bridge("b", url, &["out.>"], &["in.>"]), "calc");
    let here =
        broker("here", vec![before.outgoing_queue(Name::new("jobs").expect("a name"))]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    until("all are there", async || sessions(&far).await.len() == 4).await;
    let all = sessions(&far).await;
    let of = |sessions: &BTreeSet<(String, u64, bool)>, way: &str| {
        let name = format!("bridge b ({way})");
        sessions.iter().find(|(of, _, _)| *of == name).map(|(_, session, _)| *session)
    };
    // The queue goes, the calls are others, more goes out, and what comes in is as it was.
    reload(&here, calls(bridge("b", url, &["out.>", "more"], &["in.>"]), "other.>")).await;
    let mut more = far.subscribe("more").await.expect("subscribes");
    let sends = near.publisher("more").await.expect("opens");
    find_way(&sends, &mut more, 0).await;
    until("the calls begin anew, and the queue ends", async || {
        let now = sessions(&far).await;
        let anew =
            of(&now, "services out").is_some_and(|one| Some(one) != of(&all, "services out"));
        anew && of(&now, "queues out").is_none()
    })
    .await;
    let now = sessions(&far).await;
    for way in ["out", "in"] {
        assert_eq!(of(&now, way), of(&all, way), "{way}");
        assert_eq!(shown(&near).await[way]["reconnects"], 0, "{way}");
    }
}

#[tokio::test]
async fn a_bridge_that_is_removed_while_it_is_away_leaves_no_session_behind() {
    let there = broker("there", Vec::new()).await;
    // Its session would be kept there for longer than anybody waits here.
    let way = bridge("b", &there.urls()[0], &[], &["in.>"]).linger(10 * PATIENCE);
    let here = broker("here", vec![way]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    until("it is there", async || sessions(&far).await.len() == 1).await;
    ask(&near, json!({ "action": "pause", "name": "b" })).await;
    until("it is away", async || sessions(&far).await.iter().all(|(_, _, is_up)| !is_up)).await;
    assert_eq!(sessions(&far).await.len(), 1);
    ask(&near, json!({ "action": "remove", "name": "b" })).await;
    until("it has gone", async || sessions(&far).await.is_empty()).await;
}

#[tokio::test]
async fn a_bridge_that_cannot_say_goodbye_says_what_the_other_broker_keeps() {
    let there = broker("there", Vec::new()).await;
    let proxy = Proxy::start("tcp", &there.urls()[0]).await;
    let here = broker("here", vec![bridge("b", &proxy.url, &[], &["in.>"])]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let mut events = near.subscribe("$bus.events").await.expect("subscribes");
    // It has heard the other broker's Welcome: before that there is nothing to say goodbye to.
    until("it is there", async || shown(&near).await["in"]["state"] == "connected").await;
    assert_eq!(sessions(&far).await.len(), 1);
    proxy.close();
    until("it is away", async || shown(&near).await["in"]["state"] == "connecting").await;
    ask(&near, json!({ "action": "remove", "name": "b" })).await;
    let event = next_event(&mut events, "ended").await;
    assert!(event["reason"].as_str().is_some_and(|text| text.contains("could not be told")));
}

#[tokio::test]
async fn changes_while_messages_flow_lose_and_repeat_nothing() {
    const EACH: u64 = 1000;
    let there = broker("there", Vec::new()).await;
    let url = &there.urls()[0];
    let tables = [
        bridge("b", url, &["out.a"], &["in.>"]),
        bridge("b", url, &["out.>"], &["in.a", "in.b"]),
        bridge("b", url, &["out.*", "x"], &["in.a"]).policy(SpoolPolicy::DropOldest),
        bridge("b", url, &[">"], &["in.*"]).policy(SpoolPolicy::Refuse),
    ];
    let here = broker("here", vec![tables[0].clone()]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let mut out = far.subscribe("out.a").await.expect("subscribes");
    let mut incoming = near.subscribe("in.a").await.expect("subscribes");
    let sends = near.publisher("out.a").await.expect("opens");
    let answers = far.publisher("in.a").await.expect("opens");
    let next = find_way(&sends, &mut out, 0).await;
    let back = find_way(&answers, &mut incoming, 0).await;
    let rounds = 3 * tables.len() as u64;
    let published = async {
        for number in 0..rounds * EACH {
            publish(&sends, next + number..next + number + 1).await;
            publish(&answers, back + number..back + number + 1).await;
            tokio::task::yield_now().await;
        }
    };
    let heard = async {
        for round in 0..rounds {
            let table = &tables[(round as usize + 1) % tables.len()];
            assert_eq!(reload(&here, table.clone()).await, (0, 1, 0));
            let (from, until) = (round * EACH, (round + 1) * EACH);
            hears_all(&mut out, next + from..next + until).await;
            hears_all(&mut incoming, back + from..back + until).await;
        }
    };
    tokio::join!(published, heard);
    for way in ["out", "in"] {
        let shown = shown(&near).await[way].clone();
        for lost in ["missed", "abandoned", "unknown", "dropped", "refused"] {
            assert_eq!(shown[lost], 0, "{shown}");
        }
    }
}

#[tokio::test]
async fn queues_whose_list_changes_begin_anew_and_what_was_out_is_back_at_its_place() {
    let there = broker("there", Vec::new()).await;
    let name = |text: &str| Name::new(text).expect("a name");
    let way = || bridge("b", &there.urls()[0], &[], &[]).queue_mode(0o777);
    let here = broker("here", Vec::new()).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let hosted = async |name: &str| far.admin().queues(name).await.expect("lists").len() == 1;
    let jobs = near.queue("jobs").await.expect("opens");
    near.queue("more").await.expect("opens");
    assert_eq!(reload(&here, way().outgoing_queue(name("jobs"))).await, (1, 0, 0));
    until("it is hosted", async || hosted("jobs").await).await;
    for number in 1..=3_u8 {
        jobs.send(vec![number]).await.expect("sends");
    }
    let away = far.queue("jobs").await.expect("opens");
    let takes = timeout(PATIENCE, away.receive(Selector::Any));
    let out = takes.await.expect("in time").expect("takes");
    assert_eq!(out.payload()[..], [1]);
    let both = way().outgoing_queue(name("jobs")).outgoing_queue(name("more"));
    assert_eq!(reload(&here, both).await, (0, 1, 0));
    until("the new one is hosted", async || hosted("more").await).await;
    until("the old one is again", async || hosted("jobs").await).await;
    until("what was out is back", async || {
        let stat = near.admin().queues("jobs").await.expect("lists").remove(0);
        (stat.messages, stat.leased) == (3, 0)
    })
    .await;
    let away = far.queue("jobs").await.expect("opens");
    for number in 1..=3_u8 {
        let takes = timeout(PATIENCE, away.receive(Selector::Any));
        let delivery = takes.await.expect("in time").expect("takes");
        assert_eq!(delivery.payload()[..], [number]);
        timeout(PATIENCE, delivery.ack()).await.expect("in time").expect("acks");
    }
    drop(out);
}
