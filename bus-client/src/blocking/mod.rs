//! The client for programs without an async runtime: the same handles, whose calls block.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use bus_client::{Selector, blocking};
//!
//! # fn main() -> Result<(), bus_client::Error> {
//! let client = blocking::Client::connect("local:")?;
//! let jobs = client.queue("jobs")?;
//! jobs.send("a job")?;
//! let delivery = jobs.receive_timeout(Selector::Any, Duration::from_secs(1))?;
//! println!("{:?}", delivery.payload());
//! delivery.ack()?.wait()?;
//! # Ok(()) }
//! ```
//!
//! Names, options, messages and errors are those of the async client, and so is what a call that
//! ends early leaves behind: a deadline that passes is what is called cancelling there.
//!
//! **Deadlines.** `within` of each handle gives the same handle with calls that take at most so
//! long, and what such a handle opens has it too; then a call fails as
//! [`TimedOut`](crate::ErrorKind::TimedOut). Where the exact outcome matters there is a call that
//! says it, as [`Queue::send_timeout`]. Connecting takes at most
//! [`ClientOptions::connect_timeout`](crate::ClientOptions::connect_timeout).
//!
//! **Threads.** All handles are `Send` and `Sync`. [`Client`], [`Queue`], [`Publisher`], [`Service`]
//! and [`Admin`] may be used by many threads at once; what yields one thing after the other
//! ([`Subscriber`], [`Consumer`], [`Server`]) belongs to one thread at a time. A thread that waits
//! drives the connection itself and is woken by what comes, with no other thread between; while none
//! does, a thread of the client's own answers the broker and connects again. It sleeps as long as
//! there is nothing to do. Each client has one, and three descriptors.
//!
//! **Within a runtime** of tokio the calls work too, and block the thread that makes them: then
//! it is the client's own thread that drives, at the cost of one more wake-up for each answer.
//!
//! **Handing over.** What a call has handed over is written when the call returns, as far as the
//! broker takes it. What dropping a handle does, goes out within a millisecond or two: before a
//! program ends it calls [`Client::drain`], or waits for what matters. Dropping never blocks.

mod admin;
mod client;
mod delivery;
mod engine;
mod events;
mod gate;
mod queue;
mod service;
mod topic;
mod typed;

pub use admin::Admin;
pub use client::Client;
pub use delivery::{Ack, Delivery};
pub use events::Events;
pub use queue::{Consumer, PendingReceipt, Permit, Queue};
pub use service::{Call, Server, Service};
pub use topic::{Publisher, Subscriber};
pub use typed::{TypedDelivery, TypedPublisher, TypedQueue, TypedSubscriber};
