//! Processes on lanes that are killed at random moments while they write and read: nothing that
//! was committed is lost or torn, nobody hangs, and nothing stays behind.
//!
//! One test after the other: they look at what whole processes hold. `BUS_KILLS` says how often
//! each test kills, `BUS_KILLS_SEED` from which seed on.

mod bare;
#[path = "../common/broker.rs"]
mod broker;
mod crowd;
#[path = "../common/descriptors.rs"]
mod descriptors;
#[path = "../common/dice.rs"]
mod dice;
#[path = "../common/jobs.rs"]
mod jobs;
#[path = "../common/layout.rs"]
mod layout;
mod ledger;
#[path = "../common/process.rs"]
mod process;
#[path = "../common/record.rs"]
mod record;
mod victim;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bus_client::{Client, ClientOptions};
use tokio::time::timeout;

use bare::Wrong;
use broker::{BrokerProcess, Figures};
use crowd::{Crowd, ROLES};
use dice::{Dice, given};

/// The test that a child runs.
const CHILD: &str = "child_process";
/// How often each test kills in an ordinary run, and how often it looks at what is left.
const KILLS: u64 = 50;
const KILLS_AT_A_TIME: u64 = 25;

#[test]
fn child_process() {
    let Some(task) = process::task() else { return };
    let words: Vec<&str> = task.split(' ').collect();
    match words[..] {
        ["bare", ref rest @ ..] => bare::child(rest),
        ref all => block_on(victim::live(all)),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often to kill, and the dice for it.
fn setting() -> (u64, u64) {
    let (kills, seed) = (given("BUS_KILLS", KILLS), given("BUS_KILLS_SEED", 0x5eed));
    eprintln!("{kills} kills from seed {seed}");
    (kills, seed)
}

/// In a long run somebody waits.
fn tell_sometimes(kills: u64, messages: u64, began: Instant) {
    if kills.is_multiple_of(500) {
        eprintln!("{kills} kills, {messages} frames or messages, {:?}", began.elapsed());
    }
}

#[test]
fn killed_writer_leaves_whole_frames_and_killed_reader_a_writer_that_goes_on() {
    let _alone = alone();
    let (kills, seed) = setting();
    let (began, mut before, mut frames) = (Instant::now(), None, 0);
    for number in 0..kills {
        let mut dice = Dice::new(seed ^ number);
        let told = match number % 2 {
            0 => bare::writer_is_killed(&mut dice, Wrong::Nothing),
            _ => bare::reader_is_killed(&mut dice),
        };
        frames += told.unwrap_or_else(|error| panic!("kill {number} of seed {seed}: {error}"));
        let now = Figures::of(std::process::id());
        let before = before.get_or_insert_with(|| now.clone());
        now.are_back_at(before).unwrap_or_else(|error| panic!("kill {number}: {error}"));
        tell_sometimes(number + 1, frames, began);
    }
    eprintln!("{kills} kills of a bare pair, {frames} frames, {:?}", began.elapsed());
}

#[test]
fn frame_that_is_torn_or_lost_or_doubled_in_a_bare_lane_is_found() {
    let _alone = alone();
    for (wrong, what) in [
        (Wrong::Torn, "torn"),
        (Wrong::LeftOut, "instead of number 100"),
        (Wrong::Twice, "instead of number 101"),
    ] {
        // Some are killed before they do it.
        let mut dice = Dice::new(1);
        let mut told = (0..20).filter_map(|_| bare::writer_is_killed(&mut dice, wrong).err());
        let error = told.next().expect("it is found");
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn killed_clients_lose_nothing_that_was_accepted_and_leave_nothing_behind() {
    let _alone = alone();
    let (kills, seed) = setting();
    block_on(async {
        let began = Instant::now();
        let mut crowd = Crowd::start().await;
        // The first ones make the baseline.
        let (mut done, mut messages) = (0, 0);
        while done < kills {
            let now = KILLS_AT_A_TIME.min(kills - done);
            let told = crowd.kill(now, seed, ROLES).await;
            messages += told.unwrap_or_else(|error| {
                let (state, log) = (crowd.broker.state(), crowd.broker.log());
                panic!("after {done} kills of seed {seed}: {error}\n{state}\n{log}")
            });
            done += now;
            tell_sometimes(done, messages, began);
        }
        let (before, after) = crowd.end().await;
        eprintln!("{kills} kills beside a broker, {messages} messages, {:?}", began.elapsed());
        eprintln!("broker before {before:?}\nbroker after  {after:?}");
    });
}

#[test]
fn message_that_is_torn_or_lost_or_doubled_beside_a_broker_is_found() {
    let _alone = alone();
    for (role, what) in
        [("publish-torn", "torn"), ("publish-lie", "instead of number 5"), ("work-lie", "was done")]
    {
        block_on(async {
            let mut crowd = Crowd::start().await;
            let error = crowd.kill(8, 1, &[role]).await.expect_err("it is found");
            assert!(error.contains(what), "{role}: {error}");
        });
    }
}

#[test]
fn killed_broker_leaves_its_clients_an_answer_and_no_lanes() {
    let _alone = alone();
    let (_, seed) = setting();
    block_on(async {
        let mut before = None;
        for number in 0..5 {
            let mut dice = Dice::new(seed ^ number);
            let broker = BrokerProcess::start().await;
            let options = ClientOptions::default().reconnect(false);
            let client = Client::connect_with(&broker.url("shm"), options).await;
            let client = client.expect("connects");
            let queue = client.queue("orphaned").await.expect("opens");
            let mut consumer = queue.consumer(bus_client::Selector::Any, 8).await.expect("opens");
            let writing = async {
                while queue.send(dice.bytes(2000)).await.is_ok() {}
                while let Some(Ok(delivery)) = consumer.next().await {
                    drop(delivery.ack());
                }
            };
            let killing = async {
                tokio::time::sleep(Duration::from_millis(5 + number)).await;
                broker.kill().await;
            };
            let both = async { tokio::join!(writing, killing) };
            timeout(Duration::from_secs(180), both).await.expect("every call ends");
            assert!(client.ping().await.is_err(), "there is no broker");
            drop((client, queue, consumer));
            let deadline = Instant::now() + Duration::from_secs(180);
            loop {
                tokio::task::yield_now().await;
                let now = Figures::of(std::process::id());
                match now.are_back_at(before.get_or_insert_with(|| now.clone())) {
                    Ok(()) if now.mappings.is_empty() => break,
                    told => assert!(Instant::now() < deadline, "{told:?}: {now:?}"),
                }
            }
        }
    });
}
