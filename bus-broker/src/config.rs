//! What a broker is told: where to listen, and its limits.
//!
//! Setters here, the TOML file in `config_file`. Every value is within its limits: a setter cuts
//! it down, the file's parser refuses it.

use std::time::Duration;

use bus_core::router::RouterConfig;
use bus_core::transport::Waiting;
use bus_core::{BusUrl, GRACE_MAX};

/// How a broker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Its name, for people.
    pub(crate) name: String,
    pub(crate) listen: Vec<BusUrl>,
    pub(crate) insecure: bool,
    pub(crate) shared_memory: bool,
    pub(crate) waiting: Waiting,
    pub(crate) grace_max: Duration,
    pub(crate) router: RouterConfig,
}

impl Default for BrokerConfig {
    /// A broker that only this process can reach.
    fn default() -> Self {
        BrokerConfig {
            name: "bus".into(),
            listen: Vec::new(),
            insecure: false,
            shared_memory: true,
            waiting: Waiting::default(),
            grace_max: GRACE_MAX,
            router: RouterConfig::default(),
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

    /// Whether TCP listeners on other addresses than loopback are allowed: everybody who
    /// reaches them may use the bus.
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
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

    /// Where it is to listen.
    pub fn urls(&self) -> &[BusUrl] {
        &self.listen
    }
}
