//! Bridged brokers go through everything that can be wrong with the wires between them: every
//! message comes to every reader once and in order.

use std::time::Duration;

use crate::block_on;
use crate::bridged::{Bridged, Bridging, FAULTS};
use crate::client::setting;
use crate::load::Certainty;
use crate::world::World;

/// How long a fault lasts in the short form.
const SHORT: Duration = Duration::from_millis(1000);

async fn every_fault(world: Option<World>, bridging: Bridging) {
    let (rounds, mut dice) = setting();
    let begun = Bridged::begin(world, bridging, Certainty::Session).await;
    let Some(mut bridged) = begun else { return };
    for _ in 0..rounds {
        for wire in 0..bridged.world.wires.len() {
            bridged.go_through(wire, &FAULTS, SHORT, &mut dice).await;
        }
    }
    bridged.ends_with_nothing_lost().await;
}

#[test]
fn bridge_with_both_ends_goes_through_every_fault() {
    block_on(every_fault(World::pair(), Bridging::Both));
}

#[test]
fn bridge_that_reads_over_there_goes_through_every_fault() {
    block_on(every_fault(World::pair(), Bridging::One));
}
