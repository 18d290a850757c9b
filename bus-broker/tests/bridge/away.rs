//! What clients of one broker are told of a queue whose home, the other broker, is away or does not
//! give it.

use std::time::Duration;

use bus_broker::{Allowance, BridgeConfig, Broker, BrokerConfig, Deed, Policy, Who};
use bus_client::{Client, Error, ErrorKind, Message, Queue, Selector};
use serde_json::json;
use tokio::time::timeout;

use crate::queues::{Two, name, open_to_all, until, way};
use crate::stage::*;

const SHORT: Duration = Duration::from_millis(30);

/// It is of this kind, and its sentence has all these parts.
#[track_caller]
fn says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
    }
}

/// Verbs that wait end by their deadline, and the others at once; all say that the home is away.
async fn says_that_it_is_away(queue: &Queue, parts: &[&str]) {
    until(async || queue.trouble().await.expect("is told").is_some()).await;
    let parts = [parts, &["cannot be reached", "`jobs`", "bridge `b`"]].concat();
    let sent = queue.send_timeout("x", SHORT).await.expect_err("nobody takes it");
    says(&sent, ErrorKind::TimedOut, &parts);
    let taken = queue.receive_timeout(Selector::Any, SHORT).await.expect_err("nothing comes");
    says(&taken, ErrorKind::TimedOut, &parts);
    says(&queue.try_send("x").await.expect_err("away"), ErrorKind::Unreachable, &parts);
    let taken = queue.try_receive(Selector::Any).await.expect_err("away");
    says(&taken, ErrorKind::Unreachable, &parts);
    let shown = queue.peek(Selector::Any, 0).await.expect_err("away");
    says(&shown, ErrorKind::Unreachable, &parts);
    let trouble = queue.trouble().await.expect("is told").expect("there is some");
    assert!(parts.iter().all(|part| trouble.contains(part)), "{trouble}");
}

/// All verbs end at once, or as soon as the home has been asked again, and say why.
async fn says_that_it_is_refused(queue: &Queue, kind: ErrorKind, parts: &[&str]) {
    let long = Message::from(vec![0; 1 << 20]);
    let consumed = async {
        // What only the home knows comes after it has begun.
        match queue.consumer(Selector::Any, 8).await {
            Ok(mut consumer) => consumer.next().await.expect("ends").expect_err("refused"),
            Err(error) => error,
        }
    };
    let all = async {
        tokio::join!(
            queue.send("x"),
            queue.send(long),
            queue.send_timeout("x", PATIENCE),
            queue.receive(Selector::Any),
            consumed
        )
    };
    let (sent, long, timed, taken, consumed) = timeout(PATIENCE, all).await.expect("nobody waits");
    for sent in [sent, long, timed] {
        says(&sent.expect_err("refused"), kind, parts);
    }
    says(&taken.expect_err("refused"), kind, parts);
    says(&consumed, kind, parts);
    says(&queue.try_send("x").await.expect_err("refused"), kind, parts);
    says(&queue.try_receive(Selector::Any).await.expect_err("refused"), kind, parts);
    says(&queue.peek(Selector::Any, 0).await.expect_err("refused"), kind, parts);
}

async fn guest_of(url_there: &str, queue: &str) -> (Broker, Client) {
    let guest = broker("here", vec![way(url_there).incoming_queue(name(queue))]).await;
    let far = client(&guest).await;
    until(async || far.admin().queues(queue).await.expect("lists").len() == 1).await;
    (guest, far)
}

#[tokio::test]
async fn home_that_was_never_reached_is_named_by_where_it_is_looked_for() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    let there = format!("tcp://{}", nobody.local_addr().expect("an address"));
    drop(nobody);
    let (_guest, far) = guest_of(&there, "jobs").await;
    let jobs = far.queue("jobs").await.expect("opens");
    assert!(jobs.is_hosted());
    says_that_it_is_away(&jobs, &[&format!("broker `{there}`"), "refused"]).await;
}

#[tokio::test]
async fn home_that_is_cut_off_is_named() {
    for two in Two::both().await {
        assert_eq!(two.away.trouble().await.expect("is told"), None);
        two.proxy.close();
        two.proxy.cut();
        let home = if two.goes_out { "broker `here`" } else { "broker `there`" };
        says_that_it_is_away(&two.away, &[home]).await;
        // Who waits goes on when it is back.
        let away = two.away.clone();
        let sending = tokio::spawn(async move { away.send("y").await });
        two.proxy.open();
        timeout(PATIENCE, sending).await.expect("in time").expect("runs").expect("sends");
    }
}

#[tokio::test]
async fn paused_bridge_is_why_the_home_is_away() {
    for two in Two::both().await {
        let bridged = if two.goes_out { &two.home } else { &two.guest };
        let operator = client(bridged).await;
        ask_bridges(&operator, json!({ "action": "pause", "name": "b" })).await;
        let why = if two.goes_out { "not connected" } else { "paused" };
        says_that_it_is_away(&two.away, &[why]).await;
        ask_bridges(&operator, json!({ "action": "resume", "name": "b" })).await;
        timeout(PATIENCE, two.away.send("y")).await.expect("in time").expect("sends");
    }
}

#[tokio::test]
async fn queue_that_is_not_there_at_home_is_not_found_and_is_used_once_it_is() {
    for goes_out in [true, false] {
        let there = broker("there", Vec::new()).await;
        let way = way(&there.urls()[0]);
        let way = match goes_out {
            true => way.outgoing_queue(name("jobs")),
            false => way.incoming_queue(name("jobs")),
        };
        let here = broker("here", vec![way]).await;
        let (home, guest) = if goes_out { (&here, &there) } else { (&there, &here) };
        let (near, far) = (client(home).await, client(guest).await);
        until(async || far.admin().queues("jobs").await.expect("lists").len() == 1).await;
        let jobs = far.queue("jobs").await.expect("opens");
        let at = if goes_out {
            "at broker `here`, over bridge `b`"
        } else {
            "at broker `there`, over bridge `b`"
        };
        says_that_it_is_refused(
            &jobs,
            ErrorKind::NotFound,
            &["no queue `jobs`", at, "create it there"],
        )
        .await;
        // The bridge has not made one, which would have been its own.
        assert_eq!(near.admin().queues("jobs").await.expect("lists").len(), 0);
        near.queue_with("jobs", open_to_all()).await.expect("creates");
        until(async || jobs.try_send("x").await.is_ok()).await;
    }
}

#[tokio::test]
async fn refusal_of_the_home_names_the_right_and_the_broker() {
    let all = |deeds: &[Deed], names: &str| {
        let to_all = Allowance::to(Who::Everybody);
        deeds.iter().fold(to_all, |to_all, deed| to_all.grant(*deed, pattern(names)))
    };
    let policy = Policy::new(vec![
        all(&[Deed::Create, Deed::Administer], ">"),
        all(&[Deed::Bridge], "sealed.>"),
    ]);
    let config: BrokerConfig = config("there", Vec::<BridgeConfig>::new()).policy(policy);
    let there = Broker::start(config).await.expect("starts");
    let maker = client(&there).await;
    for queue in ["sealed.jobs", "jobs"] {
        maker.queue_with(queue, open_to_all()).await.expect("creates");
    }
    let (_guest, far) = guest_of(&there.urls()[0], "jobs").await;
    let jobs = far.queue("jobs").await.expect("opens");
    let at = "at broker `there`, over bridge `b`";
    says_that_it_is_refused(&jobs, ErrorKind::PermissionDenied, &["`bridge`", "`jobs`", at]).await;
    let (_other, far) = guest_of(&there.urls()[0], "sealed.jobs").await;
    let sealed = far.queue("sealed.jobs").await.expect("opens");
    until(async || sealed.trouble().await.expect("is told").is_none()).await;
    says_that_it_is_refused(&sealed, ErrorKind::PermissionDenied, &["`sealed.jobs`", at]).await;
    let sent = sealed.try_send("x").await.expect_err("is refused");
    says(&sent, ErrorKind::PermissionDenied, &["`send`"]);
}
