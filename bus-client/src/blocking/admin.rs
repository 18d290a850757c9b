//! Administration by calls that block.

use std::time::Duration;

use bus_core::router::{
    BrokerInfo, ClientStat, QueueChange, QueueStat, ServiceStat, SubscriptionStat, TopicChange,
    TopicStat,
};

use super::engine::Engine;
use crate::admin::{self, Object, Retired, StatPage};
use crate::error::Error;

/// Administration through a client. Everybody may look; changes need the right to administer.
#[derive(Clone)]
pub struct Admin {
    inner: admin::Admin,
    engine: Engine,
}

impl Admin {
    pub(crate) fn new(inner: admin::Admin, engine: Engine) -> Admin {
        Admin { inner, engine }
    }

    /// As [`crate::Admin::queues`].
    ///
    /// # Errors
    /// As there.
    pub fn queues(&self, pattern: &str) -> Result<Vec<QueueStat>, Error> {
        self.engine.call(looking, self.inner.queues(pattern))
    }

    /// As [`crate::Admin::topics`].
    ///
    /// # Errors
    /// As there.
    pub fn topics(&self, pattern: &str) -> Result<Vec<TopicStat>, Error> {
        self.engine.call(looking, self.inner.topics(pattern))
    }

    /// As [`crate::Admin::services`].
    ///
    /// # Errors
    /// As there.
    pub fn services(&self, pattern: &str) -> Result<Vec<ServiceStat>, Error> {
        self.engine.call(looking, self.inner.services(pattern))
    }

    /// As [`crate::Admin::clients`].
    ///
    /// # Errors
    /// As there.
    pub fn clients(&self) -> Result<Vec<ClientStat>, Error> {
        self.engine.call(looking, self.inner.clients())
    }

    /// As [`crate::Admin::subscriptions`].
    ///
    /// # Errors
    /// As there.
    pub fn subscriptions(&self, pattern: &str) -> Result<Vec<SubscriptionStat>, Error> {
        self.engine.call(looking, self.inner.subscriptions(pattern))
    }

    /// As [`crate::Admin::stat`].
    ///
    /// # Errors
    /// As there.
    pub fn stat(&self, name: &str) -> Result<StatPage, Error> {
        self.engine.call(looking, self.inner.stat(name))
    }

    /// As [`crate::Admin::broker`].
    ///
    /// # Errors
    /// As there.
    pub fn broker(&self) -> Result<BrokerInfo, Error> {
        self.engine.call(looking, self.inner.broker())
    }

    /// As [`crate::Admin::remove`].
    ///
    /// # Errors
    /// As there.
    pub fn remove(&self, object: Object, name: &str) -> Result<u64, Error> {
        self.engine.call(|| format!("removing `{name}`"), self.inner.remove(object, name))
    }

    /// As [`crate::Admin::retire`].
    ///
    /// # Errors
    /// As there.
    pub fn retire(&self, object: Object, name: &str) -> Result<Retired, Error> {
        self.engine.call(|| format!("retiring `{name}`"), self.inner.retire(object, name))
    }

    /// As [`crate::Admin::purge`].
    ///
    /// # Errors
    /// As there.
    pub fn purge(&self, object: Object, name: &str) -> Result<u64, Error> {
        self.engine.call(|| format!("purging `{name}`"), self.inner.purge(object, name))
    }

    /// As [`crate::Admin::set_queue`].
    ///
    /// # Errors
    /// As there.
    pub fn set_queue(&self, name: &str, change: QueueChange) -> Result<(), Error> {
        self.engine.call(|| format!("changing `{name}`"), self.inner.set_queue(name, change))
    }

    /// As [`crate::Admin::set_topic`].
    ///
    /// # Errors
    /// As there.
    pub fn set_topic(&self, name: &str, change: TopicChange) -> Result<(), Error> {
        self.engine.call(|| format!("changing `{name}`"), self.inner.set_topic(name, change))
    }

    /// The round trip to the broker.
    ///
    /// # Errors
    /// Why the client has ended.
    pub fn ping(&self) -> Result<Duration, Error> {
        self.engine.call(looking, self.inner.ping())
    }
}

fn looking() -> String {
    "asking the broker".into()
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "blocking::{:?}", self.inner)
    }
}
