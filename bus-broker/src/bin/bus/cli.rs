//! The command line: global flags and the verbs, each of which has its own file.

use std::io::Write;

use bus_client::BusUrl;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

#[cfg(feature = "tls")]
use crate::cert;
use crate::context::{Choice, Context, Given, Settings, Sources, Store};
use crate::exit::{self, Exit, Problem};
use crate::{
    bench, bridge, completions, connecting, context, create, demo, doctor, dump, events, ls, peek,
    ping, publish, receive, record, removal, replay, reply, request, restore, role, send, serve,
    session, set, stat, subscribe, suggest, tls, token, top,
};

const WHICH_BROKER: &str = "\
Which broker: --url, else --context, else BUS_URL, else BUS_CONTEXT, else the
context in use (`bus context use`), else where brokers of this machine listen.
";

/// An async message bus for processes: queues, topics and services.
#[derive(Parser)]
#[command(name = "bus", version, after_help = format!("{WHICH_BROKER}\n{}", exit::help()), arg_required_else_help = true)]
pub struct Cli {
    /// The broker: local:PATH, shm:PATH, unix:PATH, tcp://HOST:PORT or tls://HOST:PORT [default: where
    /// brokers of this machine listen]
    #[arg(
        long,
        global = true,
        env = "BUS_URL",
        value_name = "URL",
        help_heading = "Connection to this broker",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    url: String,
    /// A named set of a broker and credentials, from `bus context add`; an empty name is none
    #[arg(
        long,
        global = true,
        env = "BUS_CONTEXT",
        value_name = "NAME",
        help_heading = "Connection to this broker",
        hide_env_values = true
    )]
    context: Option<String>,
    /// Where each setting comes from.
    #[arg(skip)]
    sources: Sources,
    #[command(flatten)]
    lanes: session::LaneArgs,
    #[command(flatten)]
    connecting: connecting::ConnectArgs,
    #[command(flatten)]
    tls: tls::TlsArgs,
    #[command(flatten)]
    token: token::TokenArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a broker
    Serve(serve::Args),
    /// Show what the bus does: a broker, publishers, subscribers and workers, as processes
    Demo(demo::Args),
    /// Publish on a topic
    #[command(visible_alias = "publish")]
    Pub(publish::Args),
    /// Subscribe to topics, and print what is published
    #[command(visible_alias = "subscribe")]
    Sub(subscribe::Args),
    /// Send to a queue, and wait until it is accepted
    Send(send::Args),
    /// Receive from a queue, print and acknowledge
    #[command(visible_alias = "receive")]
    Recv(receive::Args),
    /// Call a service, and print its reply
    Request(request::Args),
    /// Serve a name: answer its requests
    Reply(reply::Args),
    /// List queues, topics, services and clients
    Ls(ls::Args),
    /// Show everything about a name, or about the broker
    Stat(stat::Args),
    /// Create a queue or a topic
    Create(create::Args),
    /// Change a queue or a topic
    Set(set::Args),
    /// Remove now; whoever waits is told
    Rm(removal::Args),
    /// Take a name away now, and its contents with the last holder
    Retire(removal::Args),
    /// Drop the messages that wait in a queue, or that a topic keeps
    Purge(removal::Args),
    /// Show messages of a queue, and take none
    Peek(peek::Args),
    /// Copy what a queue holds into a file, and take none
    Dump(dump::Args),
    /// Send what `dump` wrote to a queue
    Restore(restore::Args),
    /// Copy what is published on topics into a file, with its times
    Record(record::Args),
    /// Publish what `record` wrote, with its timing
    Replay(replay::Args),
    /// Show what happens at the broker, as it happens
    Events(events::Args),
    /// Bridges to other brokers: begin, list, stop for a while, end
    #[command(subcommand)]
    Bridge(bridge::Args),
    /// Make a private authority and certificates, to try TLS out
    #[cfg(feature = "tls")]
    #[command(subcommand)]
    Cert(cert::Args),
    /// Measure round trips to the broker
    Ping(ping::Args),
    /// Measure round trip and throughput between two processes
    Bench(bench::Args),
    /// Show queues, topics, clients and bridges live, with rates and depths
    Top(top::Args),
    /// Look for what is missing on this machine and at brokers, and tell what to do
    Doctor(doctor::Args),
    /// Named sets of a broker and credentials: keep, list, choose, forget
    #[command(subcommand)]
    Context(context::Args),
    /// Print what a shell needs to complete this command
    Completions(completions::Args),
    /// Write man pages, one for each verb
    Man(completions::ManArgs),
    /// Make a token, by which a user shows who it is
    Token(token::Args),
    /// A process of `demo` or `bench`.
    #[command(name = "__role", hide = true, subcommand)]
    Role(role::Role),
}

impl Cli {
    /// Whether this process is to be a broker.
    pub fn serves(&self) -> bool {
        matches!(self.verb, Verb::Serve(_))
    }

    /// Runs the verb.
    pub async fn run(mut self) -> Result<(), Problem> {
        if let Verb::Context(args) = self.verb {
            let flags = Settings { url: self.url, tls: self.tls, token: self.token }
                .on_command_line(&self.sources);
            return context::run(args, flags);
        }
        let context = self.use_context()?;
        let url = &self.url;
        session::set_lanes(self.lanes);
        connecting::set(self.connecting);
        tls::set(self.tls)?;
        if self.verb.connects() {
            self.token.take(context)?;
        }
        match self.verb {
            Verb::Serve(args) => serve::run(url, args, self.lanes).await,
            Verb::Demo(args) => demo::run(args).await,
            Verb::Pub(args) => publish::run(url, args).await,
            Verb::Sub(args) => subscribe::run(url, args).await,
            Verb::Send(args) => send::run(url, args).await,
            Verb::Recv(args) => receive::run(url, args).await,
            Verb::Request(args) => request::run(url, args).await,
            Verb::Reply(args) => reply::run(url, args).await,
            Verb::Ls(args) => ls::run(url, args).await,
            Verb::Stat(args) => stat::run(url, args).await,
            Verb::Create(args) => create::run(url, args).await,
            Verb::Set(args) => set::run(url, args).await,
            Verb::Rm(args) => removal::run(url, removal::Action::Remove, args).await,
            Verb::Retire(args) => removal::run(url, removal::Action::Retire, args).await,
            Verb::Purge(args) => removal::run(url, removal::Action::Purge, args).await,
            Verb::Peek(args) => peek::run(url, args).await,
            Verb::Dump(args) => dump::run(url, args).await,
            Verb::Restore(args) => restore::run(url, args).await,
            Verb::Record(args) => record::run(url, args).await,
            Verb::Replay(args) => replay::run(url, args).await,
            Verb::Events(args) => events::run(url, args).await,
            Verb::Bridge(args) => bridge::run(url, args).await,
            #[cfg(feature = "tls")]
            Verb::Cert(args) => cert::run(&args),
            Verb::Ping(args) => ping::run(url, args).await,
            Verb::Bench(args) => bench::run(url, args).await,
            Verb::Token(args) => token::run(args),
            Verb::Top(args) => top::run(url, args).await,
            Verb::Doctor(args) => doctor::run(url, args).await,
            Verb::Completions(args) => completions::run(&args),
            Verb::Man(args) => completions::man(&args),
            // It was done above.
            Verb::Context(_) => Ok(()),
            Verb::Role(role) => role::run(url, role).await,
        }
    }
}

impl Cli {
    /// Takes what the context says that is to be used, if one is; the answer is its token.
    fn use_context(&mut self) -> Result<Option<(Context, bool)>, Problem> {
        if !self.verb.connects() || self.verb.names_broker() {
            return Ok(None);
        }
        let named = (self.sources.given("context"), self.context.as_deref());
        // An empty variable is none.
        let url = if self.url.is_empty() { Given::Nowhere } else { self.sources.given("url") };
        let selected = match (url, named.0) {
            // Where no files are kept nothing is in use.
            (Given::Nowhere, Given::Nowhere) => Store::of_user().ok(),
            _ => None,
        };
        let selected = selected.map(|store| store.selected()).transpose()?.flatten();
        let Choice::Context { name, first } = context::choose(url, named, selected)? else {
            return Ok(None);
        };
        let context = Store::of_user()?.load(&name)?;
        let hint = format!(" (in the context `{name}`)");
        context
            .url
            .parse::<BusUrl>()
            .map_err(|error| Problem::usage(error.to_string()).hint(&hint))?;
        self.url.clone_from(&context.url);
        let goes_before = |id: &str| match self.sources.given(id) {
            Given::Flag => false,
            Given::Environment => first,
            Given::Nowhere => true,
        };
        self.tls.fill(&context, goes_before);
        Ok(Some((context, first && self.sources.given("token_file") != Given::Flag)))
    }
}

impl Verb {
    /// Whether it says itself which broker it means.
    fn names_broker(&self) -> bool {
        match self {
            Verb::Bench(args) => args.broker.is_some(),
            Verb::Doctor(args) => !args.urls.is_empty(),
            // A child of this program is told all by its parent.
            Verb::Role(_) => true,
            _ => false,
        }
    }

    /// Whether it connects to a broker that is there.
    fn connects(&self) -> bool {
        match self {
            Verb::Serve(_) | Verb::Demo(_) | Verb::Token(_) | Verb::Context(_) => false,
            Verb::Completions(_) | Verb::Man(_) => false,
            #[cfg(feature = "tls")]
            Verb::Cert(_) => false,
            _ => true,
        }
    }
}

/// The whole command line.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses the command line; help and version are printed here.
pub fn parse() -> Result<Cli, Problem> {
    let matches = Cli::command()
        .try_get_matches()
        .map_err(|error| explain(suggest::improve(error, Cli::command(), std::env::args())))?;
    refuse_url_for_brokers(&matches)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(explain)?;
    cli.sources = Sources::of(&matches);
    check_environment(&matches, &cli)?;
    Ok(cli)
}

/// Who has set BUS_URL long ago is told that it is to blame.
fn check_environment(matches: &ArgMatches, cli: &Cli) -> Result<(), Problem> {
    let source = matches.subcommand().and_then(|(_, matches)| matches.value_source("url"));
    // A context that is named goes before it.
    let connects = cli.verb.connects() && cli.sources.given("context") != Given::Flag;
    if source == Some(ValueSource::EnvVariable) && connects && !cli.url.is_empty() {
        cli.url.parse::<BusUrl>().map_err(|error| {
            Problem::usage(format!("the environment variable BUS_URL: {error}"))
        })?;
    }
    Ok(())
}

/// `--url` says where to connect; who starts a broker means something else.
fn refuse_url_for_brokers(matches: &ArgMatches) -> Result<(), Problem> {
    let Some((verb @ ("serve" | "demo"), verb_matches)) = matches.subcommand() else {
        return Ok(());
    };
    match verb_matches.value_source("url") == Some(ValueSource::CommandLine) {
        true if verb == "serve" => Err(Problem::usage(
            "`serve` connects to no broker: say where it shall listen with --listen, not --url",
        )),
        true => Err(Problem::usage("`demo` starts a broker of its own: leave --url out")),
        false if verb_matches.value_source("context") == Some(ValueSource::CommandLine) => {
            Err(Problem::usage(format!("`{verb}` connects to no broker: leave --context out")))
        }
        false => refuse_credentials_for_brokers(verb_matches),
    }
}

/// The same for the certificates and tokens of clients.
fn refuse_credentials_for_brokers(matches: &ArgMatches) -> Result<(), Problem> {
    let given = |id: &&&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let flag = |id: &str| id.replace('_', "-");
    if let Some(id) = tls::IDS.iter().find(given) {
        return Err(Problem::usage(format!(
            "--{} is for whoever connects: a broker's certificate is given with --tls-server-cert",
            flag(id)
        )));
    }
    match token::IDS.iter().find(given) {
        Some(id) => Err(Problem::usage(format!(
            "--{} is for whoever connects: a broker has hashes of tokens, as [[user]] in its file (--config; `bus token` makes both)",
            flag(id)
        ))),
        None => Ok(()),
    }
}

fn explain(error: clap::Error) -> Problem {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Whoever closed the pipe does not want it.
            let _ = std::io::stdout().write_all(text.as_bytes());
            Problem::Quiet
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = std::io::stderr().write_all(text.as_bytes());
            Problem::Told(Exit::Usage)
        }
        _ => Problem::usage(text.strip_prefix("error: ").unwrap_or(&text).trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
