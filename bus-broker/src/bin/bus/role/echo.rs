//! Sends back on one topic what comes on another, until the last message.

use bus_client::Message;

use super::{LAST, kind, open_topic, patient, ready};
use crate::exit::Problem;
use crate::session;

/// Arguments of the role.
#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    from: String,
    #[arg(long)]
    to: String,
    #[arg(long)]
    size: usize,
}

/// Plays it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    session::with_client(url, session::once("echo"), async |client| {
        let publisher = open_topic(client, &args.to).await?;
        let mut subscriber = client.subscribe_with(&args.from, patient(args.size)).await?;
        ready()?;
        while let Some(received) = subscriber.next().await {
            let received = received?;
            if received.kind() == kind(LAST) {
                break;
            }
            publisher.publish(Message::new(received.kind(), received.payload().clone())).await?;
        }
        Ok(())
    })
    .await
}
