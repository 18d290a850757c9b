//! TLS between two sides of our own, and with peers that are of another make or mean no good.
//!
//! Every failure has a type and a sentence on each side that can know it. Beside each one stands
//! the case without the fault, which succeeds: so it is the fault that is found.

mod afterwards;
#[path = "../certificates/mod.rs"]
mod certificates;
mod credulous;
mod ends;
mod failures;
mod foreign;
mod meeting;
mod reload;
mod wilful;
