//! What a broker is told: where to listen, and its limits.
//!
//! Setters here, the TOML file in `config_file`. Every value is within its limits: a setter cuts
//! it down, the file's parser refuses it.

use std::net::SocketAddr;
use std::time::Duration;

use bus_core::router::{Policy, RouterConfig};
use bus_core::transport::{TlsServerFiles, Waiting};
use bus_core::{BusUrl, GRACE_MAX};

use crate::bridge::BridgeConfig;
use crate::lanes::{LANES_MAX, LANES_PER_USER_MAX};
use crate::users::{User, Users};

/// How a broker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Its name, for people.
    pub(crate) name: String,
    pub(crate) listen: Vec<BusUrl>,
    pub(crate) insecure: bool,
    pub(crate) tls: Option<TlsServerFiles>,
    pub(crate) shared_memory: bool,
    pub(crate) waiting: Waiting,
    pub(crate) grace_max: Duration,
    pub(crate) throttle: bool,
    pub(crate) lanes_max: usize,
    pub(crate) lanes_per_user_max: usize,
    pub(crate) router: RouterConfig,
    pub(crate) users: Users,
    pub(crate) policy: Policy,
    pub(crate) bridges: Vec<BridgeConfig>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) metrics_open: bool,
}

impl Default for BrokerConfig {
    /// A broker that only this process can reach.
    fn default() -> Self {
        BrokerConfig {
            name: "bus".into(),
            listen: Vec::new(),
            insecure: false,
            tls: None,
            shared_memory: true,
            waiting: Waiting::default(),
            grace_max: GRACE_MAX,
            throttle: true,
            lanes_max: LANES_MAX,
            lanes_per_user_max: LANES_PER_USER_MAX,
            router: RouterConfig::default(),
            users: Users::default(),
            policy: Policy::default(),
            bridges: Vec::new(),
            metrics: None,
            metrics_open: false,
        }
    }
}

impl BrokerConfig {
    /// The broker's name, for people; at most 64 bytes are shown.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Listens there too. Costs one descriptor.
    pub fn listen(mut self, url: BusUrl) -> Self {
        self.listen.push(url);
        self
    }

    /// Listens at these addresses, and at no others.
    pub fn listen_only(mut self, urls: Vec<BusUrl>) -> Self {
        self.listen = urls;
        self
    }

    /// Whether listeners that other hosts reach are allowed although nobody has to say who he is:
    /// everybody who reaches them may use the bus.
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// The certificates of its TLS listeners, and whether clients must have one.
    pub fn tls(mut self, files: TlsServerFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// The certificates of its TLS listeners.
    pub fn tls_files(&self) -> Option<&TlsServerFiles> {
        self.tls.as_ref()
    }

    /// The longest that a session may outlive its connection. What is sent to it meanwhile is
    /// kept in memory, within its windows.
    pub fn grace_max(mut self, grace: Duration) -> Self {
        self.grace_max = grace.min(GRACE_MAX);
        self
    }

    /// Whether clients of this machine may have lanes in shared memory (they may by default).
    /// Each costs the broker a quarter of a megabyte.
    pub fn shared_memory(mut self, allowed: bool) -> Self {
        self.shared_memory = allowed;
        self
    }

    /// Whether users, and addresses, wait a little when very many of their connections have ended
    /// badly or begun lately (they do by default; what is owed is at most 60 ms for each connection, beside
    /// the turns of others that wait). Without it one of them alone can keep the broker busy by connecting.
    pub fn throttle(mut self, throttle: bool) -> Self {
        self.throttle = throttle;
        self
    }

    /// Clients on lanes at a time, 1,024 by default and at the most, and how many of one user: 768;
    /// root and the broker's own user may have all. Those beyond it go over their sockets.
    pub fn lanes_max(mut self, all: usize, per_user: usize) -> Self {
        self.lanes_max = all.min(LANES_MAX);
        self.lanes_per_user_max = per_user.min(LANES_PER_USER_MAX);
        self
    }

    /// How the broker waits for what comes over shared memory: [`Waiting::Adaptive`] by default, which
    /// stays awake for at most 50 us while messages come that often. `Spin` costs it a core.
    pub fn waiting(mut self, waiting: Waiting) -> Self {
        self.waiting = waiting;
        self
    }

    /// Limits and default modes.
    pub fn router(mut self, router: RouterConfig) -> Self {
        self.router = router;
        self
    }

    /// A user more, who may show to be one with a token or a certificate. With one there is, TCP
    /// listeners on other addresses than loopback are allowed.
    pub fn user(mut self, user: User) -> Self {
        self.users.add(user);
        self
    }

    /// Who may do what on which names. Without an allowance in it the modes of queues, topics and
    /// services alone decide. It costs nothing for each message, and something for each handle
    /// that is opened.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// A bridge more, from its start on. It costs two sessions for each direction, and what its
    /// spools keep.
    pub fn bridge(mut self, bridge: BridgeConfig) -> Self {
        self.bridges.push(bridge);
        self
    }

    /// Serves figures for Prometheus there, over HTTP, and whether the broker is well. Costs a thread, which sleeps while
    /// nobody asks, and a session.
    pub fn metrics(mut self, address: SocketAddr) -> Self {
        self.metrics = Some(address);
        self
    }

    /// Whether that may be an address that other hosts reach: whoever reaches it sees the names of queues, topics,
    /// services, clients and bridges, and how they fare.
    pub fn metrics_open(mut self, open: bool) -> Self {
        self.metrics_open = open;
        self
    }

    /// Where it is to listen.
    pub fn urls(&self) -> &[BusUrl] {
        &self.listen
    }
}
