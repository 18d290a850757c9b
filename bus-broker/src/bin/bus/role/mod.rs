//! The processes of `demo` and `bench`.
//!
//! Each connects, prints `ready`, does its part, and prints its result as one line of JSON. All
//! end with their parent.

mod echo;
mod pinger;
mod sink;
mod source;
mod worker;

use std::time::Duration;

use bus_client::{Client, MessageType, Publisher, PublisherOptions, SlowPolicy, SubscribeOptions};

use crate::exit::Problem;
use crate::helper;
use crate::output::Out;

/// A message that counts.
pub const COUNTED: MessageType = MessageType::ONE;
/// The last message.
const LAST: u64 = 2;
/// A message of the warm-up, which does not count.
const WARM_UP: u64 = 3;
/// Bytes of a payload that hold its number.
pub const NUMBER_BYTES: usize = 8;

/// Which part to play.
#[derive(clap::Subcommand)]
pub enum Role {
    /// Sends back what comes.
    Echo(echo::Args),
    /// Measures round trips to an echo.
    Pinger(pinger::Args),
    /// Publishes as fast as it can.
    Source(source::Args),
    /// Counts what a source publishes.
    Sink(sink::Args),
    /// Takes jobs from a queue.
    Worker(worker::Args),
}

/// Plays it.
pub async fn run(url: &str, role: Role) -> Result<(), Problem> {
    helper::end_with_parent()?;
    match role {
        Role::Echo(args) => echo::run(url, args).await,
        Role::Pinger(args) => pinger::run(url, args).await,
        Role::Source(args) => source::run(url, args).await,
        Role::Sink(args) => sink::run(url, args).await,
        Role::Worker(args) => worker::run(url, args).await,
    }
}

fn ready() -> Result<(), Problem> {
    let mut out = Out::new();
    out.line("ready")?;
    out.flush()
}

fn tell(result: &serde_json::Value) -> Result<(), Problem> {
    let mut out = Out::new();
    out.json(result)?;
    out.flush()
}

fn transport_of(client: &Client) -> String {
    client.transport().transport.map_or_else(String::new, |transport| transport.to_string())
}

/// Opens a topic that everybody may use, and that waits for slow subscribers.
async fn open_topic(client: &Client, topic: &str) -> Result<Publisher, Problem> {
    let options = PublisherOptions::default().mode(0o777).hold(Duration::from_secs(60));
    Ok(client.publisher_with(topic, options).await?)
}

/// Publishers wait for this subscriber; large messages get a larger window.
fn patient(size: usize) -> SubscribeOptions {
    let window = (size as u64).saturating_mul(16).clamp(1 << 20, 16 << 20);
    SubscribeOptions::default().policy(SlowPolicy::Hold).window_bytes(window)
}

/// A payload of this size that bears this number.
fn numbered(number: u64, size: usize) -> Vec<u8> {
    let mut payload = vec![0; size.max(NUMBER_BYTES)];
    payload[..NUMBER_BYTES].copy_from_slice(&number.to_le_bytes());
    payload
}

/// The number that a payload bears.
fn number_of(payload: &[u8]) -> Option<u64> {
    payload.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// A type by its number.
fn kind(number: u64) -> MessageType {
    MessageType::new(number).unwrap_or(MessageType::ONE)
}
