//! Hostile clients on lanes, each in a process and, if root may make it so, under a user of its
//! own: they lose their connections, and others nothing.
//!
//! One test after the other: they look at what the whole broker holds. `BUS_HOSTILE_SEED` is
//! the seed; `BUS_HOSTILE_MILLIS` says how long each attack goes on at the least. What honest clients
//! keep meanwhile is measured on demand, `BUS_HOSTILE_ROUNDS` times, for the attacks with
//! `BUS_HOSTILE_ATTACK` in their names.

mod attacks;
mod bare_memory;
#[path = "../common/broker.rs"]
mod broker;
mod by_hand;
#[path = "../common/descriptors.rs"]
mod descriptors;
#[path = "../common/dice.rs"]
mod dice;
mod forked;
mod gone;
mod handed_over;
#[path = "../common/layout.rs"]
mod layout;
mod measure;
#[path = "../common/neighbour.rs"]
mod neighbour;
#[path = "../common/pair.rs"]
mod pair;
#[path = "../common/process.rs"]
mod process;
mod protections;
mod scene;
mod spies;
mod stopped;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bus_client::Client;

use broker::BrokerProcess;
use dice::given;
use process::{Process, User, may_become_others};
use scene::Scene;

/// The test that a child runs.
const CHILD: &str = "child_process";

/// A user that nobody is.
const STRANGER: User = User { uid: 61234, gid: 61234, group: None };

#[test]
fn child_process() {
    let Some(task) = process::task() else { return };
    let words: Vec<&str> = task.split('|').collect();
    match words[..] {
        ["attack", name, path, seed] => {
            attacks::go_on(name, Path::new(path), seed.parse().expect("a number"))
                .expect("the broker is there");
        }
        ["hand over", path] => {
            handed_over::hand_over(Path::new(path)).expect("the broker is there")
        }
        ["protections", path] => protections::try_all(Path::new(path)).expect("good lanes"),
        ["neighbour", share] => measure::be_a_neighbour(share.parse().expect("a part")),
        ["spy", pid, range] => spies::spy(pid.parse().expect("a number"), range),
        ["fork", url] => block_on(forked::fork(url)),
        ["take and fork", url] => block_on(forked::take_and_fork(url)),
        ["read", url] => block_on(stopped::read(url)),
        ["write", url] => block_on(stopped::write(url)),
        _ => panic!("no such task: {task}"),
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

fn seed() -> u64 {
    let seed = given("BUS_HOSTILE_SEED", 0x5eed);
    eprintln!("seed {seed}");
    seed
}

/// The user that a hostile client is, if that can be.
fn stranger() -> Option<User> {
    may_become_others().then_some(STRANGER)
}

/// This test's own user, and a stranger, if that can be.
fn users() -> Vec<Option<User>> {
    let stranger = stranger();
    if stranger.is_some() { vec![None, stranger] } else { vec![None] }
}

#[test]
fn hostile_client_on_lanes_loses_its_connection_and_others_nothing() {
    let _alone = alone();
    let seed = seed();
    block_on(async {
        let mut scene = Scene::start().await;
        for user in users() {
            for attack in attacks::ATTACKS {
                scene.attack(user, attack, seed).await;
            }
        }
        scene.end().await;
    });
}

#[test]
#[ignore = "a measurement: --release -- --ignored --nocapture"]
fn measure_what_honest_clients_keep_beside_each_attack() {
    let _alone = alone();
    block_on(measure::all(stranger(), seed()));
}

#[test]
fn memory_that_is_not_safe_is_refused_by_name_and_never_mapped() {
    let _alone = alone();
    block_on(async {
        let mut scene = Scene::start().await;
        scene.hand_over(stranger()).await;
        scene.end().await;
    });
}

#[test]
fn kernel_refuses_whoever_wants_to_change_what_the_broker_writes() {
    let _alone = alone();
    block_on(async {
        let broker = BrokerProcess::start().await;
        for user in users() {
            let task = format!("protections|{}", broker.path().display());
            let Some(child) = Process::start(user, &task) else { continue };
            let told = child.answers().await;
            assert_eq!(told.last().map(String::as_str), Some("tried"), "{told:?}");
            let refused = told.iter().filter(|line| line.starts_with("refused ")).count();
            assert!(!told.iter().any(|line| line.starts_with("DONE")), "{told:#?}");
            assert_eq!(refused, protections::attempts(), "{told:#?}");
        }
        broker.ends_cleanly().await;
    });
}

#[test]
fn stopped_client_stops_nobody_else() {
    let _alone = alone();
    block_on(async {
        let mut scene = Scene::start().await;
        for task in ["read", "write"] {
            stopped::stop(&mut scene, task).await;
        }
        scene.end().await;
    });
}

#[test]
fn what_a_dead_client_has_committed_is_read_to_its_end() {
    let _alone = alone();
    block_on(async {
        let broker = BrokerProcess::start().await;
        for waits in [gone::Waits::Nothing, gone::Waits::Room, gone::Waits::Frames] {
            gone::leave(&broker, waits).await;
        }
        broker.ends_cleanly().await;
    });
}

#[test]
fn commit_words_in_payloads_arrive_as_payloads() {
    let _alone = alone();
    block_on(stopped::forge());
}

#[test]
fn other_users_cannot_read_a_lane() {
    let _alone = alone();
    block_on(async {
        let broker = BrokerProcess::start().await;
        let client = Client::connect(&broker.url("shm")).await.expect("connects");
        for pid in [broker.pid(), std::process::id()] {
            let range = spies::lane_of(pid).expect("it has lanes");
            let task = format!("spy|{pid}|{range}");
            let Some(user) = stranger() else { return };
            let Some(spy) = Process::start(Some(user), &task) else { return };
            let told = spy.answers().await;
            let refused = told.iter().filter(|line| line.starts_with("refused ")).count();
            assert_eq!(refused, spies::WAYS, "{told:#?}");
            // Whoever may do everything can: the ways are real ones.
            let told = Process::start(None, &task).expect("it is root's").answers().await;
            for way in spies::OPEN_TO_ROOT {
                assert!(told.contains(&format!("DONE {way}")), "{told:#?}");
            }
        }
        client.ping().await.expect("it goes on");
    });
}

#[test]
fn forked_child_has_no_lanes() {
    let _alone = alone();
    block_on(async {
        let broker = BrokerProcess::start().await;
        let child = Process::start(None, &format!("fork|{}", broker.url("shm")));
        let told = child.expect("it is this user's").answers().await;
        assert_eq!(told, [forked::EXPECTED]);
    });
}

#[test]
fn what_a_dead_client_was_given_returns_although_its_child_holds_its_socket() {
    let _alone = alone();
    block_on(async {
        let broker = BrokerProcess::start().await;
        forked::hold_the_socket_of_a_dead_client(&broker).await;
        broker.ends_cleanly().await;
    });
}
