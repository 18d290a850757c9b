//! A message of 16 MiB: how it travels, and how it gets in nobody's way.
//!
//! Run it with `cargo run -p bus-examples --bin big_message`. It brings its own broker.

use std::time::Duration;

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, ErrorKind, Message, MessageType, QueueOptions, Selector};
use bytes::Bytes;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const MIB: usize = 1024 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // Over a real socket, in a temporary directory.
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("bus.sock");
    let url = format!("local:{}", socket.display());
    let broker = Broker::start(BrokerConfig::default().listen(url.parse()?)).await?;
    let sender = Client::connect(&url).await?;
    let receiver = Client::connect(&url).await?;

    // The payload is shared bytes: cloning it copies nothing.
    let picture: Bytes = (0..16 * MIB).map(|index| (index % 251) as u8).collect();

    publish(&sender, &receiver, &picture).await?;
    send(&sender, &receiver, &picture).await?;

    let report = broker.drain(Duration::from_secs(1)).await;
    assert_eq!(report.messages, 0, "every message was acknowledged");
    Ok(())
}

/// On a topic it is a message like any other.
async fn publish(sender: &Client, receiver: &Client, picture: &Bytes) -> Result<()> {
    let mut pictures = receiver.subscribe("pictures").await?;
    sender.publisher("pictures").await?.publish(picture.clone()).await?;
    let received = pictures.next().await.ok_or("the subscription has ended")??;
    assert_eq!(received.payload(), picture);
    println!("topic: {} MiB published and received", received.payload().len() / MIB);
    Ok(())
}

/// To a queue the client first offers a large message by its type and length, and sends it when
/// the broker has room for it: until then it stays in this process.
async fn send(sender: &Client, receiver: &Client, picture: &Bytes) -> Result<()> {
    let picture_type = MessageType::try_from(1)?;
    let note_type = MessageType::try_from(2)?;

    // A queue's limit counts each message with 64 bytes more than its length, so one of 16 MiB
    // does not fit into the default limit of 16 MiB. This one has room for one picture, not for two.
    let options = QueueOptions::default().bytes_max(20 * MIB as u64);
    let outbox = sender.queue_with("album", options).await?;
    let inbox = receiver.queue("album").await?;
    outbox.send(Message::new(picture_type, picture.clone())).await?;
    println!("queue: the first picture is accepted");

    // No room for the second one: `try_send` says so, `send` would wait.
    let full = outbox.try_send(picture.clone()).await.expect_err("the queue is full");
    assert_eq!(full.kind(), ErrorKind::QueueFull);
    let waiting = outbox.post(Message::new(picture_type, picture.clone())).await?;

    // It waits for room, and yet a note that somebody waits for passes: it needs no room. The
    // connection is not held up either, as only the offer has gone over it.
    let note = inbox.receive(Selector::Eq(note_type));
    let noting = outbox.send(Message::new(note_type, "two pictures, by the way"));
    let (note, sent) = tokio::join!(note, noting);
    sent?;
    let note = note?;
    println!("queue: a note got past them: {}", String::from_utf8_lossy(note.payload()));
    note.ack().await?;

    // A receiver can say how much it takes. What is longer stays where it is.
    let error = inbox.receive_up_to(Selector::Any, MIB as u64).await.expect_err("too long");
    println!("queue: {error}");
    assert_eq!(error.kind(), ErrorKind::TooBig);

    for _ in 0..2 {
        let delivery = inbox.receive(Selector::Any).await?;
        assert_eq!(delivery.payload(), picture);
        delivery.ack().await?;
    }
    waiting.await?;
    println!("queue: both pictures received");
    Ok(())
}
