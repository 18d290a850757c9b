//! Two brokers that are joined by a bridge, under everything at once: clients over all transports, at both
//! brokers, that come, go, are killed and are stopped, under a checker of what was said and heard.
//!
//! Nothing is lost, torn, doubled or swapped, and neither broker holds more after a round than before. A
//! run takes `BUS_MIXED_SECONDS`, from the seed `BUS_MIXED_SEED` on.

#[path = "../common/authority.rs"]
mod authority;
#[path = "../common/broker.rs"]
mod broker;
mod brokers;
mod cast;
mod churn;
#[path = "../common/dice.rs"]
mod dice;
#[path = "../common/jobs.rs"]
mod jobs;
mod ledger;
mod member;
#[path = "../common/process.rs"]
mod process;
#[path = "../common/record.rs"]
mod record;
mod survivors;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cast::{Cast, ROLES};
use dice::given;

/// The test that a child runs.
const CHILD: &str = "child_process";
/// How long an ordinary run goes on.
const SECONDS: u64 = 8;
/// Also if that takes longer.
const ROUNDS_MIN: u64 = 3;
/// Members of one round.
const ROUND: u64 = 24;

#[tokio::test]
async fn child_process() {
    let Some(task) = process::task() else { return };
    member::live(&task.split(' ').collect::<Vec<_>>()).await;
}

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn mixed_load_loses_nothing_and_leaves_nothing_behind() {
    let _alone = alone();
    let (seconds, seed) = (given("BUS_MIXED_SECONDS", SECONDS), given("BUS_MIXED_SEED", 0x5eed));
    eprintln!("{seconds} s from seed {seed}");
    block_on(async {
        let mut cast = Cast::start().await;
        let (began, mut told) = (Instant::now(), Instant::now());
        // The first round is what the others are compared with.
        while cast.rounds < ROUNDS_MIN || began.elapsed() < Duration::from_secs(seconds) {
            let result = cast.round(ROUND, seed, ROLES).await;
            result.unwrap_or_else(|error| {
                panic!("round {} of seed {seed}: {error}\n{}", cast.rounds, cast.state())
            });
            if told.elapsed() > Duration::from_secs(30) {
                told = Instant::now();
                eprintln!("{:?}: {}", began.elapsed(), cast.sum());
            }
        }
        eprintln!("{:?}: {}", began.elapsed(), cast.sum());
        cast.end().await;
    });
}

#[test]
#[ignore = "it takes minutes: cargo test --release -p bus-broker --test mixed -- --ignored --nocapture bounded"]
fn what_brokers_keep_of_those_who_were_there_is_bounded() {
    let held = block_on(churn::run(given("BUS_MIXED_STEPS", 6)));
    churn::is_bounded(&held).expect("it does not grow with them");
}

#[test]
fn what_is_kept_of_each_client_is_found() {
    let kept = |bytes: u64| -> Vec<_> { (0..6).map(|step| [40_000, step * bytes * 10]).collect() };
    churn::is_bounded(&kept(170)).expect("a mark");
    churn::is_bounded(&kept(450)).expect_err("more than that");
    churn::is_bounded(&kept(170)[..3]).expect_err("it is not known yet");
}

/// The controls: the same checker finds what must not be.
#[test]
fn what_is_torn_lost_or_done_twice_in_a_mixed_load_is_found() {
    let _alone = alone();
    for (role, what) in [
        ("publish-torn", "torn"),
        ("publish-lie", "instead of number 5"),
        ("send-lie", "instead of number 5"),
        ("work-lie", "was done"),
        ("ask-lie", "another answer"),
    ] {
        block_on(async {
            let mut cast = Cast::start().await;
            let error = cast.round(8, 1, &[role]).await.expect_err("it is found");
            assert!(error.contains(what), "{role}: {error}");
        });
    }
}
