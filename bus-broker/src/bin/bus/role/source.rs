//! Publishes numbered messages as fast as it can: a warm-up, then those that count, then the
//! last one, which tells how many there were.

use std::time::Instant;

use bus_client::{Message, MessageType, Publisher};
use serde_json::json;

use super::{COUNTED, LAST, NUMBER_BYTES, WARM_UP, kind, numbered, open_topic, tell, transport_of};
use crate::exit::Problem;
use crate::session;

/// Messages between two looks at the clock.
const RUN: u64 = 32;

/// Arguments of the role.
#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    topic: String,
    #[arg(long)]
    size: usize,
    #[arg(long)]
    seconds: f64,
    #[arg(long)]
    warm_up: f64,
}

/// Plays it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    session::with_client(url, session::once("source"), async |client| {
        let publisher = open_topic(client, &args.topic).await?;
        publish(&publisher, kind(WARM_UP), args.size, args.warm_up).await?;
        let messages = publish(&publisher, COUNTED, args.size, args.seconds).await?;
        publisher.publish(Message::new(kind(LAST), numbered(messages, 0))).await?;
        publisher.flush().await?;
        tell(&json!({ "transport": transport_of(client), "messages": messages }))
    })
    .await
}

async fn publish(
    publisher: &Publisher,
    kind: MessageType,
    size: usize,
    seconds: f64,
) -> Result<u64, Problem> {
    let begin = Instant::now();
    let (mut number, mut payload) = (0u64, numbered(0, size));
    // Large messages take long enough for a look at the clock after each.
    let run = if size > 16 * 1024 { 1 } else { RUN };
    while begin.elapsed().as_secs_f64() < seconds {
        for _ in 0..run {
            payload[..NUMBER_BYTES].copy_from_slice(&number.to_le_bytes());
            publisher.publish_slice(kind, &payload).await?;
            number += 1;
        }
    }
    Ok(number)
}
