//! More hosts than two, a broker on each: who is joined by a wire reaches the other one's broker,
//! and a fault of one wire concerns nobody beside it.

use crate::block_on;
use crate::load::{Access, Certainty, Load};
use crate::serving::{Accord, Scheme, Serving};
use crate::wire::Way;
use crate::world::World;

/// The command line, as somebody on another host would use it.
#[test]
fn command_line_reaches_a_broker_on_another_host() {
    block_on(async {
        let Some(world) = World::pair() else { return };
        let accord = Accord::new();
        let address = world.wires[0].address(0);
        let broker = Serving::start(&accord, &world.hosts[0], &[address], "").await;
        let (authority, token) = (accord.authority_file(), accord.token_file());
        let words = [
            env!("CARGO_BIN_EXE_bus"),
            "--url",
            &accord.url(Scheme::Tls, address),
            "--tls-ca",
            &authority.display().to_string(),
            "--token-file",
            &token.display().to_string(),
            "ping",
        ];
        let told = world.hosts[1].run(&words);
        assert!(told.contains("tls"), "{told}");
        assert!(broker.log().contains("user remote"), "{}", broker.log());
    });
}

/// A broker on every host.
async fn brokers(world: &World, accord: &Accord) -> Vec<Serving> {
    let mut brokers = Vec::new();
    for host in &world.hosts {
        let addresses = world.addresses(host.index);
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        brokers.push(Serving::start(accord, host, &addresses, "").await);
    }
    brokers
}

/// For each broker a load between its own host and all neighbours.
async fn loads(world: &World, accord: &Accord) -> Vec<Load> {
    let mut loads = Vec::new();
    for host in &world.hosts {
        let mut load = Load::new();
        let access = |address: &str| Access {
            url: accord.url(Scheme::Tls, address),
            options: accord.options(Scheme::Tls),
        };
        load.write(host, access("127.0.0.1"), "load.own", Certainty::Session);
        load.read(host, "own", access("127.0.0.1"), "load.*");
        for (neighbour, _) in world.neighbours(host.index) {
            let address = world.address(host.index, neighbour);
            let (far, name) = (&world.hosts[neighbour], format!("neighbour {neighbour}"));
            load.read(far, &name, access(&address), "load.*");
            let topic = format!("load.from-{neighbour}");
            load.write(far, access(&address), &topic, Certainty::Session);
        }
        load.begins().await;
        loads.push(load);
    }
    loads
}

async fn one_wire_fails(world: Option<World>) {
    let Some(world) = world else { return };
    let accord = Accord::new();
    let brokers = brokers(&world, &accord).await;
    let mut loads = loads(&world, &accord).await;
    for (number, wire) in world.wires.iter().enumerate() {
        wire.drop_packets(Way::Both, 100);
        for (host, load) in loads.iter().enumerate() {
            if wire.across(host).is_none() {
                load.flows().await;
            }
        }
        world.heal();
        for load in &loads {
            load.flows().await;
        }
        eprintln!("wire {number} was cut and healed");
    }
    for load in &mut loads {
        let sum = load.ends().await.check().unwrap_or_else(|wrong| panic!("{wrong:?}"));
        assert_eq!((sum.lost, sum.unknown), (0, 0));
        eprintln!("{sum:?}");
    }
    drop(brokers);
}

#[test]
fn neighbours_in_a_ring_of_three_reach_each_other() {
    block_on(one_wire_fails(World::ring_of_three()));
}

#[test]
fn neighbours_in_a_tree_of_five_reach_each_other() {
    block_on(one_wire_fails(World::tree_of_five()));
}
