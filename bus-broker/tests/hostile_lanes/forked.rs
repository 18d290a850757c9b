//! A client that forks: its child has none of its lanes, or there would be two writers.

use bus_client::Client;
use rustix::fs::{MemfdFlags, SealFlags};

use crate::bare_memory::fork_and_look_for;
use crate::by_hand::{Pages, Region};
use crate::process::say;

/// Names in the map: of what a client on lanes has, and of a region that is kept from nobody.
const NAMES: &[&[u8]] = &[b"memfd:bus-lane", b"memfd:bus-cursor", b"memfd:control"];

/// What is said of a process and its forked child: whether each name stands in their maps.
pub const EXPECTED: &str = "the client has [true, true, true], its child [false, false, true]";

pub async fn fork(url: &str) {
    let client = Client::connect(url).await.expect("connects");
    let none = (MemfdFlags::empty(), SealFlags::empty());
    let control = Region::new("control", 4096, Pages::All, none.0, none.1, &[]);
    let control = control.expect("a region");
    let maps = std::fs::read("/proc/self/maps").expect("this is Linux");
    let has = |name: &&[u8]| maps.windows(name.len()).any(|part| part == *name);
    let own: Vec<bool> = NAMES.iter().map(has).collect();
    let child = fork_and_look_for(NAMES).expect("it forks");
    say(format_args!("the client has {own:?}, its child {child:?}"));
    drop((client, control));
}
