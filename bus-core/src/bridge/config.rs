//! What an operator settles for one direction of a bridge.

use std::time::Duration;

use crate::error::{ErrorKind, Failure};
use crate::limits::{BACKLOG_BYTES_DEFAULT, SPOOL_COUNT_MIN, WINDOW_BYTES_DEFAULT};

use super::route::Route;

/// What happens to what finds no room in a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpoolPolicy {
    /// Its topic is held back: the publishers of that topic wait, for as long as it allows, and all
    /// others go on. What waits too long passes by the bridge, and is counted and told as missed. A
    /// source may have as much as all spools have still free, so that one that is stuck leaves half
    /// of the room to others. Only when all together are full nothing more is read of any route.
    #[default]
    HoldBack,
    /// The oldest messages of its source are dropped, counted, and the far subscribers are told.
    DropOldest,
    /// It is not taken, which is counted and told as well.
    Refuse,
}

/// The settings of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    pub(super) routes: Vec<Route>,
    pub(super) policy: SpoolPolicy,
    pub(super) source_bytes: u64,
    pub(super) source_count: u64,
    pub(super) total_bytes: u64,
    pub(super) window_bytes: u64,
    pub(super) backlog_bytes: u64,
    pub(super) linger: Duration,
}

impl LinkConfig {
    /// A link that bears these.
    ///
    /// # Errors
    /// When two of them bear the same topics: each message would go over the link twice.
    pub fn new(routes: Vec<Route>) -> Result<LinkConfig, Failure> {
        for (index, route) in routes.iter().enumerate() {
            let same = |other: &&Route| other.near().intersection(route.near()).is_some();
            if let Some(other) = routes[..index].iter().find(same) {
                let text = format!(
                    "`{}` and `{}` have topics in common: a bridge bears each topic once",
                    other.near(),
                    route.near()
                );
                return Err(Failure::new(ErrorKind::InvalidArgument, text));
            }
        }
        Ok(LinkConfig {
            routes,
            policy: SpoolPolicy::default(),
            source_bytes: 16 << 20,
            source_count: 1 << 20,
            total_bytes: 256 << 20,
            window_bytes: WINDOW_BYTES_DEFAULT,
            backlog_bytes: BACKLOG_BYTES_DEFAULT,
            linger: Duration::from_secs(600),
        })
    }

    /// What it bears.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What happens when a spool is full.
    #[must_use]
    pub fn policy(mut self, policy: SpoolPolicy) -> LinkConfig {
        self.policy = policy;
        self
    }

    /// Bytes and messages kept for each source at the most, and bytes for all. At least so many
    /// messages are kept that marks are told in time.
    #[must_use]
    pub fn spool(mut self, source_bytes: u64, source_count: u64, total_bytes: u64) -> LinkConfig {
        self.source_bytes = source_bytes;
        self.source_count = source_count.max(SPOOL_COUNT_MIN);
        self.total_bytes = total_bytes;
        self
    }

    /// Bytes under way from the near broker on each route, and bytes that wait there beyond that.
    /// So much more than its limit a spool may hold.
    #[must_use]
    pub fn reading(mut self, window_bytes: u64, backlog_bytes: u64) -> LinkConfig {
        self.window_bytes = window_bytes;
        self.backlog_bytes = backlog_bytes;
        self
    }

    /// How long what the far broker wants is still wanted, and kept for it, while it is away.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> LinkConfig {
        self.linger = linger;
        self
    }
}
