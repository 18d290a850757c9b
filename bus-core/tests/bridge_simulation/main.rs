//! Brokers and the bridges between them, in virtual time, checked at each step.
//!
//! Real routers and real links; only the connections are made up. A seed settles everything: the
//! topology, who publishes and subscribes, what is cut and who restarts. A failure names its seed:
//! `BUS_SIM_SEED=7 cargo test -p bus-core --test bridge_simulation -- every` repeats it and tells
//! what happened; `BUS_SIM_SEEDS=1000` runs that many.

mod books;
mod broker;
mod checks;
mod clients;
#[path = "../simulation/dice.rs"]
#[allow(dead_code, reason = "another simulation uses the rest")]
mod dice;
#[path = "../simulation/log.rs"]
#[allow(dead_code, reason = "another simulation uses the rest")]
mod log;
mod pipe;
mod plan;
mod planted_bugs;
#[path = "../simulation/seeds.rs"]
mod seeds;
mod trouble;
mod wire;
mod world;

use bus_core::router::Fault;
use log::Log;
use plan::Plan;
use seeds::{asked, outcome};
use world::World;

/// Seeds of an ordinary run.
const SEEDS: u64 = 60;
/// Of a long one, unless it is said how many.
const LONG_SEEDS: u64 = 2000;

/// Runs one plan. The failure is what the broken check says.
fn run(plan: &Plan, fault: Option<Fault>, log: &Log) -> Result<(), String> {
    outcome(|| World::new(plan, fault, log).run())
}

fn check(seeds: impl Iterator<Item = u64>, plan: impl Fn(u64) -> Plan) -> Log {
    let log = Log::default();
    for seed in seeds {
        let Err(text) = run(&plan(seed), None, &log) else { continue };
        let told = Log::listening();
        // The same again, told this time.
        let _ = run(&plan(seed), None, &told);
        let again =
            format!("BUS_SIM_SEED={seed} cargo test -p bus-core --test bridge_simulation -- every");
        panic!("{}\n{:?}\nseed {seed}: {text}\nagain: {again}", told.text(), plan(seed));
    }
    log
}

/// What must happen in an ordinary run, or it would show little.
const HAPPENS: &[&str] = &[
    "broker restarted",
    "cut",
    "cut one way",
    "gap told",
    "healed",
    "link reconfigured",
    "message bridged",
    "parcel bridged",
    "session lost",
    "session resumed",
    "spool taken over",
    "subscriber too slow",
    "topic held",
    "topic let go",
    "topic passed by",
    "upstream changed",
];

#[test]
fn every_message_arrives_once_or_its_loss_is_told() {
    let seeds = match (asked("BUS_SIM_SEED"), asked("BUS_SIM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(SEEDS),
    };
    println!("seeds {seeds:?}");
    let log = check(seeds.clone(), Plan::new);
    let counts = log.counts();
    println!("{counts:#?}");
    if seeds.contains(&0) && seeds.end >= SEEDS {
        let missing: Vec<_> = HAPPENS.iter().filter(|what| !counts.contains_key(**what)).collect();
        assert!(missing.is_empty(), "no run has shown {missing:?}");
    }
}

#[test]
fn a_hundred_brokers_agree_on_who_wants_what() {
    println!("{:#?}", check(0..1, Plan::large).counts());
}

/// Many seeds, and large ones among them; `BUS_SIM_FROM` and `BUS_SIM_SEEDS` say which:
/// `BUS_SIM_SEEDS=5000 cargo test -p bus-core --test bridge_simulation --release -- --ignored`.
#[test]
#[ignore = "takes many minutes"]
fn long_run() {
    let from = asked("BUS_SIM_FROM").unwrap_or(0);
    let seeds = from..from + asked("BUS_SIM_SEEDS").unwrap_or(LONG_SEEDS);
    println!("seeds {seeds:?}");
    println!("{:#?}", check(seeds.clone(), Plan::new).counts());
    check(seeds.step_by(100), Plan::large);
}

#[test]
fn one_seed_is_one_run() {
    let told = |seed| {
        let log = Log::listening();
        run(&Plan::new(seed), None, &log).map(|()| log.text())
    };
    assert_eq!(told(3), told(3));
}
