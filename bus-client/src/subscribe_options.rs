//! How a client subscribes.

use bus_core::router::{self, SlowPolicy};
use bus_core::{
    BACKLOG_BYTES_MAX, ErrorKind, Failure, GroupName, Selector, WINDOW_BYTES_MAX, WINDOW_BYTES_MIN,
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

    /// Shares what the pattern matches with all others of this group on the same pattern: each message
    /// goes to one member that takes its type, so that work is spread over them. The name is one token
    /// (letters, digits, `-`, `_`). Other groups, and subscribers without one, get it as well.
    ///
    /// It goes to the member with least under way, so a slow one holds up no quick one. What was published
    /// together is shared out in runs: one for each member, but as much as it uses up in two milliseconds,
    /// by its last reports, for one who is quick; all of it (64 KiB) at the most. What nobody has
    /// window for waits for all of them, within the backlog of the member that came first; then the policy
    /// acts on the group as a whole. Members are of one user and have one policy; what they select
    /// may differ.
    ///
    /// Dropping a member leaves what it has not handed over to the others, exactly. When one is lost with
    /// its session they also get again what it had not reported yet: what it has read since it
    /// last waited for more, at most a sixteenth of its window and 64 KiB beside the message at hand.
    /// Nothing else comes twice to a group. To one member the messages of a publisher come in order,
    /// those aside that another one has left. With the last member the group ends, and so does what waits.
    ///
    /// # Example
    /// ```
    /// # async fn work(client: bus_client::Client) -> Result<(), bus_client::Error> {
    /// use bus_client::SubscribeOptions;
    ///
    /// // In as many programs as shall share the work:
    /// let share = SubscribeOptions::default().group("resizers");
    /// let mut images = client.subscribe_with("image.uploaded", share).await?;
    /// while let Some(image) = images.next().await {
    ///     println!("{:?}", image?.payload());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    pub(crate) fn finish(mut self) -> Result<router::SubscribeOptions, Error> {
        if let Some(group) = &self.group {
            self.options.group = Some(GroupName::new(group)?);
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
