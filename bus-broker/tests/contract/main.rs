//! The contract that users rely on, point by point, over every transport.
//!
//! The names of the tests begin with the number of their point. Each one starts an embedded
//! broker and runs one check over `mem:`, lanes, `local:`, `tcp:` and `tls:` at the same time; where only one
//! transport can have a thing (an identity, a process that dies), the test says so.

mod bus;
mod calls;
mod child;
mod ends;
mod handles;
mod leases;
mod matching;
mod objects;
mod order;
mod peers;
#[path = "../common/process.rs"]
mod process;
mod processes;
mod proxy;
#[path = "../common/raw.rs"]
mod raw;
mod reconnect;
mod rights;
mod room;
mod sends;
mod subscribers;
mod topics;

/// The test that a child runs.
const CHILD: &str = "child::child_process";

/// The files whose tests bear the points.
const SOURCES: &[&str] = &[
    include_str!("calls.rs"),
    include_str!("ends.rs"),
    include_str!("handles.rs"),
    include_str!("leases.rs"),
    include_str!("objects.rs"),
    include_str!("order.rs"),
    include_str!("peers.rs"),
    include_str!("processes.rs"),
    include_str!("reconnect.rs"),
    include_str!("rights.rs"),
    include_str!("room.rs"),
    include_str!("sends.rs"),
    include_str!("topics.rs"),
];

#[test]
fn every_point_has_a_test_that_names_it() {
    for point in 1..=21 {
        let name = format!("fn point_{point:02}_");
        assert!(SOURCES.iter().any(|text| text.contains(&name)), "no test for point {point}");
    }
}
