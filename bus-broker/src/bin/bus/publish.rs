//! `bus pub`: publish on a topic. Ends when the broker has accepted everything. If it is told to, it
//! waits first until somebody listens, or publishes nothing.

use std::time::Duration;

use bus_client::{Client, Publisher};

use crate::connecting;
use crate::exit::{Exit, Problem};
use crate::message::{ManyArgs, MessageArgs, Messages};
use crate::unknown::Unknown;
use crate::{session, value};

/// At the end of what is to be published a lost broker is waited for so long.
const AWAY_MAX: Duration = Duration::from_secs(10);

/// Flags of `pub`.
#[derive(clap::Args)]
pub struct Args {
    /// The topic
    topic: String,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    many: ManyArgs,
    /// Publish only once somebody has subscribed; after so long without anybody fail [default: wait for ever]
    #[arg(long, value_name = "DURATION", value_parser = value::duration, require_equals = true)]
    wait_for_subscriber: Option<Option<Duration>>,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    // Its body first: nobody connects to say nothing.
    let mut messages = args.message.messages(&args.many).await?;
    let is_stream = args.many.is_stream();
    let options = if is_stream { session::lasting("pub") } else { session::once("pub") };
    let options = options.connect_timeout(connecting::limit(args.wait_for_subscriber.flatten()));
    session::with_client(url, options, async |client| {
        let mut events = client.events();
        if is_stream {
            session::tell_events(client);
        }
        let publisher = client.publisher(&args.topic).await?;
        if let Some(limit) = args.wait_for_subscriber {
            wait_for_subscriber(&publisher, limit).await?;
        }
        let (mut published, mut unknown) = (0u64, Unknown::default());
        tokio::select! {
            biased;
            result = publish_all(client, &publisher, &mut messages, &mut published) => result?,
            () = unknown.follow(&mut events) => {
                let text = "the broker has ended this client";
                return Err(Problem::new(Exit::Unreachable, text).not_known_of(published));
            }
        }
        unknown.catch_up(&mut events);
        match unknown.told() {
            None => Ok(()),
            Some(told) => {
                Err(Problem::new(Exit::Lost, format!("published {published} messages; {told}")))
            }
        }
    })
    .await
}

/// Publishes all of them, and waits until the broker has them.
async fn publish_all(
    client: &Client,
    publisher: &Publisher,
    messages: &mut Messages,
    published: &mut u64,
) -> Result<(), Problem> {
    while let Some(message) = messages.next().await? {
        let sent = publisher.publish(message).await;
        sent.map_err(|error| Problem::from(error).not_known_of(*published))?;
        *published += 1;
    }
    tokio::select! {
        biased;
        flushed = publisher.flush() => {
            flushed.map_err(|error| Problem::from(error).not_known_of(*published))
        }
        () = session::gone_for(client, AWAY_MAX) => {
            let text = format!("all was said, and the broker has not come back for {AWAY_MAX:?}");
            Err(Problem::new(Exit::Lost, text).not_known_of(*published))
        }
    }
}

async fn wait_for_subscriber(
    publisher: &Publisher,
    limit: Option<Duration>,
) -> Result<(), Problem> {
    let Some(limit) = limit else { return Ok(publisher.matched().await?) };
    match tokio::time::timeout(limit, publisher.matched()).await {
        Ok(matched) => Ok(matched?),
        Err(_) => {
            let topic = publisher.topic();
            let text =
                format!("nobody has subscribed to `{topic}` for {limit:?}; nothing was published");
            Err(Problem::new(Exit::TimedOut, text))
        }
    }
}
