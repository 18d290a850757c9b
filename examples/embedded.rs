//! A broker inside a program: three lines, no socket, and its tasks talk over the bus.
//!
//! Run it with `cargo run -p bus-examples --bin embedded`.

use std::time::Duration;

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, Queue, Selector};

const JOBS: u64 = 1000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // These are the three lines. The broker has a thread of its own, is reached through a `mem:`
    // URL, and listens nowhere else unless its configuration says so (`.listen(..)`).
    let broker = Broker::start(BrokerConfig::default()).await?;
    let client = Client::connect(broker.url()).await?;
    let numbers = client.queue("numbers").await?;

    // Two tasks. Clones of a queue or client share one connection; a task may as well connect
    // for itself. Moved to another process, both would look the same.
    let producer = tokio::spawn(produce(numbers.clone()));
    let consumer = tokio::spawn(consume(numbers));
    producer.await??;
    let sum = consumer.await??;
    println!("{JOBS} numbers over {}, their sum is {sum}", broker.url());
    assert_eq!(sum, JOBS * (JOBS + 1) / 2);

    // Nothing has to be shut down. Who wants to know what was left can ask.
    let left = client.drain(Duration::from_secs(1)).await;
    assert_eq!(left.undecided, 0, "each send had its receipt");
    let left = broker.drain(Duration::from_secs(1)).await;
    println!("left in queues: {} messages", left.messages);
    assert_eq!(left.messages, 0);
    Ok(())
}

/// Sends the numbers as a batch: many are under way at a time, and all are accepted at the end.
async fn produce(numbers: Queue) -> Result<(), bus_client::Error> {
    let payloads = (1..=JOBS).map(|number| number.to_le_bytes().to_vec());
    numbers.send_all(payloads).await?;
    Ok(())
}

/// Takes them in order. With a credit of 32 the broker hands over up to 32 ahead of time.
async fn consume(numbers: Queue) -> Result<u64, bus_client::Error> {
    let mut consumer = numbers.consumer(Selector::Any, 32).await?;
    let mut sum = 0;
    for expected in 1..=JOBS {
        let Some(delivery) = consumer.next().await else { break };
        let delivery = delivery?;
        assert_eq!(delivery.payload().as_ref(), expected.to_le_bytes(), "first in, first out");
        sum += expected;
        // Sent at once. Whoever does not need to know that it was in time need not wait.
        drop(delivery.ack());
    }
    Ok(sum)
}
