//! What the other broker does not let a bridge do: it is said as soon as that broker is there, and
//! when it changes.

use bus_broker::{Allowance, BridgeConfig, BrokerConfig, Deed, Policy, TokenHash, User, Who};
use bus_client::{Client, Error, ErrorKind, Name, QueueOptions, Token, UserName};
use serde_json::{Value, json};

use crate::queues::{name, open_to_all, way};
use crate::stage::*;

/// A broker's settings where everybody may do everything, but bridge these only.
fn there(bridged: &[&str]) -> BrokerConfig {
    let others = Deed::ALL.iter().filter(|deed| **deed != Deed::Bridge);
    let all =
        others.fold(Allowance::to(Who::Everybody), |all, deed| all.grant(*deed, pattern(">")));
    let all = bridged.iter().fold(all, |all, text| all.grant(Deed::Bridge, pattern(text)));
    config("there", Vec::new()).policy(Policy::new(vec![all]))
}

/// The only bridge that there is.
async fn shown(client: &Client) -> Value {
    ask_bridges(client, json!({ "action": "list" })).await["bridges"][0].clone()
}

/// What is said to be denied on one way, once that is so much.
async fn denied(client: &Client, way: &str, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    until("it is not said what is denied", async || {
        let bridge = shown(client).await;
        found = bridge[way]["denied"].as_array().cloned().unwrap_or_default();
        found.len() == count
    })
    .await;
    found
}

async fn until_state(client: &Client, way: &str, state: &str) {
    let mut last = Value::Null;
    until("it has another state", async || {
        last = shown(client).await;
        last[way]["state"] == state
    })
    .await;
}

#[tokio::test]
async fn what_may_not_cross_is_said_before_there_is_anything_to_carry() {
    let there = bus_broker::Broker::start(there(&["ok.>", "jobs"])).await.expect("starts");
    let way = bridge("b", &there.urls()[0], &["ok.t", "no.t", "*.u"], &["no.in"]);
    let way = way.services_out(pattern("no.s")).services_in(pattern("no.r"));
    let way = way.outgoing_queue(Name::new("no.q").expect("a name"));
    let here = broker("here", vec![way]).await;
    let near = client(&here).await;
    let mut said = denied(&near, "out", 2).await;
    said.sort_by_key(|one| one["pattern"].to_string());
    assert_eq!((&said[0]["pattern"], &said[0]["in_part"]), (&json!("*.u"), &json!(true)));
    assert_eq!((&said[1]["pattern"], &said[1]["in_part"]), (&json!("no.t"), &json!(false)));
    assert!(
        said[0]["reason"].as_str().is_some_and(|text| text.contains("only `ok.u`")),
        "{said:?}"
    );
    let reason = said[1]["reason"].as_str().expect("a text");
    for part in ["`no.t`", "broker `there`", "`bridge`", "[[allow]]", "anonymous"] {
        assert!(reason.contains(part), "{reason} lacks {part}");
    }
    // Something crosses that way, and nothing on the others.
    until_state(&near, "out", "connected").await;
    let bridge = shown(&near).await;
    assert!(bridge["out"]["last_error"].as_str().is_some_and(|text| text.contains("[[allow]]")));
    for (way, pattern) in [("in", "no.in"), ("out_services", "no.s"), ("in_services", "no.r")] {
        assert_eq!(denied(&near, way, 1).await[0]["pattern"], pattern);
        until_state(&near, way, "refused").await;
        let error = shown(&near).await[way]["last_error"].to_string();
        assert!(error.contains(pattern) && error.contains("[[allow]]"), "{error}");
    }
    until("the queue says so too", async || {
        let error = shown(&near).await["out_queues"]["queues"][0]["last_error"].to_string();
        error.contains("no.q") && error.contains("[[allow]]")
    })
    .await;
}

#[tokio::test]
async fn a_right_that_is_taken_or_given_is_told_while_the_bridge_is_connected() {
    let far = bus_broker::Broker::start(there(&[">"])).await.expect("starts");
    let here = broker("here", vec![bridge("b", &far.urls()[0], &["a", "b"], &["c"])]).await;
    let near = client(&here).await;
    until_state(&near, "out", "connected").await;
    until_state(&near, "in", "connected").await;
    assert_eq!(shown(&near).await["out"]["denied"], json!([]));
    far.reload(there(&["a"])).await.expect("reloads");
    assert_eq!(denied(&near, "out", 1).await[0]["pattern"], "b");
    until_state(&near, "in", "refused").await;
    assert_eq!(shown(&near).await["out"]["state"], "connected");
    far.reload(there(&[">"])).await.expect("reloads");
    denied(&near, "out", 0).await;
    until_state(&near, "in", "connected").await;
    let mut subscriber = client(&far).await.subscribe("b").await.expect("subscribes");
    let publisher = near.publisher("b").await.expect("opens");
    find_way(&publisher, &mut subscriber, 0).await;
    // The connections were never made again.
    assert_eq!(shown(&near).await["in"]["reconnects"], 0);
}

#[tokio::test]
async fn a_bridge_that_is_not_known_there_is_refused_until_it_is() {
    let token = |digit: &str| Token::new(&format!("bus_{}", digit.repeat(64))).expect("a token");
    let user = UserName::new("beta").expect("a name");
    let known = User::new(user).token(TokenHash::of(&token("1")));
    let far = bus_broker::Broker::start(there(&[">"]).user(known)).await.expect("starts");
    let target = far.urls()[0].clone();
    let way = |text: &str| -> BridgeConfig { bridge("b", &target, &["a"], &[]).token(token(text)) };
    let here = broker("here", vec![way("2")]).await;
    let near = client(&here).await;
    until_state(&near, "out", "refused").await;
    assert!(shown(&near).await["out"]["last_error"].to_string().contains("token"));
    let better = config("here", vec![way("1")]);
    here.reload(better).await.expect("reloads");
    until_state(&near, "out", "connected").await;
}

/// Sends to the queue as it is here now.
async fn send(client: &Client) -> Result<(), Error> {
    let jobs = client.queue_with("jobs", QueueOptions::default().must_exist()).await?;
    jobs.try_send("x").await.map(drop)
}

#[tokio::test]
async fn the_right_to_carry_a_queue_is_taken_from_a_bridge_that_carries_it() {
    let far = bus_broker::Broker::start(there(&[">"])).await.expect("starts");
    let maker = client(&far).await;
    maker.queue_with("jobs", open_to_all()).await.expect("creates");
    let here = broker("here", vec![way(&far.urls()[0]).incoming_queue(name("jobs"))]).await;
    let near = client(&here).await;
    until("it is not carried", async || send(&near).await.is_ok()).await;
    far.reload(there(&["others"])).await.expect("reloads");
    until("the right is not taken", async || {
        send(&near).await.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    })
    .await;
    far.reload(there(&[">"])).await.expect("reloads");
    until("the right is not given", async || send(&near).await.is_ok()).await;
}

#[tokio::test]
async fn one_queue_of_two_that_is_not_carried_is_told_also_the_second_time() {
    let far = bus_broker::Broker::start(there(&[">"])).await.expect("starts");
    let maker = client(&far).await;
    for queue in ["first", "second"] {
        maker.queue_with(queue, open_to_all()).await.expect("creates");
    }
    let both = way(&far.urls()[0]).incoming_queue(name("first")).incoming_queue(name("second"));
    let here = broker("here", vec![both]).await;
    let near = client(&here).await;
    // Which of the two are carried, and what is told of them together.
    let stand = async |first: bool, second: bool| {
        let mut told = Value::Null;
        until("they are carried otherwise", async || {
            told = shown(&near).await["in_queues"].clone();
            let queues = &told["queues"];
            queues[0]["carried"] == first && queues[1]["carried"] == second
        })
        .await;
        (told["last_error"].to_string(), told["last_error_over_ms"].clone())
    };
    stand(true, true).await;
    for (left, missing) in [("second", "`first`"), ("first", "`second`"), ("second", "`first`")] {
        far.reload(there(&[left])).await.expect("reloads");
        let (text, over) = stand(left == "first", left == "second").await;
        assert!(text.contains(missing) && over.is_null(), "{missing}: {text}, over for {over}");
        far.reload(there(&[">"])).await.expect("reloads");
        let (text, over) = stand(true, true).await;
        assert!(text.contains(missing) && over.is_u64(), "{missing}: {text}, over for {over}");
    }
}
