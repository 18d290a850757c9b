//! Benchmarks of Busbar and of what it must be compared with, between real processes.
//!
//! The parent runs a plan: workloads (`workloads/`) times contenders (`contenders/`), in
//! interleaved rounds. For each run it starts itself again in several roles, lets
//! them begin together, and collects what they counted (`troupe`, `child`).
//! A contender and a workload meet only in the traits of `contender`.
//! It is a library so that another program can bring contenders of its own to `run`; whatever
//! such a program needs is public, and nothing else.

pub mod cell;
pub mod child;
pub mod contender;
pub mod joined;
pub mod machine;
pub mod payload;
pub mod process;

mod accounting;
mod cli;
mod contenders;
mod harness;
mod probe;
mod report;
mod rounds;
mod stage;
mod statistics;
mod troupe;
mod wake_ups;
mod workloads;

pub use harness::run;
