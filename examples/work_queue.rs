//! A work queue: urgent jobs first, and no job is lost when a worker fails.
//!
//! Run it with `cargo run -p bus-examples --bin work_queue`. It brings its own broker.

use std::time::Duration;

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, ErrorKind, Message, MessageType, QueueOptions, Selector};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A message's type is a number of your choice from 1 on. Here it is the urgency of a job.
const URGENT: u64 = 1;
const NORMAL: u64 = 2;
const BULK: u64 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let broker = Broker::start(BrokerConfig::default()).await?;
    let client = Client::connect(broker.url()).await?;
    select_by_urgency(&client).await?;
    try_again_then_give_up(&client).await?;
    outlive_a_worker(&client, broker.url()).await?;
    outlast_a_lease(&client).await
}

/// A selector says which types a receiver takes, and in which order. What it passes over stays
/// where it is, in its order.
async fn select_by_urgency(client: &Client) -> Result<()> {
    let jobs = client.queue("jobs").await?;
    // `send` returns when the broker has accepted the message.
    jobs.send(job(BULK, "rebuild the index")?).await?;
    jobs.send(job(NORMAL, "resize a picture")?).await?;
    jobs.send(job(URGENT, "reset a password")?).await?;
    jobs.send(job(NORMAL, "send a newsletter")?).await?;

    // `<=2`: of the lowest type that is there, and at most 2, the oldest message.
    let urgent_first: Selector = "<=2".parse()?;
    assert_eq!(urgent_first, Selector::Upto(MessageType::try_from(NORMAL)?));
    for expected in ["reset a password", "resize a picture", "send a newsletter"] {
        let delivery = jobs.receive(urgent_first).await?;
        println!("front desk does: {}", text(delivery.payload()));
        assert_eq!(delivery.payload(), expected);
        // A delivery is leased. Only the acknowledgement takes the message out for good.
        delivery.ack().await?;
    }
    // Bulk jobs are left alone by `<=2`, and taken by whoever takes any.
    let nothing = jobs.try_receive(urgent_first).await.expect_err("only a bulk job is left");
    assert_eq!(nothing.kind(), ErrorKind::Empty);
    let delivery = jobs.receive(Selector::Any).await?;
    println!("night shift does: {}", text(delivery.payload()));
    assert_eq!(delivery.kind().get(), BULK);
    delivery.ack().await?;
    Ok(())
}

/// A job that fails goes back to its place. One that fails too often, or that is rejected, goes
/// to the dead letters: a queue of its own, to be looked at by somebody.
async fn try_again_then_give_up(client: &Client) -> Result<()> {
    let options = QueueOptions::default().deliveries_max(2);
    let jobs = client.queue_with("fragile", options).await?;
    let dead = client.queue("fragile.dead").await?;

    jobs.send("divide by zero").await?;
    for attempt in 0..2 {
        let delivery = jobs.receive(Selector::Any).await?;
        println!("attempt {}: {} fails", attempt + 1, text(delivery.payload()));
        assert_eq!(delivery.attempt(), attempt);
        // `nack` gives it back. Dropping the delivery would do the same.
        delivery.nack().await?;
    }
    let letter = dead.receive(Selector::Any).await?;
    let reason = letter.headers().get("bus-dead-reason").ok_or("a dead letter says why")?;
    println!("dead letter: {} ({})", text(letter.payload()), text(reason));
    assert_eq!(letter.payload(), "divide by zero");
    letter.ack().await?;

    // When trying again is of no use, `reject` says so at once.
    jobs.send("%&!").await?;
    jobs.receive(Selector::Any).await?.reject("this is not a job").await?;
    let letter = dead.receive(Selector::Any).await?;
    assert_eq!(letter.headers().get("bus-dead-reason"), Some(&b"this is not a job"[..]));
    assert_eq!(letter.headers().get("bus-dead-queue"), Some(&b"fragile"[..]));
    println!("dead letter: {} (this is not a job)", text(letter.payload()));
    letter.ack().await?;
    Ok(())
}

/// What a worker had leased goes back when it ends, whether it says goodbye or crashes.
async fn outlive_a_worker(client: &Client, url: &str) -> Result<()> {
    let jobs = client.queue("long").await?;
    jobs.send("count the stars").await?;

    let worker = Client::connect(url).await?;
    let taken = worker.queue("long").await?.receive(Selector::Any).await?;
    println!("a worker begins to {}, and ends", text(taken.payload()));
    drop((taken, worker));

    let again = jobs.receive(Selector::Any).await?;
    println!("another one begins to {}", text(again.payload()));
    assert_eq!((again.payload().as_ref(), again.attempt()), (&b"count the stars"[..], 1));
    again.ack().await?;
    Ok(())
}

/// A worker that is stuck holds its job for the time of the lease only (30 s by default; it can
/// ask for more with `extend`). An acknowledgement that comes later is told so.
async fn outlast_a_lease(client: &Client) -> Result<()> {
    let options = QueueOptions::default().lease(Duration::from_millis(200));
    let jobs = client.queue_with("short", options).await?;
    jobs.send("blink").await?;

    let stuck = jobs.receive(Selector::Any).await?;
    // Waits until the lease of the first delivery has ended.
    let mut taken_over = jobs.receive(Selector::Any).await?;
    taken_over.extend(Duration::from_secs(10)).await?;
    let late = stuck.ack().await.expect_err("the lease has ended");
    println!("the late worker is told: {late}");
    assert_eq!(late.kind(), ErrorKind::StaleLease);
    taken_over.ack().await?;
    Ok(())
}

fn job(urgency: u64, text: &'static str) -> Result<Message> {
    Ok(Message::new(MessageType::try_from(urgency)?, text))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
