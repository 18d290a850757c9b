//! Removes what a rival keeps in `/dev/shm`, whoever dies: a process that outlives all others.
//!
//! Its standard input is its leash: it ends with the run, or with a harness that was killed, and
//! then the sweeper removes every entry whose name begins with the run's own prefix.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bus_benches::cell::{Cell, Order, Role, Timing};
use bus_benches::child::hold_until_dismissed;
use bus_benches::machine;
use bus_benches::process::{Child, Event, Room};

/// Where shared memory with a name lies.
pub const SHARED_MEMORY: &str = "/dev/shm";

/// By this a keeper's order says that it is for the sweeper and not for a server.
const SWEEPER_INDEX: usize = 1;

/// The prefix that belongs to this run alone: the name of its room.
pub fn prefix(room: &Room) -> Result<String> {
    let name = room.directory().file_name().context("the room has no name")?;
    Ok(format!("{}.", name.to_string_lossy()))
}

/// Starts the sweeper of `contender`'s run.
pub fn start(contender: &str, cell: &Cell, room: &Room) -> Result<Child> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let order = Order {
        contender: contender.to_owned(),
        cell: cell.clone(),
        role: Role::Keeper,
        index: SWEEPER_INDEX,
        address: prefix(room)?,
        core: None,
        timing: Timing { warm_up_ms: 0, measure_ms: 0, idle_ms: 0, patience_ms: 0 },
        trace: None,
    };
    let (sender, reports) = sync_channel(4);
    let sweeper = Child::worker(&order, 0, sender)?;
    match reports.recv_timeout(PATIENCE) {
        Ok((_, Event::Line(line))) if line == "READY" => Ok(sweeper),
        Ok((_, Event::Line(line))) => bail!("the sweeper said {line:?}"),
        Ok((_, Event::Closed)) | Err(RecvTimeoutError::Disconnected) => {
            bail!("the sweeper is gone")
        }
        Err(RecvTimeoutError::Timeout) => bail!("the sweeper is not ready after {PATIENCE:?}"),
    }
}

/// Whether a keeper's order is the sweeper's.
pub fn is_meant(order: &Order) -> bool {
    order.role == Role::Keeper && order.index == SWEEPER_INDEX
}

/// The sweeper itself.
pub fn run(order: &Order) -> Result<()> {
    hold_until_dismissed("READY")?;
    // If the harness was killed, its workers die at the same moment and may not be gone yet.
    while sweep(Path::new(SHARED_MEMORY), &order.address)? > 0 {
        machine::pause(Duration::from_millis(100));
    }
    Ok(())
}

/// Removes what begins with the prefix; says how much there was.
fn sweep(folder: &Path, prefix: &str) -> Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        found += 1;
        let path = entry.path();
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(path)?,
            false => fs::remove_file(path)?,
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_prefix_is_swept() {
        let folder = std::env::temp_dir().join(format!("bus-rivals-sweep.{}", std::process::id()));
        fs::create_dir_all(folder.join("mine.folder")).unwrap();
        for name in ["mine.file", "mine.folder/inner", "theirs"] {
            fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(sweep(&folder, "mine.").unwrap(), 2);
        assert_eq!(sweep(&folder, "mine.").unwrap(), 0);
        assert!(folder.join("theirs").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
