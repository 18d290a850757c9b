//! Points 7 and 19 once more: processes that die, which only the local transport tells at once.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use bus_client::{QueueOptions, Selector};

use crate::bus::{soon, start, stat, text, until, until_stat};
use crate::process::Process;

/// A child that holds two deliveries of a queue, of which it has looked at one, is killed.
/// Gives how long the broker took to give them back, if it did within a second.
async fn killed(index: usize) -> Option<Duration> {
    let bus = start().await.into_iter().nth(index).expect("one of five");
    let admin = bus.admin().await;
    let queue = bus.queue(&admin, "q").await;
    queue.send_all(["a", "b", "c"]).await.expect("sends");
    let task = format!("{} {} hold", bus.url, queue.name());
    let mut child = Process::start(None, &task).expect("it is this user's");
    assert_eq!(child.line().await.as_deref(), Some("holding"));
    until_stat(&admin, &queue, |stat| stat.leased == 2).await;
    let before = Instant::now();
    child.kill().await;
    until("the broker has seen it go", async || {
        let clients = admin.admin().clients().await.expect("answers");
        clients.iter().filter(|client| client.connected).count() == 1
    })
    .await;
    while stat(&admin, &queue).await.leased > 0 {
        if before.elapsed() > Duration::from_secs(1) {
            return None;
        }
    }
    for (body, attempt) in [("a", 1), ("b", 0), ("c", 0)] {
        let delivery = soon(queue.receive(Selector::Any)).await.expect("a delivery");
        assert_eq!((text(delivery.payload()), delivery.attempt()), (body, attempt));
        delivery.ack().await.expect("in time");
    }
    Some(before.elapsed())
}

#[tokio::test]
async fn point_19_a_killed_local_process_gives_its_leases_back_at_once() {
    for index in [1, 2] {
        let took = killed(index).await;
        assert!(took.is_some(), "its grace of 10 s does not count");
    }
}

#[tokio::test]
async fn point_19_a_remote_process_may_come_back_within_its_grace() {
    assert_eq!(killed(3).await, None, "nobody knows whether it is gone");
}

/// Children work off a hundred messages, all of which each of them is given at once, and abort at
/// the 57th.
async fn poisoned(index: usize) {
    const SIGABRT: i32 = 6;
    let bus = start().await.into_iter().nth(index).expect("one of four");
    let admin = bus.admin().await;
    let queue = bus.queue_with(&admin, "q", QueueOptions::default().deliveries_max(2)).await;
    let body = |number| if number == 57 { "poison".to_owned() } else { format!("job {number}") };
    queue.send_all((1..=100).map(body)).await.expect("sends");
    let task = format!("{} {} work", bus.url, queue.name());
    // The first one leaves many that may be it; each after that has it alone.
    for deaths in 1..=3 {
        let mut child = Process::start(None, &task).expect("it is this user's");
        assert_eq!(child.status().await.signal(), Some(SIGABRT), "death {deaths}");
        until_stat(&admin, &queue, |stat| stat.leased == 0 && stat.handles == 1).await;
    }
    let _child = Process::start(None, &task).expect("it is this user's");
    until_stat(&admin, &queue, |stat| stat.acked == 99).await;
    let stat = stat(&admin, &queue).await;
    // Only the poison was ever marked, and handed out so once.
    assert_eq!((stat.messages, stat.leased, stat.dead, stat.redelivered), (0, 0, 1, 1));
    let name = format!("{}.dead", queue.name());
    let dead = admin.queue_with(&name, QueueOptions::default().must_exist()).await;
    let letter = soon(dead.expect("there is one").receive(Selector::Any)).await;
    assert_eq!(text(letter.expect("a delivery").payload()), "poison");
}

#[tokio::test]
async fn point_07_a_message_that_kills_whoever_takes_it_is_the_only_dead_one() {
    for index in [1, 2] {
        poisoned(index).await;
    }
}
