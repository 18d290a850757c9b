//! The async client of Busbar: publish and subscribe, send and receive, request and serve.
//!
//! ```no_run
//! # async fn example() -> Result<(), bus_client::Error> {
//! use bus_client::{Client, Selector};
//!
//! let client = Client::connect("local:").await?;
//! let jobs = client.queue("jobs").await?;
//! jobs.send("a job").await?;
//! let delivery = jobs.receive(Selector::Any).await?;
//! println!("{:?}", delivery.payload());
//! delivery.ack().await?;
//! # Ok(()) }
//! ```
//!
//! Dropping any handle or future never blocks, spawns or panics, also outside a runtime.

#![forbid(unsafe_code)]

mod admin;
mod alarm;
mod backoff;
#[cfg(feature = "blocking")]
pub mod blocking;
mod client;
mod connect;
mod connection;
mod consumer;
mod credential;
mod deadline;
mod delivery;
mod drain;
mod driver;
mod error;
mod events;
mod forked;
mod handle;
mod inbox;
mod inheritance;
mod intake;
mod knob;
mod lanes;
mod matching;
mod options;
mod publisher;
mod pump;
mod queue;
mod queue_options;
mod receipt;
mod received;
mod request;
mod server;
#[cfg(feature = "opentelemetry")]
mod spans;
#[cfg(not(feature = "opentelemetry"))]
#[path = "no_spans.rs"]
mod spans;
mod state;
mod subscribe_options;
mod subscriber;
mod trouble;
mod typed;
mod waiters;

pub use admin::{Admin, Object, Retired, StatPage};
pub use backoff::Backoff;
pub use bus_core::router::{
    Access, AdminAction, BrokerInfo, ClientStat, GroupStat, HostedStat, Lifetime, MemberStat,
    ObjectKind, OpenMode, Peeked, Provenance, QueueChange, QueueStat, ServiceStat, SlowPolicy,
    SubscriptionStat, TopicChange, TopicStat, Touch, TypeCount,
};
#[cfg(feature = "tls")]
pub use bus_core::transport::{Moment, TlsFailure};
pub use bus_core::transport::{Transport, Waiting};
pub use bus_core::{
    BusUrl, ErrorKind, Headers, InvalidHeader, InvalidToken, InvalidTraceContext, Message,
    MessageType, Name, Pattern, Selector, Sender, Token, TraceContext, UserName,
};
pub use client::{Client, TransportInfo};
pub use connection::{Connection, ConnectionEnd};
pub use consumer::{Consumer, ConsumerOptions};
pub use delivery::{Ack, Delivery};
pub use drain::DrainReport;
pub use error::Error;
pub use events::{ClientEvent, Events};
pub use inheritance::INHERITED_VARIABLE;
pub use knob::Knob;
pub use matching::Matching;
pub use options::ClientOptions;
pub use publisher::{Publisher, PublisherOptions};
pub use queue::{Permit, Queue};
pub use queue_options::QueueOptions;
pub use receipt::{PendingReceipt, Receipt, ReceiptLevel};
pub use received::{Batch, MessageRef, Received};
pub use request::{Reply, Service};
pub use server::{Call, Server};
pub use subscribe_options::SubscribeOptions;
pub use subscriber::Subscriber;
pub use typed::{TypedDelivery, TypedPublisher, TypedQueue, TypedSubscriber};

/// Traces of OpenTelemetry (feature `opentelemetry`).
///
/// With the feature, what is published, sent and called within a span of the application gets a span of its
/// own (`publish NAME`, `send NAME`, `call NAME`), and its message bears that in the headers `traceparent` and
/// `tracestate`. Whoever receives the message goes on with [`telemetry::process`] or [`telemetry::serve`]. Spans go to the
/// application's own tracer provider (`opentelemetry::global`), which exports them as it likes. Without a current
/// span nothing is made, and a message costs a look at a word of the thread.
///
/// Without the feature the headers can be written and read by hand: [`Message::with_trace_context`] and
/// [`Message::trace_context`].
#[cfg(feature = "opentelemetry")]
pub mod telemetry {
    pub use crate::spans::{process, remote_context, serve};
}
