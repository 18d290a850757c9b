//! Queues that are bridged in a circle, so that they live nowhere; and what is told of a queue where
//! it is hosted.

use bus_broker::{BridgeConfig, Broker};
use bus_client::{
    Client, Error, ErrorKind, Message, MessageType, Name, Object, Queue, QueueChange, QueueOptions,
    Selector,
};
use serde_json::json;
use tokio::time::timeout;

use crate::stage::*;

/// Each broker has `jobs` from the one before it, and the first one from the last.
async fn circle(count: usize) -> Vec<Broker> {
    let mut brokers = vec![broker("first", Vec::new()).await];
    for _ in 1..count {
        let before = &brokers[brokers.len() - 1].urls()[0];
        let way = BridgeConfig::new("b", url(before)).expect("a bridge").queue_mode(0o777);
        let way = way.incoming_queue(Name::new("jobs").expect("a name"));
        brokers.push(broker("further", vec![way]).await);
    }
    let last = &brokers[count - 1].urls()[0];
    let config = format!(
        "[[bridge]]\nname = \"b\"\nurl = \"{last}\"\nin_queues = [\"jobs\"]\nqueue_mode = \"0777\"\n"
    );
    let asked = json!({ "action": "add", "config": config });
    let answer = ask_bridges(&client(&brokers[0]).await, asked).await;
    assert_eq!(answer["done"], true, "{answer}");
    brokers
}

/// What each verb says: in time, or not at all.
async fn answers(queue: &Queue) -> Vec<(&'static str, Option<ErrorKind>)> {
    let job = || Message::new(MessageType::ONE, "a job");
    let long = || Message::new(MessageType::ONE, vec![7; 100_000]);
    async fn kind<T>(future: impl Future<Output = Result<T, Error>>) -> Option<ErrorKind> {
        timeout(PATIENCE, future).await.ok()?.err().map(|error| error.kind())
    }
    let consumed = async {
        let mut consumer = queue.consumer(Selector::Any, 8).await?;
        consumer.next().await.map_or(Ok(()), |next| next.map(drop))
    };
    vec![
        ("receive", kind(queue.receive(Selector::Any)).await),
        ("try_receive", kind(queue.try_receive(Selector::Any)).await),
        ("consume", kind(consumed).await),
        ("send", kind(queue.send(job())).await),
        ("try_send", kind(queue.try_send(job())).await),
        ("send, long", kind(queue.send(long())).await),
        ("try_send, long", kind(queue.try_send(long())).await),
        ("peek", kind(queue.peek(Selector::Any, 0)).await),
    ]
}

async fn all_verbs_say_loop(count: usize) {
    let brokers = circle(count).await;
    for broker in &brokers {
        let client = client(broker).await;
        let open = || client.queue_with("jobs", QueueOptions::default().must_exist());
        until("it is hosted", async || open().await.is_ok()).await;
        let queue = open().await.expect("opens");
        until("the circle is found", async || {
            let answer = timeout(PATIENCE, queue.try_receive(Selector::Any)).await;
            answer.is_ok_and(|it| it.is_err_and(|error| error.kind() == ErrorKind::Loop))
        })
        .await;
        let told = answers(&queue).await;
        let other: Vec<_> =
            told.iter().filter(|(_, kind)| *kind != Some(ErrorKind::Loop)).collect();
        assert!(other.is_empty(), "{other:?}");
    }
}

#[tokio::test]
async fn a_queue_of_two_brokers_that_have_it_from_each_other_says_so_whatever_is_asked() {
    all_verbs_say_loop(2).await;
}

#[tokio::test]
async fn a_queue_that_goes_round_three_brokers_says_so_whatever_is_asked() {
    all_verbs_say_loop(3).await;
}

#[tokio::test]
async fn where_a_queue_is_hosted_it_is_told_where_it_lives() {
    let there = broker("there", Vec::new()).await;
    let home: Client = client(&there).await;
    home.queue_with("jobs", QueueOptions::default().mode(0o777)).await.expect("opens");
    let way = BridgeConfig::new("b", url(&there.urls()[0])).expect("a bridge").queue_mode(0o777);
    let way = way.incoming_queue(Name::new("jobs").expect("a name"));
    let here = broker("here", vec![way]).await;
    let guest = client(&here).await;
    until("it is reached", async || {
        let all = guest.admin().queues("jobs").await.expect("lists");
        all.first().and_then(|stat| stat.hosted.as_ref()).is_some_and(|hosted| hosted.reachable)
    })
    .await;
    let epoch = home.admin().broker().await.expect("tells").epoch;
    let stat = guest.admin().queues("jobs").await.expect("lists").remove(0);
    let hosted = stat.hosted.expect("it is hosted");
    assert_eq!((hosted.bridge.as_str(), hosted.home), ("bridge b (queues in)", Some(epoch)));
    assert_eq!(home.admin().queues("jobs").await.expect("lists")[0].hosted, None);
    let change = QueueChange { count_max: Some(3), ..QueueChange::default() };
    let refused = [
        guest.admin().purge(Object::Queue, "jobs").await.map(drop),
        guest.admin().retire(Object::Queue, "jobs").await.map(drop),
        guest.admin().remove(Object::Queue, "jobs").await.map(drop),
        guest.admin().set_queue("jobs", change).await.map(drop),
    ];
    for refused in refused {
        let error = refused.expect_err("it is its home's");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        for part in [&*format!("{epoch:016x}"), "bridge b (queues in)", "do that at its home"] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
    }
}
