//! A rival that this build does not contain: it stands in lists, and says how to get it.

use anyhow::{Result, bail};
use bus_benches::cell::{Cell, Order};
use bus_benches::contender::{Contender, Environment};
use bus_benches::process::Room;

/// See the module.
pub struct Absent {
    name: &'static str,
    reason: String,
}

impl Absent {
    /// `name` would be there with `feature`.
    pub fn new(name: &'static str, feature: &str) -> Absent {
        Absent { name, reason: format!("not built in; --features {feature} does it") }
    }
}

impl Contender for Absent {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        &self.reason
    }

    fn supports(&self, _: &Cell) -> Result<(), String> {
        Err(self.reason.clone())
    }

    fn prepare(&self, _: &Cell, _: &Room) -> Result<Environment> {
        bail!("{}: {}", self.name, self.reason)
    }

    fn run_role(&self, _: &Order) -> Result<()> {
        bail!("{}: {}", self.name, self.reason)
    }
}
