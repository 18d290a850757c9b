//! `bus serve`: run a broker until it is told to end.
//!
//! Flags and environment go before the configuration file. The first signal drains, the second
//! one ends at once.

use std::fmt::Display;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bus_broker::{
    Broker, BrokerConfig, DrainReport, Reloaded, StartError, parse_config, render_config,
};
use bus_client::BusUrl;
use bus_core::sys::{Ending, is_out_of_files};
use clap::builder::FalseyValueParser;
use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, Problem, say};
use crate::output::Out;
use crate::reload::{self, HangUps};
use crate::scratch::Adopted;
use crate::session::LaneArgs;
use crate::{helper, service, tls, value};

/// Flags of `serve`.
#[derive(clap::Args)]
pub struct Args {
    /// Listen there: local:, local:PATH, tcp://HOST:PORT or tls://HOST:PORT; can be given again [default: local:]
    #[arg(long, short, value_name = "URL", env = "BUS_LISTEN", value_delimiter = ',')]
    listen: Vec<BusUrl>,
    /// Read this TOML file; flags and environment go before it
    #[arg(long, short, value_name = "FILE", env = "BUS_CONFIG")]
    pub config: Option<PathBuf>,
    /// Check flags and configuration, print what would run, and end; addresses are not tried
    #[arg(long)]
    check: bool,
    /// Let everybody who reaches it over the network use the bus
    #[arg(long, env = "BUS_INSECURE", value_parser = FalseyValueParser::new())]
    insecure: bool,
    #[command(flatten)]
    tls: tls::ServeArgs,
    /// The broker's name, for people
    #[arg(long, env = "BUS_NAME")]
    name: Option<String>,
    /// Serve a live page on http://ADDRESS:PORT/, figures for Prometheus on /metrics, and /health
    #[arg(long, env = "BUS_METRICS", value_name = "ADDRESS:PORT", value_parser = value::address)]
    metrics: Option<SocketAddr>,
    /// Let other hosts read them: the names of all that there is, and how it fares
    #[arg(long, env = "BUS_METRICS_OPEN", value_parser = FalseyValueParser::new())]
    metrics_open: bool,
    /// When told to end: write what is to be written for at most so long
    #[arg(long, value_name = "DURATION", value_parser = value::duration, default_value = "5s", allow_hyphen_values = true)]
    drain: Duration,
    /// Tell more on standard error; RUST_LOG goes before it
    #[arg(long, short, action = clap::ArgAction::Count)]
    verbose: u8,
    /// End with the process that started it.
    #[arg(long, hide = true)]
    end_with_parent: bool,
    /// Remove this folder at the end, if it is empty: its maker may be killed.
    #[arg(long, hide = true)]
    scratch: Option<PathBuf>,
}

/// Runs it.
pub async fn run(url: &str, args: Args, lanes: LaneArgs) -> Result<(), Problem> {
    if args.end_with_parent {
        helper::end_with_parent()?;
    }
    let _scratch = args.scratch.clone().map(Adopted);
    let mut out = Out::new();
    let config = configure(&args, lanes, read_file(&args)?)?;
    if args.check {
        return check(&mut out, &config);
    }
    start_tracing(args.verbose);
    bus_core::sys::raise_file_limit();
    let mut signals = Signals::new()?;
    let mut hang_ups = HangUps::new(&args, &config)?;
    let (surroundings, manager) = service::taken();
    let broker = Broker::start_within(config, surroundings).await.map_err(explain)?;
    for url in broker.urls() {
        tell(&mut out, format_args!("listening on {url}"));
    }
    warn_of_elsewhere(url, broker.urls());
    if let Some(address) = broker.metrics_address() {
        tell(&mut out, format_args!("metrics on http://{address}/metrics"));
    }
    manager.ready(broker.urls());
    let args = Arc::new(args);
    run_until_told(&mut out, &mut signals, &mut hang_ups, async || {
        manager.reloading();
        let reloaded = reload::run(&broker, args.clone(), lanes).await;
        manager.reloaded(&reload::in_a_sentence(&reloaded));
        reloaded
    })
    .await;
    let clients = broker.registry().of_others();
    manager.stopping(clients);
    tell(&mut out, format_args!("ending: {clients} connected, at most {:?} to drain", args.drain));
    tokio::select! {
        report = broker.drain(args.drain) => {
            tell(&mut out, left_behind(clients, &report));
            Ok(())
        }
        () = signals.next() => Err(Problem::new(Exit::Other, "ended at once, without draining")),
    }
}

/// Reads everything again whenever that is asked for, until it is to end: a reload that hangs does not keep it.
async fn run_until_told(
    out: &mut Out,
    signals: &mut Signals,
    hang_ups: &mut HangUps,
    reload: impl AsyncFn() -> Result<Reloaded, String>,
) {
    loop {
        let reloading = async {
            hang_ups.next().await;
            // The broker has logged what is wrong.
            reload().await.ok()
        };
        tokio::select! {
            () = signals.next() => return,
            reloaded = reloading => reloaded.iter().for_each(|reloaded| reload::report(out, reloaded)),
        }
    }
}

/// Prints what would run. The last sentence and the exit code are those with which a start would end; before it stands
/// each of the files that cannot be used, since a start names only the first of them.
fn check(out: &mut Out, config: &BrokerConfig) -> Result<(), Problem> {
    out.bytes(render_config(config).as_bytes())?;
    out.flush()?;
    let wrong = config.unusable_files();
    wrong.iter().for_each(say);
    config.check().map_err(explain)
}

/// Whoever has set BUS_URL may think that a broker goes by it, and wonder where this one is.
fn warn_of_elsewhere(url: &str, listens: &[String]) {
    let listens: Vec<BusUrl> = listens.iter().filter_map(|url| url.parse().ok()).collect();
    if let Some(meant) = meant_elsewhere(url, &listens) {
        say(format_args!(
            "BUS_URL is `{meant}`, and this broker does not listen there: it goes by --listen, BUS_LISTEN or its file, and clients of this environment by BUS_URL"
        ));
    }
}

/// What clients of this environment connect to, if no broker listens there that listens so.
fn meant_elsewhere(url: &str, listens: &[BusUrl]) -> Option<BusUrl> {
    // Who has a wrong one is told as soon as he connects.
    let meant: BusUrl = url.parse().ok()?;
    let port = |url: &BusUrl| match url {
        BusUrl::Tcp(address) | BusUrl::Tls(address) => {
            address.rsplit(':').next().map(str::to_owned)
        }
        _ => None,
    };
    let is_it = |listen: &BusUrl| match port(&meant) {
        // A host has many names; who has the port has the broker in most cases.
        Some(wanted) => port(listen) == Some(wanted),
        None => meant.path() == listen.path() && meant.path().is_some(),
    };
    let by_default = matches!(meant, BusUrl::Local(None) | BusUrl::Unix(None) | BusUrl::Shm(None));
    (!url.is_empty() && !by_default && !listens.iter().any(is_it)).then_some(meant)
}

/// A broker goes on, and drains, also if nobody reads any more what it prints.
pub fn tell(out: &mut Out, line: impl Display) {
    let _ = out.line(line).and_then(|()| out.flush());
}

/// What stands in the configuration file, if there is to be one.
pub fn read_file(args: &Args) -> Result<Option<String>, Problem> {
    let Some(path) = &args.config else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| {
        let name = path.display();
        Problem::new(Exit::File, format!("cannot read the configuration {name}: {error}"))
    })?;
    Ok(Some(text))
}

/// What flags, environment and this text of the file say together.
pub fn configure(
    args: &Args,
    lanes: LaneArgs,
    text: Option<String>,
) -> Result<BrokerConfig, Problem> {
    let mut config = match (&args.config, text) {
        (Some(path), Some(text)) => parse_config(&text)
            .map_err(|error| Problem::usage(format!("{}, {error}", path.display())))?,
        _ => BrokerConfig::default(),
    };
    if !args.listen.is_empty() {
        config = config.listen_only(args.listen.clone());
    } else if config.urls().is_empty() {
        config = config.listen(BusUrl::Local(None));
    }
    if args.insecure {
        config = config.insecure(true);
    }
    if lanes.no_shm {
        config = config.shared_memory(false);
    }
    if let Some(waiting) = lanes.waiting {
        config = config.waiting(waiting);
    }
    if let Some(address) = args.metrics {
        config = config.metrics(address);
    }
    if args.metrics_open {
        config = config.metrics_open(true);
    }
    if let Some(name) = &args.name {
        config = config.name(name);
    }
    args.tls.apply(config)
}

/// Why signals cannot be caught.
pub fn uncaught(error: std::io::Error) -> Problem {
    Problem::new(Exit::Other, format!("cannot catch signals: {error}"))
}

fn explain(error: StartError) -> Problem {
    let exit = match &error {
        StartError::Insecure { .. } | StartError::MetricsOpen { .. } => Exit::Denied,
        StartError::Unsupported { .. }
        | StartError::NoCertificate { .. }
        | StartError::Twice { .. }
        | StartError::HandedOver(_)
        | StartError::Bridge(_) => Exit::Usage,
        StartError::Descriptors { .. } => Exit::Full,
        StartError::Certificate(_) | StartError::BridgeFile(_) => Exit::File,
        StartError::Listen { error, .. } => match error.kind() {
            std::io::ErrorKind::AddrInUse => Exit::Conflict,
            std::io::ErrorKind::PermissionDenied => Exit::Denied,
            _ if is_out_of_files(error) => Exit::Full,
            _ => Exit::File,
        },
        StartError::System(_) => Exit::Other,
    };
    Problem::new(exit, error.to_string())
}

/// The broker's own clients, which its report counts too, are nobody's business.
fn left_behind(clients: usize, report: &DrainReport) -> String {
    format!(
        "ended: clients that were connected: {}; bytes not written to them: {}; messages in \
         queues, now gone: {}",
        clients, report.unsent_bytes, report.messages
    )
}

fn start_tracing(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

/// What asks a process to end.
pub struct Signals(Ending);

impl Signals {
    /// Catches them from now on.
    pub fn new() -> Result<Signals, Problem> {
        Ending::new().map(Signals).map_err(uncaught)
    }

    /// Waits for one.
    pub async fn next(&mut self) {
        self.0.next().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_does_not_listen_where_clients_go_says_so() {
        let listens = |urls: &[&str]| -> Vec<BusUrl> {
            urls.iter().map(|url| url.parse().expect("a URL")).collect()
        };
        let both = listens(&["local:/run/bus.sock", "tcp://0.0.0.0:4550"]);
        for same in ["", "local:", "local:/run/bus.sock", "unix:/run/bus.sock", "tcp://me:4550"] {
            assert_eq!(meant_elsewhere(same, &both), None, "{same}");
        }
        for other in ["local:/run/other.sock", "tcp://me:4551"] {
            assert!(meant_elsewhere(other, &both).is_some(), "{other}");
        }
    }
}
