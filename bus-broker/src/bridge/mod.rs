//! Bridges to other brokers, as a broker runs them.
//!
//! A bridge is an ordinary client of both brokers: this module moves bytes between the sessions
//! and the rules (`bus_core::bridge`), and decides nothing about messages. Each direction has
//! sessions and a task of its own, so that neither holds up the other.

mod direction;
mod manager;
mod queues;
mod relays;
mod routes;
mod settings;
mod side;
mod status;

pub(crate) use manager::{Bridges, SharedBridges};
pub use settings::{BridgeConfig, InvalidBridge};
pub use status::{BridgeStatus, DirectionStatus, LinkState};
