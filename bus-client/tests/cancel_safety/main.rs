//! Every future of the client is dropped at each of its await points, and nothing is lost,
//! repeated or left behind.
//!
//! A future is polled once, twice, and so on, everything settles in between, and it is dropped;
//! until it is polled so often that it ends. After each drop the broker is asked what it has.

mod calls;
mod handles;
mod numbers;
mod offers;
mod queues;
mod receives;
mod topics;
mod world;
