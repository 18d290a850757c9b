//! Wires that swallow everything and tell nobody: both sides notice, and in time.
//!
//! When exactly they must is tested in virtual time, where the heartbeat is; here it is the kernel
//! that says nothing.

use std::time::{Duration, Instant};

use crate::client::setting;
use crate::load::Certainty;
use crate::scene::{FAR, NEAR, NOTICED_BY_CLIENT, NOTICED_WITHIN, Scene, lasts};
use crate::serving::Scheme;
use crate::wire::Way;
use crate::{block_on, together};

/// Longer than a heartbeat, shorter than what is taken for death.
const SHORT: Duration = Duration::from_secs(3);

async fn silent_cut_is_noticed(scheme: Scheme, way: Way) {
    let (rounds, _) = setting();
    let Some(mut scene) = Scene::begin(scheme, Certainty::Session).await else { return };
    for _ in 0..rounds {
        let wire = &scene.world.wires[0];
        let (lost, noticed) = (scene.lost(""), scene.noticed_by_broker());
        let cut = Instant::now();
        wire.drop_packets(way, 100);
        let both = |scene: &Scene| {
            // Whoever hears the other one end need not notice by itself.
            let broker = way == Way::To(FAR) || scene.noticed_by_broker() >= noticed + 2;
            broker && scene.lost("") >= lost + 2
        };
        let after = scene.until("both sides notice", cut, NOTICED_WITHIN, both).await;
        eprintln!("{scheme:?} {way:?}: noticed after {after:?}");
        if way != Way::To(NEAR) {
            assert!(scene.lost(NOTICED_BY_CLIENT) > 0, "{:?}", scene.load.events());
        }
        scene.heals().await;
    }
    eprintln!("{:?}", scene.ends_with_nothing_lost().await);
}

#[test]
fn silent_cut_is_noticed_on_both_sides_whatever_it_swallows() {
    together([
        || block_on(silent_cut_is_noticed(Scheme::Tcp, Way::Both)),
        || block_on(silent_cut_is_noticed(Scheme::Tls, Way::To(NEAR))),
        || block_on(silent_cut_is_noticed(Scheme::Tcp, Way::To(FAR))),
    ]);
}

#[test]
fn short_silence_costs_no_connection() {
    block_on(async {
        let begun = Scene::begin(Scheme::Tls, Certainty::Session).await;
        let Some(mut scene) = begun else { return };
        scene.world.wires[0].drop_packets(Way::Both, 100);
        lasts(SHORT).await;
        scene.heals().await;
        assert_eq!(scene.lost(""), 0, "{:?}", scene.load.events());
        scene.ends_with_nothing_lost().await;
    });
}
