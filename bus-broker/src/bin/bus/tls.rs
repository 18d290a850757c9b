//! Flags and environment for TLS, of whoever connects and of whoever listens.
//!
//! They name files; no flag, variable or URL contains a secret.

use std::path::PathBuf;
use std::sync::OnceLock;

use bus_broker::{BrokerConfig, ClientCertificates, TlsServerFiles};
use bus_client::ClientOptions;

use crate::context::Context;
use crate::exit::Problem;

/// Flags of every verb that connects.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection to this broker")]
pub struct TlsArgs {
    /// For tls:// the authorities that the broker's certificate may come from (PEM) [default: the
    /// system's]
    #[arg(long, global = true, env = "BUS_TLS_CA", value_name = "FILE", hide_env_values = true)]
    tls_ca: Option<PathBuf>,
    /// For tls:// this client's certificate (PEM)
    #[arg(long, global = true, env = "BUS_TLS_CERT", value_name = "FILE", hide_env_values = true)]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert (PEM)
    #[arg(long, global = true, env = "BUS_TLS_KEY", value_name = "FILE", hide_env_values = true)]
    tls_key: Option<PathBuf>,
    /// For tls:// the name that must stand in the broker's certificate [default: the URL's host]
    #[arg(long, global = true, env = "BUS_TLS_NAME", value_name = "NAME", hide_env_values = true)]
    tls_name: Option<String>,
}

/// Ids of these flags.
pub const IDS: &[&str] = &["tls_ca", "tls_cert", "tls_key", "tls_name"];

static ARGS: OnceLock<TlsArgs> = OnceLock::new();

impl TlsArgs {
    /// Takes from a context what it has, and what goes before what is here.
    pub fn fill(&mut self, context: &Context, goes_before: impl Fn(&str) -> bool) {
        if context.tls_ca.is_some() && goes_before("tls_ca") {
            self.tls_ca.clone_from(&context.tls_ca);
        }
        // A certificate and its key belong together.
        if context.tls_cert.is_some() && goes_before("tls_cert") && goes_before("tls_key") {
            self.tls_cert.clone_from(&context.tls_cert);
            self.tls_key.clone_from(&context.tls_key);
        }
        if context.tls_name.is_some() && goes_before("tls_name") {
            self.tls_name.clone_from(&context.tls_name);
        }
    }

    /// Puts those that are wanted into a context.
    pub fn put_into(self, context: &mut Context, wanted: impl Fn(&str) -> bool) {
        context.tls_ca = self.tls_ca.filter(|_| wanted("tls_ca"));
        context.tls_cert = self.tls_cert.filter(|_| wanted("tls_cert"));
        context.tls_key = self.tls_key.filter(|_| wanted("tls_key"));
        context.tls_name = self.tls_name.filter(|_| wanted("tls_name"));
    }
}

/// Sets what was asked for, for all clients of this process.
pub fn set(args: TlsArgs) -> Result<(), Problem> {
    if args.tls_cert.is_some() != args.tls_key.is_some() {
        return Err(Problem::usage(
            "a certificate is of no use without its key: give both --tls-cert and --tls-key",
        ));
    }
    // It is set once, by `main`.
    let _ = ARGS.set(args);
    Ok(())
}

/// The same as arguments, for a process of this program.
pub fn arguments() -> Vec<std::ffi::OsString> {
    let Some(args) = ARGS.get() else { return Vec::new() };
    let files =
        [("--tls-ca", &args.tls_ca), ("--tls-cert", &args.tls_cert), ("--tls-key", &args.tls_key)];
    let mut all = Vec::new();
    for (flag, value) in files {
        if let Some(value) = value {
            all.extend([flag.into(), value.clone().into_os_string()]);
        }
    }
    if let Some(name) = &args.tls_name {
        all.extend(["--tls-name".into(), name.into()]);
    }
    all
}

/// Options with what was asked for.
pub fn apply(mut options: ClientOptions) -> ClientOptions {
    let Some(args) = ARGS.get() else { return options };
    if let Some(path) = &args.tls_ca {
        options = options.tls_authority(path);
    }
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        options = options.tls_certificate(certificate, key);
    }
    if let Some(name) = &args.tls_name {
        options = options.tls_server_name(name);
    }
    options
}

/// Flags of `serve`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeArgs {
    /// For tls:// the broker's certificate (PEM); read again on SIGHUP, as the others
    #[arg(long, env = "BUS_TLS_SERVER_CERT", value_name = "FILE", hide_env_values = true)]
    tls_server_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, env = "BUS_TLS_SERVER_KEY", value_name = "FILE", hide_env_values = true)]
    tls_server_key: Option<PathBuf>,
    /// For tls:// the authorities of the clients' certificates (PEM)
    #[arg(long, env = "BUS_TLS_CLIENT_CA", value_name = "FILE", hide_env_values = true)]
    tls_client_ca: Option<PathBuf>,
    /// Whether clients must have a certificate: none, optional or required [default: none]
    #[arg(long, env = "BUS_TLS_CLIENTS", value_name = "HOW", hide_env_values = true)]
    tls_clients: Option<ClientCertificates>,
}

impl ServeArgs {
    /// A configuration with these flags; they go before it.
    pub fn apply(&self, config: BrokerConfig) -> Result<BrokerConfig, Problem> {
        let ServeArgs { tls_server_cert, tls_server_key, tls_client_ca, tls_clients } = self;
        let given =
            tls_server_cert.is_some() || tls_server_key.is_some() || tls_client_ca.is_some();
        if !given && tls_clients.is_none() {
            return Ok(config);
        }
        let mut files = config.tls_files().cloned().unwrap_or_default();
        if let Some(path) = tls_server_cert {
            files.certificate.clone_from(path);
        }
        if let Some(path) = tls_server_key {
            files.key.clone_from(path);
        }
        if let Some(path) = tls_client_ca {
            files.client_authority = Some(path.clone());
        }
        files.client_certificates = tls_clients.unwrap_or(files.client_certificates);
        check(&files)?;
        Ok(config.tls(files))
    }
}

/// What the file's parser checks as well.
fn check(files: &TlsServerFiles) -> Result<(), Problem> {
    if files.certificate.as_os_str().is_empty() || files.key.as_os_str().is_empty() {
        return Err(Problem::usage(
            "TLS needs both a certificate and its key: give --tls-server-cert and --tls-server-key",
        ));
    }
    if files.client_certificates != ClientCertificates::None && files.client_authority.is_none() {
        return Err(Problem::usage(
            "nobody's certificate can be checked without an authority: give --tls-client-ca",
        ));
    }
    Ok(())
}
