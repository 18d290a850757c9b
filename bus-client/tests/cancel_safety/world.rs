//! A broker, a client under test and one that looks on; and how futures are cut short.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, Delivery, Queue, QueueOptions, QueueStat, Selector};
use tokio::time::{Instant, timeout};

/// More polls than any future here needs.
const POLLS_MAX: usize = 40;

pub struct World {
    pub broker: Broker,
    pub client: Client,
    pub other: Client,
}

impl World {
    pub async fn new() -> World {
        let config = BrokerConfig::default().listen("tcp://127.0.0.1:0".parse().expect("a URL"));
        let broker = Broker::start(config).await.expect("starts");
        // The one under test through the kernel, so that its frames come in pieces.
        let client = Client::connect(&broker.urls()[0]).await.expect("connects");
        let other = Client::connect(broker.url()).await.expect("connects");
        World { broker, client, other }
    }

    /// A queue of that name, open at both clients.
    pub async fn queues(&self, name: &str, options: QueueOptions) -> (Queue, Queue) {
        let options = options.mode(0o777);
        let mine = self.client.queue_with(name, options.clone()).await.expect("opens");
        let theirs = self.other.queue_with(name, options).await.expect("opens");
        (mine, theirs)
    }

    /// Lets everything that is under way arrive and be answered.
    pub async fn settle(&self) {
        for _ in 0..2 {
            for client in [&self.client, &self.other] {
                let pong = timeout(Duration::from_secs(10), client.ping()).await;
                pong.expect("answers soon").expect("is connected");
            }
        }
    }

    pub async fn stat(&self, name: &str) -> QueueStat {
        let page = self.other.admin().stat(name).await.expect("it is there");
        page.queues.into_iter().next().expect("it is a queue")
    }

    /// Asks until the figures of a queue are as they should be.
    pub async fn until(&self, name: &str, holds: impl Fn(&QueueStat) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let stat = self.stat(name).await;
            if holds(&stat) {
                return;
            }
            assert!(Instant::now() < deadline, "never came to be: {stat:?}");
        }
    }

    /// Cuts a future short at each of its await points: `make` makes it, `nudge` does what it
    /// waits for after its first poll, `check` looks at what has become of it. Gives how many
    /// polls it takes.
    pub async fn at_each_point<T>(
        &self,
        make: impl AsyncFn() -> T,
        nudge: impl AsyncFn(),
        check: impl AsyncFn(Option<T>),
    ) -> usize {
        for polls in 1..POLLS_MAX {
            // Dropped while the answer is on its way, and when that is here already.
            for answered in [false, true] {
                let ended = self.cut_short(polls, answered, &make, &nudge).await;
                let done = ended.is_some();
                check(ended).await;
                if done {
                    return polls;
                }
            }
        }
        panic!("it has not ended after {POLLS_MAX} polls");
    }

    /// Polls a future so many times, lets everything settle in between (and afterwards, if the
    /// last answer shall be here), and drops it.
    pub async fn cut_short<T>(
        &self,
        polls: usize,
        answered: bool,
        make: &impl AsyncFn() -> T,
        nudge: &impl AsyncFn(),
    ) -> Option<T> {
        let mut future = pin!(make());
        for poll in 1..=polls {
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
                return Some(value);
            }
            if poll == 1 {
                self.settle().await;
                nudge().await;
            }
            if poll < polls || answered {
                self.settle().await;
            }
        }
        None
    }
}

/// For what needs nothing from outside.
pub async fn nothing() {}

/// The payloads of all that is in a queue; each must not have been delivered before.
pub async fn drain(queue: &Queue) -> Vec<String> {
    let mut found = Vec::new();
    while let Ok(delivery) = queue.try_receive(Selector::Any).await {
        found.push(fresh(&delivery));
        delivery.ack().await.expect("in time");
    }
    found
}

/// The payload of a delivery that bears no mark of another one.
pub fn fresh(delivery: &Delivery) -> String {
    assert_eq!(delivery.attempt(), 0, "it was marked");
    let text = std::str::from_utf8(delivery.payload()).expect("text");
    if text.len() > 100 { format!("{} bytes", text.len()) } else { text.to_owned() }
}
