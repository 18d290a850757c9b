//! The numbers of handles and of what they may hold: what has come for a handle stays until it
//! is taken, whatever is opened and closed beside it; a credit is one that the contract allows.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bus_client::{
    ConsumerOptions, ErrorKind, MessageType, PublisherOptions, QueueOptions, Selector, SlowPolicy,
    SubscribeOptions,
};

use crate::world::{World, drain, fresh};

/// One poll, after which nobody is woken.
fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_delivery_that_has_come_survives_a_new_receive() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default()).await;
    let mut first = pin!(queue.receive(Selector::Any));
    let mut second = pin!(queue.receive(Selector::Any));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    world.until("q", |stat| stat.waiting == 2).await;
    theirs.send_all(["one", "two"]).await.expect("sends");
    world.settle().await;
    let Poll::Ready(Ok(one)) = poll_once(first.as_mut()) else { panic!("it has come") };
    let mut third = pin!(queue.receive(Selector::Any));
    assert!(poll_once(third.as_mut()).is_pending());
    let two = second.await.expect("it came before the third was asked for");
    assert_eq!((fresh(&one), fresh(&two)), ("one".into(), "two".into()));
    theirs.send("three").await.expect("sends");
    assert_eq!(fresh(&third.await.expect("it goes on")), "three");
}

#[tokio::test]
async fn what_an_ended_subscription_has_is_still_read() {
    let world = World::new().await;
    let open = PublisherOptions::default().mode(0o777);
    let topic = world.other.publisher_with("t", open).await.expect("opens");
    let narrow = SubscribeOptions::default().window_bytes(4096).backlog_bytes(0);
    let narrow = narrow.policy(SlowPolicy::End);
    let mut subscriber = world.client.subscribe_with("t", narrow).await.expect("subscribes");
    topic.publish_all(["one", "two"]).await.expect("publishes");
    topic.publish_all(vec![vec![0; 2000]; 10]).await.expect("publishes");
    topic.flush().await.expect("arrives");
    world.settle().await;
    let _other = world.client.queue("q").await.expect("opens");
    for body in ["one", "two"] {
        let found = subscriber.next().await.expect("goes on").expect("a message");
        assert_eq!(found.payload(), body);
    }
    let mut end = None;
    while let Some(next) = subscriber.next().await {
        end = next.err();
    }
    assert_eq!(end.expect("it says why").kind(), ErrorKind::TooSlow);
}

#[tokio::test]
async fn what_an_ended_consumer_has_goes_back_when_it_is_dropped() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default()).await;
    let short = ConsumerOptions::new(Selector::Any, 4).bytes_max(3);
    let consumer = queue.consumer_with(short).await.expect("consumes");
    theirs.send_all(["one", "too long"]).await.expect("sends");
    world.settle().await;
    // The handle that is opened now must not take the place of the one that has ended.
    let receive = queue.receive(Selector::Eq(MessageType::new(77).expect("a type")));
    let mut receive = pin!(receive);
    assert!(poll_once(receive.as_mut()).is_pending());
    world.until("q", |stat| stat.waiting == 1).await;
    drop(consumer);
    world.until("q", |stat| stat.leased == 0).await;
    assert_eq!(drain(&theirs).await, ["one", "too long"]);
}

#[tokio::test]
async fn an_ended_consumer_yields_what_it_has_and_then_says_why() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default()).await;
    let short = ConsumerOptions::new(Selector::Any, 4).bytes_max(3);
    let mut consumer = queue.consumer_with(short).await.expect("consumes");
    theirs.send_all(["one", "too long"]).await.expect("sends");
    world.settle().await;
    let _other = world.client.queue("other").await.expect("opens");
    let one = consumer.next().await.expect("goes on").expect("a delivery");
    assert_eq!(fresh(&one), "one");
    one.ack().await.expect("in time");
    let end = consumer.next().await.expect("an end").expect_err("it was too long");
    assert_eq!(end.kind(), ErrorKind::TooBig);
    assert!(consumer.next().await.is_none());
}

#[tokio::test]
async fn a_credit_out_of_range_is_refused() {
    let world = World::new().await;
    let (queue, _) = world.queues("q", QueueOptions::default()).await;
    for credit in [0, 4097] {
        let consumer = queue.consumer(Selector::Any, credit).await;
        assert_eq!(consumer.expect_err("refused").kind(), ErrorKind::InvalidArgument);
        let server = world.client.serve("s", credit).await;
        assert_eq!(server.expect_err("refused").kind(), ErrorKind::InvalidArgument);
    }
    for credit in [1, 4096] {
        queue.consumer(Selector::Any, credit).await.expect("consumes");
        world.client.serve("s", credit).await.expect("serves");
    }
}
