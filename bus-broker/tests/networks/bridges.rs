//! Bridged brokers go through everything that can be wrong with the wires between them: every
//! message comes to every reader once and in order.
//!
//! In one round each fault happens to one of the wires, for a moment; in more of them all happen to
//! all, for 0.1 to 10 s.

use std::time::Duration;

use crate::bridged::{Bridged, Bridging, FAULTS};
use crate::client::setting;
use crate::dice::Dice;
use crate::load::Certainty;
use crate::scene::lasts;
use crate::world::World;
use crate::{block_on, together};

/// How long a fault lasts in the short form.
const SHORT: Duration = Duration::from_millis(600);

/// 0.1 to 10 s, as many short ones as long ones.
pub fn cut_time(dice: &mut Dice) -> Duration {
    let power = dice.below(1000) as f64 / 500.0;
    Duration::from_secs_f64(0.1 * 10_f64.powf(power))
}

async fn every_fault(world: Option<World>, bridging: Bridging) {
    let (rounds, mut dice) = setting();
    let begun = Bridged::begin(world, bridging, Certainty::Session).await;
    let Some(mut bridged) = begun else { return };
    let wires = bridged.world.wires.len();
    for _ in 0..rounds {
        for wire in 0..wires {
            for (number, fault) in FAULTS.into_iter().enumerate() {
                let time = match rounds {
                    1 if number % wires != wire => continue,
                    1 => SHORT,
                    _ => cut_time(&mut dice),
                };
                bridged.goes_through(wire, fault, time, &mut dice).await;
            }
        }
    }
    bridged.ends_with_nothing_lost().await;
}

#[test]
fn bridge_with_both_ends_and_one_that_reads_over_there_go_through_every_fault() {
    together([
        || block_on(every_fault(World::pair(), Bridging::Both)),
        || block_on(every_fault(World::pair(), Bridging::One)),
    ]);
}

#[test]
fn ring_of_three_goes_through_every_fault_also_with_one_bridge_for_each_wire() {
    together([
        || block_on(every_fault(World::ring_of_three(), Bridging::Both)),
        || block_on(every_fault(World::ring_of_three(), Bridging::One)),
    ]);
}

#[test]
fn tree_of_five_goes_through_every_fault() {
    block_on(every_fault(World::tree_of_five(), Bridging::Both));
}

/// Brokers are killed on either side, and come back after a while.
async fn brokers_are_killed(bridging: Bridging) {
    let (rounds, mut dice) = setting();
    let begun = Bridged::begin(World::pair(), bridging, Certainty::Receipts).await;
    let Some(mut bridged) = begun else { return };
    for _ in 0..rounds {
        for host in [0, 1] {
            let away = if rounds == 1 { SHORT } else { cut_time(&mut dice) };
            lasts(SHORT).await;
            bridged.restart(host, away).await;
            bridged.heals(&format!("broker {host} was away for {away:?}")).await;
        }
    }
    eprintln!("{:?}", bridged.ends().await);
}

#[test]
fn killed_broker_of_a_bridge_takes_along_what_is_told_and_nothing_else() {
    together([
        || block_on(brokers_are_killed(Bridging::Both)),
        || block_on(brokers_are_killed(Bridging::One)),
    ]);
}
