//! `bus context`: named sets of a URL and credentials, kept in the user's configuration directory.
//!
//! Which one is used, and what goes before it, is in `choice.rs`; the files are in `store.rs`.
//! Invariant: a token is never printed, and goes to no other broker than the one of its context.

mod choice;
mod sources;
mod store;

pub use choice::{Choice, Given, choose};
pub use sources::{Settings, Sources};
pub use store::{Context, Store};

use std::io::Read;

use bus_client::{BusUrl, Token};
use serde_json::{Value, json};

use crate::exit::{Exit, Problem};
use crate::output::Out;
use crate::table::{pairs, table};

/// What is to be done.
#[derive(clap::Subcommand)]
#[command(after_help = "Examples:
  bus context add lab --url tls://10.77.0.1:4550 --tls-ca bus-ca/authority.pem --token-file lab.token
  bus context use lab          from now on, where nothing else is said
  bus --context lab ls         only here
  BUS_CONTEXT= bus ls          with none

Which broker: --url, else --context, else BUS_URL, else BUS_CONTEXT, else the context in use, else where
brokers of this machine listen. Where the URL is said otherwise nothing of a context is used. Each other
setting: its flag, else the context if that was named by --context, else its variable, else the context.")]
pub enum Args {
    /// Keep the broker of --url, and the --tls-... and --token-file that are given with it
    Add(AddArgs),
    /// List contexts
    Ls {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show a context [default: the one in use]; a token is never shown
    Show {
        /// Its name
        name: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Use this one from now on, where nothing else is said
    Use {
        /// Its name
        #[arg(required_unless_present = "none")]
        name: Option<String>,
        /// Use none
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
    /// Forget a context
    Rm {
        /// Its name
        name: String,
    },
    /// Keep a copy under another name; flags that are given change it
    Copy {
        /// Its name
        from: String,
        /// The name of the copy
        #[command(flatten)]
        to: AddArgs,
    },
}

/// A context to keep.
#[derive(clap::Args)]
pub struct AddArgs {
    /// Its name
    name: String,
    /// What it is, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Keep a token in it, which stands in standard input
    #[arg(long, conflicts_with = "token_file")]
    token_stdin: bool,
    /// Use it from now on
    #[arg(long = "use")]
    select: bool,
    /// Write over one that is there
    #[arg(long, short)]
    force: bool,
}

/// Does it. `flags` are the settings that stand on the command line.
pub fn run(args: Args, flags: Context) -> Result<(), Problem> {
    let store = Store::of_user()?;
    match args {
        Args::Add(add) => keep(&store, Context::default(), flags, &add),
        Args::Copy { from, to } => keep(&store, store.load(&from)?, flags, &to),
        Args::Ls { json } => list(&store, json),
        Args::Show { name, json } => show(&store, name, json),
        Args::Use { name: Some(name), .. } => {
            store.load(&name)?;
            store.select(Some(&name))
        }
        Args::Use { name: None, .. } => store.select(None),
        Args::Rm { name } => store.remove(&name),
    }
}

fn keep(store: &Store, base: Context, flags: Context, args: &AddArgs) -> Result<(), Problem> {
    let mut context = base.overlaid(flags)?;
    if args.description.is_some() {
        context.description.clone_from(&args.description);
    }
    if args.token_stdin {
        context.set_token(&read_token()?);
    }
    if context.url.is_empty() {
        return Err(Problem::usage("a context needs a broker: give --url"));
    }
    context.url.parse::<BusUrl>().map_err(|error| Problem::usage(error.to_string()))?;
    store.save(&args.name, &context, args.force)?;
    if args.select {
        store.select(Some(&args.name))?;
    }
    Ok(())
}

fn read_token() -> Result<Token, Problem> {
    let mut text = String::new();
    let read = std::io::stdin().take(64 * 1024).read_to_string(&mut text);
    read.map_err(|error| Problem::new(Exit::File, format!("cannot read the token: {error}")))?;
    Token::new(text.trim()).map_err(|error| Problem::usage(format!("standard input: {error}")))
}

fn list(store: &Store, as_json: bool) -> Result<(), Problem> {
    let selected = store.selected()?;
    let mut rows = Vec::new();
    for name in store.names()? {
        let loaded = store.load(&name);
        let in_use = selected.as_ref() == Some(&name);
        rows.push((name, in_use, loaded));
    }
    let mut out = Out::new();
    if as_json {
        let all: Vec<Value> =
            rows.iter().map(|(name, used, loaded)| row(name, *used, loaded)).collect();
        out.json(&json!({ "contexts": all }))?;
        return out.flush();
    }
    let shown = rows.iter().map(|(name, used, loaded)| {
        let mark = if *used { "*" } else { "" };
        let [url, shows, about] = match loaded {
            Ok(context) => [
                context.url.clone(),
                context.shows().to_owned(),
                context.description.clone().unwrap_or_default(),
            ],
            Err(problem) => ["-".into(), "-".into(), format!("cannot be used: {}", said(problem))],
        };
        vec![mark.to_owned(), name.clone(), url, shows, about]
    });
    let shown: Vec<_> = shown.collect();
    if !shown.is_empty() {
        out.line(table(&["", "CONTEXT", "URL", "SHOWS", "DESCRIPTION"], &[false; 5], shown))?;
    }
    out.flush()
}

fn said(problem: &Problem) -> &str {
    match problem {
        Problem::Said(_, text) => text,
        _ => "",
    }
}

fn row(name: &str, used: bool, loaded: &Result<Context, Problem>) -> Value {
    match loaded {
        Ok(context) => context.json(name, used),
        Err(problem) => json!({ "name": name, "in_use": used, "error": said(problem) }),
    }
}

fn show(store: &Store, name: Option<String>, as_json: bool) -> Result<(), Problem> {
    let selected = store.selected()?;
    let Some(name) = name.or_else(|| selected.clone()) else {
        return Err(Problem::new(Exit::Nothing, "no context is in use: `bus context use NAME`"));
    };
    let context = store.load(&name)?;
    let used = selected.as_ref() == Some(&name);
    let mut out = Out::new();
    match as_json {
        true => out.json(&context.json(&name, used))?,
        false => {
            let rows = context.rows(&name, used);
            out.line(pairs(&rows))?;
        }
    }
    out.flush()
}
