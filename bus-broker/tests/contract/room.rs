//! Point 4: queues are bounded; full is an answer, and blocked sends stand in line.

use std::time::Duration;

use bus_client::{Client, Error, ErrorKind, Message, Queue, QueueOptions, Receipt, Selector};
use tokio::task::JoinHandle;

use crate::bus::{Bus, everywhere, failed, kind, message, soon, stat, text, until_stat};
use crate::order::drain;

fn sending(queue: &Queue, message: impl Into<Message>) -> JoinHandle<Result<Receipt, Error>> {
    let (queue, message) = (queue.clone(), message.into());
    tokio::spawn(async move { queue.send(message).await })
}

/// A queue with room for so many messages.
async fn small(bus: &Bus, client: &Client, count: u64) -> Queue {
    bus.queue_with(client, "q", QueueOptions::default().count_max(count)).await
}

#[tokio::test]
async fn point_04_count_and_bytes_are_bounded_and_empty_messages_count() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let counted = small(&bus, &client, 3).await;
        for _ in 0..3 {
            counted.try_send("").await.expect("there is room");
        }
        assert_eq!(failed(counted.try_send("").await), ErrorKind::QueueFull);
        let options = QueueOptions::default().bytes_max(1000);
        let weighed = bus.queue_with(&client, "weighed", options).await;
        // 64 bytes each beside their payload.
        weighed.try_send(vec![0; 436]).await.expect("there is room");
        weighed.try_send(vec![0; 436]).await.expect("it fits exactly");
        assert_eq!(failed(weighed.try_send("").await), ErrorKind::QueueFull);
        assert_eq!(stat(&client, &weighed).await.bytes, 1000);
        let never = weighed.send(vec![0; 937]).await;
        assert_eq!(failed(never), ErrorKind::TooBig, "it could never fit");
    })
    .await;
}

#[tokio::test]
async fn point_04_send_waits_for_room_and_a_timed_out_one_leaves_nothing() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = small(&bus, &client, 1).await;
        queue.send("first").await.expect("there is room");
        let late = queue.send_timeout("late", Duration::from_millis(20)).await;
        assert_eq!(failed(late), ErrorKind::TimedOut);
        let offered = Message::from(vec![1; 200_000]);
        let late = queue.send_timeout(offered, Duration::from_millis(20)).await;
        assert_eq!(failed(late), ErrorKind::TimedOut);
        assert_eq!(stat(&client, &queue).await.blocked, 0);
        let waiting = sending(&queue, "second");
        until_stat(&client, &queue, |stat| stat.blocked == 1).await;
        for body in ["first", "second"] {
            let delivery = soon(queue.receive(Selector::Any)).await.expect("a delivery");
            assert_eq!(text(delivery.payload()), body);
            delivery.ack().await.expect("acks");
        }
        soon(waiting).await.expect("runs").expect("there was room at last");
        assert_eq!(drain(&queue, Selector::Any).await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn point_04_blocked_senders_go_in_order_and_a_small_one_does_not_overtake() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let options = QueueOptions::default().bytes_max(1000);
        let queue = bus.queue_with(&client, "q", options).await;
        queue.send(message(1, "x".repeat(800))).await.expect("there is room");
        let large = sending(&queue, message(2, "l".repeat(500)));
        until_stat(&client, &queue, |stat| stat.blocked == 1).await;
        // There is room for this one, but it stands behind.
        let small = sending(&queue, message(3, "s"));
        until_stat(&client, &queue, |stat| stat.blocked == 2).await;
        assert_eq!(failed(queue.try_send(message(4, "t")).await), ErrorKind::QueueFull);
        let kinds = async || {
            let delivery = soon(queue.receive(Selector::Any)).await.expect("a delivery");
            let number = delivery.kind().get();
            delivery.ack().await.expect("acks");
            number
        };
        assert_eq!([kinds().await, kinds().await, kinds().await], [1, 2, 3]);
        soon(large).await.expect("runs").expect("sent");
        soon(small).await.expect("runs").expect("sent");
    })
    .await;
}

#[tokio::test]
async fn point_04_a_receive_sees_what_is_blocked_behind_what_is_queued() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = small(&bus, &client, 1).await;
        queue.send(message(1, "queued")).await.expect("there is room");
        let mut blocked = Vec::new();
        for (count, body) in (1..).zip(["two a", "two b"]) {
            blocked.push(sending(&queue, message(2, body)));
            until_stat(&client, &queue, |stat| stat.blocked == count).await;
        }
        blocked.push(sending(&queue, Message::new(kind(3), vec![3; 100_000])));
        until_stat(&client, &queue, |stat| stat.blocked == 3).await;
        let large = soon(queue.receive(Selector::Eq(kind(3)))).await.expect("a delivery");
        assert_eq!(large.payload().len(), 100_000);
        assert_eq!(drain(&queue, Selector::Eq(kind(2))).await, ["two a", "two b"]);
        assert_eq!(drain(&queue, Selector::Any).await, ["queued"]);
        for send in blocked {
            soon(send).await.expect("runs").expect("sent");
        }
    })
    .await;
}

#[tokio::test]
async fn point_04_a_blocked_send_stalls_neither_its_connection_nor_others() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let full = small(&bus, &client, 1).await;
        full.send("fills").await.expect("there is room");
        let mut blocked = Vec::new();
        for length in [10, 1000, 60_000, 100_000, 3_000_000] {
            blocked.push(sending(&full, vec![1; length]));
        }
        until_stat(&client, &full, |stat| stat.blocked == 5).await;
        let other = bus.queue(&client, "other").await;
        for number in 0..300 {
            soon(other.send(format!("{number}"))).await.expect("nothing stands in its way");
        }
        assert_eq!(drain(&other, Selector::Any).await.len(), 300);
        client.ping().await.expect("answers");
        for _ in 0..6 {
            let delivery = soon(full.receive(Selector::Any)).await.expect("a delivery");
            delivery.ack().await.expect("acks");
        }
        for send in blocked {
            soon(send).await.expect("runs").expect("sent");
        }
    })
    .await;
}

#[tokio::test]
async fn point_04_what_parks_is_charged_to_its_sender() {
    use bus_core::router::RouterConfig;
    let router = RouterConfig { parked_bytes_max: 100_000, ..RouterConfig::default() };
    let config = bus_broker::BrokerConfig::default().router(router);
    for bus in crate::bus::start_with(config).await {
        let (greedy, modest) = (bus.client().await, bus.client().await);
        let queue = small(&bus, &greedy, 1).await;
        queue.send("fills").await.expect("there is room");
        let mut blocked = vec![
            queue.post(vec![0; 50_000]).await.expect("posts"),
            queue.post(vec![0; 40_000]).await.expect("posts"),
        ];
        let over = queue.post(vec![0; 20_000]).await.expect("posts").await;
        assert_eq!(failed(over), ErrorKind::QuotaExceeded, "{}", bus.tag);
        let other = bus.queue(&modest, "q").await;
        blocked.push(other.post(vec![0; 20_000]).await.expect("posts"));
        until_stat(&modest, &other, |stat| stat.blocked == 3).await;
        for _ in 0..4 {
            soon(queue.receive(Selector::Any))
                .await
                .expect("a delivery")
                .ack()
                .await
                .expect("acks");
        }
        for receipt in blocked {
            soon(receipt).await.expect("accepted");
        }
    }
}
