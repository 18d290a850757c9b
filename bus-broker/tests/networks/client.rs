//! A client of a broker on another host goes through everything that can be wrong with the wire:
//! its session goes on, and nothing that was accepted is lost, comes twice or changes places.

use std::time::{Duration, Instant};

use crate::dice::{Dice, given};
use crate::load::{Certainty, PATIENCE};
use crate::scene::{FAR, NEAR, Scene, lasts};
use crate::serving::Scheme;
use crate::wire::Way;
use crate::{block_on, together};

/// How long a fault lasts that the connections live through.
const SHORT: Duration = Duration::from_millis(1500);

/// How often a test goes through its faults, and the dice for it.
pub fn setting() -> (u64, Dice) {
    let (rounds, seed) = (given("BUS_NETWORKS_ROUNDS", 1), given("BUS_NETWORKS_SEED", 0x5eed));
    eprintln!("{rounds} rounds from seed {seed}");
    (rounds, Dice::new(seed))
}

/// Goes through all faults of the wire that leave the sessions alive.
async fn go_through(scene: &Scene, dice: &mut Dice) {
    let wire = &scene.world.wires[0];
    let mut faults = ["down", "loss", "reset near", "reset far", "refused", "slow", "late"];
    // Another order in each round.
    for at in (1..faults.len()).rev() {
        faults.swap(at, dice.below(at as u64 + 1) as usize);
    }
    for fault in faults {
        let (began, before) = (Instant::now(), scene.lost(""));
        match fault {
            "down" => wire.down([NEAR, FAR][dice.below(2) as usize]),
            "loss" => wire.drop_packets(Way::Both, 5 + dice.below(20) as u8),
            "reset near" | "reset far" => {
                let end = if fault == "reset near" { NEAR } else { FAR };
                if wire.reset(end) == 0 {
                    eprintln!("left out: {fault}: this kernel lets nobody reset connections");
                    continue;
                }
            }
            "refused" => wire.refuse([NEAR, FAR][dice.below(2) as usize]),
            "slow" => wire.slow_down("2mbit"),
            _ => match wire.delay("40ms") {
                Ok(()) => {}
                Err(reason) => {
                    eprintln!("left out: late packets: {reason}");
                    continue;
                }
            },
        }
        match fault {
            "reset near" | "reset far" | "refused" => {
                scene.all_are_cut(before, "", PATIENCE).await;
            }
            _ => lasts(SHORT).await,
        }
        let healing = Instant::now();
        scene.heals().await;
        let cut = scene.lost("") - before;
        eprintln!(
            "{fault}: {:?}, {cut} connections lost, flows again {:?} after healing",
            healing - began,
            healing.elapsed()
        );
    }
}

async fn client_goes_through_every_fault(scheme: Scheme) {
    let (rounds, mut dice) = setting();
    let Some(mut scene) = Scene::begin(scheme, Certainty::Session).await else { return };
    for _ in 0..rounds {
        go_through(&scene, &mut dice).await;
    }
    eprintln!("{scheme:?}: {:?}", scene.ends_with_nothing_lost().await);
}

#[test]
fn client_on_another_host_goes_through_every_fault_of_the_wire_also_with_tls_and_a_token() {
    together([
        || block_on(client_goes_through_every_fault(Scheme::Tcp)),
        || block_on(client_goes_through_every_fault(Scheme::Tls)),
    ]);
}

#[test]
fn killed_broker_is_found_again_and_every_loss_is_told() {
    block_on(async {
        let (rounds, _) = setting();
        let begun = Scene::begin(Scheme::Tls, Certainty::Receipts).await;
        let Some(mut scene) = begun else { return };
        for round in 0..rounds {
            let before = scene.restarted();
            lasts(SHORT).await;
            scene.broker.kill().await;
            scene.broker.restart(&scene.world.hosts[0]).await;
            let restarted = |scene: &Scene| scene.restarted() == before + 4;
            let told = scene.until("all are told", Instant::now(), PATIENCE, restarted).await;
            scene.load.flows().await;
            eprintln!("round {round}: all are told after {told:?}");
        }
        let history = scene.load.ends().await;
        let sum = history.check().unwrap_or_else(|wrong| panic!("{wrong:?}"));
        eprintln!("{sum:?}");
    });
}
