//! A well-behaved pair of clients, which goes on beside hostile ones and must lose nothing.

use std::time::Duration;

use bus_client::{Client, Consumer, Publisher, Queue, QueueOptions, Selector, Subscriber};
use tokio::sync::watch;
use tokio::time::timeout;

/// Longer than anything takes that works, also where the machine has much else to do.
const SOON: Duration = Duration::from_secs(180);

/// Two clients that exchange messages, until they are told to stop.
pub struct Pair {
    queue: Queue,
    topic: Publisher,
    subscriber: Subscriber,
    consumer: Consumer,
}

impl Pair {
    pub async fn new(url: &str, tag: &str) -> Pair {
        let sender = Client::connect(url).await.expect("connects");
        let receiver = Client::connect(url).await.expect("connects");
        Pair::between(sender, receiver, tag).await
    }

    pub async fn between(sender: Client, receiver: Client, tag: &str) -> Pair {
        let name = format!("honest.{tag}");
        let queue = sender.queue(&name).await.expect("opens");
        let subscriber = receiver.subscribe(&name).await.expect("subscribes");
        let topic = sender.publisher(&name).await.expect("opens");
        let same = receiver.queue_with(&name, QueueOptions::default()).await.expect("opens");
        let consumer = same.consumer(Selector::Any, 8).await.expect("consumes");
        Pair { queue, topic, subscriber, consumer }
    }

    /// Gives how many messages went each way, in order and without a gap; tells so meanwhile.
    pub async fn run(mut self, stop: watch::Receiver<bool>, told: watch::Sender<u64>) -> u64 {
        let mut number = 0;
        while !*stop.borrow() {
            let body = format!("{number}");
            self.queue.send(body.clone()).await.expect("sends");
            self.topic.publish(body.clone()).await.expect("publishes");
            let delivery = timeout(SOON, self.consumer.next()).await.expect("comes soon");
            let delivery = delivery.expect("goes on").expect("a delivery");
            assert_eq!(delivery.payload(), body.as_bytes());
            delivery.ack().await.expect("in time");
            let found = timeout(SOON, self.subscriber.next()).await.expect("comes soon");
            let found = found.expect("goes on").expect("a message");
            assert_eq!(found.payload(), body.as_bytes());
            number += 1;
            told.send_replace(number);
        }
        number
    }
}
