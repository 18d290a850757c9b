//! `bus cert`: a private authority and its certificates, to try TLS out.
//!
//! It asks no broker. Keys are never printed.

use std::path::PathBuf;

use bus_broker::{Authority, AuthorityError, Certified, DAYS_MAX, Making};

use crate::exit::{Exit, Problem};
use crate::output::Out;

/// What is to be made.
#[derive(clap::Subcommand)]
pub enum Args {
    /// Make an authority in a folder
    Authority {
        /// The folder; it is made if it is not there
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        #[command(flatten)]
        making: MakingArgs<3650>,
    },
    /// Make a certificate for a broker: DIR/server.pem and DIR/server.key
    Server {
        /// The folder of the authority
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The names and addresses by which clients connect to the broker
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// Name the files so, instead of `server`
        #[arg(long = "as", value_name = "FILE", default_value = "server")]
        file: String,
        #[command(flatten)]
        making: MakingArgs<365>,
    },
    /// Make a certificate for the clients of a user: DIR/USER.pem and DIR/USER.key
    Client {
        /// The folder of the authority
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The user's name
        #[arg(value_name = "USER")]
        user: String,
        #[command(flatten)]
        making: MakingArgs<365>,
    },
}

/// How it is made.
#[derive(clap::Args)]
pub struct MakingArgs<const DAYS: u32> {
    /// How long it is valid, in days
    #[arg(long, value_name = "NUMBER", default_value_t = DAYS, value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    days: u32,
    /// Overwrite files that are there already
    #[arg(long)]
    force: bool,
}

impl<const DAYS: u32> MakingArgs<DAYS> {
    fn making(&self) -> Making {
        Making { days: self.days, force: self.force }
    }
}

/// Makes it.
pub fn run(args: &Args) -> Result<(), Problem> {
    let mut out = Out::new();
    let (certified, whose) = match args {
        Args::Authority { folder, making } => {
            let (_, certified) = Authority::create(folder, making.making()).map_err(explain)?;
            (certified, "for everybody who shall trust it")
        }
        Args::Server { folder, names, file, making } => {
            let authority = Authority::open(folder).map_err(explain)?;
            let certified = authority.server(file, names, making.making()).map_err(explain)?;
            (certified, "for the broker")
        }
        Args::Client { folder, user, making } => {
            let authority = Authority::open(folder).map_err(explain)?;
            let certified = authority.client(user, making.making()).map_err(explain)?;
            (certified, "for the client")
        }
    };
    let Certified { certificate, key, not_before, not_after } = certified;
    out.line(format_args!("certificate: {} ({whose})", certificate.display()))?;
    out.line(format_args!("key:         {} (secret; nobody else can read it)", key.display()))?;
    out.line(format_args!("valid:       {not_before} to {not_after}"))?;
    out.flush()
}

fn explain(error: AuthorityError) -> Problem {
    let exit = match &error {
        AuthorityError::Exists { .. } => Exit::Conflict,
        AuthorityError::Name { .. } => Exit::Usage,
        AuthorityError::NotOurs { .. } => Exit::Nothing,
        AuthorityError::File { .. } => Exit::File,
        AuthorityError::Library(_) => Exit::Other,
    };
    Problem::new(exit, error.to_string())
}
