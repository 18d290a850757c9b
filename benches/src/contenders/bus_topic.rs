//! Topics of the bus: one call of `publish` a message, batches borrowed at the subscriber.
//!
//! The usual policy of subscribers holds publishers back, so nothing is lost.

use std::collections::VecDeque;

use anyhow::{Context, Result};
use bus_client::{
    Client, ClientOptions, Message, MessageType, Publisher, PublisherOptions, SubscribeOptions,
    Subscriber,
};
use bytes::Bytes;

use super::bus::{MODE, connect};
use super::bus_crowd::Crowd;
use crate::cell::{Order, Role};
use crate::contender::{Connector, Port};
use crate::workloads::shared;

/// From here on payloads lie in buffers of their own, which the bus shares.
const LARGE_BYTES: usize = 16 << 10;

/// Opens topics.
pub struct TopicConnector {
    options: ClientOptions,
    crowd: Crowd,
}

impl TopicConnector {
    /// Whose clients have these options.
    pub fn new(options: ClientOptions) -> TopicConnector {
        TopicConnector { options, crowd: Crowd::default() }
    }
}

impl Connector for TopicConnector {
    type Port = TopicPort;

    async fn open(&mut self, order: &Order) -> Result<TopicPort> {
        let client = connect(order, &self.options).await?;
        let (out, into) = match order.role {
            Role::Pinger => (Some("question"), Some("answer")),
            Role::Echo => (Some("answer"), Some("question")),
            Role::Sender if shared::is_sender(order) => (Some("shared"), None),
            Role::Sender | Role::Publisher => (Some("flow"), None),
            Role::Member => (Some("shared"), Some("shared")),
            _ => (None, Some("flow")),
        };
        let publisher = match out {
            Some(topic) => {
                let options = PublisherOptions::default().mode(MODE);
                Some(client.publisher_with(topic, options).await?)
            }
            None => None,
        };
        let subscriber = match into {
            Some(topic) if order.role == Role::Member => {
                let options = SubscribeOptions::default().group("members");
                Some(client.subscribe_with(topic, options).await?)
            }
            Some(topic) => Some(client.subscribe(topic).await?),
            None => None,
        };
        let payloads = Payloads::new(order.cell.payload_bytes);
        let buffer = vec![0; order.cell.payload_bytes];
        Ok(TopicPort { publisher, subscriber, buffer, payloads, _client: client })
    }

    async fn gather(&mut self, order: &Order) -> Result<()> {
        self.crowd.gather(order, &self.options).await
    }
}

/// One worker's topics.
pub struct TopicPort {
    publisher: Option<Publisher>,
    subscriber: Option<Subscriber>,
    /// Where a small payload is written, to be copied from.
    buffer: Vec<u8>,
    payloads: Payloads,
    _client: Client,
}

impl Port for TopicPort {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, kind: u32, fill: F) -> Result<()> {
        let publisher = self.publisher.as_ref().context("this worker does not send")?;
        if self.buffer.len() < LARGE_BYTES {
            fill(&mut self.buffer);
            let kind = MessageType::new(u64::from(kind)).context("there is no type 0")?;
            publisher.publish_slice(kind, &self.buffer).await?;
            return Ok(());
        }
        let message = self.payloads.message(kind, fill)?;
        publisher.publish(message).await?;
        Ok(())
    }

    /// The client holds nothing back.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// The client's driver is a task beside this one.
    async fn turn(&mut self) -> Result<()> {
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn hand_on<F: FnOnce(&mut [u8])>(&mut self, fill: F) -> Result<()> {
        self.subscriber = None;
        self.send(1, fill).await
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        let subscriber = self.subscriber.as_mut().context("this worker does not receive")?;
        let batch = subscriber.next_batch().await.context("the subscription has ended")??;
        batch.iter().try_for_each(|message| visit(message.payload()))
    }
}

/// Where payloads come from: a fresh allocation for each, but large ones are used again when
/// the bus has let go of them, as a program would that cares.
pub struct Payloads {
    length: usize,
    used: VecDeque<Bytes>,
    used_max: usize,
}

impl Payloads {
    /// Payloads of this length.
    pub fn new(length: usize) -> Payloads {
        const USED_BYTES: usize = 16 << 20;
        let used_max = if length < LARGE_BYTES { 0 } else { USED_BYTES / length };
        Payloads { length, used: VecDeque::with_capacity(used_max), used_max }
    }

    /// The next message, all of it written by `fill`.
    #[inline]
    pub fn message(&mut self, kind: u32, fill: impl FnOnce(&mut [u8])) -> Result<Message> {
        let kind = MessageType::new(u64::from(kind)).context("there is no type 0")?;
        if self.used_max == 0 {
            let mut payload = vec![0; self.length];
            fill(&mut payload);
            return Ok(Message::new(kind, payload));
        }
        let mut payload = match self.used.pop_front().map(Bytes::try_into_mut) {
            Some(Ok(free)) => free,
            Some(Err(busy)) => {
                self.used.push_front(busy);
                bytes::BytesMut::zeroed(self.length)
            }
            None => bytes::BytesMut::zeroed(self.length),
        };
        fill(&mut payload);
        let payload = payload.freeze();
        if self.used.len() < self.used_max {
            self.used.push_back(payload.clone());
        }
        Ok(Message::new(kind, payload))
    }
}
