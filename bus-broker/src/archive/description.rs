//! What a file of messages says about itself, as JSON, so that it can be read without this program.
//!
//! Keys are only ever added: those that are not known are passed over.

use bus_core::Name;
use serde::{Deserialize, Serialize};

/// What the messages are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveContent {
    /// Messages of a queue, in its order.
    Queue,
    /// Messages of topics, as they came, each with its time.
    Topics,
}

/// What a file of messages is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveDescription {
    /// What the messages are of.
    pub content: ArchiveContent,
    /// The queue, or the patterns of the topics.
    pub names: Vec<String>,
    /// The broker's name.
    #[serde(default)]
    pub broker: String,
    /// When it was begun, in milliseconds since 1970.
    #[serde(default)]
    pub begun_at_ms: u64,
    /// The program that wrote it, and its version.
    #[serde(default)]
    pub program: String,
    /// How the queue was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<ArchivedQueue>,
}

/// How a queue was made, so that it can be made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedQueue {
    /// Bytes that it may hold.
    pub bytes_max: u64,
    /// Messages that it may hold.
    pub count_max: u64,
    /// How long a delivery is leased.
    pub lease_ms: u64,
    /// Deliveries before a message goes to the dead letters.
    pub deliveries_max: u32,
    /// Permission bits.
    pub mode: u16,
    /// The queue for dead letters, if it is not the one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
}

impl ArchiveDescription {
    /// Of a queue.
    pub fn of_queue(name: &Name) -> ArchiveDescription {
        ArchiveDescription::new(ArchiveContent::Queue, vec![name.to_string()])
    }

    /// Of the topics that these patterns match.
    pub fn of_topics(patterns: Vec<String>) -> ArchiveDescription {
        ArchiveDescription::new(ArchiveContent::Topics, patterns)
    }

    fn new(content: ArchiveContent, names: Vec<String>) -> ArchiveDescription {
        ArchiveDescription {
            content,
            names,
            broker: String::new(),
            begun_at_ms: 0,
            program: format!("bus {}", env!("CARGO_PKG_VERSION")),
            queue: None,
        }
    }
}
