//! One look at everything that a broker tells, as any client may ask for it.
//!
//! The broker is asked a page at a time, so that its thread does no more for it at a time than for anybody's `bus ls`. So a
//! look is not of one moment: each page of it is.

use std::time::Duration;

use bus_client::{
    BrokerInfo, Client, ClientStat, Error, QueueStat, ServiceStat, SubscriptionStat, TopicStat,
};
use serde_json::Value;
use tokio::time::Instant;

use crate::subscribers::sorted_subscribers;

/// How long the broker may take for its bridges.
const PATIENCE: Duration = Duration::from_secs(5);

/// All that was told at one time.
pub(super) struct Look {
    /// When it was complete.
    pub at: Instant,
    /// How long the thread that routes took to answer this one.
    pub round_trip: Duration,
    pub broker: BrokerInfo,
    /// What only `$bus.stat` tells.
    pub more: Value,
    pub queues: Vec<QueueStat>,
    pub topics: Vec<TopicStat>,
    pub services: Vec<ServiceStat>,
    pub clients: Vec<ClientStat>,
    /// Members of a group stand together.
    pub subscriptions: Vec<SubscriptionStat>,
    /// As `$bus.bridge` tells of them.
    pub bridges: Value,
}

impl Look {
    /// Asks for all of it, one page after the other.
    ///
    /// # Errors
    /// When the broker has ended, or does not answer.
    pub async fn gather(client: &Client) -> Result<Look, Error> {
        let admin = client.admin();
        let ask = async |service: &str, asked: &'static str| -> Result<Value, Error> {
            let answer = client.request(service, asked, PATIENCE).await?;
            // It is the broker's own, and well made.
            Ok(serde_json::from_slice(answer.payload()).unwrap_or_default())
        };
        Ok(Look {
            round_trip: client.ping().await?,
            broker: admin.broker().await?,
            more: ask("$bus.stat", "").await?,
            queues: admin.queues(">").await?,
            topics: admin.topics(">").await?,
            services: admin.services(">").await?,
            clients: admin.clients().await?,
            subscriptions: sorted_subscribers(admin.subscriptions(">").await?),
            bridges: ask("$bus.bridge", "{\"action\": \"list\"}").await?,
            at: Instant::now(),
        })
    }

    /// The bridges, each of which is an object.
    pub fn bridges(&self) -> &[Value] {
        self.bridges["bridges"].as_array().map(Vec::as_slice).unwrap_or_default()
    }
}

/// Whether this is who asks here: what it moves is about the look itself.
pub(super) fn is_own(client: &ClientStat) -> bool {
    client.sender.name == super::CLIENT_NAME && client.sender.pid == Some(std::process::id())
}
