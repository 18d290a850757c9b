//! Clients that come and go: each does one thing, for ever or so many times, and tells how far it is.
//!
//! What one tells is true by then, so that whoever hears it knows what the brokers must have.

use std::time::Duration;

use bus_client::{
    Client, ClientOptions, Delivery, QueueOptions, Selector, SlowPolicy, SubscribeOptions,
};

use crate::process::say;
use crate::record::{self, Mark, any_length as message};

/// Topics that cross the bridge, on both ways.
pub const TOPIC: &str = "mixed.topic";
pub const NEWS: &str = "mixed.news";
/// Queues and a service that live at the far broker.
pub const SENT: &str = "mixed.sent";
pub const JOBS: &str = "mixed.jobs";
pub const ECHO: &str = "mixed.echo";
/// What the names of members begin with.
pub const NAME: &str = "member";
/// Longer than anything takes that works, also where the machine has much else to do.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long the session of one that was killed on another host, as far as its broker knows, outlives it.
const GRACE: Duration = Duration::from_millis(200);

/// A queue of the cast: each message can be taken and lost again many times.
pub fn queue_options() -> QueueOptions {
    // A lease does not end because the machine has stood still for a minute.
    let lease = Duration::from_secs(600);
    let options = QueueOptions::default().count_max(256).deliveries_max(10_000).lease(lease);
    // Who comes over TCP is nobody's user.
    options.mode(0o666)
}

/// `ROLE WRITER COUNT URL AUTHORITY`. It leaves after so many steps, and never if that is 0.
pub async fn live(words: &[&str]) {
    let [role, writer, count, url, authority] = words else { panic!("no such task: {words:?}") };
    let writer = writer.parse().expect("a number");
    let options = ClientOptions::default().name(format!("{NAME}-{role}")).tls_authority(*authority);
    let options = options.grace(GRACE).connect_timeout(PATIENCE);
    let client = match Client::connect_with(url, options.clone()).await {
        Ok(client) => client,
        // It has stood still in the middle of the handshake, for which the broker waits two seconds.
        Err(_) => Client::connect_with(url, options).await.expect("there is a broker"),
    };
    let count: u64 = count.parse().expect("a number");
    let steps = 0..if count == 0 { u64::MAX } else { count };
    let (act, lies) = role.split_once('-').unwrap_or((role, ""));
    match act {
        "publish" => publish(&client, writer, steps, lies).await,
        "send" => send(&client, writer, steps, lies).await,
        "work" => work(&client, steps, lies).await,
        "ask" => ask(&client, writer, steps, lies).await,
        "watch" => watch(&client, steps).await,
        other => panic!("no such role: {other}"),
    }
    let drained = client.drain(PATIENCE).await;
    assert_eq!(drained.undecided, 0, "all was confirmed: {drained:?}");
    say("left 0");
}

async fn publish(client: &Client, writer: u64, steps: std::ops::Range<u64>, lies: &str) {
    let publisher = client.publisher(TOPIC).await.expect("it opens");
    let count = steps.end;
    for number in steps {
        let mut bytes = message(Mark { writer, number });
        match (lies, number) {
            ("torn", 5) => bytes[9] ^= 1,
            ("lie", 5) => continue,
            _ => {}
        }
        publisher.publish(bytes).await.expect("there is a broker");
        if number % 7 == 0 {
            publisher.flush().await.expect("there is a broker");
            say(format_args!("accepted {}", number + 1));
        }
    }
    publisher.flush().await.expect("there is a broker");
    say(format_args!("accepted {count}"));
}

async fn send(client: &Client, writer: u64, steps: std::ops::Range<u64>, lies: &str) {
    let queue = client.queue_with(SENT, queue_options()).await.expect("it opens");
    for number in steps {
        if (lies, number) == ("lie", 5) {
            continue;
        }
        queue.send(message(Mark { writer, number })).await.expect("there is a broker");
        say(format_args!("accepted {}", number + 1));
    }
}

async fn work(client: &Client, steps: std::ops::Range<u64>, lies: &str) {
    let queue = client.queue_with(JOBS, queue_options()).await.expect("it opens");
    let job =
        |delivery: &Delivery| record::read(delivery.payload()).expect("a whole record").number;
    // By single receives: a consumer with what a killed one has had gets nothing beside it.
    let mut kept = Vec::new();
    while lies == "lie" && kept.len() < 3 {
        let delivery = queue.receive(Selector::Any).await.expect("there is a broker");
        say(format_args!("got {}", job(&delivery)));
        say(format_args!("done {}", job(&delivery)));
        kept.push(delivery);
    }
    let mut consumer = queue.consumer(Selector::Any, 8).await.expect("it consumes");
    for _ in steps {
        let delivery = consumer.next().await.expect("it goes on").expect("there is a broker");
        let number = job(&delivery);
        say(format_args!("got {number}"));
        delivery.ack().await.expect("there is a broker");
        say(format_args!("done {number}"));
    }
}

async fn ask(client: &Client, writer: u64, steps: std::ops::Range<u64>, lies: &str) {
    for number in steps {
        let question = message(Mark { writer, number });
        let answer = client.request(ECHO, question.clone(), PATIENCE).await.expect("an answer");
        let right = answer.payload()[..] == question[..] && lies.is_empty();
        say(match right {
            true => format!("answered {}", number + 1),
            false => format!("wrong {number}"),
        });
    }
}

async fn watch(client: &Client, steps: std::ops::Range<u64>) {
    let options = SubscribeOptions::default().policy(SlowPolicy::Hold);
    let mut news = client.subscribe_with(NEWS, options).await.expect("it subscribes");
    let mut last = None;
    for _ in steps {
        let found = news.next().await.expect("it goes on").expect("there is a broker");
        let Mark { number, .. } = record::read(found.payload()).expect("a whole record");
        assert!(last.is_none_or(|last| number == last + 1), "{number} after {last:?}");
        last = Some(number);
        say(format_args!("seen {number}"));
    }
}
