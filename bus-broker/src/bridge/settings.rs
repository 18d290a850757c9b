//! What an operator settles for a bridge.
//!
//! Setters here, the TOML file in `config_file::bridge`. A bridge that was made is one that can be
//! run: its routes do not contradict each other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bus_client::{BusUrl, ClientOptions, Token};
use bus_core::bridge::{CarriedQueue, LinkConfig, Route, SpoolPolicy};
use bus_core::router::OpenMode;
use bus_core::transport::TlsClientFiles;
use bus_core::{
    BACKLOG_BYTES_MAX, ErrorKind, Failure, GRACE_MAX, HOSTED_QUEUES_MAX, Name, Pattern,
};

/// Why there is no such bridge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bridge `{bridge}`: {reason}")]
pub struct InvalidBridge {
    bridge: String,
    reason: String,
}

/// A bridge to another broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeConfig {
    pub(crate) name: Name,
    pub(crate) url: BusUrl,
    outgoing: Vec<Pattern>,
    incoming: Vec<Pattern>,
    outgoing_queues: Vec<Name>,
    incoming_queues: Vec<Name>,
    queue_mode: Option<u16>,
    local_prefix: String,
    remote_prefix: String,
    token: Option<Token>,
    token_file: Option<PathBuf>,
    tls: TlsClientFiles,
    insecure: bool,
    policy: SpoolPolicy,
    source_bytes: u64,
    source_count: u64,
    total_bytes: u64,
    linger: Duration,
}

/// What a bridge keeps by default: for one publisher and topic, and in all.
const SOURCE_BYTES: u64 = 64 << 20;
const SOURCE_COUNT: u64 = 1 << 20;
const TOTAL_BYTES: u64 = 256 << 20;
const LINGER: Duration = Duration::from_secs(600);

impl BridgeConfig {
    /// A bridge of this name to the broker there, over which nothing goes so far.
    ///
    /// # Errors
    /// When the name is no name.
    pub fn new(name: &str, url: BusUrl) -> Result<BridgeConfig, InvalidBridge> {
        let valid = Name::new(name).map_err(|error| InvalidBridge {
            bridge: name.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(BridgeConfig {
            name: valid,
            url,
            outgoing: Vec::new(),
            incoming: Vec::new(),
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

    /// A queue that lives here, and that clients of the other broker can use there, under this name
    /// (with the prefixes). It is made here if it is not there.
    pub fn outgoing_queue(mut self, name: Name) -> Self {
        self.outgoing_queues.push(name);
        self
    }

    /// A queue that lives there, and that clients of this broker can use here. It must be there.
    pub fn incoming_queue(mut self, name: Name) -> Self {
        self.incoming_queues.push(name);
        self
    }

    /// Permission bits of such queues where they are hosted. Else they are those of any queue there.
    pub fn queue_mode(mut self, mode: u16) -> Self {
        self.queue_mode = Some(mode);
        self
    }

    /// Topics `local.X` here are `remote.X` there, for every `X` that the patterns match. Empty is
    /// no prefix.
    pub fn prefixes(mut self, local: impl Into<String>, remote: impl Into<String>) -> Self {
        (self.local_prefix, self.remote_prefix) = (local.into(), remote.into());
        self
    }

    /// Shows there which user of that broker's configuration the bridge is.
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// The same, with a token that stands in a file. It is read when the bridge begins.
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
    /// publisher and topic (64 MiB and a million by default), and bytes in all (256 MiB). It is memory of this broker, and for what comes in also
    /// of the other one, at most 64 MiB of it.
    pub fn spool(
        mut self,
        source_bytes: Option<u64>,
        source_count: Option<u64>,
        total_bytes: Option<u64>,
    ) -> Self {
        self.source_bytes = source_bytes.unwrap_or(self.source_bytes);
        self.source_count = source_count.unwrap_or(self.source_count);
        self.total_bytes = total_bytes.unwrap_or(self.total_bytes);
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

    /// Whether it can be run as it is.
    ///
    /// # Errors
    /// When nothing goes over it, or its routes contradict each other.
    pub fn check(&self) -> Result<(), InvalidBridge> {
        let topics = self.outgoing.len() + self.incoming.len();
        if topics + self.outgoing_queues.len() + self.incoming_queues.len() == 0 {
            let reason = "nothing goes over it: name topics in `out` or `in`, or queues in `out_queues` or `in_queues`".to_owned();
            return Err(InvalidBridge { bridge: self.name.to_string(), reason });
        }
        let invalid = |failure: Failure| InvalidBridge {
            bridge: self.name.to_string(),
            reason: failure.to_string(),
        };
        self.links().map(drop).map_err(invalid)?;
        self.queues().map(drop).map_err(invalid)
    }

    /// The queues that live here and are hosted there, and those that live there.
    pub(super) fn queues(&self) -> Result<[Vec<CarriedQueue>; 2], Failure> {
        let prefixed = |prefix: &str, name: &Name| match prefix {
            "" => Ok(name.clone()),
            prefix => Name::new(&format!("{prefix}.{name}")),
        };
        let carried = |names: &[Name], (home, guest): (&str, &str), open: OpenMode| {
            if names.len() > HOSTED_QUEUES_MAX {
                let text = format!("a bridge carries at most {HOSTED_QUEUES_MAX} queues each way");
                return Err(Failure::new(ErrorKind::QuotaExceeded, text));
            }
            let queue = |name: &Name| {
                Ok::<_, Failure>(CarriedQueue {
                    home: prefixed(home, name)?,
                    guest: prefixed(guest, name)?,
                    open,
                    mode: self.queue_mode,
                })
            };
            let queues = names.iter().map(queue).collect::<Result<Vec<_>, _>>()?;
            for (index, queue) in queues.iter().enumerate() {
                if queues[..index].contains(queue) {
                    let text = format!("the queue `{}` is named twice", queue.home);
                    return Err(Failure::new(ErrorKind::InvalidArgument, text));
                }
            }
            Ok(queues)
        };
        let (local, remote) = (&*self.local_prefix, &*self.remote_prefix);
        let outgoing = carried(&self.outgoing_queues, (local, remote), OpenMode::OpenOrCreate)?;
        Ok([outgoing, carried(&self.incoming_queues, (remote, local), OpenMode::Open)?])
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
        // What comes in waits at the other broker while the connection is away.
        let backlog = self.total_bytes.min(BACKLOG_BYTES_MAX);
        let window = bus_core::WINDOW_BYTES_DEFAULT;
        Ok([outgoing, incoming.map(|config| config.reading(window, backlog))])
    }

    /// How it connects to the other broker.
    ///
    /// # Errors
    /// When the file of its token has none.
    pub(super) fn options(&self) -> Result<ClientOptions, Failure> {
        let mut options = ClientOptions::default().insecure(self.insecure);
        let token = match &self.token_file {
            Some(path) => Some(read_token(path)?),
            None => self.token.clone(),
        };
        if let Some(token) = token {
            options = options.token(token);
        }
        Ok(options.tls_files(self.tls.clone()))
    }

    /// How long its session there outlives a lost connection.
    pub(super) fn grace(&self) -> Duration {
        self.linger.min(GRACE_MAX)
    }

    /// What goes out, and what comes in.
    pub(super) fn patterns(&self) -> (&[Pattern], &[Pattern]) {
        (&self.outgoing, &self.incoming)
    }
}

fn read_token(path: &Path) -> Result<Token, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let text = format!("cannot read the token of the bridge in {}: {error}", path.display());
        Failure::new(ErrorKind::Config, text)
    })?;
    Token::new(text.trim()).map_err(|error| {
        let text = format!("{} has no token: {error}", path.display());
        Failure::new(ErrorKind::Config, text)
    })
}
