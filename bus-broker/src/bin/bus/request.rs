//! `bus request`: call a service, and print its reply.

use std::time::Duration;

use crate::connecting;
use crate::exit::Problem;
use crate::message::MessageArgs;
use crate::output::Out;
use crate::show::{ShowArgs, Shown};
use crate::{session, value};

/// Flags of `request`.
#[derive(clap::Args)]
pub struct Args {
    /// The service
    service: String,
    #[command(flatten)]
    message: MessageArgs,
    /// Wait at most so long for the reply
    #[arg(long, value_name = "DURATION", value_parser = value::duration, default_value = "5s", allow_hyphen_values = true)]
    timeout: Duration,
    #[command(flatten)]
    show: ShowArgs,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    let message = args.message.message().await?;
    let options = session::once("request").connect_timeout(connecting::limit(Some(args.timeout)));
    session::with_client(url, options, async |client| {
        let reply = client.request(&args.service, message, args.timeout).await?;
        let mut out = Out::new();
        args.show.show(
            &mut out,
            &Shown {
                topic: None,
                index: None,
                attempt: None,
                sender: None,
                kind: reply.kind(),
                headers: reply.headers(),
                payload: reply.payload(),
            },
        )?;
        out.flush()
    })
    .await
}
