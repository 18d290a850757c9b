//! `bus peek`: show messages of a queue where they stand, and take none.

use bus_client::ErrorKind;

use crate::exit::Problem;
use crate::output::Out;
use crate::show::{ShowArgs, Shown};
use crate::value::SelectArgs;
use crate::{send, session};

/// Flags of `peek`.
#[derive(clap::Args)]
pub struct Args {
    /// The queue
    queue: String,
    #[command(flatten)]
    select: SelectArgs,
    /// The first to show, counted from 0
    #[arg(long, value_name = "I", default_value_t = 0)]
    index: u64,
    /// Show so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1)]
    count: u64,
    /// Show all
    #[arg(long, short, conflicts_with = "count")]
    all: bool,
    #[command(flatten)]
    show: ShowArgs,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    session::with_client(url, session::once("peek"), async |client| {
        let queue = send::open_existing(client, &args.queue, "").await?;
        let mut out = Out::new();
        let count = if args.all { u64::MAX } else { args.count };
        let end = args.index.saturating_add(count);
        for index in args.index..end {
            let peeked = match queue.peek(args.select.selector(), index).await {
                Ok(peeked) => peeked,
                Err(error) if error.kind() == ErrorKind::Empty && index > args.index => break,
                Err(error) => return Err(error.into()),
            };
            args.show.show(
                &mut out,
                &Shown {
                    topic: None,
                    index: Some(index),
                    attempt: Some(peeked.attempt),
                    sender: Some(&peeked.sender),
                    kind: peeked.message.kind(),
                    headers: peeked.message.headers(),
                    payload: peeked.message.payload(),
                },
            )?;
        }
        out.flush()
    })
    .await
}
