//! Topics of the bus for a program without a runtime: each call blocks the worker's own thread.
//!
//! It never awaits. What is published is written by each call, one message at a time.

use anyhow::{Context, Result};
use bus_client::blocking::{Client, Publisher, Subscriber};
use bus_client::{ClientOptions, MessageType, PublisherOptions};

use super::bus::MODE;
use crate::cell::{Order, Role};
use crate::contender::{Connector, Port};

/// Opens topics.
pub struct BlockingTopicConnector {
    options: ClientOptions,
}

impl BlockingTopicConnector {
    /// Whose clients have these options.
    pub fn new(options: ClientOptions) -> BlockingTopicConnector {
        BlockingTopicConnector { options }
    }
}

impl Connector for BlockingTopicConnector {
    type Port = BlockingTopicPort;

    async fn open(&mut self, order: &Order) -> Result<BlockingTopicPort> {
        let client = Client::connect_with(&order.address, self.options.clone())
            .with_context(|| format!("connecting to {}", order.address))?;
        let (out, into) = match order.role {
            Role::Pinger => (Some("question"), Some("answer")),
            Role::Echo => (Some("answer"), Some("question")),
            Role::Sender | Role::Publisher => (Some("flow"), None),
            _ => (None, Some("flow")),
        };
        let options = PublisherOptions::default().mode(MODE);
        let publisher = out.map(|topic| client.publisher_with(topic, options)).transpose()?;
        let subscriber = into.map(|topic| client.subscribe(topic)).transpose()?;
        let buffer = vec![0; order.cell.payload_bytes];
        Ok(BlockingTopicPort { publisher, subscriber, buffer, _client: client })
    }
}

/// One worker's topics.
pub struct BlockingTopicPort {
    publisher: Option<Publisher>,
    subscriber: Option<Subscriber>,
    buffer: Vec<u8>,
    _client: Client,
}

impl Port for BlockingTopicPort {
    async fn send<F: FnOnce(&mut [u8])>(&mut self, kind: u32, fill: F) -> Result<()> {
        let publisher = self.publisher.as_ref().context("this worker does not send")?;
        fill(&mut self.buffer);
        let kind = MessageType::new(u64::from(kind)).context("there is no type 0")?;
        Ok(publisher.publish_slice(kind, &self.buffer)?)
    }

    /// Each call has written what it was given.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        let subscriber = self.subscriber.as_mut().context("this worker does not receive")?;
        let batch = subscriber.next_batch().context("the subscription has ended")??;
        batch.iter().try_for_each(|message| visit(message.payload()))
    }
}
