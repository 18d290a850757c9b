//! Those who stay while members come and go: they read, collect, tell, feed and answer, each over another
//! transport, at both brokers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus_client::{Client, PublisherOptions, Selector, SlowPolicy, SubscribeOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::brokers::{Brokers, Place};
use crate::ledger::Ledger;
use crate::member::{ECHO, JOBS, NEWS, SENT, TOPIC, queue_options};
use crate::record::{Mark, any_length as message};

/// Longer than anything takes that works, also where the machine has much else to do.
const SOON: Duration = Duration::from_secs(180);

/// What they write down.
pub type Shared = Arc<Mutex<Ledger>>;

/// Looks at it, or changes it.
pub fn with<T>(shared: &Shared, look: impl FnOnce(&mut Ledger) -> T) -> T {
    look(&mut shared.lock().expect("nobody panicked"))
}

/// Publishers there wait long for whoever is slow: the machine may stand still.
pub fn patient() -> PublisherOptions {
    // Who comes over TCP, and the bridge, is nobody's user.
    PublisherOptions::default().hold(Duration::from_secs(60)).mode(0o666)
}

/// Starts all of them.
pub async fn start(
    brokers: &Brokers,
    ledger: &Shared,
    fed: watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let at = async |place, scheme| brokers.client(place, scheme).await;
    let feeder = at(Place::Far, "tcp").await;
    // Queues are made where they live.
    for name in [SENT, JOBS] {
        feeder.queue_with(name, queue_options()).await.expect("it is made");
    }
    vec![
        tokio::spawn(read(at(Place::Near, "shm").await, "near", ledger.clone())),
        tokio::spawn(read(at(Place::Far, "tls").await, "far", ledger.clone())),
        tokio::spawn(collect(at(Place::Near, "unix").await, ledger.clone())),
        tokio::spawn(tell(at(Place::Far, "shm").await, ledger.clone())),
        tokio::spawn(answer(at(Place::Far, "unix").await, ledger.clone())),
        tokio::spawn(feed(feeder, ledger.clone(), fed)),
    ]
}

/// Reads what members publish.
async fn read(client: Client, name: &'static str, ledger: Shared) {
    let hold = SubscribeOptions::default().policy(SlowPolicy::Hold);
    let mut all = client.subscribe_with(TOPIC, hold).await.expect("subscribes");
    with(&ledger, |ledger| {
        ledger.ready += 1;
        ledger.published.entry(name).or_default();
    });
    while let Some(found) = all.next().await {
        let found = found.expect("there is a broker");
        with(&ledger, |ledger| ledger.published(name, found.payload()));
    }
}

/// Takes what members send.
async fn collect(client: Client, ledger: Shared) {
    let queue = client.queue_with(SENT, queue_options()).await.expect("opens");
    let mut consumer = queue.consumer(Selector::Any, 64).await.expect("consumes");
    with(&ledger, |ledger| ledger.ready += 1);
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery.expect("there is a broker");
        with(&ledger, |ledger| ledger.sent(delivery.payload(), delivery.attempt()));
        drop(delivery.ack());
    }
}

/// Publishes what members watch, and reads it beside them.
async fn tell(client: Client, ledger: Shared) {
    let publisher = client.publisher_with(NEWS, patient()).await.expect("opens");
    let mut own = client.subscribe(NEWS).await.expect("subscribes");
    with(&ledger, |ledger| ledger.ready += 1);
    for number in 0.. {
        let bytes = message(Mark { writer: 0, number });
        publisher.publish(bytes).await.expect("there is a broker");
        let found = timeout(SOON, own.next()).await.expect("it comes soon");
        let found = found.expect("it goes on").expect("there is a broker");
        with(&ledger, |ledger| ledger.news(found.payload()));
    }
}

/// Answers what members ask.
async fn answer(client: Client, ledger: Shared) {
    let mut server = client.serve(ECHO, 64).await.expect("serves");
    with(&ledger, |ledger| ledger.ready += 1);
    while let Some(call) = server.next().await {
        let call = call.expect("there is a broker");
        let question = call.message().clone();
        // Who has asked may be gone.
        let _ = call.reply(question);
        with(&ledger, |ledger| ledger.answers += 1);
    }
}

/// Sends what members take, while it is told to.
async fn feed(client: Client, ledger: Shared, mut feeding: watch::Receiver<bool>) {
    let queue = client.queue_with(JOBS, queue_options()).await.expect("opens");
    with(&ledger, |ledger| ledger.ready += 1);
    for number in 0.. {
        if !*feeding.borrow_and_update() {
            with(&ledger, |ledger| ledger.jobs.stopped_at = number);
            if feeding.wait_for(|feeding| *feeding).await.is_err() {
                return;
            }
        }
        queue.send(message(Mark { writer: 0, number })).await.expect("there is a broker");
        with(&ledger, |ledger| ledger.jobs.fed = number + 1);
    }
}
