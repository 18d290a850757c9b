//! The rules of a bridge between two brokers, one direction of it, as plain state.
//!
//! A [`Link`] is told what its two sessions are told, one at the near broker where messages come
//! from and one at the far broker where they go, and says what each is to ask. It knows no socket,
//! clock or frame. An [`Exchange`] does the same for calls. What brokers themselves do for bridges (marks, upstreams, interest) is in
//! [`crate::router`].

mod carrier;
mod config;
mod directory;
mod exchange;
mod exchange_config;
mod far;
mod given_up;
mod holding;
mod link;
mod looping;
mod near;
mod permits;
mod pull;
mod reconfigure;
mod route;
mod served;
mod source;
mod spool;
#[cfg(test)]
mod tests;

pub use carrier::{CarriedQueue, CarriedStat, Ends, QueueCarrier};
pub use config::{LinkConfig, SpoolPolicy};
pub use exchange::{CallId, Exchange, ExchangeAction, ExchangeStat, Invoked};
pub use exchange_config::ExchangeConfig;
pub use given_up::GivenUp;
pub use link::{Link, LinkStat};
pub use permits::{Denied, PermitNews, Permits, ToCarry};
pub use pull::{Action, RelayId};
pub use route::Route;
