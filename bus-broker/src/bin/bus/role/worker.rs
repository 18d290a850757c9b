//! Takes jobs from a queue by its own selector, until the queue is removed.

use std::time::Duration;

use bus_client::{Client, ErrorKind, QueueOptions, Selector};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{ready, tell, transport_of};
use crate::exit::Problem;
use crate::session;

/// Arguments of the role.
#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    queue: String,
    #[arg(long)]
    selector: Selector,
    /// What a job takes.
    #[arg(long)]
    job_ms: u64,
}

/// Plays it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    session::with_client(url, session::once("worker"), async |client| {
        ready()?;
        // All workers begin together.
        let mut line = String::new();
        BufReader::new(tokio::io::stdin()).read_line(&mut line).await?;
        let types = work(client, &args).await?;
        tell(&json!({ "transport": transport_of(client), "types": types }))
    })
    .await
}

async fn work(client: &Client, args: &Args) -> Result<Vec<u64>, Problem> {
    let queue = client.queue_with(&args.queue, QueueOptions::default().must_exist()).await?;
    let mut types = Vec::new();
    loop {
        let delivery = match queue.receive(args.selector).await {
            Ok(delivery) => delivery,
            Err(error) if error.kind() == ErrorKind::Removed => return Ok(types),
            Err(error) => return Err(error.into()),
        };
        tokio::time::sleep(Duration::from_millis(args.job_ms)).await;
        types.push(delivery.kind().get());
        delivery.ack().await?;
    }
}
