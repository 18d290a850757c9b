//! Whether somebody listens: a publisher is told, and told again when its session was lost.

use std::time::Duration;

use bus_client::{
    Client, ClientOptions, ErrorKind, Object, Publisher, PublisherOptions, SubscribeOptions,
};
use futures::FutureExt;

use crate::bus::{Bus, everywhere, soon, until};
use crate::proxy::Proxy;

async fn publisher(bus: &Bus, client: &Client) -> Publisher {
    let open = PublisherOptions::default().mode(0o777);
    client.publisher_with(&bus.name("t"), open).await.expect("the topic opens")
}

/// Waits until that is how it is.
async fn matched(publisher: &Publisher, wanted: bool) {
    let mut matching = publisher.matching();
    while soon(matching.next()).await.expect("goes on").expect("is told") != wanted {}
}

#[tokio::test]
async fn publisher_is_told_whether_somebody_listens_and_when_that_changes() {
    everywhere(async |bus: Bus| {
        let (near, far) = (bus.client().await, bus.client().await);
        let publisher = publisher(&bus, &near).await;
        assert!(!soon(publisher.is_matched()).await.expect("is told"));
        let elsewhere = far.subscribe(&bus.name("other")).await.expect("subscribes");
        assert!(publisher.matched().now_or_never().is_none(), "nobody listens to this one");
        let mut matching = publisher.matching();
        assert!(!soon(matching.next()).await.expect("goes on").expect("is told"));
        for options in [SubscribeOptions::default(), SubscribeOptions::default().group("work")] {
            let one =
                far.subscribe_with(&bus.name("t"), options.clone()).await.expect("subscribes");
            soon(publisher.matched()).await.expect("is told");
            assert!(soon(matching.next()).await.expect("goes on").expect("is told"));
            assert!(soon(publisher.is_matched()).await.expect("is told"));
            // One of two is not the last one.
            let other = far.subscribe_with(&bus.name("*"), options).await.expect("subscribes");
            drop(one);
            soon(far.ping()).await.expect("answers");
            assert!(soon(publisher.is_matched()).await.expect("is told"));
            drop(other);
            assert!(!soon(matching.next()).await.expect("goes on").expect("is told"));
        }
        // Waiting and giving up leaves nothing, and neither does a publisher that is gone.
        let late = tokio::time::timeout(Duration::from_millis(5), publisher.matched()).await;
        assert!(late.is_err(), "nobody listens");
        drop((matching, elsewhere));
        drop(publisher);
        soon(near.ping()).await.expect("answers");
    })
    .await;
}

#[tokio::test]
async fn publisher_of_a_topic_that_is_removed_waits_no_longer() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let publisher = publisher(&bus, &client).await;
        assert!(!soon(publisher.is_matched()).await.expect("is told"));
        let admin = bus.admin().await;
        let name = bus.name("t");
        let admin = admin.admin();
        let removing = admin.remove(Object::Topic, &name);
        let (removed, waited) = soon(async { tokio::join!(removing, publisher.matched()) }).await;
        removed.expect("is removed");
        assert_eq!(waited.expect_err("it is gone").kind(), ErrorKind::Removed);
    })
    .await;
}

#[tokio::test]
async fn publisher_that_was_told_is_told_again_after_its_session_was_lost() {
    everywhere(async |bus: Bus| {
        let proxy = Proxy::start(bus.tag, &bus.url).await;
        let options = ClientOptions::default().grace(Duration::from_millis(50));
        let quick = options.backoff(Duration::from_millis(2), Duration::from_millis(20));
        let client = bus.client_at(&proxy.url, quick).await;
        let other = bus.client().await;
        let publisher = publisher(&bus, &client).await;
        let subscriber = other.subscribe(&bus.name("t")).await.expect("subscribes");
        matched(&publisher, true).await;
        // A connection that is cut loses no change.
        proxy.cut();
        drop(subscriber);
        matched(&publisher, false).await;
        // Nor does a session that ends meanwhile.
        proxy.close();
        let admin = bus.admin().await;
        until("the session is over", async || {
            let clients = admin.admin().clients().await.expect("answers");
            clients.iter().all(|client| client.connected)
        })
        .await;
        let mut waiting = Box::pin(publisher.matched());
        assert!(waiting.as_mut().now_or_never().is_none(), "the broker cannot be reached");
        let subscriber = other.subscribe(&bus.name("t")).await.expect("subscribes");
        proxy.open();
        soon(waiting).await.expect("is told");
        drop(subscriber);
        matched(&publisher, false).await;
    })
    .await;
}
