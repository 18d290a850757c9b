//! Queues that live at one broker and are used at the other: selection, leases, receipts.
//!
//! The bridge is run by the broker where the queue lives, or by the other one.

use std::time::Duration;

use bus_broker::{BridgeConfig, Broker};
use bus_client::{
    Client, ErrorKind, Message, MessageType, Name, Object, Queue, QueueOptions, Selector,
};
use tokio::time::{Instant, sleep, timeout};

use crate::proxy::Proxy;
use crate::stage::*;

/// Two brokers, and the queue `jobs` that lives at the first. The way between them can be cut.
pub struct Two {
    pub home: Broker,
    pub guest: Broker,
    pub proxy: Proxy,
    near: Client,
    jobs: Queue,
    pub away: Queue,
    /// Whether the bridge is run by the home.
    pub goes_out: bool,
}

pub fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub fn way(url_there: &str) -> BridgeConfig {
    BridgeConfig::new("b", url(url_there)).expect("a bridge").queue_mode(0o777)
}

impl Two {
    /// With the bridge at the home of the queue, or at the other broker.
    async fn new(goes_out: bool) -> Two {
        let there = broker("there", Vec::new()).await;
        let proxy = Proxy::start("tcp", &there.urls()[0]).await;
        let way = way(&proxy.url);
        let way = match goes_out {
            true => way.outgoing_queue(name("jobs")),
            false => way.incoming_queue(name("jobs")),
        };
        let here = broker("here", Vec::new()).await;
        // It must be there, and the bridge must have rights to it.
        client(if goes_out { &here } else { &there })
            .await
            .queue_with("jobs", open_to_all())
            .await
            .expect("opens");
        here.reload(config("here", vec![way])).await.expect("reloads");
        let (home, guest) = if goes_out { (here, there) } else { (there, here) };
        let (near, far) = (client(&home).await, client(&guest).await);
        until(async || far.admin().queues("jobs").await.expect("lists").len() == 1).await;
        let jobs = near.queue("jobs").await.expect("opens");
        let away = far.queue("jobs").await.expect("opens");
        assert!(!away.was_created(), "it is hosted");
        until(async || is_empty(&away).await).await;
        Two { home, guest, proxy, near, jobs, away, goes_out }
    }

    pub async fn both() -> [Two; 2] {
        [Two::new(true).await, Two::new(false).await]
    }

    async fn stat(&self) -> (u64, u64, u64) {
        let stat = self.near.admin().queues("jobs").await.expect("lists").remove(0);
        (stat.messages, stat.leased, stat.acked)
    }
}

pub fn open_to_all() -> QueueOptions {
    QueueOptions::default().mode(0o777)
}

/// Whether the home of a queue says that it has nothing.
async fn is_empty(queue: &Queue) -> bool {
    let nothing = queue.try_receive(Selector::Any).await.map(drop);
    nothing.is_err_and(|error| error.kind() == ErrorKind::Empty)
}

/// Waits until something holds.
pub async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "it never holds");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("in time")
}

fn kind(number: u64) -> MessageType {
    MessageType::new(number).expect("a type")
}

fn job(kind_number: u64, number: u64) -> Message {
    Message::new(kind(kind_number), number.to_le_bytes().to_vec())
}

fn number(delivery: &bus_client::Delivery) -> u64 {
    let payload: &[u8] = delivery.payload();
    u64::from_le_bytes(payload.try_into().expect("eight bytes"))
}

#[tokio::test]
async fn receiver_takes_upto_five_from_a_queue_at_the_other_broker() {
    for two in Two::both().await {
        for (kind, number) in [(7, 1), (5, 2), (3, 3)] {
            two.jobs.send(job(kind, number)).await.expect("sends");
        }
        for expected in [3, 2] {
            let delivery = soon(two.away.receive(Selector::Upto(kind(5)))).await.expect("takes");
            assert_eq!(number(&delivery), expected);
            // The answer is that of the queue's home.
            soon(delivery.ack()).await.expect("acks");
        }
        assert_eq!(two.stat().await, (1, 0, 2));
        let nothing = soon(two.away.try_receive(Selector::Upto(kind(5)))).await;
        assert_eq!(nothing.expect_err("none matches").kind(), ErrorKind::Empty);
        let peeked = soon(two.away.peek(Selector::Any, 0)).await.expect("shows");
        assert_eq!(peeked.message.kind(), kind(7));
    }
}

#[tokio::test]
async fn sends_over_the_bridge_have_the_verdict_of_the_queue() {
    for two in Two::both().await {
        let full = bus_client::QueueChange { count_max: Some(2), ..Default::default() };
        two.near.admin().set_queue("jobs", full).await.expect("changes");
        for number in 1..=2 {
            soon(two.away.send(job(1, number))).await.expect("sends");
        }
        let refused = soon(two.away.try_send(job(1, 3))).await.expect_err("it is full");
        assert_eq!(refused.kind(), ErrorKind::QueueFull);
        let short = Duration::from_millis(50);
        let late = soon(two.away.send_timeout(job(1, 4), short)).await.expect_err("it is full");
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        // What waits for room goes in when there is some, of whatever length.
        let long = Message::new(kind(2), vec![9; 3 << 20]);
        let away = two.away.clone();
        let sending = tokio::spawn({
            let long = long.clone();
            async move { away.send(long).await }
        });
        for expected in 1..=2 {
            let delivery = soon(two.jobs.receive(Selector::Any)).await.expect("takes");
            assert_eq!(number(&delivery), expected);
            delivery.ack().await.expect("acks");
        }
        soon(sending).await.expect("runs").expect("sends");
        let delivery = soon(two.away.receive(Selector::Any)).await.expect("takes");
        assert_eq!(*delivery.message(), long);
        soon(delivery.ack()).await.expect("acks");
    }
}

#[tokio::test]
async fn a_cut_loses_and_repeats_nothing() {
    // Both wait for their next connections most of the time.
    let [out, incoming] = Two::both().await;
    tokio::join!(loses_and_repeats_nothing(out), loses_and_repeats_nothing(incoming));
}

async fn loses_and_repeats_nothing(two: Two) {
    let mut consumer = two.away.consumer(Selector::Any, 64).await.expect("consumes");
    for round in 0..3 {
        let numbers = round * 200..(round + 1) * 200;
        for number in numbers.clone() {
            if number % 200 == 100 {
                two.proxy.cut();
            }
            match number % 2 {
                0 => two.jobs.send(job(1, number)).await.expect("sends"),
                _ => soon(two.away.send(job(1, number))).await.expect("sends"),
            };
        }
        let mut acks = Vec::new();
        for expected in numbers {
            let delivery = soon(consumer.next()).await.expect("goes on").expect("takes");
            assert_eq!((number(&delivery), delivery.attempt()), (expected, 0));
            acks.push(delivery.ack());
            if expected % 200 == 50 {
                two.proxy.cut();
            }
        }
        for ack in acks {
            soon(ack).await.expect("acks");
        }
    }
    assert_eq!(two.stat().await, (0, 0, 600));
}

#[tokio::test]
async fn what_a_receiver_leaves_is_back_at_its_old_place() {
    for two in Two::both().await {
        for number in 1..=3 {
            two.jobs.send(job(1, number)).await.expect("sends");
        }
        let other = client(&two.guest).await;
        let queue = other.queue("jobs").await.expect("opens");
        let first = soon(queue.receive(Selector::Any)).await.expect("takes");
        let second = soon(queue.receive(Selector::Any)).await.expect("takes");
        assert_eq!((number(&first), number(&second)), (1, 2));
        // It ends with both in its hands.
        other.drain(PATIENCE).await;
        until(async || two.stat().await.1 == 0).await;
        for expected in 1..=3 {
            let delivery = soon(two.jobs.receive(Selector::Any)).await.expect("takes");
            assert_eq!(number(&delivery), expected);
            delivery.ack().await.expect("acks");
        }
        drop((first, second));
    }
}

#[tokio::test]
async fn what_is_out_when_the_other_broker_ends_is_back_at_its_old_place() {
    // Both wait for as long as a session is waited for.
    let [out, incoming] = Two::both().await;
    tokio::join!(what_is_out_is_back(out), what_is_out_is_back(incoming));
}

async fn what_is_out_is_back(two: Two) {
    for number in 1..=3 {
        two.jobs.send(job(1, number)).await.expect("sends");
    }
    let held = soon(two.away.receive(Selector::Any)).await.expect("takes");
    assert_eq!(number(&held), 1);
    let Two { guest, jobs, near, .. } = two;
    guest.drain(Duration::ZERO).await;
    // A guest that says nothing more is waited for as long as a session is.
    until(async || near.admin().queues("jobs").await.expect("lists")[0].leased == 0).await;
    for expected in 1..=3 {
        let delivery = soon(jobs.receive(Selector::Any)).await.expect("takes");
        assert_eq!(number(&delivery), expected);
        delivery.ack().await.expect("acks");
    }
    drop(held);
}

#[tokio::test]
async fn who_waits_for_a_home_that_ends_is_told_what_is_known() {
    // Both wait for as long as a session is waited for.
    let [out, incoming] = Two::both().await;
    tokio::join!(who_waits_is_told(out), who_waits_is_told(incoming));
}

async fn who_waits_is_told(two: Two) {
    two.jobs.send(job(1, 1)).await.expect("sends");
    let held = soon(two.away.receive(Selector::Any)).await.expect("takes");
    let Two { home, away, proxy, .. } = two;
    proxy.close();
    home.drain(Duration::ZERO).await;
    let kinds = [ErrorKind::StaleLease, ErrorKind::OutcomeUnknown];
    let acked = soon(held.ack()).await.expect_err("its home is gone");
    assert!(kinds.contains(&acked.kind()), "{acked}");
    let now = soon(away.try_receive(Selector::Any)).await.expect_err("its home is gone");
    assert_eq!(now.kind(), ErrorKind::Unreachable);
    let now = soon(away.try_send(job(1, 2))).await.expect_err("its home is gone");
    assert_eq!(now.kind(), ErrorKind::Unreachable);
    // Who waits, waits for its deadline.
    let wait = Duration::from_millis(20);
    let late = away.receive_timeout(Selector::Any, wait).await.expect_err("nobody sends");
    assert_eq!(late.kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn consumer_survives_a_home_that_is_started_anew() {
    let home = broker("home", Vec::new()).await;
    let proxy = Proxy::start("tcp", &home.urls()[0]).await;
    client(&home).await.queue_with("jobs", open_to_all()).await.expect("opens");
    let guest = broker("guest", vec![way(&proxy.url).incoming_queue(name("jobs"))]).await;
    let far = client(&guest).await;
    until(async || far.admin().queues("jobs").await.expect("lists").len() == 1).await;
    let away = far.queue_with("jobs", QueueOptions::default()).await.expect("opens");
    let mut consumer = away.consumer(Selector::Any, 8).await.expect("consumes");
    let mut home = Some(home);
    for round in 0..2 {
        let broker_home = home.take().expect("it runs");
        let jobs = client(&broker_home).await.queue("jobs").await.expect("opens");
        jobs.send(job(1, round)).await.expect("sends");
        let delivery = soon(consumer.next()).await.expect("goes on").expect("takes");
        assert_eq!(number(&delivery), round);
        soon(delivery.ack()).await.expect("acks");
        broker_home.drain(Duration::ZERO).await;
        let again = broker("home", Vec::new()).await;
        client(&again).await.queue_with("jobs", open_to_all()).await.expect("opens");
        proxy.lead_to(&again.urls()[0]);
        home = Some(again);
    }
}

#[tokio::test]
async fn queue_of_a_bridge_that_is_removed_is_removed_and_one_at_home_lives_on() {
    let there = broker("there", Vec::new()).await;
    let here = broker("here", Vec::new()).await;
    let (near, far) = (client(&here).await, client(&there).await);
    near.queue_with("jobs", open_to_all()).await.expect("opens");
    let way = way(&there.urls()[0]).outgoing_queue(name("jobs"));
    here.reload(config("here", vec![way])).await.expect("reloads");
    until(async || far.admin().queues("jobs").await.expect("lists").len() == 1).await;
    let away = far.queue("jobs").await.expect("opens");
    let refused = far.admin().purge(Object::Queue, "jobs").await.expect_err("it lives there");
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let waiting = tokio::spawn(async move { away.receive(Selector::Any).await });
    until(async || near.admin().queues("jobs").await.expect("lists")[0].waiting == 1).await;
    let asked = r#"{"action":"remove","name":"b"}"#;
    near.request("$bus.bridge", asked, PATIENCE).await.expect("is removed");
    let removed = soon(waiting).await.expect("runs").expect_err("it is removed");
    assert_eq!(removed.kind(), ErrorKind::Removed);
    assert_eq!(near.admin().queues("jobs").await.expect("lists").len(), 1);
}
