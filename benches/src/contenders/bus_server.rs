//! The broker of the bus's own contenders: this program again, with a broker embedded.
//!
//! It tells where it listens by a file in its room, and dies with the harness.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use bus_broker::{Broker, BrokerConfig};

use crate::cell::{Cell, Order, Role, Timing};
use crate::machine;
use crate::process::{Child, Room, own_program};

/// The file with the URLs, one a line, in the room.
const URLS: &str = "urls";

/// Starts the broker of `contender`, which is asked in the role of a keeper to `serve` in this room;
/// also where it listens, in the order of its configuration.
pub fn start(
    contender: &str,
    cell: &Cell,
    core: Option<usize>,
    room: &Room,
) -> Result<(Child, Vec<String>)> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let order = Order {
        contender: contender.to_owned(),
        cell: cell.clone(),
        role: Role::Keeper,
        index: 0,
        address: room.directory().to_string_lossy().into_owned(),
        core: None,
        timing: Timing { warm_up_ms: 0, measure_ms: 0, idle_ms: 0, patience_ms: 0 },
        trace: None,
    };
    let arguments = ["role", &serde_json::to_string(&order)?];
    let mut server = Child::server(&own_program()?, &arguments, core, room)?;
    let path = room.directory().join(URLS);
    server.wait_until(PATIENCE, || path.exists())?;
    let urls = fs::read_to_string(path)?;
    Ok((server, urls.lines().map(str::to_owned).collect()))
}

/// In the server: a broker, until it is killed.
pub fn serve(config: BrokerConfig, directory: &Path) -> Result<()> {
    machine::raise_descriptor_limit()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let broker = Broker::start(config).await?;
        // Renamed into place, so that nobody reads half of it.
        let whole = directory.join(URLS);
        let half = whole.with_extension("half");
        fs::write(&half, broker.urls().join("\n"))?;
        fs::rename(half, whole)?;
        std::future::pending::<Result<()>>().await
    })
}
