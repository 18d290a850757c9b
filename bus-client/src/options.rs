//! How a client connects and stays connected.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bus_core::sys::SocketFile;
use bus_core::transport::{TlsClientFiles, Waiting};
use bus_core::{CLIENT_NAME_BYTES_MAX, GRACE_DEFAULT, Token};

/// Options of a client. The default reconnects for ever.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub(crate) name: String,
    pub(crate) grace: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) reconnect: bool,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) shared_memory: bool,
    pub(crate) waiting: Waiting,
    pub(crate) tls: TlsClientFiles,
    pub(crate) token: Option<Token>,
    pub(crate) insecure: bool,
    /// The broker's socket, if this process has inherited it.
    pub(crate) inherited: Option<Arc<SocketFile>>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            name: program_name(),
            grace: GRACE_DEFAULT,
            connect_timeout: Duration::from_secs(5),
            reconnect: true,
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(5),
            shared_memory: true,
            waiting: Waiting::default(),
            tls: TlsClientFiles::default(),
            token: None,
            insecure: false,
            inherited: None,
        }
    }
}

impl ClientOptions {
    /// The name that others see; the program's by default. At most 64 bytes count.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = shortened(name.into());
        self
    }

    /// How long the session outlives a lost connection (10 s by default, within the broker's
    /// limit). Until then the broker keeps what it has sent and what is leased; zero gives
    /// leases back at once, and keeps nothing. Over a network a client that lets its runtime do nothing
    /// for 20 s loses its connection; who works that way for longer than 30 s chooses more. While so
    /// much comes meanwhile that the system's buffer for it is full, that is 5 s and 15 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long connecting may take (5 s by default).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Whether a lost connection is made again (it is by default). If not, every call fails as
    /// disconnected from then on.
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Whether a `local:` URL may use shared memory (it does by default). It costs a quarter of a megabyte
    /// here, and as much at the broker.
    pub fn shared_memory(mut self, allowed: bool) -> Self {
        self.shared_memory = allowed;
        self
    }

    /// How to wait for what comes over shared memory: [`Waiting::Adaptive`] by default. `Spin` burns
    /// the thread that waits for as long as it waits; elsewhere than over shared memory nobody is awake.
    pub fn waiting(mut self, waiting: Waiting) -> Self {
        self.waiting = waiting;
        self
    }

    /// Shows with this token which user of the broker's configuration it is. It is sent only where
    /// nobody else can read it: to this machine, or encrypted; elsewhere connecting fails as
    /// [`Insecure`](crate::ErrorKind::Insecure) before anything is sent.
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Whether a token may also be sent over plain TCP to another host (it may not by default). Who
    /// can read on the way is that user from then on.
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// For `tls:` URLs: the file with the authorities that the broker's certificate may come from
    /// (PEM). Without it the system's authorities are trusted. This file and the ones of
    /// [`ClientOptions::tls_certificate`] are read at each attempt to connect, so that they can be renewed.
    pub fn tls_authority(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.authority = Some(path.into());
        self
    }

    /// For `tls:` URLs: the file of this client's certificate, and of its private key (PEM). It is
    /// shown to brokers that ask for one.
    pub fn tls_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.tls.certificate = Some((certificate.into(), key.into()));
        self
    }

    /// For `tls:` URLs: the name that must stand in the broker's certificate; without it that is
    /// the URL's host.
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.tls.server_name = Some(name.into());
        self
    }

    /// For `tls:` URLs: all of that at once.
    pub fn tls_files(mut self, files: TlsClientFiles) -> Self {
        self.tls = files;
        self
    }

    /// The shortest and the longest pause between attempts to connect again; each is up to
    /// twice the last one (20 ms to 5 s by default). The first attempt is made at once, unless
    /// the connection that was lost was shorter than such a pause.
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.backoff_min = min;
        self.backoff_max = max.max(min);
        self
    }
}

fn program_name() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&path).file_stem().unwrap_or_default();
    shortened(name.to_string_lossy().into_owned())
}

fn shortened(name: String) -> String {
    let mut short: String = name.chars().filter(|c| !c.is_control()).collect();
    while short.len() > CLIENT_NAME_BYTES_MAX {
        short.pop();
    }
    short
}
