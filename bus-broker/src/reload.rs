//! Another configuration for a broker that runs: what of it counts at once, and whom it ends.
//!
//! It was parsed wholly before; it is checked here, and then it counts, all of it. Who was taken for
//! a user that is another one now, or none, loses the session, with the reason.

use std::time::Duration;

use bus_core::BusUrl;
use bus_core::router::SessionId;
use bus_core::transport::TlsServerFiles;
use tracing::{info, warn};

use crate::bridge::{BridgeConfig, Bridges, Followed, SharedBridges};
use crate::certificates::Certificates;
use crate::config::BrokerConfig;
use crate::exposure;
use crate::hub::{Hub, SharedHub};
use crate::slot::slot_of;
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
    /// There is nobody to take it over.
    #[error("the broker has ended")]
    Ended,
}

/// Takes over a configuration.
pub(crate) fn reload(
    hub: &SharedHub,
    bridges: &SharedBridges,
    config: BrokerConfig,
) -> Result<Reloaded, ReloadError> {
    let configured = config.bridges.clone();
    check_bridges(&configured, &hub.borrow().listeners)?;
    let (mut reloaded, ended) = hub.borrow_mut().reload(config)?;
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

fn check_bridges(bridges: &[BridgeConfig], listeners: &[String]) -> Result<(), ReloadError> {
    Bridges::check(bridges, listeners).map_err(|failure| ReloadError::Bridge(failure.to_string()))
}

/// Exchanges the certificates of the listeners. Files may be slow to read: others go on meanwhile.
pub(crate) async fn certificates(
    hub: &SharedHub,
    certificates: &Certificates,
    files: TlsServerFiles,
) -> Result<(), ReloadError> {
    hub.borrow().check_exposure(&hub.borrow().config.clone().tls(files.clone()))?;
    let (certificates, read) = (certificates.clone(), files.clone());
    let exchanged = tokio::task::spawn_blocking(move || certificates.reload(&read)).await;
    exchanged.map_err(|error| ReloadError::Certificate(error.to_string()))??;
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

    fn reload(&mut self, new: BrokerConfig) -> Result<(Reloaded, Vec<SessionId>), ReloadError> {
        // What the listeners do is as it was, but for the users.
        let config = BrokerConfig { users: new.users.clone(), ..self.config.clone() };
        self.check_exposure(&config)?;
        let need_restart = self.config.fixed_differences(&new);
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
            bridges: Followed::default(),
            ended: ended.len(),
            need_restart,
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
    /// Whether its bridges can be run: also their files are read for that.
    ///
    /// # Errors
    /// What is wrong with one of them, and with which key of its `[[bridge]]`.
    pub fn check_bridges(&self) -> Result<(), ReloadError> {
        check_bridges(&self.bridges, &self.listen.iter().map(BusUrl::to_string).collect::<Vec<_>>())
    }

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
            // Exchanged on their own (`certificates`), but not taken away.
            tls,
            users: _,
            policy: _,
            bridges: _,
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
            ("tls", tls.is_none() && self.tls.is_some()),
            ("insecure", *insecure != self.insecure),
            ("grace_max", *grace_max != self.grace_max),
            ("shared_memory", *shared_memory != self.shared_memory),
            ("waiting", *waiting != self.waiting),
            ("throttle", *throttle != self.throttle),
            ("defaults", modes != (old.queue_mode, old.topic_mode, old.service_mode)),
            ("limits", limits != *old || lanes != (self.lanes_max, self.lanes_per_user_max)),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}
