//! What an operator settles for a router: its epoch, default modes, and its bounds.
//!
//! Plain values; what a peer may ask for on top of them stands in `limits`.

use crate::limits::UNWRITTEN_BYTES_MAX;

use super::provenance::Epoch;

/// What an operator settles for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterConfig {
    /// What names this boot of the broker to others; 0 if it has no bridges.
    pub epoch: Epoch,
    /// Mode of a queue that is created without one.
    pub queue_mode: u16,
    /// Mode of a topic that is created without one.
    pub topic_mode: u16,
    /// Mode of a service that is created without one.
    pub service_mode: u16,
    /// Sessions in all.
    pub sessions_max: usize,
    /// Sessions of one user (root and the broker's own user aside).
    pub sessions_per_user_max: usize,
    /// Queues in all.
    pub queues_max: usize,
    /// Queues and topics that one user may own.
    pub objects_per_user_max: usize,
    /// Topics in all.
    pub topics_max: usize,
    /// Subscriptions in all.
    pub subscriptions_max: usize,
    /// Services in all.
    pub services_max: usize,
    /// Bytes of a session's messages that wait for room.
    pub parked_bytes_max: u64,
    /// Bytes of messages that a connection has still to write, before its session is given no more.
    pub unwritten_bytes_max: u64,
}

impl Default for RouterConfig {
    fn default() -> Self {
        RouterConfig {
            epoch: 0,
            queue_mode: 0o700,
            topic_mode: 0o744,
            service_mode: 0o722,
            sessions_max: 16_384,
            sessions_per_user_max: 4096,
            queues_max: 1_000_000,
            objects_per_user_max: 100_000,
            topics_max: 1_000_000,
            subscriptions_max: 1_000_000,
            services_max: 100_000,
            parked_bytes_max: 256 << 20,
            unwritten_bytes_max: UNWRITTEN_BYTES_MAX,
        }
    }
}
