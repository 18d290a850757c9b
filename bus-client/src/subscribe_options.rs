//! How a client subscribes.

use bus_core::router::{self, SlowPolicy};
use bus_core::{
    BACKLOG_BYTES_MAX, ErrorKind, Failure, Name, Selector, WINDOW_BYTES_MAX, WINDOW_BYTES_MIN,
};

use crate::error::Error;

/// How to subscribe.
#[derive(Clone, Debug, Default)]
pub struct SubscribeOptions {
    options: router::SubscribeOptions,
    group: Option<String>,
}

impl SubscribeOptions {
    /// Only these types (all by default).
    pub fn selector(mut self, selector: Selector) -> Self {
        self.options.selector = selector;
        self
    }

    /// What happens when this subscriber does not keep up. By default it holds publishers of
    /// its own user back for as long as the topic allows, and ends beside those of others.
    pub fn policy(mut self, policy: SlowPolicy) -> Self {
        self.options.policy = policy;
        self
    }

    /// Bytes under way to this client, and so memory in it: 4 KiB to 16 MiB, 1 MiB by default.
    pub fn window_bytes(mut self, bytes: u64) -> Self {
        self.options.window_bytes = bytes;
        self
    }

    /// Bytes that wait at the broker beyond the window: at most 64 MiB, 1 MiB by default.
    pub fn backlog_bytes(mut self, bytes: u64) -> Self {
        self.options.backlog_bytes = bytes;
        self
    }

    /// Shares the subscription with all others of this group on the same pattern: each message
    /// reaches one of them.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    pub(crate) fn finish(mut self) -> Result<router::SubscribeOptions, Error> {
        if let Some(group) = &self.group {
            self.options.group = Some(Name::new(group)?);
        }
        let within = |what: &str, value: u64, min: u64, max: u64| match (min..=max).contains(&value)
        {
            true => Ok(()),
            false => Err(Failure::new(
                ErrorKind::InvalidArgument,
                format!("{what} is {value}; it must be {min} to {max}"),
            )),
        };
        within("window_bytes", self.options.window_bytes, WINDOW_BYTES_MIN, WINDOW_BYTES_MAX)?;
        within("backlog_bytes", self.options.backlog_bytes, 0, BACKLOG_BYTES_MAX)?;
        Ok(self.options)
    }
}
