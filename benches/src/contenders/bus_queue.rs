//! Queues of the bus: many sends under way at once, each verdict looked at; consumers with
//! credit that acknowledge each delivery.
//!
//! Fan-out has a queue for each receiver, as with the kernel's queues.

use std::collections::VecDeque;

use anyhow::{Context, Result};
use bus_client::{
    Client, ClientOptions, Consumer, ConsumerOptions, MessageType, PendingReceipt, Queue,
    QueueOptions, Selector,
};

use super::bus::{MODE, connect};
use super::bus_crowd::Crowd;
use super::bus_topic::Payloads;
use crate::cell::{Order, Role, WorkloadKind};
use crate::contender::{Connector, Port};

/// Opens queues.
pub struct QueueConnector {
    options: ClientOptions,
    auto_ack: bool,
    crowd: Crowd,
}

impl QueueConnector {
    /// Whose clients have these options.
    pub fn new(options: ClientOptions) -> QueueConnector {
        QueueConnector { options, auto_ack: false, crowd: Crowd::default() }
    }

    /// Whether deliveries are acknowledged by being yielded.
    pub fn auto_ack(mut self, auto_ack: bool) -> QueueConnector {
        self.auto_ack = auto_ack;
        self
    }
}

/// The queues that a worker sends to, and the one that it receives from.
pub fn names(order: &Order) -> (Vec<String>, Option<String>) {
    let fan_out = order.cell.workload == WorkloadKind::FanOut;
    let of_receiver = |index: usize| format!("flow.{index}");
    let flow = || of_receiver(0);
    match order.role {
        Role::Pinger => (vec!["question".to_owned()], Some("answer".to_owned())),
        Role::Echo => (vec!["answer".to_owned()], Some("question".to_owned())),
        Role::Sender if fan_out => ((0..order.cell.receivers).map(of_receiver).collect(), None),
        Role::Sender | Role::Publisher => (vec![flow()], None),
        Role::Receiver if fan_out => (Vec::new(), Some(of_receiver(order.index))),
        _ => (Vec::new(), Some(flow())),
    }
}

impl Connector for QueueConnector {
    type Port = QueuePort;

    async fn open(&mut self, order: &Order) -> Result<QueuePort> {
        let client = connect(order, &self.options).await?;
        let (out, into) = names(order);
        let mut queues = Vec::with_capacity(out.len());
        for name in out {
            queues.push(open_queue(&client, &name).await?);
        }
        let consumer = match into {
            Some(name) => {
                let queue = open_queue(&client, &name).await?;
                let options = ConsumerOptions::new(selector(order)?, credit(order));
                Some(queue.consumer_with(options.auto_ack(self.auto_ack)).await?)
            }
            None => None,
        };
        // One question at a time: its verdict is looked at before the next one.
        let receipts_max = if consumer.is_some() { 1 } else { receipts_max(order) };
        Ok(QueuePort {
            queues,
            consumer,
            auto_ack: self.auto_ack,
            payloads: Payloads::new(order.cell.payload_bytes),
            receipts: VecDeque::with_capacity(receipts_max),
            receipts_max,
            _client: client,
        })
    }

    async fn gather(&mut self, order: &Order) -> Result<()> {
        self.crowd.gather(order, &self.options).await
    }
}

/// Sends without a verdict: as many as fit into the client's window, or a few. Half of them are
/// waited for at a time.
fn receipts_max(order: &Order) -> usize {
    const WINDOW_BYTES: usize = 1 << 20;
    const OVERHEAD_BYTES: usize = 64;
    (WINDOW_BYTES / (order.cell.payload_bytes + OVERHEAD_BYTES)).clamp(8, 4096)
}

/// The queue of this name, open to everybody.
pub async fn open_queue(client: &Client, name: &str) -> Result<Queue> {
    Ok(client.queue_with(name, QueueOptions::default().mode(MODE)).await?)
}

fn selector(order: &Order) -> Result<Selector> {
    if order.role != Role::Receiver || order.cell.kinds == 1 {
        return Ok(Selector::Any);
    }
    let kind = MessageType::new(order.index as u64 + 1).context("there is no type 0")?;
    Ok(Selector::Eq(kind))
}

/// Deliveries under way: many small ones, but few megabytes.
fn credit(order: &Order) -> u32 {
    const MANY: usize = 1024;
    const FEW: usize = 4;
    const BYTES: usize = 8 << 20;
    (BYTES / order.cell.payload_bytes).clamp(FEW, MANY) as u32
}

/// One worker's queues.
pub struct QueuePort {
    /// All that it sends to.
    queues: Vec<Queue>,
    consumer: Option<Consumer>,
    auto_ack: bool,
    payloads: Payloads,
    /// Of sends whose verdict was not looked at yet, in order.
    receipts: VecDeque<PendingReceipt>,
    receipts_max: usize,
    _client: Client,
}

impl Port for QueuePort {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, kind: u32, fill: F) -> Result<()> {
        if self.receipts.len() >= self.receipts_max {
            self.await_receipts(self.receipts_max / 2).await?;
        }
        let message = self.payloads.message(kind, fill)?;
        if let Some((last, others)) = self.queues.split_last() {
            for queue in others {
                self.receipts.push_back(queue.post(message.clone()).await?);
            }
            self.receipts.push_back(last.post(message).await?);
        }
        Ok(())
    }

    /// The client holds nothing back; a mere sender now waits for all verdicts.
    async fn flush(&mut self) -> Result<()> {
        match self.consumer {
            Some(_) => Ok(()),
            None => self.await_receipts(0).await,
        }
    }

    /// The client's driver is a task beside this one.
    async fn turn(&mut self) -> Result<()> {
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        let consumer = self.consumer.as_mut().context("this worker does not receive")?;
        let first = consumer.next().await.context("the consumer has ended")??;
        let mut next = Some(first);
        while let Some(delivery) = next {
            visit(delivery.payload())?;
            if !self.auto_ack {
                // A late one would be delivered again, which the receiver's account would show.
                drop(delivery.ack());
            }
            next = consumer.try_next();
        }
        Ok(())
    }
}

impl QueuePort {
    async fn await_receipts(&mut self, left: usize) -> Result<()> {
        while self.receipts.len() > left {
            if let Some(receipt) = self.receipts.pop_front() {
                receipt.await?;
            }
        }
        Ok(())
    }
}
