//! How a queue is opened, and what it is created with.

use std::time::Duration;

use bus_core::Name;
use bus_core::router::{self, Lifetime, OpenMode};

/// How a queue is opened, and what it is created with.
#[derive(Clone, Debug, Default)]
pub struct QueueOptions {
    pub(crate) open: OpenMode,
    pub(crate) limits: router::QueueOptions,
}

impl QueueOptions {
    /// The queue must be there.
    pub fn must_exist(mut self) -> Self {
        self.open = OpenMode::Open;
        self
    }

    /// The queue must not be there yet.
    pub fn exclusive(mut self) -> Self {
        self.open = OpenMode::Create;
        self
    }

    /// Bytes that it holds (64 MiB and 64 KiB by default); each message counts 64 more than its length.
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.limits.bytes_max = bytes;
        self
    }

    /// Messages that it holds (65,536 by default).
    pub fn count_max(mut self, count: u64) -> Self {
        self.limits.count_max = count;
        self
    }

    /// How long a delivery is leased (30 s by default).
    pub fn lease(mut self, lease: Duration) -> Self {
        self.limits.lease = lease;
        self
    }

    /// Deliveries of one message before it goes to the dead letters (16 by default). One that
    /// kills whoever takes it may kill one more: if it was not alone, the first death does not
    /// tell which message it was.
    pub fn deliveries_max(mut self, deliveries: u32) -> Self {
        self.limits.deliveries_max = deliveries;
        self
    }

    /// Permission bits as of a file: read is to receive, write to send, execute to administer.
    pub fn mode(mut self, mode: u16) -> Self {
        self.limits.mode = Some(mode);
        self
    }

    /// How long it lives (until it is removed or its broker ends, by default).
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.limits.lifetime = lifetime;
        self
    }

    /// The queue for dead letters (its own name with `.dead` behind it, by default).
    pub fn dead_letter(mut self, name: Name) -> Self {
        self.limits.dead_letter = Some(name);
        self
    }
}
