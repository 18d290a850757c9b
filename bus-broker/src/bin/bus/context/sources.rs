//! Where settings come from: the command line or the environment, as clap tells it.
//!
//! Invariant: what is kept in a context stood on the command line; the environment is let be.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::{Context, Given};
use crate::tls::TlsArgs;
use crate::token::TokenArgs;

/// Settings that stand on the command line, and those that the environment has.
#[derive(Default)]
pub struct Sources {
    flags: Vec<String>,
    environment: Vec<String>,
}

impl Sources {
    /// Of a command line.
    pub fn of(matches: &ArgMatches) -> Sources {
        let Some((_, matches)) = matches.subcommand() else { return Sources::default() };
        let from = |wanted| {
            let ids = matches.ids().map(clap::Id::as_str);
            ids.filter(|id| matches.value_source(id) == Some(wanted)).map(str::to_owned).collect()
        };
        Sources {
            flags: from(ValueSource::CommandLine),
            environment: from(ValueSource::EnvVariable),
        }
    }

    /// Where this one comes from.
    pub fn given(&self, id: &str) -> Given {
        let has = |ids: &[String]| ids.iter().any(|other| other == id);
        match (has(&self.flags), has(&self.environment)) {
            (true, _) => Given::Flag,
            (_, true) => Given::Environment,
            _ => Given::Nowhere,
        }
    }
}

/// What a context keeps.
pub struct Settings {
    /// The broker.
    pub url: String,
    /// Files for TLS.
    pub tls: TlsArgs,
    /// The token's file.
    pub token: TokenArgs,
}

impl Settings {
    /// Those that were given as flags.
    pub fn on_command_line(self, sources: &Sources) -> Context {
        let flag = |id: &str| sources.given(id) == Given::Flag;
        let mut context = Context::default();
        if flag("url") {
            context.url = self.url;
        }
        self.tls.put_into(&mut context, flag);
        self.token.put_into(&mut context, flag);
        context
    }
}
