//! Bridges between real brokers, over TCP on loopback: what crosses, what does not, and what
//! happens when something between them breaks.

#[path = "../contract/proxy.rs"]
#[allow(dead_code, reason = "the contract's tests use the rest")]
mod proxy;

#[path = "../common/raw.rs"]
#[allow(dead_code, reason = "the contract's tests use the rest")]
mod raw;

mod bus {
    //! What the proxy needs of the contract's bus.

    pub fn home() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }
}

mod added;
mod away;
mod circles;
mod cuts;
mod far_backlog;
mod groups;
mod holding;
mod matching;
mod pair;
mod queues;
mod reload;
mod rights;
mod rings;
mod services;
mod stage;
