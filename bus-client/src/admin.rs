//! Looking at and repairing what is there.

use std::time::Duration;

use bus_core::router::{
    AdminAction, Answer, BrokerInfo, ClientStat, Command, Listing, ObjectKind, QueueChange,
    QueueStat, ServiceStat, SubscriptionStat, TopicChange, TopicStat,
};
use bus_core::{ErrorKind, Name, Pattern};

use crate::client::Client;
use crate::error::Error;

/// Administration through a client. Everybody may look; changes need the right to administer.
///
/// What is asked goes out with the first poll. Cancelling a look is harmless; cancelling a
/// change does not undo it, and only its answer is lost.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

/// What an action is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A queue.
    Queue,
    /// A topic.
    Topic,
}

/// What was retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// Messages that it has: unsettled deliveries of a queue among them, kept ones of a topic.
    pub messages: u64,
    /// Handles and unsettled deliveries that hold it. With none it is gone, and so are its
    /// messages.
    pub holders: u64,
}

/// Everything that bears a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatPage {
    /// Queues.
    pub queues: Vec<QueueStat>,
    /// Topics.
    pub topics: Vec<TopicStat>,
    /// Services.
    pub services: Vec<ServiceStat>,
}

impl Admin {
    pub(crate) fn new(client: Client) -> Admin {
        Admin { client }
    }

    /// The queues that match a pattern (`>` is all), in the order of their names. Cancelling is
    /// harmless.
    ///
    /// # Errors
    /// `InvalidName`, or why the client has ended.
    pub async fn queues(&self, pattern: &str) -> Result<Vec<QueueStat>, Error> {
        self.list(pattern, ObjectKind::Queue, |page| page.queues).await
    }

    /// The topics that match. Cancelling is harmless.
    ///
    /// # Errors
    /// As [`Admin::queues`].
    pub async fn topics(&self, pattern: &str) -> Result<Vec<TopicStat>, Error> {
        self.list(pattern, ObjectKind::Topic, |page| page.topics).await
    }

    /// The services that match. Cancelling is harmless.
    ///
    /// # Errors
    /// As [`Admin::queues`].
    pub async fn services(&self, pattern: &str) -> Result<Vec<ServiceStat>, Error> {
        self.list(pattern, ObjectKind::Service, |page| page.services).await
    }

    /// The clients, in the order in which they came. Cancelling is harmless.
    ///
    /// # Errors
    /// Why the client has ended.
    pub async fn clients(&self) -> Result<Vec<ClientStat>, Error> {
        let mut clients = self.list(">", ObjectKind::Client, |page| page.clients).await?;
        clients.sort_by_key(|client| client.sender.session);
        Ok(clients)
    }

    /// The subscribers whose pattern has names in common with this one (`>` is all), in no order; a member of
    /// a group is one of them. Cancelling is harmless.
    ///
    /// # Errors
    /// As [`Admin::queues`]; `Unsupported` from a broker that has no such list yet.
    pub async fn subscriptions(&self, pattern: &str) -> Result<Vec<SubscriptionStat>, Error> {
        let listed = self.list(pattern, ObjectKind::Subscription, |page| page.subscriptions).await;
        listed.map_err(|error| match error.kind() {
            ErrorKind::Unsupported => {
                let text = format!("the broker is too old to list subscriptions: {error}");
                Error::new(ErrorKind::Unsupported, text)
            }
            _ => error,
        })
    }

    /// All that bears exactly this name. Cancelling is harmless.
    ///
    /// # Errors
    /// `NotFound` when nothing does.
    pub async fn stat(&self, name: &str) -> Result<StatPage, Error> {
        let name = Name::new(name)?;
        let (queues, topics) =
            (self.queues(name.as_str()).await?, self.topics(name.as_str()).await?);
        let services = self.services(name.as_str()).await?;
        if queues.is_empty() && topics.is_empty() && services.is_empty() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no queue, topic or service `{name}`"),
            ));
        }
        Ok(StatPage { queues, topics, services })
    }

    /// About the broker. Cancelling is harmless.
    ///
    /// # Errors
    /// Why the client has ended.
    pub async fn broker(&self) -> Result<BrokerInfo, Error> {
        match self.client.call(|request| Command::Broker { request }).await? {
            Answer::Broker(info) => Ok(*info),
            _ => Err(unexpected()),
        }
    }

    /// Removes now; everyone who waits is told. Returns how many messages went. Cancelling after
    /// the first poll does not undo it.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`.
    pub async fn remove(&self, object: Object, name: &str) -> Result<u64, Error> {
        self.act(object, name, AdminAction::Remove).await
    }

    /// Takes the name away now; the contents go with the last holder. Cancelling after the first
    /// poll does not undo it.
    ///
    /// # Errors
    /// As [`Admin::remove`].
    pub async fn retire(&self, object: Object, name: &str) -> Result<Retired, Error> {
        match self.ask(object, name, AdminAction::Retire).await? {
            Answer::Retired { messages, holders } => Ok(Retired { messages, holders }),
            _ => Err(unexpected()),
        }
    }

    /// Drops what waits in a queue, or what a topic keeps. Returns how many messages went.
    /// Cancelling after the first poll does not undo it.
    ///
    /// # Errors
    /// As [`Admin::remove`].
    pub async fn purge(&self, object: Object, name: &str) -> Result<u64, Error> {
        self.act(object, name, AdminAction::Purge).await
    }

    /// Changes a queue. Rights are checked again for those who wait. Cancelling after the first
    /// poll does not undo it.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `InvalidArgument`.
    pub async fn set_queue(&self, name: &str, change: QueueChange) -> Result<(), Error> {
        let name = Name::new(name)?;
        self.client.call(|request| Command::SetQueue { request, name, change }).await.map(|_| ())
    }

    /// Changes a topic. Subscriptions are linked anew if its rights change. Cancelling after the
    /// first poll does not undo it.
    ///
    /// # Errors
    /// As [`Admin::set_queue`].
    pub async fn set_topic(&self, name: &str, change: TopicChange) -> Result<(), Error> {
        let name = Name::new(name)?;
        self.client.call(|request| Command::SetTopic { request, name, change }).await.map(|_| ())
    }

    /// The round trip to the broker. Cancelling is harmless.
    ///
    /// # Errors
    /// Why the client has ended.
    pub async fn ping(&self) -> Result<Duration, Error> {
        self.client.ping().await
    }

    async fn act(&self, object: Object, name: &str, action: AdminAction) -> Result<u64, Error> {
        match self.ask(object, name, action).await? {
            Answer::Done { count } => Ok(count),
            _ => Err(unexpected()),
        }
    }

    async fn ask(&self, object: Object, name: &str, action: AdminAction) -> Result<Answer, Error> {
        let name = Name::new(name)?;
        let object = match object {
            Object::Queue => ObjectKind::Queue,
            Object::Topic => ObjectKind::Topic,
        };
        self.client.call(|request| Command::Admin { request, name, object, action }).await
    }

    async fn list<T>(
        &self,
        pattern: &str,
        object: ObjectKind,
        rows: impl Fn(Listing) -> Vec<T>,
    ) -> Result<Vec<T>, Error> {
        let pattern = Pattern::new(pattern)?;
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let (pattern, from) = (pattern.clone(), after.take());
            let command = |request| Command::List { request, pattern, object, after: from };
            let Answer::Listing(mut page) = self.client.call(command).await? else {
                return Err(unexpected());
            };
            after = page.next.take();
            all.extend(rows(*page));
            if after.is_none() {
                return Ok(all);
            }
        }
    }
}

fn unexpected() -> Error {
    Error::new(ErrorKind::Protocol, "the broker answered with something else")
}
