//! Sends: a message is in the queue once or not at all, and nothing stays reserved.

use std::time::Duration;

use bus_client::{Error, ErrorKind, Queue, QueueOptions, Receipt, Selector};

use crate::world::{World, drain, nothing};

const LARGE: usize = 100_000;

fn large() -> Vec<u8> {
    vec![b'x'; LARGE]
}

/// After a send with room: it was handed over at the first poll, and is there once.
async fn sent_once(world: &World, queue: &Queue, result: Option<Result<Receipt, Error>>) {
    if let Some(result) = result {
        result.expect("there is room");
    }
    world.settle().await;
    assert_eq!(drain(queue).await, ["small"]);
    assert_eq!(world.stat("q").await.blocked, 0);
}

#[tokio::test]
async fn sends_with_room_are_there_once() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default()).await;
    let check = async |result| sent_once(&world, &theirs, result).await;
    let send = async || queue.send("small").await;
    assert!(world.at_each_point(send, nothing, check).await >= 2);
    let send = async || queue.try_send("small").await;
    assert!(world.at_each_point(send, nothing, check).await >= 2);
    let send = async || queue.send_timeout("small", Duration::from_secs(60)).await;
    assert!(world.at_each_point(send, nothing, check).await >= 2);
    let post = async || queue.post("small").await?.await;
    assert!(world.at_each_point(post, nothing, check).await >= 2);
    let permit = async || queue.reserve().await?.send("small")?.await;
    assert!(world.at_each_point(permit, nothing, check).await >= 2);
}

#[tokio::test]
async fn a_blocked_send_that_is_dropped_is_taken_back() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default().count_max(1)).await;
    theirs.send("first").await.expect("there is room");
    let limit = Duration::from_secs(60);
    let is_blocked = async || assert_eq!(world.stat("q").await.blocked, 1);
    for (polls, answered) in [(1, false), (1, true), (2, true), (3, true)] {
        for body in ["small".into(), large()] {
            let send = async || queue.send(body.clone()).await;
            assert!(world.cut_short(polls, answered, &send, &is_blocked).await.is_none());
            world.until("q", |stat| stat.blocked == 0).await;
            let send = async || queue.send_timeout(body.clone(), limit).await;
            assert!(world.cut_short(polls, answered, &send, &is_blocked).await.is_none());
            world.until("q", |stat| stat.blocked == 0).await;
        }
    }
    let stat = world.stat("q").await;
    assert_eq!((stat.messages, stat.accepted), (1, 1));
    assert_eq!(drain(&theirs).await, ["first"]);
}

#[tokio::test]
async fn a_blocked_send_that_finds_room_is_there_once() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default().count_max(1)).await;
    theirs.send("first").await.expect("there is room");
    let make_room = async || {
        assert_eq!(world.stat("q").await.blocked, 1);
        let first = theirs.try_receive(Selector::Any).await.expect("it is there");
        first.ack().await.expect("in time");
    };
    let check = async |result: Option<Result<Receipt, Error>>| {
        if let Some(result) = result {
            result.expect("there was room at last");
        }
        world.settle().await;
        assert_eq!(drain(&theirs).await, ["blocked"], "it came in before it was dropped");
        theirs.try_send("first").await.expect("no room is kept");
    };
    let send = async || queue.send("blocked").await;
    assert!(world.at_each_point(send, make_room, check).await >= 2);
    let send = async || queue.send_timeout("blocked", Duration::from_secs(60)).await;
    assert!(world.at_each_point(send, make_room, check).await >= 2);
}

#[tokio::test]
async fn an_offered_send_is_taken_back_or_there_once_and_keeps_no_room() {
    let world = World::new().await;
    // Room for one of them.
    let options = QueueOptions::default().bytes_max(LARGE as u64 + 100);
    let (queue, theirs) = world.queues("q", options).await;
    let check = async |result: Option<Result<Receipt, Error>>| {
        let came_in = result.is_some();
        if let Some(result) = result {
            result.expect("there is room");
        }
        // Whatever is still under way comes in, or is taken back.
        world.settle().await;
        let found = drain(&theirs).await;
        assert!(found.len() <= 1, "{found:?}");
        assert!(!came_in || found == [format!("{LARGE} bytes")], "{found:?}");
        let stat = world.stat("q").await;
        assert_eq!((stat.blocked, stat.messages, stat.leased), (0, 0, 0));
        theirs.try_send(large()).await.expect("no room is kept");
        assert_eq!(drain(&theirs).await.len(), 1);
    };
    let send = async || queue.send(large()).await;
    assert!(world.at_each_point(send, nothing, check).await >= 2);
    let send = async || queue.try_send(large()).await;
    assert!(world.at_each_point(send, nothing, check).await >= 2);
    let send = async || queue.send_timeout(large(), Duration::from_secs(60)).await;
    assert!(world.at_each_point(send, nothing, check).await >= 2);
}

#[tokio::test]
async fn many_sends_at_once_are_each_there_once_and_in_order() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default()).await;
    let bodies = || (0..40).map(|number| format!("{number}"));
    let send = async || queue.send_all(bodies()).await;
    let check = async |result: Option<Result<usize, Error>>| {
        if let Some(result) = result {
            assert_eq!(result.expect("there is room"), 40);
        }
        world.settle().await;
        let found = drain(&theirs).await;
        let expected: Vec<String> = bodies().take(found.len()).collect();
        assert_eq!(found, expected, "those before the cut, in order");
    };
    world.at_each_point(send, nothing, check).await;
}

#[tokio::test]
async fn a_deadline_that_passes_leaves_nothing() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default().count_max(1)).await;
    theirs.send("first").await.expect("there is room");
    let limit = Duration::from_millis(5);
    let send = async || queue.send_timeout("late", limit).await;
    // Not for a result: for the deadline to pass. The broker's clock is the real one.
    let pass = async || tokio::time::sleep(2 * limit).await;
    let check = async |result: Option<Result<Receipt, Error>>| {
        if let Some(result) = result {
            assert_eq!(result.expect_err("the time is up").kind(), ErrorKind::TimedOut);
        }
        world.settle().await;
        let stat = world.stat("q").await;
        assert_eq!((stat.blocked, stat.messages, stat.accepted), (0, 1, 1));
    };
    assert!(world.at_each_point(send, pass, check).await >= 2);
}

#[tokio::test]
async fn peeking_takes_nothing() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default()).await;
    theirs.send("there").await.expect("there is room");
    let peek = async || queue.peek(Selector::Any, 0).await;
    let check = async |result: Option<Result<bus_client::Peeked, Error>>| {
        if let Some(result) = result {
            assert_eq!(result.expect("it is there").message.payload(), "there");
        }
        world.settle().await;
        let stat = world.stat("q").await;
        assert_eq!((stat.messages, stat.leased, stat.delivered), (1, 0, 0));
    };
    assert!(world.at_each_point(peek, nothing, check).await >= 2);
}
