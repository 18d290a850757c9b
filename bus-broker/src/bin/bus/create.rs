//! `bus create`: create a queue or a topic. That it is there already is an error, unless asked.

use bus_client::{Client, Error, ErrorKind, QueueChange, TopicChange};

use crate::exit::Problem;
use crate::session;
use crate::shape::Shape;

/// Flags of `create`.
#[derive(clap::Args)]
pub struct Args {
    /// The new name
    name: String,
    #[command(flatten)]
    shape: Shape,
    /// If it is there already, leave it as it is
    #[arg(long)]
    if_missing: bool,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    session::with_client(url, session::once("create"), async |client| {
        match create(client, &args).await {
            Err(error) if args.if_missing && error.kind() == ErrorKind::AlreadyExists => {
                return Ok(());
            }
            result => result?,
        }
        if args.shape.gives_away() {
            give_away(client, &args).await?;
        }
        Ok(())
    })
    .await
}

async fn create(client: &Client, args: &Args) -> Result<(), Error> {
    if args.shape.topic {
        let options = args.shape.publisher_options().exclusive(true);
        client.publisher_with(&args.name, options).await.map(|_| ())
    } else {
        let options = args.shape.queue_options().exclusive();
        client.queue_with(&args.name, options).await.map(|_| ())
    }
}

async fn give_away(client: &Client, args: &Args) -> Result<(), Error> {
    let admin = client.admin();
    let TopicChange { owner, group, .. } = args.shape.topic_change();
    if args.shape.topic {
        admin.set_topic(&args.name, TopicChange { owner, group, ..Default::default() }).await
    } else {
        admin.set_queue(&args.name, QueueChange { owner, group, ..Default::default() }).await
    }
}
