//! The bridges of a broker: begun, stopped for a while, ended; and what an operator sees of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bus_core::{ErrorKind, Failure, Name};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::calls::Calls;
use super::fault::Words;
use super::queues::Queues;
use super::rules::Rules;
use super::settings::BridgeConfig;
use super::status::{BridgeStatus, SharedBoard};
use super::topics::Topics;
use super::way::{Order, Orders, Way};
use crate::hub::SharedHub;

/// Bridges of one broker.
const BRIDGES_MAX: usize = 256;

/// Shared by the broker's tasks, which live on one thread.
pub(crate) type SharedBridges = Rc<RefCell<Bridges>>;

/// What has become of the bridges of a file that was read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// So many have begun.
    pub begun: usize,
    /// So many go on with other settings.
    pub changed: usize,
    /// So many have ended.
    pub ended: usize,
    /// Of each that is not as the file says: why, and what to do.
    pub refused: Vec<String>,
}

/// All of a broker.
#[derive(Default)]
pub(crate) struct Bridges {
    all: BTreeMap<String, Entry>,
}

struct Entry {
    config: Arc<BridgeConfig>,
    /// It stands in the broker's file.
    from_file: bool,
    /// An operator has stopped it for a while.
    paused: bool,
    /// Topics, calls and queues; of each what goes out, and what comes in.
    topics: [Option<Running>; 2],
    calls: [Option<Running>; 2],
    queues: [Option<Running>; 2],
}

/// A way that runs.
struct Running {
    orders: watch::Sender<Orders>,
    board: SharedBoard,
    task: JoinHandle<()>,
}

impl Bridges {
    /// Begins a bridge, whose files have been looked at ([`Bridges::check`]).
    ///
    /// # Errors
    /// When there is one of that name, or it cannot be run.
    pub fn add(
        &mut self,
        hub: &SharedHub,
        config: BridgeConfig,
        from_file: bool,
    ) -> Result<(), Failure> {
        self.check_name(&config.name)?;
        let name = config.name.to_string();
        let words = if from_file { Words::File } else { Words::Command };
        let mut entry = Entry {
            config: Arc::new(config.words(words)),
            from_file,
            paused: false,
            topics: [None, None],
            calls: [None, None],
            queues: [None, None],
        };
        entry.become_as(hub, entry.config.clone())?;
        info!(bridge = name, url = %entry.config.url, "a bridge begins");
        self.all.insert(name, entry);
        Ok(())
    }

    /// Whether there can be one more, of this name.
    ///
    /// # Errors
    /// When there is one of that name, or there are too many.
    pub fn check_name(&self, name: &Name) -> Result<(), Failure> {
        if self.all.contains_key(name.as_str()) {
            let text = format!(
                "there is a bridge `{name}` already: remove it first, or take another name"
            );
            return Err(Failure::new(ErrorKind::AlreadyExists, text));
        }
        if self.all.len() >= BRIDGES_MAX {
            let text = format!("this broker has {BRIDGES_MAX} bridges, which is the limit");
            return Err(Failure::new(ErrorKind::QuotaExceeded, text));
        }
        Ok(())
    }

    /// Whether all of these can be run by a broker that listens there. Reads their files, which may take for ever.
    ///
    /// # Errors
    /// When one cannot, or there are too many.
    pub fn check(configs: &[BridgeConfig], listeners: &[String]) -> Result<(), Failure> {
        if configs.len() > BRIDGES_MAX {
            let count = configs.len();
            let text = format!("{count} times [[bridge]], and {BRIDGES_MAX} are the limit");
            return Err(Failure::new(ErrorKind::QuotaExceeded, text));
        }
        configs.iter().try_for_each(|config| {
            can_run(config, listeners)?;
            Ok(config.check_files()?)
        })
    }

    /// Takes over what a file says now: ends those that stood in it and do not any more, begins those
    /// that do, and lets those that are other ones become so while they run. What an operator has added
    /// while the broker runs stays, and goes before one of that name in the file.
    pub fn follow(&mut self, hub: &SharedHub, configs: Vec<BridgeConfig>) -> Followed {
        let named = |name: &str| configs.iter().any(|config| config.name.as_str() == name);
        let gone: Vec<String> = self
            .all
            .iter()
            .filter(|(name, entry)| entry.from_file && !named(name))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &gone {
            // It was found a moment ago.
            let _ = self.remove(name);
        }
        let mut followed = Followed { ended: gone.len(), ..Followed::default() };
        for config in configs {
            let name = config.name.clone();
            let refused = match self.all.get_mut(name.as_str()) {
                Some(entry) if !entry.from_file => Some(yields(&name)),
                Some(entry) if *entry.config == config => None,
                Some(entry) => match entry.become_as(hub, Arc::new(config)) {
                    Ok(()) => {
                        info!(bridge = %name, "a bridge goes on with other settings");
                        followed.changed += 1;
                        None
                    }
                    Err(failure) => Some(format!("the bridge `{name}` stays as it was: {failure}")),
                },
                None => match self.add(hub, config, true) {
                    Ok(()) => {
                        followed.begun += 1;
                        None
                    }
                    Err(failure) => Some(format!("the bridge `{name}` does not begin: {failure}")),
                },
            };
            refused.iter().for_each(|reason| warn!(bridge = %name, "{reason}"));
            followed.refused.extend(refused);
        }
        followed
    }

    /// Ends a bridge; what it had not carried yet is given up.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn remove(&mut self, name: &str) -> Result<(), Failure> {
        let entry = self.all.remove(name).ok_or_else(|| unknown(name))?;
        entry.into_ways().for_each(|way| way.tell(Order::Remove, None));
        Ok(())
    }

    /// Stops a bridge for a while, or lets it go on.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn pause(&mut self, name: &str, pauses: bool) -> Result<(), Failure> {
        let entry = self.all.get_mut(name).ok_or_else(|| unknown(name))?;
        entry.paused = pauses;
        let order = entry.order();
        entry.ways().for_each(|way| way.tell(order, None));
        Ok(())
    }

    /// What an operator sees.
    pub fn list(&self) -> Vec<BridgeStatus> {
        self.all.iter().map(|(name, entry)| entry.status(name)).collect()
    }

    /// Ends all of them. Whoever waits for the tasks knows that they have said goodbye.
    pub fn end(&mut self) -> Vec<JoinHandle<()>> {
        let all = std::mem::take(&mut self.all);
        let ended = all.into_values().flat_map(Entry::into_ways).map(|way| {
            way.tell(Order::End, None);
            way.task
        });
        ended.collect()
    }
}

impl Entry {
    /// Becomes a bridge of these settings, which are those of the whole bridge: ways go on that were
    /// there before, and others begin or end.
    ///
    /// # Errors
    /// When it cannot be run: then nothing of it has changed.
    fn become_as(&mut self, hub: &SharedHub, config: Arc<BridgeConfig>) -> Result<(), Failure> {
        // Its files were looked at by whoever wants it, where nobody waits; each attempt to connect reads
        // them again.
        can_run(&config, &hub.borrow().listeners)?;
        let (links, exchanges, queues) = (config.links()?, config.exchanges()?, config.queues()?);
        let (exchanged, queued) = (self.config.exchanges()?, self.config.queues()?);
        let orders = Orders { order: self.order(), config: config.clone() };
        for (index, link) in links.into_iter().enumerate() {
            let goes_out = index == 0;
            let way = if goes_out { "out" } else { "in" };
            let begin = |link| Way::new(hub, &config, way, goes_out, Topics::new(link));
            // A link takes other settings while it runs.
            follow(&mut self.topics[index], &orders, link.map(|link| (true, link)), begin);
        }
        for (index, exchange) in exchanges.into_iter().enumerate() {
            let goes_out = index == 0;
            let way = if goes_out { "services out" } else { "services in" };
            let begin = |exchange| Way::new(hub, &config, way, goes_out, Calls::new(exchange));
            let same = exchange == exchanged[index];
            follow(&mut self.calls[index], &orders, exchange.map(|all| (same, all)), begin);
        }
        for (index, queues) in queues.into_iter().enumerate() {
            let goes_out = index == 0;
            let way = if goes_out { "queues out" } else { "queues in" };
            let begin = |queues| Way::new(hub, &config, way, goes_out, Queues::new(queues));
            let same = queues == queued[index];
            let queues = (!queues.is_empty()).then_some((same, queues));
            follow(&mut self.queues[index], &orders, queues, begin);
        }
        self.config = config;
        Ok(())
    }

    fn order(&self) -> Order {
        if self.paused { Order::Pause } else { Order::Run }
    }

    fn ways(&self) -> impl Iterator<Item = &Running> {
        self.topics.iter().chain(&self.calls).chain(&self.queues).flatten()
    }

    fn into_ways(self) -> impl Iterator<Item = Running> {
        self.topics.into_iter().chain(self.calls).chain(self.queues).flatten()
    }

    fn status(&self, name: &str) -> BridgeStatus {
        let texts =
            |patterns: &[bus_core::Pattern]| patterns.iter().map(ToString::to_string).collect();
        let (outgoing, incoming) = self.config.patterns();
        let (services_out, services_in) = self.config.service_patterns();
        let status = |way: &Option<Running>| way.as_ref().map(|way| way.board.borrow().status());
        let calls =
            |way: &Option<Running>| way.as_ref().map(|way| way.board.borrow().calls_status());
        BridgeStatus {
            name: name.to_owned(),
            url: self.config.url.to_string(),
            outgoing: status(&self.topics[0]),
            incoming: status(&self.topics[1]),
            queues: [status(&self.queues[0]), status(&self.queues[1])],
            patterns: (texts(outgoing), texts(incoming)),
            services_out: calls(&self.calls[0]),
            services_in: calls(&self.calls[1]),
            service_patterns: (texts(services_out), texts(services_in)),
        }
    }
}

impl Running {
    /// Tells it what to do; and what the bridge is to be, if that is another one now.
    fn tell(&self, order: Order, config: Option<Arc<BridgeConfig>>) {
        self.orders.send_modify(|orders| {
            orders.order = order;
            orders.config = config.unwrap_or(orders.config.clone());
        });
    }
}

/// Lets a way be what it is to be: it ends if it is to carry nothing, goes on if it can become so
/// while it runs, and else begins anew, as soon as the one before has ended.
fn follow<T, R: Rules + 'static>(
    way: &mut Option<Running>,
    orders: &Orders,
    carries: Option<(bool, T)>,
    begin: impl FnOnce(T) -> Way<R>,
) {
    let goes_on = carries.as_ref().is_some_and(|(goes_on, _)| *goes_on);
    if let Some(way) = way.as_ref().filter(|_| goes_on) {
        return way.tell(orders.order, Some(orders.config.clone()));
    }
    let before = way.take().map(|before| {
        before.tell(Order::Remove, None);
        before.task
    });
    let Some((_, carries)) = carries else { return };
    let begun = begin(carries);
    let board = begun.board();
    let (orders, ordered) = watch::channel(orders.clone());
    let task = tokio::task::spawn_local(async move {
        if let Some(before) = before {
            // One that has failed has ended as well.
            let _ = before.await;
        }
        begun.run(ordered).await;
    });
    *way = Some(Running { orders, board, task });
}

/// Whether a bridge can be run by a broker that listens there, its files aside.
fn can_run(config: &BridgeConfig, listeners: &[String]) -> Result<(), Failure> {
    config.check()?;
    Ok(config.check_target(listeners)?)
}

/// A bridge of a file whose name another one has.
fn yields(name: &Name) -> String {
    format!(
        "the bridge `{name}` of the file does not begin: the one of that name that was added with `bus bridge add` goes on; end that one (`bus bridge rm {name}`) and have the file read again, or give the one in the file another name"
    )
}

fn unknown(name: &str) -> Failure {
    let text = format!("there is no bridge `{name}`: `bus bridge ls` shows those that there are");
    Failure::new(ErrorKind::NotFound, text)
}
