//! Large messages are offered first: they keep their place, and hold up no other queue.

use std::time::Duration;

use bus_client::{QueueOptions, Selector};
use tokio::time::timeout;

use crate::world::{World, drain};

#[tokio::test]
async fn two_handles_of_one_client_are_one_sender() {
    let world = World::new().await;
    let (first, theirs) = world.queues("q", QueueOptions::default()).await;
    let second = world.client.queue("q").await.expect("opens");
    let mut consumer = theirs.consumer(Selector::Any, 64).await.expect("consumes");
    for round in 0..20 {
        let large = first.post(vec![round; 100_000]).await.expect("posts");
        let small = second.post(vec![round; 10]).await.expect("posts");
        for length in [100_000, 10] {
            let delivery = consumer.next().await.expect("goes on").expect("a delivery");
            assert_eq!(delivery.payload().len(), length, "in the order of sending");
            assert_eq!(delivery.payload()[0], round);
            delivery.ack().await.expect("in time");
        }
        large.await.expect("accepted");
        small.await.expect("accepted");
    }
}

#[tokio::test]
async fn an_offer_to_a_full_queue_holds_up_no_other_queue() {
    let world = World::new().await;
    let one = QueueOptions::default().bytes_max(60 << 20).count_max(1);
    let (full, theirs) = world.queues("full", one).await;
    let (free, _) = world.queues("free", QueueOptions::default()).await;
    full.send("here first").await.expect("there is room");
    let large = full.post(vec![0; 40 << 20]).await.expect("posts");
    let other = timeout(Duration::from_secs(10), free.send(vec![0; 100_000])).await;
    other.expect("it does not wait for the full queue").expect("there is room");
    assert_eq!(drain(&theirs).await, ["here first"]);
    large.await.expect("accepted at last");
}
