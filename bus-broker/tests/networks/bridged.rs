//! A broker on every host, bridged to its neighbours over TLS with a token, and one load over all of
//! it: everybody talks to the broker of his own host, and every reader wants what all writers have.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::dice::Dice;
use crate::history::Sum;
use crate::load::{Access, Certainty, Load};
use crate::scene::lasts;
use crate::serving::{Accord, Scheme, Serving};
use crate::wire::Way;
use crate::world::World;

/// Who has the bridge of a wire in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bridging {
    /// Both: each sends what the other one wants.
    Both,
    /// One of them, for both ways: what it wants it reads over there.
    One,
}

/// Something that a wire does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Down,
    Silent(Way),
    Loss,
    Reset,
    Refused,
    Slow,
}

/// All of them.
pub const FAULTS: [Fault; 8] = [
    Fault::Down,
    Fault::Silent(Way::Both),
    Fault::Silent(Way::To(0)),
    Fault::Silent(Way::To(1)),
    Fault::Loss,
    Fault::Reset,
    Fault::Refused,
    Fault::Slow,
];

pub struct Bridged {
    pub world: World,
    _accord: Accord,
    pub brokers: Vec<Serving>,
    pub load: Load,
}

impl Bridged {
    /// Everybody has begun, and every reader hears every writer.
    pub async fn begin(
        world: Option<World>,
        bridging: Bridging,
        certainty: Certainty,
    ) -> Option<Bridged> {
        let world = world?;
        let accord = Accord::new();
        let brokers = brokers(&world, &accord, bridging).await;
        let mut load = Load::new();
        for host in &world.hosts {
            let (url, index) = (accord.url(Scheme::Tls, "127.0.0.1"), host.index);
            let access = Access { url, options: accord.options(Scheme::Tls) };
            load.read(host, &format!("reader {index}"), access.clone(), "load.*");
            load.write(host, access, &format!("load.from-{index}"), certainty);
        }
        let began = Instant::now();
        load.begins_beyond().await;
        eprintln!("all hear all after {:?}", began.elapsed());
        Some(Bridged { world, _accord: accord, brokers, load })
    }

    /// One wire goes through this for so long; then all hear all again.
    pub async fn goes_through(&self, wire: usize, fault: Fault, time: Duration, dice: &mut Dice) {
        let (number, wire) = (wire, &self.world.wires[wire]);
        let end = dice.below(2) as usize;
        match fault {
            Fault::Down => wire.down(end),
            Fault::Silent(way) => wire.drop_packets(way, 100),
            Fault::Loss => wire.drop_packets(Way::Both, 5 + dice.below(20) as u8),
            Fault::Reset if wire.reset(end) == 0 => {
                return eprintln!("left out: this kernel lets nobody reset connections");
            }
            Fault::Reset => {}
            Fault::Refused => wire.refuse(end),
            Fault::Slow => wire.slow_down("2mbit"),
        }
        lasts(time).await;
        self.heals(&format!("wire {number}: {fault:?} for {time:?}")).await;
    }

    /// Nothing is wrong any more: all hear all again. After how long.
    pub async fn heals(&self, what: &str) -> Duration {
        self.world.heal();
        let healed = Instant::now();
        self.load.flows().await;
        let after = healed.elapsed();
        eprintln!("{what}: all hear all {after:?} after healing");
        after
    }

    /// Kills the broker of a host under load, and starts it again after this time.
    pub async fn restart(&mut self, host: usize, after: Duration) {
        self.brokers[host].kill().await;
        sleep(after).await;
        self.brokers[host].restart(&self.world.hosts[host]).await;
    }

    /// Stops the load. Whatever was accepted has come to everybody once and in order, or its loss was
    /// told as it must be.
    pub async fn ends(&mut self) -> Sum {
        let history = self.load.ends().await;
        history.check().unwrap_or_else(|wrong| panic!("{wrong:?}"))
    }

    /// The same, and nothing was lost.
    pub async fn ends_with_nothing_lost(&mut self) {
        let sum = self.ends().await;
        assert_eq!((sum.lost, sum.unknown, sum.gone), (0, 0, 0), "{:?}", self.logs());
        eprintln!("{sum:?}");
    }

    /// What all brokers have said.
    pub fn logs(&self) -> Vec<String> {
        self.brokers.iter().map(Serving::log).collect()
    }
}

/// A broker on every host, with its bridges.
pub async fn brokers(world: &World, accord: &Accord, bridging: Bridging) -> Vec<Serving> {
    let mut brokers = Vec::new();
    for host in &world.hosts {
        let bridge = |(neighbour, address): (usize, String)| {
            let ways = match bridging {
                Bridging::Both => "out = [\">\"]",
                Bridging::One if host.index < neighbour => "out = [\">\"]\nin = [\">\"]",
                Bridging::One => return String::new(),
            };
            accord.bridge(&format!("to-{neighbour}"), &address, ways)
        };
        let bridges: String = world.neighbours(host.index).into_iter().map(bridge).collect();
        let addresses = world.addresses(host.index);
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        brokers.push(Serving::start(accord, host, &addresses, &bridges).await);
    }
    brokers
}
