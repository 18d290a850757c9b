//! Point 19 once more: a process that is killed, which only the local transport tells at once.

use std::time::{Duration, Instant};

use bus_client::Selector;

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
