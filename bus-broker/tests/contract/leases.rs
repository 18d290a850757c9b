//! Points 6 to 8: messages too long for a receiver, leases, and looking without taking.

use std::time::{Duration, Instant};

use bus_client::{ErrorKind, Message, QueueOptions, Selector};

use crate::bus::{Bus, everywhere, failed, kind, message, soon, stat, text, until_stat};
use crate::order::{drain, receiving};

#[tokio::test]
async fn point_06_a_receiver_with_a_maximum_ends_as_too_big_and_the_message_stays() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue(&client, "q").await;
        for length in [100, 100_000] {
            let long = Message::from(vec![b'x'; length]);
            queue.send(long.clone()).await.expect("sends");
            queue.send("short").await.expect("sends");
            // It is already there.
            assert_eq!(failed(queue.receive_up_to(Selector::Any, 10).await), ErrorKind::TooBig);
            let first = soon(queue.receive(Selector::Any)).await.expect("a delivery");
            assert_eq!((first.payload().len(), first.attempt()), (length, 0));
            first.ack().await.expect("acks");
            assert_eq!(drain(&queue, Selector::Any).await, ["short"]);
            // It comes while the receiver waits: the next waiter gets it.
            let narrow = queue.clone();
            let narrow = tokio::spawn(async move { narrow.receive_up_to(Selector::Any, 10).await });
            until_stat(&client, &queue, |stat| stat.waiting == 1).await;
            let wide = receiving(&queue, Selector::Any);
            until_stat(&client, &queue, |stat| stat.waiting == 2).await;
            queue.send(long).await.expect("sends");
            assert_eq!(failed(soon(narrow).await.expect("runs")), ErrorKind::TooBig);
            let delivery = soon(wide).await.expect("runs").expect("a delivery");
            assert_eq!(delivery.payload().len(), length);
            delivery.ack().await.expect("acks");
        }
    })
    .await;
}

#[tokio::test]
async fn point_07_the_lease_starts_at_the_hand_over_and_a_late_ack_is_stale() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let options = QueueOptions::default().lease(Duration::from_millis(150));
        let queue = bus.queue_with(&client, "q", options).await;
        for body in ["taken", "not looked at"] {
            queue.send(body).await.expect("sends");
        }
        let mut consumer = queue.consumer(Selector::Any, 2).await.expect("consumes");
        let first = soon(consumer.next()).await.expect("goes on").expect("a delivery");
        until_stat(&client, &queue, |stat| stat.leased == 2).await;
        // The first lease ends, and its message is delivered again; the second has no clock yet.
        until_stat(&client, &queue, |stat| stat.redelivered == 1).await;
        assert_eq!(failed(first.ack().await), ErrorKind::StaleLease);
        let next = soon(consumer.next()).await.expect("goes on").expect("a delivery");
        assert_eq!((text(next.payload()), next.attempt()), ("not looked at", 0));
        next.ack().await.expect("in time");
        let again = soon(consumer.next()).await.expect("goes on").expect("a delivery");
        assert_eq!((text(again.payload()), again.attempt()), ("taken", 1));
        again.ack().await.expect("in time");
    })
    .await;
}

#[tokio::test]
async fn point_07_extend_lengthens_a_lease() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let options = QueueOptions::default().lease(Duration::from_millis(200));
        let queue = bus.queue_with(&client, "q", options).await;
        for body in ["extended", "left alone"] {
            queue.send(body).await.expect("sends");
        }
        let mut long = soon(queue.receive(Selector::Any)).await.expect("a delivery");
        long.extend(Duration::from_secs(60)).await.expect("in time");
        let short = soon(queue.receive(Selector::Any)).await.expect("a delivery");
        until_stat(&client, &queue, |stat| stat.leased == 1).await;
        assert_eq!(failed(short.ack().await), ErrorKind::StaleLease);
        long.ack().await.expect("it was extended");
        assert_eq!(drain(&queue, Selector::Any).await, ["left alone"]);
    })
    .await;
}

#[tokio::test]
async fn point_07_nack_puts_back_to_the_old_place_and_marks() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue(&client, "q").await;
        for body in ["a", "b", "c"] {
            queue.send(body).await.expect("sends");
        }
        let first = soon(queue.receive(Selector::Any)).await.expect("a delivery");
        let second = soon(queue.receive(Selector::Any)).await.expect("a delivery");
        drop(second);
        first.nack().await.expect("in time");
        for (body, attempt) in [("a", 1), ("b", 1), ("c", 0)] {
            let delivery = soon(queue.receive(Selector::Any)).await.expect("a delivery");
            assert_eq!((text(delivery.payload()), delivery.attempt()), (body, attempt));
            delivery.ack().await.expect("in time");
        }
        queue.send("later").await.expect("sends");
        let delivery = soon(queue.receive(Selector::Any)).await.expect("a delivery");
        let (delay, before) = (Duration::from_millis(120), Instant::now());
        delivery.nack_after(delay).await.expect("in time");
        let delivery = soon(queue.receive(Selector::Any)).await.expect("a delivery");
        assert!(before.elapsed() >= delay, "after {:?} only", before.elapsed());
        assert_eq!(delivery.attempt(), 1);
    })
    .await;
}

#[tokio::test]
async fn point_07_rejected_and_hopeless_messages_go_to_the_dead_letters() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue_with(&client, "q", QueueOptions::default().deliveries_max(3)).await;
        let rejected = message(5, "rejected").with_header("mine", "kept").expect("a header");
        queue.send(rejected).await.expect("sends");
        queue.send(message(6, "hopeless")).await.expect("sends");
        let delivery = soon(queue.receive(Selector::Any)).await.expect("a delivery");
        delivery.reject("not for me").await.expect("in time");
        for attempt in 0..3 {
            let delivery = soon(queue.receive(Selector::Any)).await.expect("a delivery");
            assert_eq!(delivery.attempt(), attempt);
            delivery.nack().await.expect("in time");
        }
        until_stat(&client, &queue, |stat| stat.dead == 2).await;
        let name = format!("{}.dead", bus.name("q"));
        let dead = client.queue_with(&name, QueueOptions::default().must_exist()).await;
        let dead = dead.expect("there is a queue of dead letters");
        for (body, number, why) in
            [("rejected", 5, "not for me"), ("hopeless", 6, "delivered 3 times")]
        {
            let letter = soon(dead.receive(Selector::Any)).await.expect("a delivery");
            assert_eq!((text(letter.payload()), letter.kind().get()), (body, number));
            let reason = letter.headers().get("bus-dead-reason").expect("a reason");
            assert!(text(reason).contains(why), "{}", text(reason));
            if number == 5 {
                assert_eq!(letter.headers().get("mine"), Some(&b"kept"[..]));
            }
            letter.ack().await.expect("in time");
        }
        assert_eq!(stat(&client, &queue).await.messages, 0);
    })
    .await;
}

#[tokio::test]
async fn point_07_leases_end_with_their_session() {
    everywhere(async |bus: Bus| {
        let (leaver, stayer) = (bus.client().await, bus.client().await);
        let queue = bus.queue(&stayer, "q").await;
        for body in ["a", "b", "c"] {
            queue.send(body).await.expect("sends");
        }
        let leaving = bus.queue(&leaver, "q").await;
        let mut consumer = leaving.consumer(Selector::Any, 2).await.expect("consumes");
        let held = soon(consumer.next()).await.expect("goes on").expect("a delivery");
        until_stat(&stayer, &queue, |stat| stat.leased == 2).await;
        leaver.drain(Duration::from_secs(1)).await;
        until_stat(&stayer, &queue, |stat| stat.leased == 0 && stat.messages == 3).await;
        // One was in the application's hands, the others were not.
        for (body, attempt) in [("a", 1), ("b", 0), ("c", 0)] {
            let delivery = soon(queue.receive(Selector::Any)).await.expect("a delivery");
            assert_eq!((text(delivery.payload()), delivery.attempt()), (body, attempt));
            delivery.ack().await.expect("in time");
        }
        assert!(soon(held.ack()).await.is_err(), "its session is over");
    })
    .await;
}

#[tokio::test]
async fn point_08_peek_takes_nothing_and_a_restored_dump_is_the_same() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let (queue, copy) = (bus.queue(&client, "q").await, bus.queue(&client, "copy").await);
        let mut sent = Vec::new();
        for number in 0..12u64 {
            let body = vec![number as u8; number as usize * 10_000];
            let original = Message::new(kind(number % 4 + 1), body);
            let original = original.with_header("number", number.to_string()).expect("a header");
            queue.send(original.clone()).await.expect("sends");
            sent.push(original);
        }
        let mut dump = Vec::new();
        while let Ok(peeked) = queue.peek(Selector::Any, dump.len() as u64).await {
            assert_eq!(peeked.attempt, 0);
            dump.push(peeked.message);
        }
        assert_eq!(dump, sent);
        assert_eq!(failed(queue.peek(Selector::Any, 12).await), ErrorKind::Empty);
        let third = queue.peek(Selector::Upto(kind(2)), 4).await.expect("there are six");
        assert_eq!(third.message, sent[5], "type 1 holds 0, 4, 8; type 2 holds 1, 5, 9");
        assert_eq!(stat(&client, &queue).await.messages, 12);
        copy.send_all(dump).await.expect("sends");
        for original in &sent {
            let delivery = soon(copy.receive(Selector::Any)).await.expect("a delivery");
            assert_eq!(delivery.message(), original);
            delivery.ack().await.expect("in time");
            let delivery = soon(queue.receive(Selector::Any)).await.expect("still there");
            assert_eq!(delivery.message(), original);
            delivery.ack().await.expect("in time");
        }
    })
    .await;
}
