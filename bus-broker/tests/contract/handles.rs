//! Point 18: readiness is honest, and dropping a handle never blocks, spawns or panics.

use std::pin::Pin;
use std::time::{Duration, Instant};

use bus_client::{
    Client, Error, ErrorKind, Message, PublisherOptions, QueueOptions, Selector, SlowPolicy,
    SubscribeOptions,
};
use futures::{FutureExt, Sink, SinkExt, StreamExt};

use crate::bus::{Bus, everywhere, failed, soon, start, text, until_stat};
use crate::order::drain;

#[tokio::test]
async fn point_18_ready_means_that_a_message_can_be_handed_over() {
    everywhere(async |bus: Bus| {
        let (reader, writer) = (bus.client().await, bus.client().await);
        let options = PublisherOptions::default().hold(Duration::from_secs(60));
        let mut topic = writer.publisher_with(&bus.name("t"), options).await.expect("opens");
        let narrow = SubscribeOptions::default().window_bytes(4096).backlog_bytes(4096);
        let narrow = narrow.policy(SlowPolicy::Hold);
        let mut slow = reader.subscribe_with(&bus.name("t"), narrow).await.expect("subscribes");
        let mut sent = 0u32;
        // Ready, as long as something goes; then not, and nothing was kept beyond the window.
        loop {
            let window = std::future::poll_fn(|cx| Pin::new(&mut topic).poll_ready(cx));
            match window.now_or_never() {
                Some(ready) => ready.expect("the topic is there"),
                None => break,
            }
            let body = Message::from(vec![sent as u8; 10_000]);
            Pin::new(&mut topic).start_send(body).expect("it said that it was ready");
            sent += 1;
            assert!(sent < 1000, "it was ready for more than any window holds");
            writer.ping().await.expect("answers");
        }
        assert!(sent > 0);
        let reading = async {
            for number in 0..sent {
                let found = soon(slow.next()).await.expect("goes on").expect("a message");
                assert_eq!(found.payload()[..], vec![number as u8; 10_000]);
            }
        };
        let (more, ()) = tokio::join!(soon(topic.feed("it went on".into())), reading);
        more.expect("ready again");
        soon(topic.flush()).await.expect("written");
        let last = soon(slow.next()).await.expect("goes on").expect("a message");
        assert_eq!(text(last.payload()), "it went on");
    })
    .await;
}

#[tokio::test]
async fn point_18_a_permit_needs_no_waiting_and_streams_yield_what_there_is() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue(&client, "q").await;
        let consumer = queue.consumer(Selector::Any, 8).await.expect("consumes");
        let mut receipts = Vec::new();
        for number in 0..20 {
            let permit = soon(queue.reserve()).await.expect("there is room");
            receipts.push(permit.send(format!("{number}")).expect("it said so"));
        }
        let bodies = consumer.take(20).map(|delivery| {
            let delivery = delivery.expect("a delivery");
            let body = text(delivery.payload()).to_owned();
            drop(delivery.ack());
            body
        });
        let bodies: Vec<String> = soon(bodies.collect()).await;
        assert_eq!(bodies, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
        for receipt in receipts {
            receipt.await.expect("accepted");
        }
    })
    .await;
}

#[tokio::test]
async fn point_18_drain_says_what_was_not_delivered() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue_with(&client, "q", QueueOptions::default().count_max(2)).await;
        let mut receipts = Vec::new();
        for body in ["a", "b", "c", "d", "e"] {
            receipts.push(queue.post(body).await.expect("posts"));
        }
        until_stat(&client, &queue, |stat| stat.blocked == 3).await;
        let (limit, before) = (Duration::from_millis(100), Instant::now());
        let report = client.drain(limit).await;
        assert!(before.elapsed() >= limit, "it waits for what may still be delivered");
        assert_eq!((report.undecided, report.unsent_bytes), (3, 0));
        let other = bus.client().await;
        let queue = bus.queue(&other, "q").await;
        until_stat(&other, &queue, |stat| stat.blocked == 0).await;
        assert_eq!(drain(&queue, Selector::Any).await, ["a", "b"], "the others were taken back");
        let report = soon(other.drain(Duration::from_secs(20))).await;
        assert_eq!((report.undecided, report.unsent_bytes), (0, 0));
    })
    .await;
}

/// One of each handle, and futures that wait.
async fn handles(bus: &Bus) -> Result<Vec<Box<dyn Send>>, Error> {
    let (client, other) = (bus.client().await, bus.client().await);
    let queue = bus.queue_with(&client, "q", QueueOptions::default().count_max(4)).await;
    // Full, whatever those before have left behind.
    while queue.try_send("fills").await.is_ok() {}
    let (blocked, offered) = (queue.post("blocked").await?, queue.post(vec![0; 100_000]).await?);
    let delivery = queue.receive(Selector::Any).await?;
    let ack = queue.receive(Selector::Any).await?.ack();
    let mut consumer = queue.consumer(Selector::Any, 2).await?;
    let taken = consumer.next().await;
    let topic = client.publisher(&bus.name("t")).await?;
    let mut subscriber = client.subscribe(&bus.name("t")).await?;
    topic.publish_all(["one", "two"]).await?;
    let received = subscriber.next().await;
    let mut server = client.serve_with(&bus.name("s"), 2, Some(0o777)).await?;
    let service = other.service(&bus.name("s")).await?;
    let mut calling =
        Box::pin(async move { service.call("?", Duration::from_secs(60)).await.map(drop) });
    assert!(calling.as_mut().now_or_never().is_none());
    let call = server.next().await;
    let empty = bus.queue(&client, "empty").await;
    let waiting = empty.clone();
    let mut receiving = Box::pin(async move { waiting.receive(Selector::Any).await.map(drop) });
    assert!(receiving.as_mut().now_or_never().is_none());
    let (admin, events) = (client.admin(), client.events());
    Ok(vec![
        Box::new(calling),
        Box::new(receiving),
        Box::new((blocked, offered, delivery, ack, taken, consumer)),
        Box::new((received, subscriber, topic, call, server, admin, events)),
        Box::new((queue, empty, client, other)),
    ])
}

/// Drops what it is given on a thread of its own, which must end at once and without a panic.
fn drop_elsewhere(what: Vec<Box<dyn Send>>) {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::spawn(move || {
        drop(what);
        tell.send(()).expect("it is waited for");
    });
    let dropped = told.recv_timeout(Duration::from_secs(10));
    assert!(dropped.is_ok(), "dropping blocks, or has panicked");
    thread.join().expect("no panic");
}

#[test]
fn point_18_handles_may_be_dropped_outside_of_a_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    for index in 0..5 {
        let outer = runtime().expect("a runtime");
        let bus = outer.block_on(start()).into_iter().nth(index).expect("one of five");
        // The runtime still runs, but not here.
        let made = outer.block_on(handles(&bus)).expect("all are made");
        drop_elsewhere(made);
        outer.block_on(async {
            let admin = bus.admin().await;
            crate::bus::until("the broker knows that they are gone", async || {
                admin.admin().clients().await.expect("answers").len() == 1
            })
            .await;
        });
        // The runtime that drove them is gone.
        let inner = runtime().expect("a runtime");
        let made = inner.block_on(handles(&bus)).expect("all are made");
        drop(inner);
        drop_elsewhere(made);
    }
}

#[test]
fn point_18_calls_end_when_the_runtime_that_drives_the_client_is_gone() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outer = runtime().expect("a runtime");
    for bus in outer.block_on(start()) {
        let inner = runtime().expect("a runtime");
        let (client, queue) = inner.block_on(async {
            let client: Client = bus.client().await;
            let queue = bus.queue(&client, "q").await;
            (client, queue)
        });
        drop(inner);
        outer.block_on(async {
            assert_eq!(failed(soon(client.ping()).await), ErrorKind::Closed);
            assert_eq!(failed(soon(queue.send("lost")).await), ErrorKind::Closed);
            assert_eq!(failed(soon(queue.receive(Selector::Any)).await), ErrorKind::Closed);
        });
    }
}
