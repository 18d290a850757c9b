//! `bus ping`: round trips to the broker, and how it is connected.

use std::time::Duration;

use serde_json::json;

use crate::connecting;
use crate::exit::Problem;
use crate::output::Out;
use crate::show::printable;
use crate::{session, value};

/// Flags of `ping`.
#[derive(clap::Args)]
pub struct Args {
    /// So many round trips
    #[arg(long, short = 'n', value_name = "N", default_value_t = 4)]
    count: u32,
    /// Wait so long between them
    #[arg(long, short, value_name = "DURATION", value_parser = value::duration, default_value = "0s", allow_hyphen_values = true)]
    interval: Duration,
    /// Give the broker up after so long without an answer
    #[arg(long, short, value_name = "DURATION", value_parser = value::duration, default_value = "5s", allow_hyphen_values = true)]
    wait: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    let options = session::once("ping").connect_timeout(connecting::limit(Some(args.wait)));
    session::with_client(url, options, async |client| {
        let mut out = Out::new();
        let info = client.transport();
        let transport = info.transport.map_or_else(String::new, |transport| transport.to_string());
        let mut trips = Vec::new();
        for number in 1..=args.count {
            let Ok(trip) = tokio::time::timeout(args.wait, client.ping()).await else {
                let text = format!("no answer from {} within {:?}", client.url(), args.wait);
                return Err(Problem::new(crate::exit::Exit::TimedOut, text));
            };
            let trip = trip?;
            if !args.json {
                let url = client.url();
                out.line(format_args!("{number}: {} from {url} over {transport}", micros(trip)))?;
                out.flush()?;
            }
            trips.push(trip);
            if number < args.count {
                tokio::time::sleep(args.interval).await;
            }
        }
        if args.json {
            out.json(&json!({
                "url": client.url().to_string(),
                "transport": transport,
                "reason": info.reason,
                "round_trips_ns": trips.iter().map(Duration::as_nanos).collect::<Vec<_>>(),
            }))?;
        } else if let (Some(min), Some(max)) = (trips.iter().min(), trips.iter().max()) {
            let mean = trips.iter().sum::<Duration>() / args.count;
            out.line(format_args!(
                "min {}, mean {}, max {} ({transport}: {})",
                micros(*min),
                micros(mean),
                micros(*max),
                printable(&info.reason)
            ))?;
        }
        out.flush()
    })
    .await
}

fn micros(trip: Duration) -> String {
    format!("{:.1} us", trip.as_secs_f64() * 1e6)
}
