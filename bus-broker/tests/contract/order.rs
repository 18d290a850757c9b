//! Points 1 to 3: the order of messages, the order of receivers, and who needs no room.

use std::time::Duration;

use bus_client::{Delivery, Error, Message, Queue, QueueOptions, Selector};
use tokio::task::JoinHandle;

use crate::bus::{Bus, everywhere, kind, message, soon, stat, text, until_stat};

/// A receive that waits in a task of its own.
pub fn receiving(queue: &Queue, selector: Selector) -> JoinHandle<Result<Delivery, Error>> {
    let queue = queue.clone();
    tokio::spawn(async move { queue.receive(selector).await })
}

/// The payloads that a selector gives, one after the other, until there is none.
pub async fn drain(queue: &Queue, selector: Selector) -> Vec<String> {
    let mut found = Vec::new();
    while let Ok(delivery) = queue.try_receive(selector).await {
        found.push(text(delivery.payload()).to_owned());
        delivery.ack().await.expect("the lease is there");
    }
    found
}

async fn fill(queue: &Queue) {
    for (number, body) in [(3, "a"), (1, "b"), (2, "c"), (3, "d"), (1, "e"), (4, "f"), (2, "g")] {
        queue.send(message(number, body)).await.expect("sends");
    }
}

#[tokio::test]
async fn point_01_each_selector_takes_first_matches_and_leaves_the_rest_in_order() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let cases: [(&str, Selector, &[&str], &[&str]); 4] = [
            ("any", Selector::Any, &["a", "b", "c", "d", "e", "f", "g"], &[]),
            ("eq", Selector::Eq(kind(1)), &["b", "e"], &["a", "c", "d", "f", "g"]),
            ("upto", Selector::Upto(kind(2)), &["b", "e", "c", "g"], &["a", "d", "f"]),
            ("except", Selector::Except(kind(3)), &["b", "c", "e", "f", "g"], &["a", "d"]),
        ];
        for (name, selector, taken, left) in cases {
            let queue = bus.queue(&client, name).await;
            fill(&queue).await;
            assert_eq!(drain(&queue, selector).await, taken, "{name}");
            assert_eq!(drain(&queue, Selector::Any).await, left, "what {name} passed over");
        }
    })
    .await;
}

#[tokio::test]
async fn point_01_arrival_is_the_order_across_connections() {
    everywhere(async |bus: Bus| {
        let clients = [bus.client().await, bus.client().await, bus.client().await];
        let queue = bus.queue(&clients[0], "q").await;
        let mut sent = Vec::new();
        for round in 0..20 {
            for (number, client) in clients.iter().enumerate() {
                let body = format!("{round} {number}");
                // Awaited: it has arrived before the next one is sent.
                bus.queue(client, "q").await.send(body.clone()).await.expect("sends");
                sent.push(body);
            }
        }
        assert_eq!(drain(&queue, Selector::Any).await, sent);
    })
    .await;
}

#[tokio::test]
async fn point_01_small_and_offered_messages_of_one_type_stay_in_order() {
    everywhere(async |bus: Bus| {
        let (sender, receiver) = (bus.client().await, bus.client().await);
        let options = QueueOptions::default().bytes_max(32 << 20);
        let to = bus.queue_with(&sender, "q", options).await;
        let from = bus.queue(&receiver, "q").await;
        let mut consumer = from.consumer(Selector::Any, 8).await.expect("consumes");
        let length = |number: usize| if number.is_multiple_of(3) { 100_000 } else { 100 };
        let mut receipts = Vec::new();
        for number in 0..60 {
            let digits = number.to_string();
            let body = "0".repeat(length(number) - digits.len()) + &digits;
            receipts.push(to.post(body).await.expect("posts"));
        }
        for number in 0..60 {
            let delivery = soon(consumer.next()).await.expect("goes on").expect("a delivery");
            assert_eq!(delivery.payload().len(), length(number));
            assert_eq!(text(delivery.payload()).parse(), Ok(number));
            assert_eq!(delivery.attempt(), 0);
            delivery.ack().await.expect("acks");
        }
        for receipt in receipts {
            receipt.await.expect("accepted");
        }
    })
    .await;
}

#[tokio::test]
async fn point_01_many_senders_stay_in_order_for_each_sender_and_type() {
    everywhere(async |bus: Bus| {
        let mut sending = Vec::new();
        for sender in 0..4 {
            let bus = bus.clone();
            sending.push(tokio::spawn(async move {
                let client = bus.client().await;
                let queue = bus.queue(&client, "q").await;
                let bodies = (0..200).map(|n| message(n % 3 + 1, format!("{sender} {n}")));
                queue.send_all(bodies).await.expect("sends");
            }));
        }
        let client = bus.client().await;
        let queue = bus.queue(&client, "q").await;
        let mut consumer = queue.consumer(Selector::Any, 64).await.expect("consumes");
        let mut last = [[None; 3]; 4];
        for _ in 0..800 {
            let delivery = soon(consumer.next()).await.expect("goes on").expect("a delivery");
            let (sender, number) = text(delivery.payload()).split_once(' ').expect("two numbers");
            let (sender, number) =
                (sender.parse::<usize>().expect("one"), number.parse::<usize>().expect("one"));
            let last = &mut last[sender][number % 3];
            assert!(*last < Some(number), "{number} of {sender} came after {last:?}");
            *last = Some(number);
            drop(delivery.ack());
        }
        for task in sending {
            task.await.expect("all was sent");
        }
    })
    .await;
}

#[tokio::test]
async fn point_02_the_longest_waiting_receiver_that_matches_gets_the_message() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue(&client, "q").await;
        let mut waiting = Vec::new();
        let selectors = [Selector::Eq(kind(1)), Selector::Any, Selector::Eq(kind(2))];
        for (count, selector) in (1..).zip(selectors) {
            waiting.push(receiving(&queue, selector));
            until_stat(&client, &queue, |stat| stat.waiting == count).await;
        }
        for (number, body) in [(2, "for any"), (2, "for two"), (1, "for one")] {
            queue.send(message(number, body)).await.expect("sends");
        }
        for (receiver, body) in waiting.into_iter().zip(["for one", "for any", "for two"]) {
            let delivery = soon(receiver).await.expect("runs").expect("a delivery");
            assert_eq!(text(delivery.payload()), body);
            delivery.ack().await.expect("acks");
        }
    })
    .await;
}

#[tokio::test]
async fn point_02_a_consumer_goes_to_the_back_after_each_delivery() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue(&client, "q").await;
        let mut consumer = queue.consumer(Selector::Any, 8).await.expect("consumes");
        let single = receiving(&queue, Selector::Any);
        until_stat(&client, &queue, |stat| stat.waiting == 2).await;
        for body in ["first", "second", "third"] {
            queue.send(body).await.expect("sends");
        }
        let second = soon(single).await.expect("runs").expect("a delivery");
        assert_eq!(text(second.payload()), "second");
        for body in ["first", "third"] {
            let delivery = soon(consumer.next()).await.expect("goes on").expect("a delivery");
            assert_eq!(text(delivery.payload()), body);
        }
    })
    .await;
}

#[tokio::test]
async fn point_02_what_a_consumer_has_not_looked_at_goes_to_another_waiter() {
    everywhere(async |bus: Bus| {
        let (one, two) = (bus.client().await, bus.client().await);
        let queue = bus.queue(&one, "q").await;
        let mut greedy = queue.consumer(Selector::Any, 8).await.expect("consumes");
        for body in ["a", "b", "c"] {
            queue.send(body).await.expect("sends");
        }
        let first = soon(greedy.next()).await.expect("goes on").expect("a delivery");
        assert_eq!(text(first.payload()), "a");
        let other = bus.queue(&two, "q").await;
        let second = soon(other.receive(Selector::Any)).await.expect("a delivery");
        assert_eq!((text(second.payload()), second.attempt()), ("b", 0));
        greedy.pause().await.expect("pauses");
        until_stat(&two, &other, |stat| stat.messages == 1).await;
        let third = soon(other.receive(Selector::Any)).await.expect("a delivery");
        assert_eq!((text(third.payload()), third.attempt()), ("c", 0));
        greedy.resume().await.expect("goes on");
        queue.send("d").await.expect("sends");
        let fourth = soon(greedy.next()).await.expect("goes on").expect("a delivery");
        assert_eq!(text(fourth.payload()), "d");
    })
    .await;
}

#[tokio::test]
async fn point_03_a_full_queue_does_not_stop_a_message_for_a_waiting_receiver() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue_with(&client, "q", QueueOptions::default().count_max(2)).await;
        for _ in 0..2 {
            queue.try_send(message(1, "fills")).await.expect("there is room");
        }
        let waiting = receiving(&queue, Selector::Eq(kind(2)));
        until_stat(&client, &queue, |stat| stat.waiting == 1).await;
        queue.try_send(message(2, "for you")).await.expect("somebody waits for it");
        let delivery = soon(waiting).await.expect("runs").expect("a delivery");
        assert_eq!(text(delivery.payload()), "for you");
        // The same with a message that is offered before it is sent.
        let waiting = receiving(&queue, Selector::Eq(kind(2)));
        until_stat(&client, &queue, |stat| stat.waiting == 1).await;
        let large = Message::new(kind(2), vec![7; 300_000]);
        soon(queue.send_timeout(large, Duration::from_secs(5))).await.expect("somebody waits");
        let delivery = soon(waiting).await.expect("runs").expect("a delivery");
        assert_eq!(delivery.payload().len(), 300_000);
        assert_eq!(stat(&client, &queue).await.messages, 2);
    })
    .await;
}
