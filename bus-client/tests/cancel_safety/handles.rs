//! Connecting, opening, asking and draining.

use std::time::Duration;

use bus_client::{
    Client, ClientEvent, ClientOptions, Error, Queue, QueueChange, QueueOptions, Selector,
};

use futures::FutureExt;

use crate::world::{World, nothing};

#[tokio::test]
async fn opening_a_queue_is_done_or_undone() {
    let world = World::new().await;
    let (_mine, _theirs) = world.queues("q", QueueOptions::default()).await;
    let open = async || world.client.queue("q").await;
    let check = async |result: Option<Result<Queue, Error>>| {
        let opened = result.is_some();
        let held = result.map(|result| result.expect("opens"));
        world.settle().await;
        assert_eq!(world.stat("q").await.handles, 2 + u64::from(opened));
        drop(held);
        world.settle().await;
        assert_eq!(world.stat("q").await.handles, 2, "no handle is left behind");
    };
    assert!(world.at_each_point(open, nothing, check).await >= 2);
}

#[tokio::test]
async fn an_attempt_to_connect_that_is_given_up_leaves_no_session() {
    let world = World::new().await;
    let sessions = async || world.other.admin().broker().await.expect("answers").sessions;
    let before = sessions().await;
    for url in [world.broker.url(), world.broker.urls()[0].as_str()] {
        // The broker may have let it in already: that session has its grace.
        let options = || ClientOptions::default().grace(Duration::from_millis(50));
        let connect = async || Client::connect_with(url, options()).await;
        let check = async |result: Option<Result<Client, Error>>| {
            drop(result.map(|result| result.expect("connects")));
            let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
            while sessions().await > before {
                assert!(tokio::time::Instant::now() < deadline, "a session is left behind");
            }
        };
        world.at_each_point(connect, nothing, check).await;
    }
}

#[tokio::test]
async fn questions_that_are_given_up_do_no_harm() {
    let world = World::new().await;
    let (queue, _theirs) = world.queues("q", QueueOptions::default()).await;
    for kind in 0..5 {
        let ask = async || match kind {
            0 => world.client.ping().await.map(drop),
            1 => world.client.admin().stat("q").await.map(drop),
            2 => world.client.admin().broker().await.map(drop),
            3 => world.client.admin().clients().await.map(drop),
            _ => {
                let change = QueueChange { count_max: Some(7), ..QueueChange::default() };
                world.client.admin().set_queue("q", change).await
            }
        };
        let check = async |result: Option<Result<(), Error>>| {
            if let Some(result) = result {
                result.expect("it may");
            }
            queue.send("one").await.expect("goes on");
            let delivery = queue.receive(Selector::Any).await.expect("goes on");
            delivery.ack().await.expect("goes on");
        };
        assert!(world.at_each_point(ask, nothing, check).await >= 2);
    }
}

#[tokio::test]
async fn a_drain_that_is_given_up_leaves_the_client_as_it_is() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default().count_max(1)).await;
    theirs.send("first").await.expect("there is room");
    let blocked = queue.post("blocked").await.expect("posts");
    let drain = async || world.client.clone().drain(Duration::from_secs(60)).await;
    for (polls, answered) in [(1, false), (1, true), (2, true), (3, true)] {
        let report = world.cut_short(polls, answered, &drain, &nothing).await;
        assert!(report.is_none(), "a send is still undecided");
        world.client.ping().await.expect("it goes on");
    }
    let first = theirs.try_receive(Selector::Any).await.expect("it is there");
    first.ack().await.expect("in time");
    blocked.await.expect("there is room now");
    let report = drain().await;
    assert_eq!((report.undecided, report.unsent_bytes), (0, 0));
}

#[tokio::test]
async fn waiting_for_an_event_loses_none() {
    let world = World::new().await;
    let events = tokio::sync::Mutex::new(world.client.events());
    let next = async || events.try_lock().expect("one at a time").next().await;
    for (polls, answered) in [(1, false), (1, true), (2, true)] {
        assert!(world.cut_short(polls, answered, &next, &nothing).await.is_none());
    }
    world.client.clone().drain(Duration::from_secs(5)).await;
    assert!(matches!(next().await, Some(ClientEvent::Closed { .. })));
    assert!(next().await.is_none());
}

#[tokio::test]
async fn answers_that_nobody_waits_for_take_no_memory() {
    const LENGTH: usize = 8 * 1024;
    let world = World::new().await;
    let (queue, _theirs) = world.queues("q", QueueOptions::default()).await;
    queue.send(vec![7; LENGTH]).await.expect("there is room");
    let count = 10_000;
    let mut grown = usize::MAX;
    // Other tests of this process take memory too, at one time or another; what stays does so each time.
    for _ in 0..3 {
        let before = resident_bytes();
        for number in 0..count {
            // Each is asked, and given up before its answer.
            assert!(queue.peek(Selector::Any, 0).now_or_never().is_none());
            if number % 50 == 49 {
                world.client.ping().await.expect("goes on");
            }
        }
        world.settle().await;
        grown = grown.min(resident_bytes().saturating_sub(before));
    }
    assert!(grown < count * LENGTH / 3, "{grown} bytes have stayed");
}

/// What this process has in memory.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is told");
    let kib = line.split_whitespace().nth(1).expect("a number");
    kib.parse::<usize>().expect("a number") * 1024
}
