//! Calls over bridges: there and back, round loops, through cuts, large and many.

use std::time::Duration;

use bus_broker::BridgeConfig;
use bus_client::{Client, ErrorKind, Server};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::proxy::Proxy;
use crate::stage::*;

/// A bridge to there, by which services here are called there, and services there called here.
fn carrying(name: &str, target: &str, out: &[&str], incoming: &[&str]) -> BridgeConfig {
    let bridge = BridgeConfig::new(name, url(target)).expect("a bridge");
    let bridge = out.iter().fold(bridge, |bridge, text| bridge.services_out(pattern(text)));
    incoming.iter().fold(bridge, |bridge, text| bridge.services_in(pattern(text)))
}

/// Serves a name: the answer is the one who serves, and the question behind it.
async fn serve(client: &Client, name: &str, who: &'static str) -> JoinHandle<()> {
    let mut server = client.serve(name, 64).await.expect("serves");
    tokio::spawn(async move {
        while let Some(Ok(call)) = server.next().await {
            let answer = [who.as_bytes(), call.payload()].concat();
            // The caller may be gone.
            let _ = call.reply(answer);
        }
    })
}

/// Calls until somebody answers: the way is there from then on.
async fn find_server(client: &Client, name: &str) -> Vec<u8> {
    let service = client.service(name).await.expect("opens");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match service.call("?", PATIENCE).await {
            Ok(reply) => return reply.payload().to_vec(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
                assert!(Instant::now() < deadline, "nobody can be reached");
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Calls until nobody serves any more.
async fn find_nobody(client: &Client, name: &str) {
    let service = client.service(name).await.expect("opens");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match service.call("?", PATIENCE).await {
            Err(error) if error.kind() == ErrorKind::Unreachable => return,
            other => assert!(Instant::now() < deadline, "still served: {other:?}"),
        }
        sleep(Duration::from_millis(10)).await;
    }
}

async fn kind_of_call(client: &Client, name: &str) -> ErrorKind {
    let service = client.service(name).await.expect("opens");
    service.call("?", PATIENCE).await.expect_err("fails").kind()
}

#[tokio::test]
async fn a_service_here_is_called_there_and_one_there_is_called_here() {
    let there = broker("there", Vec::new()).await;
    let way = carrying("b", &there.urls()[0], &["here.*"], &["there.*"]);
    let here = broker("here", vec![way]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    assert_eq!(kind_of_call(&far, "here.a").await, ErrorKind::Unreachable);
    let serving = serve(&near, "here.a", "near").await;
    serve(&far, "there.a", "far").await;
    serve(&far, "private", "far").await;
    assert_eq!(find_server(&far, "here.a").await, b"near?");
    assert_eq!(find_server(&near, "there.a").await, b"far?");
    // What is not on the bridge is not served beyond it.
    assert_eq!(kind_of_call(&near, "private").await, ErrorKind::Unreachable);
    // Nor is what nobody serves any more: that is an answer, not a deadline that passes.
    serving.abort();
    find_nobody(&far, "here.a").await;
}

#[tokio::test]
async fn what_a_server_beyond_says_reaches_the_caller_with_its_kind() {
    let there = broker("there", Vec::new()).await;
    let way = carrying("b", &there.urls()[0], &[], &["s"]).prefixes("site", "");
    let here = broker("here", vec![way]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let mut server: Server = far.serve("s", 64).await.expect("serves");
    let service = near.service("site.s").await.expect("opens");
    wait_for_name(&near, "site.s").await;
    let (failed, ()) = tokio::join!(service.call("?", PATIENCE), async {
        let call = server.next().await.expect("goes on").expect("a call");
        // The bridge has called; for whom is told as well.
        let provenance = call.provenance().expect("comes from elsewhere");
        assert_eq!((&*provenance.broker, provenance.hops.len()), ("here", 1));
        assert!(call.sender().name.starts_with("bridge"), "{}", call.sender());
        call.fail("out of paper").expect("answers");
    });
    let failed = failed.expect_err("fails");
    assert_eq!(failed.kind(), ErrorKind::ServiceFailed);
    assert!(failed.to_string().contains("out of paper"), "{failed}");
    // The deadline goes along, and ends the call for the server's broker too.
    let (late, ()) = tokio::join!(service.call("?", Duration::from_millis(50)), async {
        let call = server.next().await.expect("goes on").expect("a call");
        assert!(call.timeout() <= Duration::from_millis(50), "{:?}", call.timeout());
        sleep(Duration::from_millis(60)).await;
    });
    assert_eq!(late.expect_err("is late").kind(), ErrorKind::TimedOut);
}

/// Waits until a name is served.
async fn wait_for_name(client: &Client, name: &str) {
    let deadline = Instant::now() + PATIENCE;
    while client.admin().services(name).await.expect("lists").is_empty() {
        assert!(Instant::now() < deadline, "{name} is not served");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn both_ways_at_once_serve_here_first_and_run_in_no_circles() {
    let one = broker("one", Vec::new()).await;
    let way = carrying("b", &one.urls()[0], &[">"], &[">"]);
    let other = broker("other", vec![way]).await;
    let (near, far) = (client(&other).await, client(&one).await);
    let at_far = serve(&far, "s", "far").await;
    assert_eq!(find_server(&near, "s").await, b"far?");
    let at_near = serve(&near, "s", "near").await;
    for _ in 0..20 {
        assert_eq!(find_server(&near, "s").await, b"near?");
        assert_eq!(find_server(&far, "s").await, b"far?");
    }
    // Each is the other's when his own is gone, and with both gone nobody is anybody's.
    at_near.abort();
    let deadline = Instant::now() + PATIENCE;
    while find_server(&near, "s").await != b"far?" {
        assert!(Instant::now() < deadline, "still served here");
    }
    at_far.abort();
    find_nobody(&near, "s").await;
    find_nobody(&far, "s").await;
}

#[tokio::test]
async fn in_a_ring_of_three_one_server_is_everybodys() {
    let one = broker("one", Vec::new()).await;
    let two = broker("two", vec![carrying("b", &one.urls()[0], &[">"], &[">"])]).await;
    let ways = [&one, &two].map(|broker| broker.urls()[0].clone());
    let to_both = ways.iter().zip(["b", "c"]);
    let bridges = to_both.map(|(target, name)| carrying(name, target, &[">"], &[">"])).collect();
    let three = broker("three", bridges).await;
    let clients = [client(&one).await, client(&two).await, client(&three).await];
    for serving in &clients {
        let server = serve(serving, "s", "ring").await;
        for caller in &clients {
            assert_eq!(find_server(caller, "s").await, b"ring?");
        }
        server.abort();
        for caller in &clients {
            find_nobody(caller, "s").await;
        }
    }
}

#[tokio::test]
async fn a_short_cut_during_calls_changes_nothing_for_them() {
    let there = broker("there", Vec::new()).await;
    let proxy = Proxy::start("tcp", &there.urls()[0]).await;
    let here = broker("here", vec![carrying("b", &proxy.url, &["out"], &["in"])]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let mut near_server = near.serve("out", 64).await.expect("serves");
    let mut far_server = far.serve("in", 64).await.expect("serves");
    wait_for_name(&near, "in").await;
    wait_for_name(&far, "out").await;
    for (caller, name, server) in [(&near, "in", &mut far_server), (&far, "out", &mut near_server)]
    {
        let service = caller.service(name).await.expect("opens");
        // Each cut so soon after the one before makes the next pause longer.
        for _ in 0..3 {
            let (reply, ()) = tokio::join!(service.call("?", PATIENCE), async {
                let call = server.next().await.expect("goes on").expect("a call");
                proxy.cut();
                call.reply("!").expect("answers");
            });
            assert_eq!(&reply.expect("is answered").payload()[..], b"!");
        }
    }
}

#[tokio::test]
async fn calls_to_a_broker_that_is_lost_end_as_unreachable() {
    let there = broker("there", Vec::new()).await;
    let proxy = Proxy::start("tcp", &there.urls()[0]).await;
    let here = broker("here", vec![carrying("b", &proxy.url, &[], &["s"])]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let mut server = far.serve("s", 64).await.expect("serves");
    wait_for_name(&near, "s").await;
    let service = near.service("s").await.expect("opens");
    let (lost, _call) = tokio::join!(service.call("?", PATIENCE), async {
        let call = server.next().await.expect("goes on").expect("a call");
        // Another broker is there from now on: the session is not known to it.
        let other = broker("other", Vec::new()).await;
        proxy.lead_to(&other.urls()[0]);
        (call, other)
    });
    let lost = lost.expect_err("fails");
    assert_eq!(lost.kind(), ErrorKind::Unreachable, "{lost}");
    find_nobody(&near, "s").await;
}

#[tokio::test]
async fn a_link_that_hangs_ends_calls_by_their_own_deadline() {
    let there = broker("there", Vec::new()).await;
    let proxy = Proxy::start("tcp", &there.urls()[0]).await;
    let here = broker("here", vec![carrying("b", &proxy.url, &["out"], &["in"])]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    serve(&near, "out", "near").await;
    serve(&far, "in", "far").await;
    for (caller, name) in [(&near, "in"), (&far, "out")] {
        wait_for_name(caller, name).await;
        let service = caller.service(name).await.expect("opens");
        proxy.hold_up(true, true);
        let late = service.call("?", Duration::from_millis(100)).await.expect_err("is late");
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        proxy.hold_up(false, false);
        let reply = service.call("?", PATIENCE).await.expect("is answered");
        assert!(reply.payload().ends_with(b"r?"));
    }
}

#[tokio::test]
async fn large_calls_and_answers_cross_both_ways() {
    let there = broker("there", Vec::new()).await;
    let way = carrying("b", &there.urls()[0], &["out"], &["in"]);
    let here = broker("here", vec![way]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    serve(&near, "out", "").await;
    serve(&far, "in", "").await;
    let large: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
    for (caller, name) in [(&far, "out"), (&near, "in")] {
        wait_for_name(caller, name).await;
        let service = caller.service(name).await.expect("opens");
        let replies = (0..20).map(|_| service.call(large.clone(), PATIENCE));
        for reply in futures::future::join_all(replies).await {
            assert!(reply.expect("is answered").payload()[..] == large[..]);
        }
    }
}

#[tokio::test]
async fn five_hundred_calls_at_once_are_answered_and_none_holds_up_another_name() {
    let there = broker("there", Vec::new()).await;
    let here = broker("here", vec![carrying("b", &there.urls()[0], &[], &["*"])]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let slow = far.serve_with("slow", 4096, None).await.expect("serves");
    serve(&far, "fast", "fast").await;
    wait_for_name(&near, "slow").await;
    wait_for_name(&near, "fast").await;
    let service = near.service("slow").await.expect("opens");
    let calls: Vec<_> =
        (0..500u64).map(|number| service.call(number.to_le_bytes().to_vec(), PATIENCE)).collect();
    let answering = async {
        let mut server = slow;
        let first = server.next().await.expect("goes on").expect("a call");
        // Nobody answers the first ones, and the other name goes on.
        assert_eq!(find_server(&near, "fast").await, b"fast?");
        first.reply("0").expect("answers");
        for _ in 1..500 {
            let call = server.next().await.expect("goes on").expect("a call");
            let payload = call.payload().clone();
            call.reply(payload.to_vec()).expect("answers");
        }
    };
    let (replies, ()) = tokio::join!(futures::future::join_all(calls), answering);
    assert!(replies.iter().all(Result::is_ok));
}

/// What an operator sees of a bridge's calls.
async fn status(client: &Client, asked: serde_json::Value) -> serde_json::Value {
    let service = client.service("$bus.bridge").await.expect("opens");
    let reply = service.call(asked.to_string(), PATIENCE).await.expect("is answered");
    serde_json::from_slice(reply.payload()).expect("JSON")
}

#[tokio::test]
async fn an_operator_sees_what_is_carried_and_stops_it_for_a_while() {
    let there = broker("there", Vec::new()).await;
    let here = broker("here", vec![carrying("b", &there.urls()[0], &["out.*"], &["in"])]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    serve(&near, "out.a", "near").await;
    let mut server = far.serve("in", 64).await.expect("serves");
    assert_eq!(find_server(&far, "out.a").await, b"near?");
    wait_for_name(&near, "in").await;
    let service = near.service("in").await.expect("opens");
    let list = || json!({ "action": "list" });
    let (failed, ()) = tokio::join!(service.call("?", PATIENCE), async {
        let _call = server.next().await.expect("goes on").expect("a call");
        let seen = status(&near, list()).await;
        let (out, incoming) =
            (&seen["bridges"][0]["out_services"], &seen["bridges"][0]["in_services"]);
        assert_eq!(out["state"], "connected");
        assert_eq!((&out["services"], &out["done"]), (&json!(["out.a"]), &json!(1)), "{out}");
        assert_eq!((&incoming["services"], &incoming["under_way"]), (&json!(["in"]), &json!(1)));
        // Nobody waits for what is stopped.
        status(&near, json!({ "action": "pause", "name": "b" })).await;
    });
    assert_eq!(failed.expect_err("fails").kind(), ErrorKind::Unreachable);
    find_nobody(&near, "in").await;
    find_nobody(&far, "out.a").await;
    status(&near, json!({ "action": "resume", "name": "b" })).await;
    assert_eq!(find_server(&far, "out.a").await, b"near?");
    wait_for_name(&near, "in").await;
    let seen = status(&near, list()).await;
    assert_eq!(seen["bridges"][0]["in_services"]["failed"], 1, "{seen}");
}
