//! Atomics of the lanes and their links: the standard library's, or the model checker's under `--cfg busbar_loom`.
//!
//! Nothing else in the core names an atomic type, so that every ordering can be explored.

#[cfg(all(busbar_loom, feature = "net"))]
pub(crate) use loom::sync::atomic::AtomicBool;
#[cfg(busbar_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};

#[cfg(all(not(busbar_loom), feature = "net"))]
pub(crate) use std::sync::atomic::AtomicBool;
#[cfg(not(busbar_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};
