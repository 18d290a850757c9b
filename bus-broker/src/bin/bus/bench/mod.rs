//! `bus bench`: round trip and throughput between two processes, over any URL.
//!
//! Without a URL and without a broker it starts one for the time being. Every message is
//! numbered; one that is missing or out of order is an error.

mod report;

use std::time::Duration;

use bus_client::{Client, ErrorKind, Object};

use crate::exit::{Exit, Problem};
use crate::helper::Helper;
use crate::output::Out;
use crate::role::NUMBER_BYTES;
use crate::scratch::Scratch;
use crate::serve::Signals;
use crate::{session, token, value};
use report::{OneWay, Report, RoundTrip};

/// How long a child may take beyond its own time.
const PATIENCE: Duration = Duration::from_secs(15);
/// The shortest measurement.
const SECONDS_MIN: Duration = Duration::from_millis(100);
/// The warm-up, as a part of the measured time.
const WARM_UP: f64 = 0.25;

/// Flags of `bench`.
#[derive(clap::Args)]
pub struct Args {
    /// The broker [default: as --url, else the one that runs here, else one for the time being]
    #[arg(value_name = "BROKER")]
    pub broker: Option<String>,
    /// Bytes of a payload, at least 8
    #[arg(long, short, value_parser = value::bytes, default_value = "64")]
    size: u64,
    /// Time for each of the two measurements, at least 100ms
    #[arg(long, value_parser = value::duration, value_name = "DURATION", default_value = "2", allow_hyphen_values = true)]
    seconds: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    let limit = bus_core::MESSAGE_BYTES_MAX;
    let size = match usize::try_from(args.size) {
        Ok(size) if (NUMBER_BYTES..=limit).contains(&size) => size,
        _ => {
            let text = format!(
                "--size must be {NUMBER_BYTES} to {limit} bytes: a payload bears its number"
            );
            return Err(Problem::usage(text));
        }
    };
    if args.seconds < SECONDS_MIN {
        let text = format!("--seconds must be at least {SECONDS_MIN:?}: less measures nothing");
        return Err(Problem::usage(text));
    }
    let url = args.broker.as_deref().unwrap_or(url);
    let mut signals = Signals::new()?;
    let report = tokio::select! {
        report = measure(url, size, args.seconds) => report?,
        () = signals.next() => return Err(Problem::new(Exit::Other, "interrupted")),
    };
    let mut out = Out::new();
    match args.json {
        true => out.json(&report.json())?,
        false => out.line(report.table())?,
    }
    out.flush()?;
    report.check()
}

/// A broker for the time being.
pub struct OwnBroker {
    broker: Helper,
    /// With ports that it got, in the order in which they were asked for.
    pub urls: Vec<String>,
    // Dropped last: the broker's socket is in it.
    _scratch: Scratch,
}

impl OwnBroker {
    /// Starts one that listens on a local socket, and there.
    pub async fn start(others: &[&str]) -> Result<OwnBroker, Problem> {
        let scratch = Scratch::new()?;
        let local = format!("local:{}", scratch.path().join("broker.sock").display());
        let folder = scratch.path().display().to_string();
        let mut arguments = vec!["serve", "--end-with-parent", "--scratch", &folder];
        arguments.extend(["--drain", "1s", "--listen", &local]);
        for other in others {
            arguments.extend(["--listen", other]);
        }
        let mut broker = Helper::start("broker", &arguments)?;
        let mut urls = Vec::new();
        while urls.len() < 1 + others.len() {
            let line = broker.line(PATIENCE).await?;
            if let Some(url) = line.strip_prefix("listening on ") {
                urls.push(url.to_owned());
            }
        }
        Ok(OwnBroker { broker, urls, _scratch: scratch })
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.broker.pid()
    }

    /// Ends it, and waits until it has ended.
    pub async fn stop(self) {
        self.broker.stop().await;
    }
}

async fn measure(url: &str, size: usize, seconds: Duration) -> Result<Report, Problem> {
    let (client, own) = match Client::connect_with(url, session::once("bench")).await {
        Ok(client) => (client, None),
        Err(error) if error.kind() == ErrorKind::NoBroker && url.is_empty() => {
            let own = OwnBroker::start(&[]).await?;
            token::forget();
            (Client::connect_with(&own.urls[0], session::once("bench")).await?, Some(own))
        }
        Err(error) => return Err(error.into()),
    };
    let url = client.url().to_string();
    let bench = Bench { url: &url, size, seconds };
    let result = bench.run().await;
    for topic in [bench.topic("there"), bench.topic("back"), bench.topic("flow")] {
        // One that was not made need not be removed.
        let _ = client.admin().remove(Object::Topic, &topic).await;
    }
    client.drain(Duration::from_secs(1)).await;
    let own_broker = own.is_some();
    if let Some(own) = own {
        own.stop().await;
    }
    let (round_trip, one_way) = result?;
    Ok(Report { url, own_broker, size, round_trip, one_way })
}

struct Bench<'a> {
    url: &'a str,
    size: usize,
    seconds: Duration,
}

impl Bench<'_> {
    /// Topics of this run, and of no other.
    fn topic(&self, part: &str) -> String {
        format!("bench.{}.{part}", std::process::id())
    }

    async fn run(&self) -> Result<(RoundTrip, OneWay), Problem> {
        Ok((self.round_trip().await?, self.one_way().await?))
    }

    async fn round_trip(&self) -> Result<RoundTrip, Problem> {
        let (there, back) = (self.topic("there"), self.topic("back"));
        let mut echo = self.start("echo", &["--from", &there, "--to", &back], false)?;
        echo.line(PATIENCE).await?;
        let mut pinger = self.start("pinger", &["--to", &there, "--from", &back], true)?;
        let result = pinger.json(PATIENCE + self.seconds * 2).await?;
        pinger.finish().await?;
        echo.finish().await?;
        Ok(RoundTrip::from(&result))
    }

    async fn one_way(&self) -> Result<OneWay, Problem> {
        let flow = self.topic("flow");
        let mut sink = self.start("sink", &["--topic", &flow], false)?;
        sink.line(PATIENCE).await?;
        let mut source = self.start("source", &["--topic", &flow], true)?;
        source.json(PATIENCE + self.seconds * 2).await?;
        let result = sink.json(PATIENCE).await?;
        source.finish().await?;
        sink.finish().await?;
        Ok(OneWay::from(&result))
    }

    fn start(&self, role: &str, arguments: &[&str], timed: bool) -> Result<Helper, Problem> {
        let size = self.size.to_string();
        let seconds = self.seconds.as_secs_f64();
        let (warm_up, seconds) = ((seconds * WARM_UP).to_string(), seconds.to_string());
        let mut all = vec!["__role", role, "--url", self.url, "--size", &size];
        all.extend(arguments);
        if timed {
            all.extend(["--seconds", &seconds, "--warm-up", &warm_up]);
        }
        Helper::start(role, &all)
    }
}
