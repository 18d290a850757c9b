//! Two hosts with a broker on the first one, and a load over the wire in both directions.

use std::time::{Duration, Instant};

use bus_client::ClientEvent;
use tokio::time::sleep;

use crate::history::Sum;
use crate::load::{Access, Certainty, Load, PATIENCE};
use crate::serving::{Accord, Scheme, Serving};
use crate::world::World;

/// The end of the wire at the broker's host, and the one at the clients'.
pub const NEAR: usize = 0;
pub const FAR: usize = 1;
/// A dead link is noticed within this, on either side of it.
pub const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// What the broker's log says when it has noticed.
pub const NOTICED_BY_BROKER: &str = "nothing has come from the client's host";
/// What a client's event says.
pub const NOTICED_BY_CLIENT: &str = "nothing has come from the broker's host";
/// The clients beyond the wire: a reader and a writer.
const FAR_CLIENTS: usize = 2;

pub struct Scene {
    pub world: World,
    _accord: Accord,
    pub broker: Serving,
    pub load: Load,
}

impl Scene {
    /// Everybody has begun, and messages flow: a writer and a reader on either host, and each
    /// reader reads both writers.
    pub async fn begin(scheme: Scheme, certainty: Certainty) -> Option<Scene> {
        let world = World::pair()?;
        let accord = Accord::new();
        let (near, far) = (&world.hosts[0], &world.hosts[1]);
        let address = world.wires[0].address(NEAR);
        let broker = Serving::start(&accord, near, &[address], "").await;
        let mut load = Load::new();
        for (host, place, address) in [(near, "near", "127.0.0.1"), (far, "far", address)] {
            let url = accord.url(scheme, address);
            let access = Access { url, options: accord.options(scheme) };
            load.read(host, &format!("{place} reader"), access.clone(), "load.*");
            load.write(host, access, &format!("load.{place}"), certainty);
        }
        load.begins().await;
        Some(Scene { world, _accord: accord, broker, load })
    }

    /// So often has a client lost its connection, for a reason with this in it.
    pub fn lost(&self, reason: &str) -> usize {
        let events = self.load.events();
        let lost = |event: &ClientEvent| matches!(event, ClientEvent::Disconnected { reason: told } if told.contains(reason));
        events.iter().filter(|(_, event)| lost(event)).count()
    }

    /// So many sessions have ended, and others begun in their place.
    pub fn restarted(&self) -> usize {
        let events = self.load.events();
        events.iter().filter(|(_, it)| matches!(it, ClientEvent::Restarted { .. })).count()
    }

    /// Waits until something is so, within a time that counts from `since`. After how long it was.
    pub async fn until(
        &self,
        what: &str,
        since: Instant,
        within: Duration,
        is_so: impl Fn(&Scene) -> bool,
    ) -> Duration {
        while !is_so(self) {
            let (events, log) = (self.load.events(), self.broker.log());
            assert!(since.elapsed() < within, "not within {within:?}: {what}\n{events:?}\n{log}");
            sleep(Duration::from_millis(5)).await;
        }
        since.elapsed()
    }

    /// Waits until all clients beyond the wire have lost their connection, for this reason.
    pub async fn all_are_cut(&self, before: usize, reason: &str, within: Duration) -> Duration {
        let cut = |scene: &Scene| scene.lost(reason) >= before + FAR_CLIENTS;
        self.until("the clients are cut", Instant::now(), within, cut).await
    }

    /// How often the broker has noticed that a client is gone without a word.
    pub fn noticed_by_broker(&self) -> usize {
        self.broker.log().matches(NOTICED_BY_BROKER).count()
    }

    /// Stops the load. Every message has come to everybody once and in order, and none was lost.
    pub async fn ends_with_nothing_lost(&mut self) -> Sum {
        let history = self.load.ends().await;
        assert_eq!(self.restarted(), 0, "{:?}", self.load.events());
        let sum = history.check().unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let published: u64 = history.writers.values().map(|writer| writer.count).sum();
        let expected = published * history.readers.len() as u64;
        assert_eq!(sum, Sum { arrived: expected, lost: 0, unknown: 0 });
        sum
    }

    /// Waits until messages flow again over a wire that is healed.
    pub async fn heals(&self) {
        self.world.heal();
        self.load.flows().await;
    }
}

/// The scenario takes so long; it is not waited for a result.
pub async fn lasts(time: Duration) {
    assert!(time < PATIENCE);
    sleep(time).await;
}
