//! Point 5: what becomes of a send or receive whose future is dropped, and when auto-ack counts.

use std::time::Duration;

use bus_client::{ConsumerOptions, ErrorKind, Message, QueueOptions, Selector};
use futures::FutureExt;

use crate::bus::{Bus, everywhere, failed, message, soon, stat, text, until_stat};
use crate::order::{drain, receiving};

#[tokio::test]
async fn point_05_dropping_a_blocked_send_takes_it_back() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue_with(&client, "q", QueueOptions::default().count_max(1)).await;
        queue.send("first").await.expect("there is room");
        for blocked in [Message::from("small"), Message::from(vec![0; 200_000])] {
            let sending = queue.clone();
            let task = tokio::spawn(async move { sending.send(blocked).await });
            until_stat(&client, &queue, |stat| stat.blocked == 1).await;
            task.abort();
            until_stat(&client, &queue, |stat| stat.blocked == 0).await;
        }
        assert_eq!(drain(&queue, Selector::Any).await, ["first"]);
    })
    .await;
}

#[tokio::test]
async fn point_05_a_send_dropped_after_its_hand_over_stays_queued_once() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue(&client, "q").await;
        for number in 0..50 {
            // The first poll hands it over; nobody waits for the answer. Over lanes it may be there.
            let polled = queue.send(format!("{number}")).now_or_never();
            assert!(polled.is_none_or(|sent| sent.is_ok()));
        }
        client.ping().await.expect("answers");
        let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        assert_eq!(drain(&queue, Selector::Any).await, expected);
    })
    .await;
}

#[tokio::test]
async fn point_05_a_withdrawn_send_says_whether_it_was_in_time() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue_with(&client, "q", QueueOptions::default().count_max(1)).await;
        let taken = queue.post("taken").await.expect("posts");
        until_stat(&client, &queue, |stat| stat.messages == 1).await;
        taken.withdraw();
        taken.await.expect("it was too late to take it back");
        let blocked = queue.post("blocked").await.expect("posts");
        until_stat(&client, &queue, |stat| stat.blocked == 1).await;
        blocked.withdraw();
        assert_eq!(failed(blocked.await), ErrorKind::Withdrawn);
        assert_eq!(drain(&queue, Selector::Any).await, ["taken"]);
    })
    .await;
}

#[tokio::test]
async fn point_05_cancelling_a_receive_puts_the_message_back_unmarked() {
    everywhere(async |bus: Bus| {
        let (client, other) = (bus.client().await, bus.client().await);
        let queue = bus.queue(&client, "q").await;
        // While it waits.
        let waiting = receiving(&queue, Selector::Any);
        until_stat(&client, &queue, |stat| stat.waiting == 1).await;
        waiting.abort();
        until_stat(&client, &queue, |stat| stat.waiting == 0).await;
        queue.send("a").await.expect("sends");
        // After its delivery was sent, and before it was looked at.
        let mut cancelled = 0;
        while cancelled < 20 {
            let mut receive = Box::pin(queue.receive(Selector::Any));
            // Over lanes the first poll may find it.
            if let Some(delivery) = receive.as_mut().now_or_never() {
                delivery.expect("a delivery").ack().await.expect("acks");
                queue.send("a").await.expect("sends");
                continue;
            }
            client.ping().await.expect("answers");
            drop(receive);
            cancelled += 1;
        }
        for body in ["b", "c"] {
            queue.send(body).await.expect("sends");
        }
        let same = bus.queue(&other, "q").await;
        for body in ["a", "b", "c"] {
            let delivery = soon(same.receive(Selector::Any)).await.expect("a delivery");
            assert_eq!((text(delivery.payload()), delivery.attempt()), (body, 0));
            delivery.ack().await.expect("acks");
        }
        let stat = stat(&client, &queue).await;
        assert_eq!((stat.messages, stat.leased, stat.redelivered), (0, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn point_05_auto_ack_acknowledges_when_a_message_is_yielded() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue(&client, "q").await;
        for body in ["a", "b", "c", "d"] {
            queue.send(message(1, body)).await.expect("sends");
        }
        let options = ConsumerOptions::new(Selector::Any, 4).auto_ack(true);
        let mut consumer = queue.consumer_with(options).await.expect("consumes");
        until_stat(&client, &queue, |stat| stat.leased == 4).await;
        assert_eq!(stat(&client, &queue).await.acked, 0, "dispatch acknowledges nothing");
        for count in [1, 2] {
            soon(consumer.next()).await.expect("goes on").expect("a delivery");
            until_stat(&client, &queue, |stat| stat.acked == count).await;
        }
        drop(consumer);
        until_stat(&client, &queue, |stat| stat.messages == 2 && stat.leased == 0).await;
        assert_eq!(drain(&queue, Selector::Any).await, ["c", "d"]);
    })
    .await;
}

#[tokio::test]
async fn point_05_a_send_that_ends_late_is_either_there_or_not() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue_with(&client, "q", QueueOptions::default().count_max(1)).await;
        let mut accepted = 0;
        let mut received = 0;
        // Room comes at about the time at which the sender gives up.
        for round in 0..30u32 {
            queue.send("stands in the way").await.expect("sends");
            let limit = Duration::from_micros(u64::from(round) * 60);
            let (sent, ()) = tokio::join!(queue.send_timeout("racing", limit), async {
                let delivery = soon(queue.receive(Selector::Any)).await.expect("a delivery");
                delivery.ack().await.expect("acks");
            });
            match sent {
                Ok(_) => accepted += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
            }
            received += drain(&queue, Selector::Any).await.len();
        }
        assert_eq!(received, accepted);
    })
    .await;
}
