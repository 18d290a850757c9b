//! What an operator settles for a bridge.
//!
//! Setters here, the TOML file in `config_file::bridge`; whether it can be run is told by `soundness`, and
//! whether its files are any good by `files`.

use std::path::PathBuf;
use std::time::Duration;

use bus_client::{BusUrl, Token};
use bus_core::bridge::{CarriedQueue, ExchangeConfig, LinkConfig, Route, SpoolPolicy};
use bus_core::router::OpenMode;
use bus_core::transport::TlsClientFiles;
use bus_core::{BRIDGE_BACKLOG_BYTES_MAX, Failure, GRACE_MAX, Name, Pattern};

use super::fault::{BridgeFault, InvalidBridge, Words};

/// A bridge to another broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeConfig {
    pub(crate) name: Name,
    /// What its settings are called where it was asked for.
    pub(super) words: Words,
    pub(crate) url: BusUrl,
    pub(crate) outgoing: Vec<Pattern>,
    pub(crate) incoming: Vec<Pattern>,
    pub(crate) outgoing_queues: Vec<Name>,
    pub(crate) incoming_queues: Vec<Name>,
    pub(crate) queue_mode: Option<u16>,
    pub(crate) services_out: Vec<Pattern>,
    pub(crate) services_in: Vec<Pattern>,
    pub(crate) service_mode: Option<u16>,
    pub(crate) local_prefix: String,
    pub(crate) remote_prefix: String,
    pub(crate) token: Option<Token>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) tls: TlsClientFiles,
    pub(crate) insecure: bool,
    pub(crate) policy: SpoolPolicy,
    pub(crate) source_bytes: u64,
    pub(crate) source_count: u64,
    pub(crate) total_bytes: u64,
    pub(crate) linger: Duration,
}

/// What a bridge keeps by default: for one publisher and topic, and in all.
const SOURCE_BYTES: u64 = 128 << 20;
const SOURCE_COUNT: u64 = 1 << 20;
const TOTAL_BYTES: u64 = 256 << 20;
const LINGER: Duration = Duration::from_secs(600);

impl BridgeConfig {
    /// A bridge of this name to the broker there, over which nothing goes so far.
    ///
    /// # Errors
    /// When the name is no name.
    pub fn new(name: &str, url: BusUrl) -> Result<BridgeConfig, InvalidBridge> {
        let words = Words::default();
        let valid = Name::new(name).map_err(|error| InvalidBridge {
            bridge: name.to_owned(),
            url: url.to_string(),
            words,
            fault: BridgeFault::Name(error.to_string()),
        })?;
        Ok(BridgeConfig {
            name: valid,
            words,
            url,
            outgoing: Vec::new(),
            incoming: Vec::new(),
            services_out: Vec::new(),
            services_in: Vec::new(),
            service_mode: None,
            outgoing_queues: Vec::new(),
            incoming_queues: Vec::new(),
            queue_mode: None,
            local_prefix: String::new(),
            remote_prefix: String::new(),
            token: None,
            token_file: None,
            tls: TlsClientFiles::default(),
            insecure: false,
            policy: SpoolPolicy::default(),
            source_bytes: SOURCE_BYTES,
            source_count: SOURCE_COUNT,
            total_bytes: TOTAL_BYTES,
            linger: LINGER,
        })
    }

    /// What its settings are called in what it says of them: as in a file, if nothing else is said.
    pub fn words(mut self, words: Words) -> Self {
        self.words = words;
        self
    }

    /// Topics that go there from here, while somebody there or beyond wants them.
    pub fn outgoing(mut self, pattern: Pattern) -> Self {
        self.outgoing.push(pattern);
        self
    }

    /// Topics that come here from there, while somebody here or beyond wants them.
    pub fn incoming(mut self, pattern: Pattern) -> Self {
        self.incoming.push(pattern);
        self
    }

    /// Services here that can be called there, while somebody here or beyond serves them.
    pub fn services_out(mut self, pattern: Pattern) -> Self {
        self.services_out.push(pattern);
        self
    }

    /// Services there that can be called here, while somebody there or beyond serves them.
    pub fn services_in(mut self, pattern: Pattern) -> Self {
        self.services_in.push(pattern);
        self
    }

    /// The mode of services that the bridge makes: write is calling, execute is serving the name
    /// beside it. Without one it is the default of the broker where they are made.
    pub fn service_mode(mut self, mode: u16) -> Self {
        self.service_mode = Some(mode);
        self
    }

    /// A queue that lives here, and that clients of the other broker can use there, under this name
    /// (with the prefixes). It must be there, or be made later: until then who uses it there is told
    /// that there is none here. A bridge makes no queue where it lives: whoever makes it owns it, and
    /// says who may use it.
    pub fn outgoing_queue(mut self, name: Name) -> Self {
        self.outgoing_queues.push(name);
        self
    }

    /// A queue that lives there, and that clients of this broker can use here. It must be there too.
    pub fn incoming_queue(mut self, name: Name) -> Self {
        self.incoming_queues.push(name);
        self
    }

    /// Permission bits of such queues where they are hosted. Else they are those of any queue there.
    pub fn queue_mode(mut self, mode: u16) -> Self {
        self.queue_mode = Some(mode);
        self
    }

    /// Topics, queues and services `local.X` here are `remote.X` there, for every `X` that the patterns
    /// match. Empty is no prefix.
    pub fn prefixes(mut self, local: impl Into<String>, remote: impl Into<String>) -> Self {
        (self.local_prefix, self.remote_prefix) = (local.into(), remote.into());
        self
    }

    /// Shows there which user of that broker's configuration the bridge is.
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// The same, with a token that stands in a file. It is read each time that the bridge connects.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token_file = Some(path.into());
        self
    }

    /// For a `tls:` URL: whom to trust there, and what to show, all at once.
    pub fn tls(mut self, files: TlsClientFiles) -> Self {
        self.tls = files;
        self
    }

    /// For a `tls:` URL: the file with the authority that the other broker's certificate comes from.
    pub fn authority(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.authority = Some(path.into());
        self
    }

    /// For a `tls:` URL: the files of the certificate to show there, and of its key.
    pub fn certificate(mut self, path: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls.certificate = Some((path.into(), key.into()));
        self
    }

    /// Whether the token may be sent over plain TCP to another host.
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// What happens when a spool is full.
    pub fn policy(mut self, policy: SpoolPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// What is kept for the other side while it cannot take it: bytes and messages for each
    /// publisher and topic (128 MiB, or all if that is less, and a million by default; with `SpoolPolicy::HoldBack` no more than is free in all), and bytes in all (256 MiB). A message counts 64 bytes more than its
    /// length: 50,000 of 64 bytes in a second fill 128 MiB in 20 seconds. It is memory of this broker, and for
    /// what comes in also of the other one: there so many bytes in all wait on each route, at most 1 GiB.
    pub fn spool(
        mut self,
        source_bytes: Option<u64>,
        source_count: Option<u64>,
        total_bytes: Option<u64>,
    ) -> Self {
        self.total_bytes = total_bytes.unwrap_or(self.total_bytes);
        self.source_bytes = source_bytes.unwrap_or(self.source_bytes.min(self.total_bytes));
        self.source_count = source_count.unwrap_or(self.source_count);
        self
    }

    /// How long what was wanted there is still kept for it, when it cannot be reached.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where it goes.
    pub fn url(&self) -> &BusUrl {
        &self.url
    }

    /// The queues that live here and are hosted there, and those that live there.
    pub(super) fn queues(&self) -> Result<[Vec<CarriedQueue>; 2], Failure> {
        let prefixed = |prefix: &str, name: &Name| match prefix {
            "" => Ok(name.clone()),
            prefix => Name::new(&format!("{prefix}.{name}")),
        };
        let carried = |names: &[Name], (home, guest): (&str, &str)| {
            let queue = |name: &Name| {
                Ok::<_, Failure>(CarriedQueue {
                    home: prefixed(home, name)?,
                    guest: prefixed(guest, name)?,
                    // Who makes a queue says whose it is and who may use it: not a bridge.
                    open: OpenMode::Open,
                    mode: self.queue_mode,
                })
            };
            names.iter().map(queue).collect::<Result<Vec<_>, _>>()
        };
        let (local, remote) = (&*self.local_prefix, &*self.remote_prefix);
        let outgoing = carried(&self.outgoing_queues, (local, remote))?;
        Ok([outgoing, carried(&self.incoming_queues, (remote, local))?])
    }

    /// The link that goes out, and the one that comes in; those that bear nothing are not there.
    pub(super) fn links(&self) -> Result<[Option<LinkConfig>; 2], Failure> {
        let (local, remote) = (&*self.local_prefix, &*self.remote_prefix);
        let link = |patterns: &[Pattern], near: &str, far: &str| {
            if patterns.is_empty() {
                return Ok::<_, Failure>(None);
            }
            let routes = patterns.iter().map(|pattern| Route::new(pattern, near, far));
            let config = LinkConfig::new(routes.collect::<Result<_, _>>()?)?;
            let config = config.policy(self.policy).linger(self.linger);
            Ok(Some(config.spool(self.source_bytes, self.source_count, self.total_bytes)))
        };
        let outgoing = link(&self.outgoing, local, remote)?;
        let incoming = link(&self.incoming, remote, local)?;
        // What comes in waits at the other broker while the connection is away, up to what that one keeps
        // for a bridge, on each route.
        let backlog = self.total_bytes.min(BRIDGE_BACKLOG_BYTES_MAX);
        let window = bus_core::WINDOW_BYTES_DEFAULT;
        Ok([outgoing, incoming.map(|config| config.reading(window, backlog))])
    }

    /// The calls of there that are served here, and those of here that are served there; what
    /// carries none is not there.
    pub(super) fn exchanges(&self) -> Result<[Option<ExchangeConfig>; 2], Failure> {
        let (local, remote) = (&*self.local_prefix, &*self.remote_prefix);
        let exchange = |patterns: &[Pattern], home: &str, guest: &str| {
            if patterns.is_empty() {
                return Ok::<_, Failure>(None);
            }
            let routes = patterns.iter().map(|pattern| Route::new(pattern, home, guest));
            let config = ExchangeConfig::new(routes.collect::<Result<_, _>>()?)?;
            Ok(Some(config.mode(self.service_mode)))
        };
        let outgoing = exchange(&self.services_out, local, remote)?;
        Ok([outgoing, exchange(&self.services_in, remote, local)?])
    }

    /// Whether it connects to the same place as that one, and shows the same there.
    pub(super) fn connects_like(&self, other: &BridgeConfig) -> bool {
        let way = |config: &BridgeConfig| {
            let BridgeConfig { url, token, token_file, tls, insecure, .. } = config;
            (url.clone(), token.clone(), token_file.clone(), tls.clone(), *insecure)
        };
        way(self) == way(other)
    }

    /// How long its session there outlives a lost connection.
    pub(super) fn grace(&self) -> Duration {
        self.linger.min(GRACE_MAX)
    }

    /// The services that can be called there, and those that can be called here.
    pub(super) fn service_patterns(&self) -> (&[Pattern], &[Pattern]) {
        (&self.services_out, &self.services_in)
    }

    /// What goes out, and what comes in.
    pub(super) fn patterns(&self) -> (&[Pattern], &[Pattern]) {
        (&self.outgoing, &self.incoming)
    }
}
