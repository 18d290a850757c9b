//! A process between two Unix sockets that copies bytes both ways: the least a broker must do.
//!
//! It routes nothing, queues nothing and looks at nothing, so the distance from here to
//! a broker is the broker's own, and the distance from the bare socket to here is the
//! price of having a third process. It is also the harness's own example of a server.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::UnixStream;

use super::streams::{BATCH_BYTES, Family, Unix, connect_patiently};
use super::tokio_streams::{TokioFamily, TokioPort};
use crate::cell::{Cell, Order, Role, Timing, WorkloadKind};
use crate::child::run_tokio;
use crate::contender::{Connector, Contender, Environment};
use crate::process::{Child, Room, own_program};

/// See the module.
pub struct Relay;

impl Contender for Relay {
    fn name(&self) -> &str {
        "unix-relay"
    }

    fn about(&self) -> &str {
        "two Unix sockets through tokio, and a process between them that copies bytes"
    }

    fn supports(&self, cell: &Cell) -> Result<(), String> {
        match cell.workload {
            WorkloadKind::RoundTrip | WorkloadKind::OneWay => Ok(()),
            _ => Err("it joins two clients and no more".to_owned()),
        }
    }

    fn prepare(&self, cell: &Cell, room: &Room) -> Result<Environment> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let directory = room.directory();
        let order = Order {
            contender: self.name().to_owned(),
            cell: cell.clone(),
            role: Role::Keeper,
            index: 0,
            address: directory.to_string_lossy().into_owned(),
            core: None,
            timing: Timing { warm_up_ms: 0, measure_ms: 0, idle_ms: 0, patience_ms: 0 },
            trace: None,
        };
        let core = cell.pinning.core_of_server(room.cores());
        let arguments = ["role", &serde_json::to_string(&order)?];
        let mut server = Child::server(&own_program()?, &arguments, core, room)?;
        server.wait_until(PATIENCE, || directory.join("socket").exists())?;
        Ok(Environment { server: Some(server), ..Environment::of_address(order.address) })
    }

    fn run_role(&self, order: &Order) -> Result<()> {
        match order.role {
            Role::Keeper => serve(Path::new(&order.address)),
            _ => run_tokio(RelayConnector, order),
        }
    }
}

struct RelayConnector;

impl Connector for RelayConnector {
    type Port = TokioPort<UnixStream>;

    async fn open(&mut self, order: &Order) -> Result<Self::Port> {
        let stream = connect_patiently::<Unix>(Path::new(&order.address), order)?;
        let streams = vec![Unix::adopt(stream)?];
        Ok(TokioPort::new(streams, order.cell.payload_bytes, false))
    }
}

/// The server: joins the clients in pairs, in the order in which they come, until it is killed.
fn serve(directory: &Path) -> Result<()> {
    let listener = Unix::listen(directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    loop {
        let (one, other) = (Unix::accept(&listener)?, Unix::accept(&listener)?);
        runtime.block_on(async {
            let (mut one, mut other) = (Unix::adopt(one)?, Unix::adopt(other)?);
            // A client that leaves with bytes unread ends its pair; the next one is served anyway.
            let _ =
                copy_bidirectional_with_sizes(&mut one, &mut other, BATCH_BYTES, BATCH_BYTES).await;
            anyhow::Ok(())
        })?;
    }
}
