//! `bus send`: send to a queue. Ends when the broker has accepted everything.

use std::time::Duration;

use bus_client::{Client, Queue, QueueOptions};

use crate::exit::{Exit, Problem};
use crate::message::{ManyArgs, MessageArgs};
use crate::patience::Patience;
use crate::{connecting, session, value};

/// Flags of `send`.
#[derive(clap::Args)]
pub struct Args {
    /// The queue
    queue: String,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    many: ManyArgs,
    /// Do not wait for room: a full queue is an answer
    #[arg(long = "try", conflicts_with = "timeout")]
    no_wait: bool,
    /// Wait at most so long for room: 5 (seconds), 250ms [default: for ever]
    #[arg(long, alias = "wait", value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// Create the queue if it is not there
    #[arg(long)]
    create: bool,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    let mut messages = args.message.messages(&args.many).await?;
    let options = match args.many.is_stream() {
        true => session::lasting("send"),
        false => session::once("send"),
    };
    let options = options.connect_timeout(connecting::limit(args.timeout));
    session::with_client(url, options, async |client| {
        if args.many.is_stream() {
            session::tell_events(client);
        }
        let queue = open(client, &args.queue, args.create).await?;
        let (mut patience, mut accepted) = (Patience::sending(client, &queue), 0u64);
        while let Some(message) = messages.next().await? {
            let sent = match args.timeout {
                _ if args.no_wait => patience.wait(queue.try_send(message)).await,
                Some(limit) => patience.wait(queue.send_timeout(message, limit)).await,
                None => patience.wait(queue.send(message)).await,
            };
            sent.map_err(|error| Problem::from(error).after(accepted))?;
            accepted += 1;
        }
        Ok(())
    })
    .await
}

/// Opens a queue; unless asked to create it, one that is not there is an error.
pub async fn open(client: &Client, name: &str, create: bool) -> Result<Queue, Problem> {
    if create {
        return Ok(client.queue_with(name, QueueOptions::default()).await?);
    }
    open_existing(client, name, ", or --create here").await
}

/// Opens a queue that is there; what else its maker can do is `hint`.
pub async fn open_existing(client: &Client, name: &str, hint: &str) -> Result<Queue, Problem> {
    client.queue_with(name, QueueOptions::default().must_exist()).await.map_err(|error| {
        let problem = Problem::from(error);
        match problem.exit() {
            Exit::Nothing => problem.hint(format_args!(" (`bus create {name}` creates it{hint})")),
            _ => problem,
        }
    })
}
