//! Receives: a message is with the application, or at its place and unmarked.

use std::time::Duration;

use bus_client::{Consumer, Delivery, Error, ErrorKind, Queue, QueueOptions, Selector};

use crate::world::{World, drain, fresh, nothing};

/// After a receive: the application has the message, or else it is at its place.
async fn taken_or_there(world: &World, theirs: &Queue, result: Option<Result<Delivery, Error>>) {
    match result {
        Some(result) => {
            let delivery = result.expect("there is one");
            assert_eq!(fresh(&delivery), "one");
            world.settle().await;
            assert_eq!(world.stat("q").await.leased, 1);
            delivery.ack().await.expect("in time");
        }
        None => {
            world.until("q", |stat| stat.leased == 0 && stat.waiting == 0).await;
            let next = theirs.try_receive(Selector::Any).await.expect("it is back");
            assert_eq!(fresh(&next), "one");
            next.ack().await.expect("in time");
        }
    }
    assert_eq!(drain(theirs).await, ["two"]);
    let stat = world.stat("q").await;
    assert_eq!((stat.leased, stat.waiting, stat.messages), (0, 0, 0));
    assert_eq!((stat.redelivered, stat.handles), (0, 2));
}

#[tokio::test]
async fn a_receive_has_the_message_or_leaves_it_at_its_place() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default()).await;
    let fill = async || theirs.send_all(["one", "two"]).await.map(drop).expect("sends");
    for before in [true, false] {
        // The messages are there already, or come while it waits.
        for kind in 0..4 {
            let receive = async || match kind {
                0 => queue.receive(Selector::Any).await,
                1 => queue.receive_timeout(Selector::Any, Duration::from_secs(60)).await,
                2 => queue.receive_up_to(Selector::Any, 10).await,
                _ => queue.try_receive(Selector::Any).await,
            };
            if kind == 3 && !before {
                continue;
            }
            if before {
                fill().await;
            }
            let come = async || {
                if !before {
                    fill().await;
                }
            };
            let check = async |result: Option<Result<Delivery, Error>>| {
                let done = result.is_some();
                taken_or_there(&world, &theirs, result).await;
                if before && !done {
                    fill().await;
                }
            };
            assert!(world.at_each_point(receive, come, check).await >= 2);
        }
    }
}

#[tokio::test]
async fn a_receive_that_fails_leaves_the_queue_as_it_was() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default()).await;
    let check = async |result: Option<Result<Delivery, Error>>| {
        if let Some(result) = result {
            let kind = result.expect_err("it must fail").kind();
            assert!(matches!(kind, ErrorKind::Empty | ErrorKind::TooBig), "{kind:?}");
        }
        world.settle().await;
        world.until("q", |stat| stat.leased == 0 && stat.waiting == 0).await;
    };
    let receive = async || queue.try_receive(Selector::Any).await;
    assert!(world.at_each_point(receive, nothing, check).await >= 2);
    theirs.send("too long").await.expect("there is room");
    let receive = async || queue.receive_up_to(Selector::Any, 3).await;
    assert!(world.at_each_point(receive, nothing, check).await >= 2);
    assert_eq!(drain(&theirs).await, ["too long"]);
}

#[tokio::test]
async fn a_consumers_next_loses_nothing() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default()).await;
    let consumer = queue.consumer(Selector::Any, 4).await.expect("consumes");
    let consumer = tokio::sync::Mutex::new(consumer);
    let next = async || {
        let mut consumer = consumer.try_lock().expect("one at a time");
        consumer.next().await.expect("goes on")
    };
    let come = async || theirs.send("one").await.map(drop).expect("sends");
    let check = async |result: Option<Result<Delivery, Error>>| {
        let delivery = match result {
            Some(result) => result.expect("a delivery"),
            None => next().await.expect("it was not lost"),
        };
        assert_eq!(fresh(&delivery), "one");
        delivery.ack().await.expect("in time");
        assert_eq!(world.stat("q").await.messages, 0);
    };
    assert!(world.at_each_point(next, come, check).await >= 2);
}

#[tokio::test]
async fn opening_pausing_and_dropping_a_consumer_gives_everything_back() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default()).await;
    theirs.send_all(["one", "two"]).await.expect("sends");
    let back = async || {
        // What was asked for may still be on its way.
        world.settle().await;
        world.until("q", |stat| stat.leased == 0 && stat.waiting == 0).await;
        assert_eq!(world.stat("q").await.handles, 2, "the consumer is gone");
    };
    let open = async || queue.consumer(Selector::Any, 4).await;
    let check = async |result: Option<Result<Consumer, Error>>| {
        drop(result.map(|result| result.expect("consumes")));
        back().await;
    };
    assert!(world.at_each_point(open, nothing, check).await >= 2);
    for pausing in [true, false] {
        let consumer = queue.consumer(Selector::Any, 4).await.expect("consumes");
        let consumer = tokio::sync::Mutex::new(consumer);
        let change = async || {
            let mut consumer = consumer.try_lock().expect("one at a time");
            match pausing {
                true => consumer.pause().await,
                false => consumer.resume().await,
            }
        };
        let check = async |result: Option<Result<(), Error>>| {
            if let Some(result) = result {
                result.expect("it is open");
            }
            world.settle().await;
        };
        assert!(world.at_each_point(change, nothing, check).await >= 2);
        drop(consumer);
        back().await;
    }
    assert_eq!(drain(&theirs).await, ["one", "two"]);
}

#[tokio::test]
async fn what_settles_a_delivery_is_sent_with_its_first_poll() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default()).await;
    let held = std::cell::Cell::new(None);
    let hold = async || {
        theirs.send("one").await.expect("sends");
        held.set(Some(queue.try_receive(Selector::Any).await.expect("it is there")));
    };
    for kind in 0..4 {
        hold().await;
        let before = world.stat("q").await;
        let settle = async || {
            let delivery: Delivery = held.take().expect("one for each");
            match kind {
                0 => delivery.ack().await,
                1 => delivery.nack().await,
                2 => delivery.reject("no").await,
                _ => delivery.nack_after(Duration::from_millis(1)).await,
            }
        };
        let round = std::cell::Cell::new(0);
        let check = async |result: Option<Result<(), Error>>| {
            let done = result.is_some_and(|result| result.map(|()| true).expect("in time"));
            round.set(round.get() + 1);
            let back = u64::from(kind == 1 || kind == 3);
            world.until("q", |stat| stat.leased == 0 && stat.messages == back).await;
            let stat = world.stat("q").await;
            let settled = (stat.acked - before.acked, stat.dead - before.dead);
            match kind {
                0 => assert_eq!(settled, (round.get(), 0)),
                2 => assert_eq!(settled, (0, round.get())),
                _ => {
                    // What is set aside for a time counts as there.
                    let again = theirs.receive(Selector::Any).await.expect("it comes back");
                    assert_eq!(again.attempt(), 1, "once");
                    again.reject("done with").await.expect("in time");
                }
            }
            if !done {
                hold().await;
            }
        };
        assert!(world.at_each_point(settle, nothing, check).await >= 2);
    }
}

#[tokio::test]
async fn extending_a_lease_keeps_it() {
    let world = World::new().await;
    let (queue, theirs) = world.queues("q", QueueOptions::default()).await;
    theirs.send("one").await.expect("sends");
    let delivery = queue.try_receive(Selector::Any).await.expect("it is there");
    let delivery = tokio::sync::Mutex::new(delivery);
    let extend = async || {
        let mut delivery = delivery.try_lock().expect("one at a time");
        delivery.extend(Duration::from_secs(60)).await
    };
    let check = async |result: Option<Result<(), Error>>| {
        if let Some(result) = result {
            result.expect("in time");
        }
        assert_eq!(world.stat("q").await.leased, 1);
    };
    assert!(world.at_each_point(extend, nothing, check).await >= 2);
    delivery.into_inner().ack().await.expect("it is still leased");
}
