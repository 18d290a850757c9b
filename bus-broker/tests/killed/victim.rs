//! Clients on lanes that are killed: each does one thing for ever, and tells how far it is.
//!
//! What it tells is true by then, so that whoever hears it knows what the broker must have.

use std::time::Duration;

use bus_client::{
    Client, ClientOptions, Delivery, QueueOptions, Selector, SlowPolicy, SubscribeOptions,
};

use crate::process::say;
use crate::record::{self, Mark, any_length as message};

pub const TOPIC: &str = "killed.topic";
pub const SENT: &str = "killed.sent";
pub const JOBS: &str = "killed.jobs";
pub const NEWS: &str = "killed.news";

/// A queue of the crowd: each message can be taken and lost again many times.
pub fn queue_options() -> QueueOptions {
    // A lease does not end because the machine has stood still for a minute.
    let lease = Duration::from_secs(600);
    QueueOptions::default().count_max(256).deliveries_max(10_000).lease(lease)
}

/// `ROLE WRITER URL`. Nothing of it ever ends by itself.
pub async fn live(words: &[&str]) {
    let [role, writer, url] = words else { panic!("no such task: {words:?}") };
    let writer = writer.parse().expect("a number");
    // As long as anybody here waits: the machine may be busy with other things.
    let patient = ClientOptions::default().connect_timeout(Duration::from_secs(180));
    let client = match Client::connect_with(url, patient.clone()).await {
        Ok(client) => client,
        // It has stood still in the middle of the handshake, for which the broker waits two
        // seconds.
        Err(_) => Client::connect_with(url, patient).await.expect("there is a broker"),
    };
    match *role {
        "publish" | "publish-torn" | "publish-lie" => publish(&client, writer, role).await,
        "send" => send(&client, writer).await,
        "work" | "work-lie" => work(&client, *role == "work-lie").await,
        "watch" => watch(&client).await,
        other => panic!("no such role: {other}"),
    }
}

async fn publish(client: &Client, writer: u64, role: &str) {
    let publisher = client.publisher(TOPIC).await.expect("it opens");
    for number in 0.. {
        let mut bytes = message(Mark { writer, number });
        if role == "publish-torn" && number == 5 {
            bytes[9] ^= 1;
        }
        if role == "publish-lie" && number == 5 {
            continue;
        }
        publisher.publish(bytes).await.expect("there is a broker");
        if number % 7 == 0 {
            publisher.flush().await.expect("there is a broker");
            say(format_args!("accepted {}", number + 1));
        }
    }
}

async fn send(client: &Client, writer: u64) {
    let queue = client.queue_with(SENT, queue_options()).await.expect("it opens");
    for number in 0.. {
        queue.send(message(Mark { writer, number })).await.expect("there is a broker");
        say(format_args!("accepted {}", number + 1));
    }
}

async fn work(client: &Client, lies: bool) {
    let queue = client.queue_with(JOBS, queue_options()).await.expect("it opens");
    let job =
        |delivery: &Delivery| record::read(delivery.payload()).expect("a whole record").number;
    // By single receives: a consumer with what a killed one has had gets nothing beside it.
    let mut kept = Vec::new();
    while lies && kept.len() < 3 {
        let delivery = queue.receive(Selector::Any).await.expect("there is a broker");
        say(format_args!("got {}", job(&delivery)));
        say(format_args!("done {}", job(&delivery)));
        kept.push(delivery);
    }
    let mut consumer = queue.consumer(Selector::Any, 8).await.expect("it consumes");
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery.expect("there is a broker");
        let number = job(&delivery);
        say(format_args!("got {number}"));
        delivery.ack().await.expect("there is a broker");
        say(format_args!("done {number}"));
    }
}

async fn watch(client: &Client) {
    let options = SubscribeOptions::default().policy(SlowPolicy::Hold);
    let mut news = client.subscribe_with(NEWS, options).await.expect("it subscribes");
    let mut last = None;
    say("seen nothing");
    while let Some(found) = news.next().await {
        let found = found.expect("there is a broker");
        let Mark { number, .. } = record::read(found.payload()).expect("a whole record");
        assert!(last.is_none_or(|last| number == last + 1), "{number} after {last:?}");
        last = Some(number);
        say(format_args!("seen {number}"));
    }
}
