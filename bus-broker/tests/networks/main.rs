//! Hosts in network namespaces, real wires between them, and what happens to these under load.
//!
//! Needs root and the programs `ip`, `ss`, `tc` and `nft`; without them every test says that it is
//! skipped, and why. `BUS_NETWORKS_ROUNDS` says how often each test goes through its faults, and
//! `BUS_NETWORKS_SEED` from which seed on.

mod bridged;
mod bridges;
mod client;
#[path = "../common/dice.rs"]
mod dice;
mod history;
mod host;
mod load;
mod page;
#[path = "../common/record.rs"]
mod record;
mod scene;
mod serving;
mod silence;
mod tools;
mod topologies;
mod torrent;
mod wire;
mod world;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// Runs these at once, each on a thread of its own: most of the time they wait for clocks, as tests that run
/// one after the other would.
fn together<const COUNT: usize>(cases: [fn(); COUNT]) {
    std::thread::scope(|scope| {
        for running in cases.map(|case| scope.spawn(case)) {
            running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}
