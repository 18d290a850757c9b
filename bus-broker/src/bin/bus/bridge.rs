//! `bus bridge`: bridges of a broker that runs, begun, looked at, stopped for a while and ended.
//!
//! It asks the broker's service `$bus.bridge`, as any administrator's program may. What a bridge is
//! to be is checked here too, so that a mistake needs no broker to be found.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bus_broker::{BridgeConfig, SpoolPolicy, TlsClientFiles, Words, render_bridge};
use bus_client::{BusUrl, ErrorKind, Name, Pattern};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::bridge_table;
use crate::exit::{Problem, exit_of};
use crate::output::Out;
use crate::{session, value};

/// The service.
const SERVICE: &str = "$bus.bridge";
/// Longer than a broker takes for it that is alive.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(clap::Subcommand)]
pub enum Args {
    /// Begin a bridge to another broker; it lasts until `rm`, or until this broker ends
    Add(Box<AddArgs>),
    /// List bridges: how each direction stands, what has gone over it, and what went wrong last
    Ls {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// End a bridge; what it had not carried yet is given up
    Rm(NameArgs),
    /// Have no connection to the other broker for a while; what it wants is kept for it
    Pause(NameArgs),
    /// Connect again
    Resume(NameArgs),
}

/// Which bridge.
#[derive(clap::Args)]
pub struct NameArgs {
    /// The bridge's name
    #[arg(value_name = "NAME")]
    bridge: String,
}

/// Flags of `add`.
#[derive(clap::Args)]
pub struct AddArgs {
    /// The bridge's name
    #[arg(value_name = "NAME")]
    bridge: String,
    /// The other broker: tcp://HOST:PORT, tls://HOST:PORT or local:PATH
    #[arg(value_name = "URL")]
    remote: BusUrl,
    #[command(flatten)]
    topics: Topics,
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    credentials: Credentials,
    #[command(flatten)]
    spool: Spool,
}

/// Topics, and what all names are called.
#[derive(clap::Args)]
#[command(next_help_heading = "What crosses (some of it must)")]
struct Topics {
    /// Topics that go there, while somebody there wants them
    #[arg(long, value_name = "PATTERN", num_args = 1.., value_parser = pattern)]
    out: Vec<Pattern>,
    /// Topics that come here, while somebody here wants them
    #[arg(long = "in", id = "incoming", value_name = "PATTERN", num_args = 1.., value_parser = pattern)]
    incoming: Vec<Pattern>,
    /// Names begin so here, and not in the patterns
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    local_prefix: String,
    /// Names begin so there instead
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    remote_prefix: String,
}

/// Queues and services that can be used on both sides.
#[derive(clap::Args)]
#[command(next_help_heading = "What crosses (some of it must)")]
struct Shared {
    /// Queues that live here, to be used there
    #[arg(long, value_name = "QUEUE", num_args = 1.., value_parser = name)]
    out_queues: Vec<Name>,
    /// Queues that live there, to be used here
    #[arg(long, value_name = "QUEUE", num_args = 1.., value_parser = name)]
    in_queues: Vec<Name>,
    /// Mode of queues where they do not live: 0700
    #[arg(long, value_name = "MODE", value_parser = value::mode)]
    queue_mode: Option<u16>,
    /// Services here, to be called there
    #[arg(long, value_name = "PATTERN", num_args = 1.., value_parser = pattern)]
    out_services: Vec<Pattern>,
    /// Services there, to be called here
    #[arg(long, value_name = "PATTERN", num_args = 1.., value_parser = pattern)]
    in_services: Vec<Pattern>,
    /// Mode of services where they are not served: 0722
    #[arg(long, value_name = "MODE", value_parser = value::mode)]
    service_mode: Option<u16>,
}

impl Shared {
    fn add_to(self, mut bridge: BridgeConfig) -> BridgeConfig {
        bridge = self.out_queues.into_iter().fold(bridge, BridgeConfig::outgoing_queue);
        bridge = self.in_queues.into_iter().fold(bridge, BridgeConfig::incoming_queue);
        bridge = self.out_services.into_iter().fold(bridge, BridgeConfig::services_out);
        bridge = self.in_services.into_iter().fold(bridge, BridgeConfig::services_in);
        if let Some(mode) = self.queue_mode {
            bridge = bridge.queue_mode(mode);
        }
        if let Some(mode) = self.service_mode {
            bridge = bridge.service_mode(mode);
        }
        bridge
    }
}

/// How it shows at the other broker who it is. The files are read by the broker, not by this command.
#[derive(clap::Args)]
#[command(next_help_heading = "Connection to the other broker")]
struct Credentials {
    /// The token to show there
    #[arg(long, value_name = "FILE")]
    remote_token_file: Option<PathBuf>,
    /// Send the token over plain TCP to another host too
    #[arg(long)]
    remote_insecure: bool,
    /// tls://: whom to trust (PEM) [default: as the system]
    #[arg(long, value_name = "FILE")]
    remote_authority: Option<PathBuf>,
    /// tls://: the certificate to show there (PEM)
    #[arg(long, value_name = "FILE", requires = "remote_key")]
    remote_cert: Option<PathBuf>,
    /// The private key of --remote-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "remote_cert")]
    remote_key: Option<PathBuf>,
    /// tls://: the name in the certificate there [default: the host]
    #[arg(long, value_name = "NAME")]
    remote_name: Option<String>,
}

/// What is kept for the side that cannot take it, in each direction.
#[derive(clap::Args)]
#[command(next_help_heading = "What is kept while the other side cannot take it")]
struct Spool {
    /// So much in all [default: 256MiB]
    #[arg(long = "spool", value_name = "SIZE", value_parser = value::bytes)]
    all: Option<u64>,
    /// So much of each publisher and topic [default: 128MiB]
    #[arg(long = "spool-each", value_name = "SIZE", value_parser = value::bytes)]
    each: Option<u64>,
    /// So many messages of each [default: 1048576]
    #[arg(long = "spool-each-messages", value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// If full: hold (publishers wait), drop-oldest, refuse [default: hold]
    #[arg(long = "spool-full", value_name = "HOW", value_enum, hide_possible_values = true)]
    full: Option<Full>,
    /// For so long while it cannot be reached [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    linger: Option<Duration>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Full {
    Hold,
    DropOldest,
    Refuse,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    match args {
        Args::Add(args) => {
            let config = render_bridge(&args.config()?);
            call(url, json!({ "action": "add", "config": config })).await.map(drop)
        }
        Args::Ls { json } => list(url, json).await,
        Args::Rm(args) => about(url, "remove", &args).await,
        Args::Pause(args) => about(url, "pause", &args).await,
        Args::Resume(args) => about(url, "resume", &args).await,
    }
}

async fn about(url: &str, action: &str, args: &NameArgs) -> Result<(), Problem> {
    call(url, json!({ "action": action, "name": args.bridge })).await.map(drop)
}

async fn list(url: &str, as_json: bool) -> Result<(), Problem> {
    let list = call(url, json!({ "action": "list" })).await?;
    let mut out = Out::new();
    if as_json {
        out.json(&list)?;
    } else if let Some(table) = bridge_table::render(&list) {
        out.line(table)?;
    }
    out.flush()
}

/// Asks the broker. What it refuses is a problem of that kind.
async fn call(url: &str, asked: Value) -> Result<Value, Problem> {
    let reply = session::with_client(url, session::once("bridge"), async |client| {
        Ok(client.request(SERVICE, asked.to_string(), PATIENCE).await?)
    })
    .await?;
    serde_json::from_slice(reply.payload()).map_err(|error| {
        Problem::new(exit_of(ErrorKind::Decode), format!("`{SERVICE}` gives no JSON: {error}"))
    })
}

impl AddArgs {
    /// The bridge that was asked for, if it can be run.
    fn config(self) -> Result<BridgeConfig, Problem> {
        let AddArgs { topics, credentials, spool, shared, .. } = self;
        let wrong = |error: bus_broker::InvalidBridge| Problem::usage(error.to_string());
        let bridge = BridgeConfig::new(&self.bridge, self.remote).map_err(wrong)?;
        let mut bridge =
            bridge.words(Words::Command).prefixes(topics.local_prefix, topics.remote_prefix);
        bridge = topics.out.into_iter().fold(bridge, BridgeConfig::outgoing);
        bridge = topics.incoming.into_iter().fold(bridge, BridgeConfig::incoming);
        bridge = shared.add_to(bridge);
        if let Some(path) = &credentials.remote_token_file {
            bridge = bridge.token_file(absolute(path)?);
        }
        bridge = bridge.insecure(credentials.remote_insecure).tls(credentials.files()?);
        bridge = bridge.spool(spool.each, spool.messages, spool.all);
        if let Some(full) = spool.full {
            bridge = bridge.policy(full.policy());
        }
        if let Some(linger) = spool.linger {
            bridge = bridge.linger(linger);
        }
        bridge.check().map_err(wrong)?;
        Ok(bridge)
    }
}

impl Credentials {
    fn files(self) -> Result<TlsClientFiles, Problem> {
        // Neither goes without the other: the command line has been checked for that.
        let certificate = match self.remote_cert.zip(self.remote_key) {
            Some((certificate, key)) => Some((absolute(&certificate)?, absolute(&key)?)),
            None => None,
        };
        Ok(TlsClientFiles {
            authority: self.remote_authority.as_deref().map(absolute).transpose()?,
            certificate,
            server_name: self.remote_name,
        })
    }
}

impl Full {
    fn policy(self) -> SpoolPolicy {
        match self {
            Full::Hold => SpoolPolicy::HoldBack,
            Full::DropOldest => SpoolPolicy::DropOldest,
            Full::Refuse => SpoolPolicy::Refuse,
        }
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| error.to_string())
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

/// The path of a file as the broker finds it, which may run in another folder.
fn absolute(path: &Path) -> Result<PathBuf, Problem> {
    let whole = std::path::absolute(path)?;
    match whole.to_str() {
        Some(_) => Ok(whole),
        None => Err(Problem::usage(format!("`{}` is not UTF-8", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use bus_broker::Setting;
    use clap::Args as _;

    use super::*;

    #[test]
    fn what_a_bridge_says_of_its_settings_are_flags_that_there_are() {
        let command = AddArgs::augment_args(clap::Command::new("add"));
        let flags: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
        for setting in Setting::ALL {
            let word = setting.word(Words::Command);
            let is_there = match word.strip_prefix("--") {
                Some(flag) => flags.contains(&flag),
                None => ["NAME", "URL"].contains(&word),
            };
            assert!(is_there, "{word}");
        }
        assert_eq!(flags.len() + 2, Setting::ALL.len(), "{flags:?}");
    }
}
