//! A drain ends with the last verdict, not at its limit.

use std::time::Duration;

use bus_core::router::Answer;
use bus_core::{Header, Kind};
use tokio::time::Instant;

use crate::peer::{Peer, opened};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_drain_ends_with_the_reply_to_the_last_call() {
    let (mut peer, client) = Peer::with_client().await;
    let (service, _) = tokio::join!(client.service("s"), peer.answer(opened()));
    let service = service.expect("opens");
    let start = Instant::now();
    let calling = service.call("one", LIMIT * 2);
    // In a task of its own, which nothing else wakes.
    let draining = tokio::spawn(client.clone().drain(LIMIT));
    let answering = async {
        assert_eq!(peer.hear().await.header.kind, Kind::Call);
        peer.answer(Answer::Done { count: 0 }).await;
        // The drain has its answer by now, and waits for the call alone.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut reply = Header::new(Kind::Result, 0, 1);
        reply.extra = 1;
        peer.say(reply, b"two").await;
    };
    let (reply, report, ()) = tokio::join!(calling, draining, answering);
    assert_eq!(reply.expect("a reply").payload(), "two");
    assert_eq!(report.expect("runs").undecided, 0);
    assert!(start.elapsed() < LIMIT, "it has waited to its limit");
}

#[tokio::test(start_paused = true)]
async fn the_goodbye_is_out_before_the_link_is_dropped() {
    let (mut peer, client) = Peer::with_holding_client().await;
    let draining = tokio::spawn(client.drain(LIMIT));
    peer.answer(Answer::Done { count: 0 }).await;
    assert_eq!(peer.last().await, Some(Kind::Goodbye));
    draining.await.expect("runs");
}
