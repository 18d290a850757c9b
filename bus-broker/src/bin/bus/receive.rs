//! `bus recv`: receive from a queue. A message is acknowledged after it has been printed; if
//! that fails it goes back to its place.

use std::time::Duration;

use bus_client::{Delivery, Queue};

use crate::exit::{Exit, Problem};
use crate::output::Out;
use crate::patience::Patience;
use crate::show::{ShowArgs, Shown};
use crate::value::SelectArgs;
use crate::{connecting, send, session, value};

/// Flags of `recv`.
#[derive(clap::Args)]
pub struct Args {
    /// The queue
    queue: String,
    #[command(flatten)]
    select: SelectArgs,
    /// So many messages
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1, conflicts_with = "follow")]
    count: u64,
    /// Go on until interrupted, or until the queue is gone or a message was printed too late
    #[arg(long, short)]
    follow: bool,
    /// Wait at most so long for each message: 5 (seconds), 250ms [default: for ever]
    #[arg(long, short, alias = "timeout", value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    wait: Option<Duration>,
    /// Do not wait: an empty queue is an answer
    #[arg(long = "try", conflicts_with = "wait")]
    no_wait: bool,
    /// Create the queue if it is not there
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    show: ShowArgs,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    let options = match args.follow {
        true => session::lasting("recv"),
        false => session::once("recv"),
    };
    let options = options.connect_timeout(connecting::limit(args.wait));
    session::with_client(url, options, async |client| {
        if args.follow {
            session::tell_events(client);
        }
        let queue = send::open(client, &args.queue, args.create).await?;
        let mut patience = Patience::receiving(client, &queue);
        let mut out = Out::new();
        let mut left = args.count;
        while args.follow || left > 0 {
            let received = receive(&queue, &args, &mut patience).await;
            let delivery = received.map_err(|problem| gone(problem, &args))?;
            args.show.show(
                &mut out,
                &Shown {
                    topic: None,
                    index: None,
                    attempt: Some(delivery.attempt()),
                    sender: Some(delivery.sender()),
                    kind: delivery.kind(),
                    headers: delivery.headers(),
                    payload: delivery.payload(),
                },
            )?;
            out.flush()?;
            delivery.ack().await?;
            left = left.saturating_sub(1);
        }
        Ok(())
    })
    .await
}

/// A queue that went with its broker does not come again by itself.
fn gone(problem: Problem, args: &Args) -> Problem {
    match problem.exit() == Exit::Nothing && args.follow && !args.create {
        true => problem.hint(format_args!(
            ": it went with its broker, or was removed (with --create this makes it again, and goes on)"
        )),
        false => problem,
    }
}

async fn receive(
    queue: &Queue,
    args: &Args,
    patience: &mut Patience<'_>,
) -> Result<Delivery, Problem> {
    Ok(match args.wait {
        _ if args.no_wait => queue.try_receive(args.select.selector()).await?,
        Some(Duration::ZERO) => queue.try_receive(args.select.selector()).await?,
        Some(limit) => patience.wait(queue.receive_timeout(args.select.selector(), limit)).await?,
        None => patience.wait(queue.receive(args.select.selector())).await?,
    })
}
