//! `bus token`: make a token, and the line with its hash for the broker's file.
//!
//! The token is printed once and kept nowhere. How clients of this program get theirs is here too:
//! from a file or the environment, never from the command line, which everybody can see.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bus_broker::TokenHash;
use bus_client::{Token, UserName};
use clap::builder::FalseyValueParser;

use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::output::Out;

/// Where a token stands in the environment.
const VARIABLE: &str = "BUS_TOKEN";
/// All that the environment says of tokens.
pub const VARIABLES: &[&str] = &[VARIABLE, "BUS_TOKEN_FILE", "BUS_TOKEN_INSECURE"];
/// What tokens begin with: whoever finds one can tell what it is.
const PREFIX: &str = "bus_";

/// Flags of `token`.
#[derive(clap::Args)]
pub struct Args {
    /// The user that it is for
    name: Option<UserName>,
}

/// Flags of clients that show who they are.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection to this broker")]
pub struct TokenArgs {
    /// Show who you are with the token in this file [or in the environment: BUS_TOKEN]
    #[arg(
        long,
        global = true,
        env = "BUS_TOKEN_FILE",
        value_name = "PATH",
        hide_env_values = true
    )]
    token_file: Option<PathBuf>,
    /// Send the token over plain TCP to other hosts too, where everybody on the way can read it
    #[arg(long, global = true, env = "BUS_TOKEN_INSECURE", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    token_insecure: bool,
}

/// Ids of these flags.
pub const IDS: &[&str] = &["token_file", "token_insecure"];

/// A token to show, and whether also where others can read it.
pub type Shown = (Token, bool);

static SHOWN: Mutex<Option<Shown>> = Mutex::new(None);

impl TokenArgs {
    /// Takes the token for all clients of this process: a flag's, else that of the context if it goes
    /// first, else the environment's, else that of the context.
    pub fn take(self, context: Option<(Context, bool)>) -> Result<(), Problem> {
        let (context, first) = context.unzip();
        let kept = context.as_ref().and_then(Kept::of);
        let insecure = self.token_insecure || context.as_ref().is_some_and(|c| c.token_insecure);
        let own = match (self.token_file, std::env::var(VARIABLE)) {
            (Some(path), _) => Some(Kept::File(path)),
            (None, Ok(text)) => {
                Some(Kept::Text(text, format!("the environment variable {VARIABLE}")))
            }
            (None, Err(_)) => None,
        };
        let chosen = if first == Some(true) { kept.or(own) } else { own.or(kept) };
        let Some(chosen) = chosen else { return Ok(()) };
        let (text, place) = chosen.read()?;
        let token =
            Token::new(text.trim()).map_err(|error| Problem::usage(format!("{place}: {error}")))?;
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some((token, insecure));
        Ok(())
    }

    /// Puts those that are wanted into a context.
    pub fn put_into(self, context: &mut Context, wanted: impl Fn(&str) -> bool) {
        context.token_file = self.token_file.filter(|_| wanted("token_file"));
        context.token_insecure = self.token_insecure && wanted("token_insecure");
    }
}

/// Where a token is.
enum Kept {
    File(PathBuf),
    /// It, and where that stood.
    Text(String, String),
}

impl Kept {
    fn of(context: &Context) -> Option<Kept> {
        let text = context.token().map(|text| Kept::Text(text.to_owned(), "the context".into()));
        text.or_else(|| context.token_file.clone().map(Kept::File))
    }

    /// The token, and where it stood.
    fn read(self) -> Result<(String, String), Problem> {
        match self {
            Kept::Text(text, place) => Ok((text, place)),
            Kept::File(path) => {
                let place = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Problem::new(Exit::File, format!("cannot read the token in {place}: {error}"))
                })?;
                Ok((text, place))
            }
        }
    }
}

/// The token to show.
pub fn shown() -> Option<Shown> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Shows none any more: a broker of this program's own knows no users.
pub fn forget() {
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// The same for processes of this program; other users cannot see their environment.
pub fn for_children() -> Vec<(&'static str, String)> {
    let Some((token, insecure)) = shown() else { return Vec::new() };
    vec![(VARIABLE, token.secret().to_owned()), ("BUS_TOKEN_INSECURE", insecure.to_string())]
}

/// Makes one.
pub fn run(args: Args) -> Result<(), Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Problem::new(Exit::Other, format!("there is no randomness: {error}")))?;
    let token = Token::new(&format!("{PREFIX}{}", hex(&bytes)))
        .map_err(|error| Problem::new(Exit::Other, error.to_string()))?;
    let name = args.name.map_or_else(|| "NAME".to_owned(), |name| name.to_string());
    let mut out = Out::new();
    out.line("# The token, shown this once, for the client (BUS_TOKEN, or --token-file PATH):")?;
    out.line(token.secret())?;
    out.line("# For the broker's configuration file; SIGHUP makes it read that again:")?;
    out.line("[[user]]")?;
    out.line(format_args!("name = \"{name}\""))?;
    out.line(format_args!("token = \"sha256:{}\"", hex(TokenHash::of(&token).bytes())))?;
    out.flush()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
