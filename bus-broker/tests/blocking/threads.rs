//! Blocking clients and threads: many at once, those of a runtime, and those that drop handles.

use std::collections::BTreeMap;
use std::thread;

use bus_client::Selector;
use bus_client::blocking::{Client, Publisher, Queue, Service, Subscriber};
use rustix::process::{Pid, Signal, kill_process};

use crate::{SOON, Stage};

const THREADS: usize = 4;
const EACH: usize = 200;

#[test]
fn handles_may_go_from_thread_to_thread_and_be_used_by_many() {
    fn is_for_threads<T: Send + Sync>() {}
    is_for_threads::<(Client, Queue, Publisher, Subscriber, Service)>();
    is_for_threads::<bus_client::blocking::Delivery>();
}

#[test]
fn threads_share_a_queue_and_each_message_comes_once_and_in_its_order() {
    let stage = Stage::new();
    for scheme in ["shm", "unix"] {
        let client = stage.client(scheme);
        let queue = client.queue(&format!("shared.{scheme}")).expect("opens");
        let got: Vec<(usize, usize)> = thread::scope(|scope| {
            for sender in 0..THREADS {
                let queue = &queue;
                scope.spawn(move || {
                    for number in 0..EACH {
                        queue.send(format!("{sender} {number}")).expect("there is room");
                    }
                });
            }
            let take = || {
                let mut got = Vec::new();
                for _ in 0..EACH {
                    let delivery = queue.receive_timeout(Selector::Any, SOON).expect("is there");
                    let text = String::from_utf8(delivery.payload().to_vec()).expect("text");
                    let (sender, number) = text.split_once(' ').expect("two numbers");
                    got.push((sender.parse().expect("one"), number.parse().expect("two")));
                    delivery.ack().expect("is handed over");
                }
                got
            };
            let takers: Vec<_> = (0..THREADS).map(|_| scope.spawn(take)).collect();
            let lists = takers.into_iter().map(|taker| taker.join().expect("does not panic"));
            // Each taker sees each sender's messages in their order.
            lists
                .flat_map(|list| {
                    let mut last = BTreeMap::new();
                    for (sender, number) in &list {
                        assert!(last.insert(*sender, *number) < Some(*number), "{list:?}");
                    }
                    list
                })
                .collect()
        });
        let mut all = got;
        all.sort_unstable();
        let expected =
            (0..THREADS).flat_map(|sender| (0..EACH).map(move |number| (sender, number)));
        assert!(all.into_iter().eq(expected), "each one once");
    }
}

/// A round trip, and a call that has to wait for another thread of the same client.
fn go_round(client: &Client, name: &str) {
    let queue = client.queue(name).expect("opens");
    let other = queue.clone();
    let waiting = thread::spawn(move || other.receive_timeout(Selector::Any, SOON));
    queue.send("round").expect("there is room");
    let delivery = waiting.join().expect("does not panic").expect("it comes");
    assert_eq!(delivery.payload(), "round");
    delivery.ack().expect("is handed over").wait().expect("in time");
    client.within(SOON).ping().expect("answers");
}

#[test]
fn calls_work_on_the_threads_of_a_runtime() {
    let stage = Stage::new();
    for scheme in ["shm", "unix"] {
        let url = stage.broker.url(scheme);
        // Made on a thread of a runtime, used there and elsewhere, and the other way round.
        let elsewhere = stage.client(scheme);
        let made = stage.wait(async {
            go_round(&elsewhere, "one");
            let client = Client::connect(&url).expect("connects");
            go_round(&client, "two");
            // A task has a budget, which blocking must not wait for.
            for _ in 0..500 {
                client.queue("many").expect("opens").send("x").expect("there is room");
            }
            client
        });
        go_round(&made, "three");
        // A thread that a runtime has for blocking.
        stage.wait(async {
            let blocking = tokio::task::spawn_blocking(move || go_round(&elsewhere, "four"));
            blocking.await.expect("does not panic");
        });
    }
}

#[test]
fn thread_that_waits_does_not_keep_the_client_from_what_others_drop() {
    let stage = Stage::new();
    let (client, other) = (stage.client("shm"), stage.client("shm"));
    let queue = client.queue("dropped").expect("opens");
    let idle = client.queue("idle").expect("opens");
    let theirs = other.queue("dropped").expect("opens");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| idle.receive_timeout(Selector::Any, SOON));
        for _ in 0..5 {
            queue.send("once more").expect("there is room");
            // This client makes no call until the message has come back to another one.
            drop(queue.receive(Selector::Any).expect("is there"));
            let delivery = theirs.receive_timeout(Selector::Any, SOON).expect("it came back");
            delivery.ack().expect("is handed over").wait().expect("in time");
        }
        other.queue("idle").expect("opens").send("enough").expect("there is room");
        waiting.join().expect("does not panic").expect("it comes").ack().expect("is handed over");
    });
}

#[test]
fn dropping_does_not_wait_for_a_broker_that_stands_still() {
    let stage = Stage::new();
    for scheme in ["shm", "unix"] {
        let client = stage.client(scheme);
        let queue = client.queue("held").expect("opens");
        queue.send("a message").expect("there is room");
        let delivery = queue.receive(Selector::Any).expect("is there");
        let subscriber = client.subscribe(">").expect("subscribes");
        let pid = i32::try_from(stage.broker.pid()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, Signal::STOP).expect("it runs");
        drop((delivery, subscriber, queue, client));
        kill_process(pid, Signal::CONT).expect("it is there");
        let delivery = stage.client(scheme).queue("held").expect("opens");
        let delivery = delivery.receive_timeout(Selector::Any, SOON).expect("it came back");
        delivery.ack().expect("is handed over").wait().expect("in time");
    }
}

#[test]
fn goodbye_goes_out_although_nobody_calls_any_more() {
    let stage = Stage::new();
    let watch = stage.client("unix").admin();
    for scheme in ["shm", "unix"] {
        let client = stage.client(scheme);
        assert_eq!(watch.clients().expect("tells").len(), 2);
        drop(client);
        while watch.clients().expect("tells").len() > 1 {
            thread::yield_now();
        }
    }
}

#[test]
fn what_is_sent_may_be_made_by_waiting_for_the_same_client() {
    let stage = Stage::new();
    for scheme in ["shm", "unix"] {
        let (client, other) = (stage.client(scheme), stage.client(scheme));
        let source = client.subscribe("source").expect("subscribes");
        let mut sink = other.subscribe("sink").expect("subscribes");
        let publisher = client.publisher("sink").expect("opens");
        let queue = client.queue(&format!("sink.{scheme}")).expect("opens");
        let texts: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                let source = other.publisher("source").expect("opens");
                source.publish_all(texts.clone()).expect("is handed over");
            });
            let mut made = source.map(|next| next.expect("comes").into_message());
            assert_eq!(publisher.publish_all(made.by_ref().take(100)).expect("goes"), 100);
            assert_eq!(queue.send_all(made.take(100)).expect("goes"), 100);
            for text in &texts[..100] {
                let message = sink.next_timeout(SOON).expect("goes on").expect("comes");
                assert_eq!(message.payload(), text);
            }
        });
        assert_eq!(queue.peek(Selector::Any, 99).expect("is there").message.payload(), "199");
    }
}
