//! Some hosts, each in a network namespace of its own, and the wires between them.
//!
//! Namespaces bear the number of this process, and go with the world; those of processes that
//! ended without that are taken away by the next one. Addresses are private and exist inside the
//! namespaces only, so ports may be the same everywhere.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::host::Host;
use crate::tools::{missing, run, try_run};
use crate::wire::Wire;

/// What the name of each namespace begins with; then come a process and a count.
const PREFIX: &str = "bus-test-";
/// Where namespaces have names.
pub const NAMES: &str = "/run/netns";

/// Hosts and wires. Dropping it takes the namespaces away.
pub struct World {
    pub hosts: Vec<Host>,
    pub wires: Vec<Wire>,
}

impl World {
    /// So many hosts, joined by these wires. `None`, with the reason told, where there can be none.
    pub fn new(hosts: usize, wires: &[(usize, usize)]) -> Option<World> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if let Some(reason) = missing() {
            eprintln!("skipped: {reason}");
            return None;
        }
        sweep();
        let tag =
            format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut world = World { hosts: Vec::new(), wires: Vec::new() };
        for index in 0..hosts {
            let name = format!("{tag}-{index}");
            if let Err(reason) = try_run(&["ip", "netns", "add", &name]) {
                assert_eq!(index, 0, "the first one could be made: {reason}");
                eprintln!("skipped: no network namespace can be made: {reason}");
                return None;
            }
            world.hosts.push(Host::new(index, name));
        }
        for (number, (left, right)) in wires.iter().enumerate() {
            let wire = Wire::new(number, &world.hosts[*left], &world.hosts[*right]);
            world.wires.push(wire);
        }
        Some(world)
    }

    /// Two hosts and the wire between them.
    pub fn pair() -> Option<World> {
        World::new(2, &[(0, 1)])
    }

    /// Three hosts, each joined to both others.
    pub fn ring_of_three() -> Option<World> {
        World::new(3, &[(0, 1), (1, 2), (2, 0)])
    }

    /// Five hosts: the first one has two below it, and the second of these has two.
    pub fn tree_of_five() -> Option<World> {
        World::new(5, &[(0, 1), (0, 2), (2, 3), (2, 4)])
    }

    /// All wires without faults.
    pub fn heal(&self) {
        self.wires.iter().for_each(Wire::heal);
    }

    /// The neighbours of a host, and under which address it reaches each of them.
    pub fn neighbours(&self, host: usize) -> Vec<(usize, String)> {
        let other = |wire: &Wire| wire.across(host).map(|(other, at)| (other, at.to_owned()));
        self.wires.iter().filter_map(other).collect()
    }

    /// Under which address a neighbour reaches a host.
    pub fn address(&self, host: usize, neighbour: usize) -> String {
        let own = self.neighbours(neighbour).into_iter().find(|(other, _)| *other == host);
        own.expect("there is a wire between them").1
    }

    /// Under which addresses its neighbours reach a host.
    pub fn addresses(&self, host: usize) -> Vec<String> {
        let neighbours = self.neighbours(host).into_iter();
        neighbours.map(|(neighbour, _)| self.address(host, neighbour)).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for host in &self.hosts {
            // A test that has failed says why; this would hide it.
            let _ = try_run(&["ip", "netns", "delete", host.namespace()]);
        }
    }
}

/// Takes away what processes have left that are no more.
fn sweep() {
    for entry in std::fs::read_dir(NAMES).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|number| !Path::new("/proc").join(number).exists()) {
            // Another process may be sweeping, too.
            let _ = try_run(&["ip", "netns", "delete", &name]);
        }
    }
}

#[test]
fn world_leaves_nothing_behind_and_takes_away_what_dead_processes_have_left() {
    if let Some(reason) = missing() {
        return eprintln!("skipped: {reason}");
    }
    // No process has this number: it is above the kernel's largest.
    let left = format!("{PREFIX}99999999-0-0");
    if let Err(reason) = try_run(&["ip", "netns", "add", &left]) {
        return eprintln!("skipped: {reason}");
    }
    let world = World::ring_of_three().expect("one could be made");
    let names: Vec<String> = world.hosts.iter().map(|host| host.namespace().to_owned()).collect();
    let listed = run(&["ip", "netns", "list"]);
    assert!(!listed.contains(&left), "{listed}");
    assert!(names.iter().all(|name| listed.contains(name)), "{listed}");
    drop(world);
    let listed = run(&["ip", "netns", "list"]);
    assert!(!names.iter().any(|name| listed.contains(name)), "{listed}");
}
