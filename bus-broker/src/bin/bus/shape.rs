//! What a queue or topic is created with, or changed to: the flags of `create` and `set`.

use std::time::Duration;

use bus_client::{Name, PublisherOptions, QueueChange, QueueOptions, TopicChange};
use bus_core::QUEUE_COUNT_MAX;

use crate::{users, value};

/// The flags.
#[derive(clap::Args)]
pub struct Shape {
    /// A topic, not a queue
    #[arg(long)]
    pub topic: bool,
    /// Bytes that the queue may hold, such as 16MiB; each message counts 64 more than its length
    #[arg(long, value_parser = value::queue_bytes, conflicts_with = "topic")]
    bytes: Option<u64>,
    /// Messages that the queue may hold
    #[arg(long, value_name = "N", conflicts_with = "topic", value_parser = clap::value_parser!(u64).range(1..=QUEUE_COUNT_MAX))]
    count: Option<u64>,
    /// How long a delivery is leased, such as 30s
    #[arg(long, value_name = "DURATION", value_parser = value::lease, conflicts_with = "topic")]
    lease: Option<Duration>,
    /// Deliveries of one message before it goes to the dead letters
    #[arg(long, value_name = "N", conflicts_with = "topic", value_parser = clap::value_parser!(u32).range(1..))]
    deliveries: Option<u32>,
    /// The queue for dead letters [default: the name with .dead behind it]
    #[arg(long, value_name = "QUEUE", conflicts_with = "topic")]
    dead_letter: Option<Name>,
    /// Keep the last message of each type for late subscribers
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", requires = "topic")]
    keep_last: Option<bool>,
    /// How long a slow subscriber may hold publishers back
    #[arg(long, value_name = "DURATION", value_parser = value::duration, requires = "topic")]
    hold: Option<Duration>,
    /// Octal bits as of a file: read is receive or subscribe, write send or publish, execute
    /// administer
    #[arg(long, value_parser = value::mode)]
    mode: Option<u16>,
    /// The owner, by name or number
    #[arg(long, value_name = "USER", value_parser = users::parse_user)]
    owner: Option<u32>,
    /// The group, by name or number
    #[arg(long, value_parser = users::parse_group)]
    group: Option<u32>,
}

impl Shape {
    /// To create a queue; owner and group are changed after that.
    pub fn queue_options(&self) -> QueueOptions {
        let mut options = QueueOptions::default();
        if let Some(bytes) = self.bytes {
            options = options.bytes_max(bytes);
        }
        if let Some(count) = self.count {
            options = options.count_max(count);
        }
        if let Some(lease) = self.lease {
            options = options.lease(lease);
        }
        if let Some(deliveries) = self.deliveries {
            options = options.deliveries_max(deliveries);
        }
        if let Some(name) = &self.dead_letter {
            options = options.dead_letter(name.clone());
        }
        match self.mode {
            Some(mode) => options.mode(mode),
            None => options,
        }
    }

    /// To create a topic; owner and group are changed after that.
    pub fn publisher_options(&self) -> PublisherOptions {
        let mut options = PublisherOptions::default();
        if let Some(keep) = self.keep_last {
            options = options.keep_last(keep);
        }
        if let Some(hold) = self.hold {
            options = options.hold(hold);
        }
        match self.mode {
            Some(mode) => options.mode(mode),
            None => options,
        }
    }

    /// To change a queue.
    pub fn queue_change(&self) -> QueueChange {
        QueueChange {
            bytes_max: self.bytes,
            count_max: self.count,
            lease: self.lease,
            deliveries_max: self.deliveries,
            mode: self.mode,
            owner: self.owner,
            group: self.group,
            dead_letter: self.dead_letter.clone(),
        }
    }

    /// To change a topic.
    pub fn topic_change(&self) -> TopicChange {
        TopicChange {
            keep_last: self.keep_last,
            hold: self.hold,
            mode: self.mode,
            owner: self.owner,
            group: self.group,
        }
    }

    /// Whether owner or group shall be somebody else than the creator.
    pub fn gives_away(&self) -> bool {
        self.owner.is_some() || self.group.is_some()
    }

    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.queue_change() == QueueChange::default()
            && self.topic_change() == TopicChange::default()
    }
}
