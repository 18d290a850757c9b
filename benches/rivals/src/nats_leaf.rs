//! Two NATS servers joined by a leaf node: the near one is a leaf of the far one.
//!
//! Default settings, free ports of loopback, the clients and the window of credit of `nats`. A leaf
//! passes on only what somebody beyond it wants, so a port is open when a message from
//! the other server has come through.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use bus_benches::cell::{Cell, Order};
use bus_benches::child::run_tokio;
use bus_benches::joined::{Ends, Joinable, JoinedBrokers, Site};

use crate::nats::{self, NatsConnector};

/// See the module.
pub struct NatsLeaf;

impl JoinedBrokers for NatsLeaf {
    fn name(&self) -> &str {
        "nats-leaf"
    }

    fn about(&self) -> &str {
        "two NATS servers joined by a leaf node over TCP, async-nats, under a window of credit"
    }

    fn supports(&self, _: &Cell) -> Result<(), String> {
        nats::find().map(drop)
    }

    fn start_far(&self, site: &Site<'_>) -> Result<Joinable> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let mut broker = start(site, "leafnodes { host: 127.0.0.1, port: -1 }\n")?;
        let log = site.room.directory().join("server.log");
        let mut link = None;
        broker.server.wait_until(PATIENCE, || {
            link = leaf_address(&fs::read_to_string(&log).unwrap_or_default());
            link.is_some()
        })?;
        broker.link = link.context("the server does not say where it takes leaf nodes")?;
        Ok(broker)
    }

    fn start_near(&self, site: &Site<'_>, far_link: &str) -> Result<Joinable> {
        start(
            site,
            &format!("leafnodes {{ remotes: [ {{ url: \"nats-leaf://{far_link}\" }} ] }}\n"),
        )
    }

    fn run_role(&self, order: &Order, ends: &Ends) -> Result<()> {
        let order = Order { address: ends.own.clone(), ..order.clone() };
        run_tokio(NatsConnector { through: Some(ends.other.clone()) }, &order)
    }
}

fn start(site: &Site<'_>, settings: &str) -> Result<Joinable> {
    let path = site.room.directory().join("nats.conf");
    fs::write(&path, settings)?;
    let (server, clients) = nats::start(Some(&path), site.core, &site.room)?;
    Ok(Joinable { server, clients, link: String::new() })
}

/// Where leaf nodes connect, once the whole line of the log is there.
fn leaf_address(log: &str) -> Option<String> {
    let said = log.split_once("Listening for leafnode connections on ")?.1;
    Some(said.split_once('\n')?.0.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_a_whole_line_only() {
        let line = "[7] 2026/01/01 [INF] Listening for leafnode connections on 127.0.0.1:4711";
        assert_eq!(leaf_address(line), None);
        assert_eq!(leaf_address(&format!("{line}\nmore")).as_deref(), Some("127.0.0.1:4711"));
    }
}
