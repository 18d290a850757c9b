//! The bridges of a broker: begun, stopped for a while, ended; and what an operator sees of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bus_core::bridge::{CarriedQueue, ExchangeConfig};
use bus_core::{ErrorKind, Failure, GRACE_DEFAULT};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::calls::Calls;
use super::direction::{Direction, Order};
use super::queues::QueueDirection;
use super::settings::BridgeConfig;
use super::side::{Place, Side};
use super::status::{BridgeStatus, SharedBoard};
use crate::hub::SharedHub;

/// So much of a bridge's name is in those of its sessions.
const SHOWN_BYTES: usize = 40;
/// Bridges of one broker.
const BRIDGES_MAX: usize = 256;

/// Shared by the broker's tasks, which live on one thread.
pub(crate) type SharedBridges = Rc<RefCell<Bridges>>;

/// All of a broker.
#[derive(Default)]
pub(crate) struct Bridges {
    all: BTreeMap<String, Entry>,
}

struct Entry {
    config: BridgeConfig,
    /// It stands in the broker's file.
    from_file: bool,
    orders: watch::Sender<Order>,
    /// The boards of what goes out and of what comes in.
    boards: [Option<SharedBoard>; 2],
    /// Those of calls that are served here, and of calls that are served there.
    calls: [Option<SharedBoard>; 2],
    /// Those of its queues that live here, and of those that live there.
    queue_boards: [Option<SharedBoard>; 2],
    tasks: Vec<JoinHandle<()>>,
}

impl Bridges {
    /// Begins a bridge.
    ///
    /// # Errors
    /// When there is one of that name, or it cannot be run.
    pub fn add(
        &mut self,
        hub: &SharedHub,
        config: BridgeConfig,
        from_file: bool,
    ) -> Result<(), Failure> {
        let name = config.name.to_string();
        if self.all.contains_key(&name) {
            let text = format!(
                "there is a bridge `{name}` already: remove it first, or take another name"
            );
            return Err(Failure::new(ErrorKind::AlreadyExists, text));
        }
        if self.all.len() >= BRIDGES_MAX {
            let text = format!("this broker has {BRIDGES_MAX} bridges, which is the limit");
            return Err(Failure::new(ErrorKind::QuotaExceeded, text));
        }
        let invalid = |text: String| Failure::new(ErrorKind::InvalidArgument, text);
        config.check().map_err(|error| invalid(error.to_string()))?;
        // What cannot be run now is refused; each attempt to connect reads the files again.
        config.options()?;
        let shared = Arc::new(config.clone());
        let (orders, ordered) = watch::channel(Order::Run);
        let (mut boards, mut tasks) = ([None, None], Vec::new());
        for (index, link) in config.links()?.into_iter().enumerate() {
            let Some(link) = link else { continue };
            let goes_out = index == 0;
            // What it publishes there is safe here; what it has subscribed to there is not.
            let grace = if goes_out { GRACE_DEFAULT } else { config.grace() };
            let way = if goes_out { "out" } else { "in" };
            let (title, sides) = sides(hub, &shared, way, goes_out, grace);
            let direction = Direction::new(title, hub.clone(), link, sides, goes_out);
            boards[index] = Some(direction.board());
            tasks.push(tokio::task::spawn_local(direction.run(ordered.clone())));
        }
        let mut calls = [None, None];
        for (index, exchange) in config.exchanges()?.into_iter().enumerate() {
            let Some(exchange) = exchange else { continue };
            let exchange = begin_calls(hub, &shared, exchange, index == 0);
            calls[index] = Some(exchange.board());
            tasks.push(tokio::task::spawn_local(exchange.run(ordered.clone())));
        }
        let mut queue_boards = [None, None];
        for (index, queues) in config.queues()?.into_iter().enumerate() {
            if queues.is_empty() {
                continue;
            }
            let direction = carry_queues(hub, &shared, queues, index == 0);
            queue_boards[index] = Some(direction.board());
            tasks.push(tokio::task::spawn_local(direction.run(ordered.clone())));
        }
        info!(bridge = name, url = %config.url, "a bridge begins");
        let entry = Entry { config, from_file, orders, boards, calls, queue_boards, tasks };
        self.all.insert(name, entry);
        Ok(())
    }

    /// Whether all of these can be run.
    ///
    /// # Errors
    /// When one cannot.
    pub fn check(configs: &[BridgeConfig]) -> Result<(), Failure> {
        configs.iter().try_for_each(|config| config.options().map(drop))
    }

    /// Takes over what a file says now: ends those that stood in it and do not any more, begins those
    /// that do, and begins anew those that are other ones. How many have begun, and ended. What an
    /// operator has added while the broker runs stays.
    pub fn follow(&mut self, hub: &SharedHub, configs: Vec<BridgeConfig>) -> (usize, usize) {
        let stays = |entry: &Entry| !entry.from_file || configs.contains(&entry.config);
        let gone: Vec<String> = self
            .all
            .iter()
            .filter(|(_, entry)| !stays(entry))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &gone {
            // It was found a moment ago.
            let _ = self.remove(name);
        }
        let mut begun = 0;
        for config in configs {
            if self.all.get(config.name.as_str()).is_some_and(|entry| entry.from_file) {
                continue;
            }
            let name = config.name.clone();
            match self.add(hub, config, true) {
                Ok(()) => begun += 1,
                Err(failure) => warn!(bridge = %name, %failure, "a bridge does not begin"),
            }
        }
        (begun, gone.len())
    }

    /// Ends a bridge; what it had not carried yet is given up.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn remove(&mut self, name: &str) -> Result<(), Failure> {
        let entry = self.all.remove(name).ok_or_else(|| unknown(name))?;
        entry.orders.send_replace(Order::Remove);
        Ok(())
    }

    /// Stops a bridge for a while, or lets it go on.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn pause(&mut self, name: &str, pauses: bool) -> Result<(), Failure> {
        let entry = self.all.get(name).ok_or_else(|| unknown(name))?;
        entry.orders.send_replace(if pauses { Order::Pause } else { Order::Run });
        Ok(())
    }

    /// What an operator sees.
    pub fn list(&self) -> Vec<BridgeStatus> {
        self.all.iter().map(|(name, entry)| entry.status(name)).collect()
    }

    /// Ends all of them. Whoever waits for the tasks knows that they have said goodbye.
    pub fn end(&mut self) -> Vec<JoinHandle<()>> {
        let all = std::mem::take(&mut self.all);
        let ended = all.into_values().flat_map(|entry| {
            entry.orders.send_replace(Order::End);
            entry.tasks
        });
        ended.collect()
    }
}

impl Entry {
    fn status(&self, name: &str) -> BridgeStatus {
        let texts =
            |patterns: &[bus_core::Pattern]| patterns.iter().map(ToString::to_string).collect();
        let (outgoing, incoming) = self.config.patterns();
        let status =
            |board: &Option<SharedBoard>| board.as_ref().map(|board| board.borrow().status());
        let board = |index: usize| status(&self.boards[index]);
        let (services_out, services_in) = self.config.service_patterns();
        let calls = |index: usize| {
            let board: Option<&SharedBoard> = self.calls[index].as_ref();
            board.map(|board| board.borrow().calls_status())
        };
        BridgeStatus {
            name: name.to_owned(),
            url: self.config.url.to_string(),
            outgoing: board(0),
            incoming: board(1),
            queues: [status(&self.queue_boards[0]), status(&self.queue_boards[1])],
            patterns: (texts(outgoing), texts(incoming)),
            services_out: calls(0),
            services_in: calls(1),
            service_patterns: (texts(services_out), texts(services_in)),
        }
    }
}

/// The two sessions of a way, first the one where things are and then the one where they are used; and
/// what people call it.
fn sides(
    hub: &SharedHub,
    config: &Arc<BridgeConfig>,
    way: &str,
    goes_out: bool,
    grace: Duration,
) -> (String, [Side; 2]) {
    let name = config.name.as_str();
    // Names of bridges are ASCII, and may be longer than a client's.
    let client = format!("bridge {} ({way})", &name[..name.len().min(SHOWN_BYTES)]);
    let own = Side::new(Place::Own(hub.clone()), &client, Duration::ZERO);
    let remote = Side::new(Place::Remote(config.clone()), &client, grace);
    let sides = if goes_out { [own, remote] } else { [remote, own] };
    (format!("{name} ({way})"), sides)
}

/// The calls of one direction: of what is served here if it goes out.
fn begin_calls(
    hub: &SharedHub,
    config: &Arc<BridgeConfig>,
    exchange: ExchangeConfig,
    goes_out: bool,
) -> Calls {
    let way = if goes_out { "services out" } else { "services in" };
    let (title, sides) = sides(hub, config, way, goes_out, GRACE_DEFAULT);
    Calls::new(title, hub.clone(), exchange, sides, goes_out)
}

/// The queues of one direction: those that live here, or those that live there.
fn carry_queues(
    hub: &SharedHub,
    config: &Arc<BridgeConfig>,
    queues: Vec<CarriedQueue>,
    goes_out: bool,
) -> QueueDirection {
    let way = if goes_out { "queues out" } else { "queues in" };
    let (title, sides) = sides(hub, config, way, goes_out, GRACE_DEFAULT);
    QueueDirection::new(title, hub.clone(), queues, sides, goes_out, GRACE_DEFAULT)
}

fn unknown(name: &str) -> Failure {
    let text = format!("there is no bridge `{name}`: `bus bridge ls` shows those that there are");
    Failure::new(ErrorKind::NotFound, text)
}
