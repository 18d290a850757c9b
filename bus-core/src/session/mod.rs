//! The session protocol as state without I/O: both sides, and what survives a lost connection.
//!
//! Frames are numbered on each side and kept until the other side confirms them, so that a
//! session that is resumed goes on as if its connection had only been slow.

mod client;
mod handshake;
mod heartbeat;
mod inbound;
mod outbound;
mod server;
mod span;

#[cfg(test)]
mod tests;

pub use client::{
    ChannelKind, ClientSession, Established, Event, Leased, LeasedParcel, Origin, Restart,
};
pub use handshake::*;
pub use heartbeat::{Beat, Heartbeat, Passage, Said, Signs};
pub use inbound::Inbound;
pub use outbound::Outbound;
pub use server::{Action, ServerSession};
