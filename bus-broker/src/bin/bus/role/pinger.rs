//! Measures round trips to an echo, after a warm-up, and checks that each is its own.

use std::time::{Duration, Instant};

use bus_client::{Message, Publisher, Subscriber};
use hdrhistogram::Histogram;
use serde_json::json;

use super::{COUNTED, LAST, kind, number_of, numbered, open_topic, patient, tell, transport_of};
use crate::exit::{Exit, Problem};
use crate::session;

/// How long one round trip may take before the echo is given up.
const TRIP_LIMIT: Duration = Duration::from_secs(10);

/// Arguments of the role.
#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    to: String,
    #[arg(long)]
    from: String,
    #[arg(long)]
    size: usize,
    #[arg(long)]
    seconds: f64,
    #[arg(long)]
    warm_up: f64,
}

/// Plays it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    session::with_client(url, session::once("pinger"), async |client| {
        let publisher = open_topic(client, &args.to).await?;
        let mut subscriber = client.subscribe_with(&args.from, patient(args.size)).await?;
        let mut trips = Trips { number: 0, wrong: 0, size: args.size, nanos: new_histogram()? };
        trips.run(&publisher, &mut subscriber, args.warm_up).await?;
        trips.nanos.reset();
        trips.run(&publisher, &mut subscriber, args.seconds).await?;
        publisher.publish(Message::new(kind(LAST), "")).await?;
        publisher.flush().await?;
        let nanos = &trips.nanos;
        tell(&json!({
            "transport": transport_of(client),
            "trips": nanos.len(),
            "wrong": trips.wrong,
            "mean_ns": nanos.mean() as u64,
            "p50_ns": nanos.value_at_quantile(0.5),
            "p99_ns": nanos.value_at_quantile(0.99),
            "p999_ns": nanos.value_at_quantile(0.999),
            "max_ns": nanos.max(),
        }))
    })
    .await
}

fn new_histogram() -> Result<Histogram<u64>, Problem> {
    let longest = u64::try_from(TRIP_LIMIT.as_nanos()).unwrap_or(u64::MAX);
    Histogram::new_with_bounds(1, longest, 3)
        .map_err(|error| Problem::new(Exit::Other, error.to_string()))
}

struct Trips {
    number: u64,
    /// Answers that were not to the question.
    wrong: u64,
    size: usize,
    nanos: Histogram<u64>,
}

impl Trips {
    async fn run(
        &mut self,
        publisher: &Publisher,
        subscriber: &mut Subscriber,
        seconds: f64,
    ) -> Result<(), Problem> {
        let begin = Instant::now();
        while begin.elapsed().as_secs_f64() < seconds {
            let payload = numbered(self.number, self.size);
            let start = Instant::now();
            publisher.publish(Message::new(COUNTED, payload)).await?;
            let answer = tokio::time::timeout(TRIP_LIMIT, subscriber.next()).await;
            let trip = start.elapsed();
            let Ok(Some(answer)) = answer else {
                let text = format!("round trip {} did not come back", self.number);
                return Err(Problem::new(Exit::Lost, text));
            };
            self.wrong += u64::from(number_of(answer?.payload()) != Some(self.number));
            self.nanos.saturating_record(u64::try_from(trip.as_nanos()).unwrap_or(u64::MAX));
            self.number += 1;
        }
        Ok(())
    }
}
