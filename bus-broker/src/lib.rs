//! The Busbar broker as a library.
//!
//! A broker runs on a thread of its own and is reached through its listeners, or from inside
//! the process with [`Broker::url`]:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = bus_broker::Broker::start(bus_broker::BrokerConfig::default()).await?;
//! let client = bus_client::Client::connect(broker.url()).await?;
//! client.queue("jobs").await?.send("hello").await?;
//! # Ok(()) }
//! ```

mod archive;
#[cfg(feature = "tls")]
mod authority;
mod bridge;
mod bridge_service;
mod broker;
mod certificates;
mod charges;
mod config;
mod config_file;
mod connection;
mod doorstep;
mod elbow_room;
mod event_kinds;
mod exposure;
mod gate;
mod handed_over;
mod handshakes;
mod hub;
mod lanes;
mod listen;
mod lobby;
mod log_bound;
mod membership;
mod metrics;
mod named_files;
mod owed;
mod porter;
mod preflight;
mod pulse;
mod refusals;
mod registry;
mod reload;
mod slot;
mod start_error;
mod subscribers;
mod surroundings;
mod system;
mod taking;
mod trouble;
mod users;
mod vigil;
mod words;

pub use archive::{
    ArchiveContent, ArchiveDecoder, ArchiveDescription, ArchiveEncoder, ArchiveEnd, ArchiveEntry,
    ArchiveError, ArchiveGap, ArchivedMessage, ArchivedQueue,
};
#[cfg(feature = "tls")]
pub use authority::{Authority, AuthorityError, Certified, DAYS_MAX, Making};
pub use bridge::{
    BridgeConfig, BridgeFault, BridgeStatus, CallsStatus, DeniedStatus, DirectionStatus, Followed,
    InvalidBridge, LastError, LinkState, Setting, Words,
};
pub use broker::{Broker, DrainReport};
pub use bus_core::bridge::SpoolPolicy;
pub use bus_core::router::{Allowance, Deed, Policy, RouterConfig, Who};
pub use bus_core::sys::Inherited;
pub use bus_core::transport::{ClientCertificates, TlsClientFiles, TlsServerFiles};
pub use config::BrokerConfig;
pub use config_file::{ConfigError, parse_config, render_bridge, render_config};
pub use event_kinds::{EVENT_KINDS, EventKind};
pub use registry::{ClientInfo, Registry};
pub use reload::{ReloadError, Reloaded};
pub use start_error::StartError;
pub use subscribers::{SubscriberState, each_subscription, sorted_subscribers};
pub use surroundings::Surroundings;
pub use trouble::{Trouble, TroubleLevel};
pub use users::{CertificateMatch, TokenHash, User};
