//! Deadlines are kept when the broker says nothing any more.

use std::time::Duration;

use bus_client::ErrorKind;
use bus_core::Kind;
use tokio::time::{Instant, timeout};

use crate::peer::{Peer, opened};

/// The deadline that is asked for.
const LIMIT: Duration = Duration::from_secs(5);
/// When everything must have ended, by the clock of the test.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_call_ends_though_the_broker_is_silent() {
    let (mut peer, client) = Peer::with_client().await;
    let (service, _) = tokio::join!(client.service("s"), peer.answer(opened()));
    let service = service.expect("opens");
    let start = Instant::now();
    let error = timeout(PATIENCE, service.call("one", LIMIT)).await.expect("ends");
    assert_eq!(error.expect_err("nobody answers").kind(), ErrorKind::TimedOut);
    assert!((LIMIT..LIMIT * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(peer.hear().await.header.kind, Kind::Call);
    assert_eq!(peer.hear().await.header.kind, Kind::Withdraw, "it is given up");
}

#[tokio::test(start_paused = true)]
async fn a_send_ends_as_unknown_though_the_broker_is_silent() {
    let (mut peer, client) = Peer::with_client().await;
    let (queue, _) = tokio::join!(client.queue("q"), peer.answer(opened()));
    let queue = queue.expect("opens");
    let start = Instant::now();
    let result = timeout(PATIENCE, queue.send_timeout("one", LIMIT)).await.expect("ends");
    assert_eq!(result.expect_err("nobody answers").kind(), ErrorKind::OutcomeUnknown);
    assert!((LIMIT..LIMIT * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(peer.hear().await.header.kind, Kind::Send);
    assert_eq!(peer.hear().await.header.kind, Kind::Withdraw);
}

#[tokio::test(start_paused = true)]
async fn a_limit_beyond_all_clocks_is_none() {
    let (mut peer, client) = Peer::with_client().await;
    let (queue, _) = tokio::join!(client.queue("q"), peer.answer(opened()));
    let queue = queue.expect("opens");
    let sending = queue.send_timeout("one", Duration::MAX);
    assert!(timeout(PATIENCE, sending).await.is_err(), "it waits on");
    let (service, _) = tokio::join!(client.service("s"), async {
        assert_eq!(peer.hear().await.header.kind, Kind::Send);
        assert_eq!(peer.hear().await.header.kind, Kind::Withdraw);
        peer.answer(opened()).await
    });
    let service = service.expect("opens");
    let calling = service.call("one", Duration::MAX);
    assert!(timeout(PATIENCE, calling).await.is_err(), "it waits on");
}
