//! Bridges to other brokers, as a broker runs them.
//!
//! A bridge is an ordinary client of both brokers: this module moves bytes between the sessions
//! and the rules (`bus_core::bridge`), and decides nothing about messages. Each direction has
//! sessions and a task of its own, and so have calls, so that none holds up another.

mod callers;
mod calls;
mod denied;
mod fault;
mod files;
mod last_error;
mod manager;
mod queues;
mod relays;
mod routes;
mod rules;
mod said;
mod servers;
mod settings;
mod side;
mod soundness;
mod status;
mod teller;
mod topics;
mod way;
mod why;

pub use denied::DeniedStatus;
pub use fault::{BridgeFault, InvalidBridge, Setting, Words};
pub use last_error::LastError;
pub use manager::Followed;
pub(crate) use manager::{Bridges, SharedBridges};
pub use settings::BridgeConfig;
pub use status::{BridgeStatus, CallsStatus, DirectionStatus, LinkState};
