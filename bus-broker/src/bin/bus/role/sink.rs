//! Counts what a source publishes, and checks that nothing is missing and all is in order.

use std::time::Instant;

use bus_client::MessageRef;
use serde_json::json;

use super::{COUNTED, LAST, kind, number_of, patient, ready, tell, transport_of};
use crate::exit::{Exit, Problem};
use crate::session;

/// Arguments of the role.
#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    topic: String,
    #[arg(long)]
    size: usize,
}

/// What has come so far.
#[derive(Default)]
struct Tally {
    messages: u64,
    bytes: u64,
    /// Messages whose number was not the next one.
    wrong: u64,
    begin: Option<Instant>,
    /// What the source says that it has published.
    published: Option<u64>,
}

/// Plays it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    session::with_client(url, session::once("sink"), async |client| {
        let mut subscriber = client.subscribe_with(&args.topic, patient(args.size)).await?;
        ready()?;
        let mut tally = Tally::default();
        while tally.published.is_none() {
            let Some(batch) = subscriber.next_batch().await else {
                return Err(Problem::new(Exit::Lost, "the subscription ended too early"));
            };
            for message in batch?.iter() {
                tally.count(&message);
            }
        }
        let seconds = tally.begin.map_or(0.0, |begin| begin.elapsed().as_secs_f64());
        tell(&json!({
            "transport": transport_of(client),
            "messages": tally.messages,
            "published": tally.published,
            "bytes": tally.bytes,
            "wrong": tally.wrong,
            "seconds": seconds,
        }))
    })
    .await
}

impl Tally {
    fn count(&mut self, message: &MessageRef<'_>) {
        if message.kind() == COUNTED {
            self.begin.get_or_insert_with(Instant::now);
            self.wrong += u64::from(number_of(message.payload()) != Some(self.messages));
            self.messages += 1;
            self.bytes += message.payload().len() as u64;
        } else if message.kind() == kind(LAST) {
            self.published = number_of(message.payload());
        }
    }
}
