//! A crowd on the bus: many clients with queues and topics, which then stay idle.
//!
//! Each queue keeps a message, on each topic one was published, and each client is subscribed
//! to the first of its topics.

use anyhow::Result;
use bus_client::{Client, ClientOptions, Publisher, PublisherOptions, Queue, Subscriber};

use super::bus::{MODE, connect};
use super::bus_queue::open_queue;
use crate::cell::Order;

/// Everything that a crowd holds.
#[derive(Default)]
pub struct Crowd {
    clients: Vec<Client>,
    queues: Vec<Queue>,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
}

impl Crowd {
    /// Opens this child's part of the crowd.
    pub async fn gather(&mut self, order: &Order, options: &ClientOptions) -> Result<()> {
        let names = order.crowd_share(order.cell.names);
        let own = order.crowd_share(order.cell.clients).len().max(1);
        for _ in 0..own {
            self.clients.push(connect(order, options).await?);
        }
        for (step, name) in names.enumerate() {
            let client = &self.clients[step % own];
            let topic = format!("crowd.topic.{name}");
            if step < own {
                self.subscribers.push(client.subscribe(&topic).await?);
            }
            let queue = open_queue(client, &format!("crowd.queue.{name}")).await?;
            queue.send("a message that stays").await?;
            self.queues.push(queue);
            let open_to_all = PublisherOptions::default().mode(MODE);
            let publisher = client.publisher_with(&topic, open_to_all).await?;
            publisher.publish("a message that goes").await?;
            self.publishers.push(publisher);
        }
        for publisher in &self.publishers {
            publisher.flush().await?;
        }
        Ok(())
    }
}
