//! Another configuration for a broker that runs: what of it counts at once, and whom it ends.
//!
//! All that it names is read first, where nobody waits for it; then it counts, all of it, or nothing does. Who
//! was taken for a user that is another one now, or none, loses the session, with the reason.

use std::path::PathBuf;
use std::time::Duration;

use bus_core::BusUrl;
use bus_core::router::SessionId;
use bus_core::sys::aside;
use bus_core::transport::TlsServerFiles;
use tracing::{error, info, warn};

use crate::bridge::{Bridges, Followed, SharedBridges};
use crate::certificates::Certificates;
use crate::config::BrokerConfig;
use crate::exposure;
use crate::hub::{Hub, SharedHub};
use crate::slot::slot_of;
use crate::system::SystemEvent;
use crate::users::taken_away;

/// How long a client that is sent away may take to read why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a broker has taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Users that there are now.
    pub users: usize,
    /// Allowances that there are now.
    pub allowances: usize,
    /// The file of the certificate that listeners show from now on, if it was read again.
    pub certificate: Option<PathBuf>,
    /// What has become of the bridges.
    pub bridges: Followed,
    /// Sessions that have ended for it.
    pub ended: usize,
    /// Keys that are other ones in the file, and count only for a broker that is started anew.
    pub need_restart: Vec<&'static str>,
}

/// Why a broker goes on with what it had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// Anybody on the network could do anything.
    #[error(
        "{url} is reachable from other hosts, and no [[user]] would be left who can show there who it is, nor would every client have to show a certificate: the broker goes on with what it has"
    )]
    Insecure {
        /// Which listener.
        url: String,
    },
    /// Certificates: the broker was started without.
    #[error("the broker was started without certificates, so that no listener uses them")]
    NoListener,
    /// The new certificates cannot be used.
    #[error("{0}")]
    Certificate(String),
    /// A bridge cannot be run.
    #[error("{0}")]
    Bridge(String),
    /// The configuration itself cannot be had.
    #[error("{0}")]
    Configuration(String),
    /// There is nobody to take it over.
    #[error("the broker has ended")]
    Ended,
}

/// How a configuration is come by. It may take for ever: nobody waits for it on the broker's thread.
pub(crate) type Reading = Box<dyn FnOnce() -> Result<BrokerConfig, String> + Send>;

/// A configuration of which all has been read that it names.
struct Prepared {
    config: BrokerConfig,
    /// None where no listener would use them.
    certificates: Option<Certificates>,
}

/// Takes over a configuration: all of it, or nothing, and that is told.
pub(crate) async fn reload(
    hub: &SharedHub,
    bridges: &SharedBridges,
    certificates: &Certificates,
    reading: Reading,
) -> Result<Reloaded, ReloadError> {
    let (listeners, in_use) = (hub.borrow().listeners.clone(), certificates.clone());
    let prepared = aside(move || prepare(reading, &listeners, &in_use)).await;
    let prepared = prepared.map_err(|error| ReloadError::Configuration(error.to_string()));
    let result = prepared.and_then(|prepared| take_over(hub, bridges, certificates, prepared?));
    let failure = result.as_ref().err().map(ToString::to_string);
    if let Some(failure) = &failure {
        error!("{failure}; nothing was taken over, the broker goes on with what it had");
    }
    hub.borrow_mut().tell(SystemEvent::Reload { failure });
    result
}

/// Reads all that there is to read, and changes nothing.
fn prepare(
    reading: Reading,
    listeners: &[String],
    in_use: &Certificates,
) -> Result<Prepared, ReloadError> {
    let config = reading().map_err(ReloadError::Configuration)?;
    let checked = Bridges::check(&config.bridges, listeners);
    checked.map_err(|failure| ReloadError::Bridge(failure.to_string()))?;
    let files = config.tls.as_ref().filter(|_| in_use.are_there());
    let certificates = files.map(|files| in_use.read_anew(files)).transpose()?;
    Ok(Prepared { config, certificates })
}

/// Has it count from now on. No task runs in between.
fn take_over(
    hub: &SharedHub,
    bridges: &SharedBridges,
    certificates: &Certificates,
    prepared: Prepared,
) -> Result<Reloaded, ReloadError> {
    let Prepared { config, certificates: read } = prepared;
    let configured = config.bridges.clone();
    let files = config.tls.clone().filter(|_| read.is_some());
    let (mut reloaded, ended) = hub.borrow_mut().reload(config, read.is_some())?;
    if let Some(read) = read {
        certificates.exchange(&read);
    }
    reloaded.certificate = files.map(|files| files.certificate);
    reloaded.bridges = bridges.borrow_mut().follow(hub, configured);
    if !ended.is_empty() {
        let hub = hub.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(LAST_WORDS).await;
            hub.borrow_mut().cut(&ended);
        });
    }
    Ok(reloaded)
}

/// Exchanges the certificates of the listeners. Files may be slow to read: others go on meanwhile.
pub(crate) async fn certificates(
    hub: &SharedHub,
    certificates: &Certificates,
    files: TlsServerFiles,
) -> Result<(), ReloadError> {
    let (in_use, named) = (certificates.clone(), files.clone());
    let read = aside(move || in_use.read_anew(&named)).await;
    let read = read.map_err(|error| ReloadError::Certificate(error.to_string()))??;
    hub.borrow().check_exposure(&hub.borrow().config.clone().tls(files.clone()))?;
    certificates.exchange(&read);
    hub.borrow_mut().config.tls = Some(files);
    Ok(())
}

impl Hub {
    /// Refuses what would let other hosts in without anybody having to say who he is.
    fn check_exposure(&self, config: &BrokerConfig) -> Result<(), ReloadError> {
        match exposure::exposed(&self.listeners).find(|url| !exposure::is_permitted(url, config)) {
            Some(url) => Err(ReloadError::Insecure { url: url.to_string() }),
            None => Ok(()),
        }
    }

    /// Says what it means that there are users and no policy, where other hosts can connect.
    pub fn warn_if_open(&self) {
        let open = self.config.insecure || !self.config.policy.allowances().is_empty();
        let asks = |url: &BusUrl| exposure::asks_everybody(url, &self.config);
        if let Some(url) = exposure::exposed(&self.listeners).find(|url| !open && !asks(url)) {
            warn!(
                %url,
                "clients without credentials may connect, and do what modes let others do: an [[allow]] limits them"
            );
        }
    }

    fn reload(
        &mut self,
        new: BrokerConfig,
        with_certificates: bool,
    ) -> Result<(Reloaded, Vec<SessionId>), ReloadError> {
        let tls = if with_certificates { new.tls.clone() } else { self.config.tls.clone() };
        // What the listeners do is as it was, but for the users and the certificates.
        let config = BrokerConfig { users: new.users.clone(), tls, ..self.config.clone() };
        self.check_exposure(&config)?;
        let need_restart = self.config.fixed_differences(&new);
        self.config.tls = config.tls;
        for key in &need_restart {
            warn!(key, "it is another one in the configuration now: that needs a restart");
        }
        let now = self.now();
        self.config.users = new.users;
        self.config.policy = new.policy;
        let mut ended = Vec::new();
        for slot in self.slots.iter().flatten() {
            let Some(shown) = &slot.guest.shown else { continue };
            if !self.config.users.still_shows(shown) {
                ended.push((slot.id, taken_away(&shown.0)));
            }
        }
        for (session, failure) in &ended {
            self.router.expel(now, *session, failure.clone());
        }
        self.router.set_policy(now, self.config.policy.clone());
        self.dispatch();
        self.warn_if_open();
        let reloaded = Reloaded {
            users: self.config.users.len(),
            allowances: self.config.policy.allowances().len(),
            ended: ended.len(),
            need_restart,
            ..Reloaded::default()
        };
        let Reloaded { users, allowances, ended: count, .. } = reloaded;
        info!(users, allowances, ended = count, "the configuration was read again");
        Ok((reloaded, ended.into_iter().map(|(session, _)| session).collect()))
    }

    /// Ends the connections of sessions that are over and have not read their last words.
    fn cut(&mut self, sessions: &[SessionId]) {
        for session in sessions {
            let Some(slot) = slot_of(&mut self.slots, *session) else { continue };
            let Some(line) = &mut slot.line else { continue };
            line.ended = Some(Some("its credentials were taken away".into()));
            if let Some(waker) = &line.waker {
                waker.wake_by_ref();
            }
        }
    }
}

impl BrokerConfig {
    /// The keys of what differs and cannot change while a broker runs.
    fn fixed_differences(&self, new: &BrokerConfig) -> Vec<&'static str> {
        // Whoever adds a field says here whether it can change.
        let BrokerConfig {
            name,
            listen,
            insecure,
            shared_memory,
            waiting,
            grace_max,
            throttle,
            lanes_max,
            lanes_per_user_max,
            router,
            // Exchanged, but neither taken away nor given to a broker without.
            tls,
            users: _,
            policy: _,
            bridges: _,
            metrics,
            metrics_open,
        } = new;
        let modes = (router.queue_mode, router.topic_mode, router.service_mode);
        let old = &self.router;
        let limits = bus_core::router::RouterConfig {
            queue_mode: old.queue_mode,
            topic_mode: old.topic_mode,
            service_mode: old.service_mode,
            ..router.clone()
        };
        let lanes = (*lanes_max, *lanes_per_user_max);
        let all = [
            ("name", *name != self.name),
            ("listen", *listen != self.listen),
            ("tls", tls.is_some() != self.tls.is_some()),
            ("insecure", *insecure != self.insecure),
            ("grace_max", *grace_max != self.grace_max),
            ("shared_memory", *shared_memory != self.shared_memory),
            ("waiting", *waiting != self.waiting),
            ("throttle", *throttle != self.throttle),
            ("metrics", (*metrics, *metrics_open) != (self.metrics, self.metrics_open)),
            ("defaults", modes != (old.queue_mode, old.topic_mode, old.service_mode)),
            ("limits", limits != *old || lanes != (self.lanes_max, self.lanes_per_user_max)),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}
