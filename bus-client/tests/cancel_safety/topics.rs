//! Topics: what is published arrives once, and nothing that arrived is lost.

use bus_client::{Error, Publisher, PublisherOptions, Received, Subscriber, TopicStat};
use futures::FutureExt;

use crate::world::{World, nothing};

async fn stat(world: &World) -> TopicStat {
    world.settle().await;
    world.other.admin().stat("t").await.expect("it is there").topics.remove(0)
}

async fn publisher(world: &World) -> Publisher {
    let open = PublisherOptions::default().mode(0o777);
    world.client.publisher_with("t", open).await.expect("opens")
}

#[tokio::test]
async fn what_is_published_arrives_once() {
    let world = World::new().await;
    let topic = publisher(&world).await;
    let mut subscriber = world.other.subscribe("t").await.expect("subscribes");
    let mut expected = 0;
    for kind in 0..4 {
        let publish = async || match kind {
            0 => topic.publish("one").await,
            1 => topic.publish_confirmed("one").await.map(drop),
            2 => topic.publish_all(["one"]).await.map(drop),
            _ => {
                topic.publish("one").await?;
                topic.flush().await
            }
        };
        let count = std::cell::Cell::new(0);
        let check = async |result: Option<Result<(), Error>>| {
            if let Some(result) = result {
                result.expect("publishes");
            }
            count.set(count.get() + 1);
            world.settle().await;
        };
        world.at_each_point(publish, nothing, check).await;
        // The first poll of each has handed its message over.
        expected += count.get();
        assert_eq!(stat(&world).await.published, expected);
        for _ in 0..count.get() {
            let found = subscriber.next().await.expect("goes on").expect("a message");
            assert_eq!(found.payload(), "one");
        }
        assert!(subscriber.next().now_or_never().is_none(), "nothing came twice");
    }
}

#[tokio::test]
async fn a_subscribers_next_loses_nothing() {
    let world = World::new().await;
    let open = PublisherOptions::default().mode(0o777);
    let topic = world.other.publisher_with("t", open).await.expect("opens");
    let subscriber = world.client.subscribe("t").await.expect("subscribes");
    let subscriber = tokio::sync::Mutex::new(subscriber);
    let next = async || {
        let mut subscriber = subscriber.try_lock().expect("one at a time");
        subscriber.next().await.expect("goes on")
    };
    let come = async || topic.publish("one").await.expect("publishes");
    let check = async |result: Option<Result<Received, Error>>| {
        let found = match result {
            Some(found) => found,
            None => next().await,
        };
        assert_eq!(found.expect("a message").payload(), "one");
        let mut subscriber = subscriber.try_lock().expect("one at a time");
        assert!(subscriber.next().now_or_never().is_none(), "it came once");
    };
    assert!(world.at_each_point(next, come, check).await >= 2);
    let batch = async || {
        let mut subscriber = subscriber.try_lock().expect("one at a time");
        let batch = subscriber.next_batch().await.expect("goes on").expect("messages");
        batch.iter().map(|message| message.to_bytes()).collect::<Vec<_>>()
    };
    let come = async || topic.publish_all(["one", "two"]).await.map(drop).expect("publishes");
    let check = async |result: Option<Vec<bytes::Bytes>>| {
        let mut all = result.unwrap_or_default();
        while all.len() < 2 {
            all.extend(batch().await);
        }
        assert_eq!(all, ["one", "two"]);
    };
    assert!(world.at_each_point(batch, come, check).await >= 2);
}

#[tokio::test]
async fn opening_a_subscription_or_publisher_is_done_or_undone() {
    let world = World::new().await;
    let _topic = publisher(&world).await;
    let _subscriber = world.other.subscribe("t").await.expect("subscribes");
    let before = async || {
        let stat = stat(&world).await;
        assert_eq!((stat.publishers, stat.subscribers), (1, 1), "nothing is left behind");
    };
    let subscribe = async || world.client.subscribe("t").await;
    let check = async |result: Option<Result<Subscriber, Error>>| {
        let opened = result.is_some();
        let held = result.map(|result| result.expect("subscribes"));
        assert_eq!(stat(&world).await.subscribers, 1 + u64::from(opened));
        drop(held);
        before().await;
    };
    assert!(world.at_each_point(subscribe, nothing, check).await >= 2);
    let open = async || world.client.publisher("t").await;
    let check = async |result: Option<Result<Publisher, Error>>| {
        let opened = result.is_some();
        let held = result.map(|result| result.expect("opens"));
        assert_eq!(stat(&world).await.publishers, 1 + u64::from(opened));
        drop(held);
        before().await;
    };
    assert!(world.at_each_point(open, nothing, check).await >= 2);
}
