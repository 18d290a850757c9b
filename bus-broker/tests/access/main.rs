//! Users, tokens and the policy, end to end: who is taken for whom, what is refused, and what a
//! change does to those who are connected.

#[path = "../contract/bus.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod broker;
#[path = "../common/raw.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod raw;

mod certificates;
mod changes;
mod identity;
mod stage;
mod transports;
