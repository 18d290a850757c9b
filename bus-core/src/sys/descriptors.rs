//! Descriptors that a process is handed: those of the standard library.
//!
//! Named here since Windows has none, and stands for them with a type without values.

pub use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
