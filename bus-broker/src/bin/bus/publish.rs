//! `bus pub`: publish on a topic. Ends when the broker has accepted everything.

use crate::exit::Problem;
use crate::message::{ManyArgs, MessageArgs};
use crate::session;

/// Flags of `pub`.
#[derive(clap::Args)]
pub struct Args {
    /// The topic
    topic: String,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    many: ManyArgs,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    // Its body first: nobody connects to say nothing.
    let mut messages = args.message.messages(&args.many).await?;
    session::with_client(url, session::once("pub"), async |client| {
        let publisher = client.publisher(&args.topic).await?;
        let mut published = 0u64;
        while let Some(message) = messages.next().await? {
            let sent = publisher.publish(message).await;
            sent.map_err(|error| Problem::from(error).not_known_of(published))?;
            published += 1;
        }
        publisher.flush().await.map_err(|error| Problem::from(error).not_known_of(published))
    })
    .await
}
