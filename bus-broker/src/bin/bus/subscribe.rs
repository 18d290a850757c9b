//! `bus sub`: print what is published on the topics that match. Goes on over lost connections.

use std::time::Duration;

use bus_client::{SlowPolicy, SubscribeOptions, Subscriber};
use tokio::time::timeout;

use crate::exit::{Exit, Problem};
use crate::output::Out;
use crate::show::{ShowArgs, Shown};
use crate::value::SelectArgs;
use crate::{connecting, session, value};

/// Flags of `sub`.
#[derive(clap::Args)]
pub struct Args {
    /// The topics: a name, or a pattern (`*` is one token, `>` the rest)
    #[arg(value_name = "PATTERN")]
    pattern: String,
    #[command(flatten)]
    select: SelectArgs,
    /// End after so many messages; 0 is never
    #[arg(long, short = 'n', value_name = "N", default_value_t = 0)]
    count: u64,
    /// End when no message has come for so long: 5 (seconds), 250ms
    #[arg(long, short, value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    wait: Option<Duration>,
    /// Share the messages with the others of this group
    #[arg(long, short, value_name = "NAME")]
    group: Option<String>,
    /// What happens when this does not keep up: hold publishers back, drop the oldest, or end
    #[arg(long, value_enum, default_value = "auto")]
    policy: Policy,
    /// Bytes that may wait for this at the broker before that, such as 4MiB [default: 1MiB]
    #[arg(long, value_parser = value::bytes)]
    backlog: Option<u64>,
    #[command(flatten)]
    show: ShowArgs,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Policy {
    /// Hold beside publishers of the same user, else end
    Auto,
    Hold,
    #[value(alias = "drop-oldest")]
    Drop,
    End,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    let options = session::lasting("sub").connect_timeout(connecting::limit(args.wait));
    session::with_client(url, options, async |client| {
        session::tell_events(client);
        let policy = match args.policy {
            Policy::Auto => SlowPolicy::Auto,
            Policy::Hold => SlowPolicy::Hold,
            Policy::Drop => SlowPolicy::DropOldest,
            Policy::End => SlowPolicy::End,
        };
        let mut options =
            SubscribeOptions::default().selector(args.select.selector()).policy(policy);
        if let Some(group) = &args.group {
            options = options.group(group);
        }
        if let Some(bytes) = args.backlog {
            options = options.backlog_bytes(bytes);
        }
        let mut subscriber = client.subscribe_with(&args.pattern, options).await?;
        print_all(&mut subscriber, &args).await
    })
    .await
}

async fn print_all(subscriber: &mut Subscriber, args: &Args) -> Result<(), Problem> {
    let mut out = Out::new();
    let mut printed = 0;
    loop {
        let next = subscriber.next_batch();
        let batch = match args.wait {
            None => next.await,
            Some(limit) => match timeout(limit, next).await {
                Ok(batch) => batch,
                Err(_) => return silence(args, limit, printed),
            },
        };
        let Some(batch) = batch else { return Ok(()) };
        for message in batch?.iter() {
            args.show.show(
                &mut out,
                &Shown {
                    topic: Some(message.topic()),
                    index: None,
                    attempt: None,
                    sender: Some(message.sender()),
                    kind: message.kind(),
                    headers: &message.headers(),
                    payload: message.payload(),
                },
            )?;
            printed += 1;
            if printed == args.count {
                return out.flush();
            }
        }
        out.flush()?;
    }
}

/// Nothing has come for as long as the user would wait.
fn silence(args: &Args, limit: Duration, printed: u64) -> Result<(), Problem> {
    if printed >= args.count.max(1) {
        return Ok(());
    }
    let wanted = match args.count {
        0 => String::new(),
        count => format!(" ({printed} of {count} messages came)"),
    };
    let text = format!("nothing was published on `{}` for {limit:?}{wanted}", args.pattern);
    Err(Problem::new(Exit::TimedOut, text))
}
