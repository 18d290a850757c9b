//! `bus set`: change limits, mode or owner of a queue or topic.

use crate::exit::Problem;
use crate::session;
use crate::shape::Shape;

/// Flags of `set`.
#[derive(clap::Args)]
pub struct Args {
    /// The queue, or with --topic the topic
    name: String,
    #[command(flatten)]
    shape: Shape,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    if args.shape.is_empty() {
        return Err(Problem::usage(format!(
            "nothing to change on `{}`: say what, as with --mode or --bytes (see `bus set --help`)",
            args.name
        )));
    }
    session::with_client(url, session::once("set"), async |client| {
        let admin = client.admin();
        let result = match args.shape.topic {
            true => admin.set_topic(&args.name, args.shape.topic_change()).await,
            false => admin.set_queue(&args.name, args.shape.queue_change()).await,
        };
        result.map_err(Problem::from)
    })
    .await
}
