//! Programs without a runtime, programs that were started by others, and programs that fork.
//!
//! The broker is the real program; each test has one of its own.

#[allow(dead_code, reason = "of what a hostile process does, only forking is needed")]
#[path = "../hostile_lanes/bare_memory.rs"]
mod bare_memory;
#[path = "../common/broker.rs"]
mod broker;
mod calls;
mod forked;
mod idle;
mod inherited;
mod matching;
#[path = "../common/process.rs"]
mod process;
mod threads;
mod typed;

use std::future::Future;
use std::time::Duration;

use bus_client::blocking::Client;
use tokio::runtime::Runtime;

use broker::BrokerProcess;

/// The test that a child runs.
const CHILD: &str = "child_process";

/// Longer than anything takes that works, also where the machine has much else to do.
const SOON: Duration = Duration::from_secs(60);
/// Shorter than anybody would wait in earnest.
const SHORT: Duration = Duration::from_millis(20);

/// A broker, and a runtime for what tests do with other processes.
struct Stage {
    runtime: Runtime,
    broker: BrokerProcess,
}

impl Stage {
    fn new() -> Stage {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let broker = runtime.block_on(BrokerProcess::start());
        Stage { runtime, broker }
    }

    /// A client over the transport of this scheme.
    fn client(&self, scheme: &str) -> Client {
        Client::connect(&self.broker.url(scheme)).expect("connects")
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

#[test]
fn child_process() {
    let Some(task) = process::task() else { return };
    match task.split_once('|').unwrap_or((&task, "")) {
        ("fork", url) => {
            forked::fork(url);
            forked::go_on(url);
        }
        ("heir", word) => inherited::be_an_heir(word),
        ("parent", url) => inherited::leave_and_die(url),
        _ => panic!("no such task: {task}"),
    }
}
