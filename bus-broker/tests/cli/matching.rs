//! `bus pub` waits until somebody listens, if it is told to.

use crate::stage::{DONE, Stage, TIMED_OUT, USAGE};

#[tokio::test]
async fn pub_waits_for_a_subscriber_for_as_long_as_it_is_told() {
    let stage = Stage::new().await;
    let late = ["pub", "news", "lost", "--wait-for-subscriber=50ms"];
    stage.bus(&late).await.check(TIMED_OUT, &["nobody has subscribed to `news` for 50ms"]);
    let mut waiting = stage.start(&["pub", "news", "first", "--wait-for-subscriber"]);
    stage.until_client("bus pub", 1).await;
    let mut subscriber = stage.start(&["sub", "news", "--raw", "-n", "1"]);
    assert_eq!(subscriber.line().await, "first");
    assert_eq!(waiting.end().await.code(), Some(DONE));
    // Without an equals sign the word behind it is what is published.
    stage.bus(&["pub", "news", "--wait-for-subscriber=soon", "x"]).await.check(USAGE, &["soon"]);
}
