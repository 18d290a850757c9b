//! Servers that are this program again, in the role of a keeper: for rivals that are libraries.
//!
//! The server tells that it is ready by a file in the room; it dies with the harness.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bus_benches::cell::{Cell, Order, Role, Timing};
use bus_benches::process::{Child, Room, own_program};

/// The file that says that the server is ready, in the room.
const READY: &str = "ready";

/// Starts the server of `contender`, whose workers will find it at `address`.
pub fn start(contender: &str, address: &str, cell: &Cell, room: &Room) -> Result<Child> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let order = Order {
        contender: contender.to_owned(),
        cell: cell.clone(),
        role: Role::Keeper,
        index: 0,
        address: address.to_owned(),
        core: None,
        timing: Timing { warm_up_ms: 0, measure_ms: 0, idle_ms: 0, patience_ms: 0 },
        trace: None,
    };
    let core = cell.pinning.core_of_server(room.cores());
    let arguments = ["role", &serde_json::to_string(&order)?];
    let mut server = Child::server(&own_program()?, &arguments, core, room)?;
    let ready = room.directory().join(READY);
    let log = room.directory().join("server.log");
    server
        .wait_until(PATIENCE, || ready.exists())
        .with_context(|| fs::read_to_string(log).unwrap_or_default())?;
    Ok(server)
}

/// In the server: says that workers may come.
pub fn say_ready(room: &Path) -> Result<()> {
    fs::write(room.join(READY), "")?;
    Ok(())
}
