//! How much of their throughput honest clients keep beside each attack.
//!
//! An honest pair streams small messages over lanes as fast as it can. On few cores any process
//! takes time away from others, so each attack is compared with two times without it: with nobody
//! else there, and beside a neighbour that burns as much of a core as the attack did and leaves
//! the broker alone. The times take turns, so that what else the machine does meets all of
//! them; medians count.

use std::time::{Duration, Instant};

use bus_client::{Client, PublisherOptions, SlowPolicy, SubscribeOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::attacks::{ATTACKS, Attack};
use crate::broker::BrokerProcess;
use crate::dice::given;
use crate::neighbour;
use crate::process::{Process, User, cpu_time, say};

/// How often each attack is measured, and for how long, with as much time without it.
const ROUNDS: u64 = 5;
const MILLIS: u64 = 400;
const BYTES: usize = 64;

/// What one attack was like.
#[derive(Default)]
struct Rows {
    alone: Vec<f64>,
    neighbour: Vec<f64>,
    beside: Vec<f64>,
    /// Of a core, by the attacker and by the broker.
    burnt: Vec<f64>,
    broker: Vec<f64>,
    /// Milliseconds until a new honest client is connected, alone and beside the attack.
    connects_alone: Vec<f64>,
    connects_beside: Vec<f64>,
}

/// Measures the attacks whose names have a part of this in them, and prints a line for each.
pub async fn all(user: Option<User>, seed: u64) {
    let broker = BrokerProcess::start().await;
    let (tasks, count) = stream(&broker).await;
    let scene = Measured {
        broker,
        count,
        user,
        time: Duration::from_millis(given("BUS_HOSTILE_MILLIS", MILLIS)),
    };
    let rounds = given("BUS_HOSTILE_ROUNDS", ROUNDS);
    let wanted = std::env::var("BUS_HOSTILE_ATTACK").unwrap_or_default();
    println!(
        "honest messages of {BYTES} bytes a second, medians of {rounds} times {:?}",
        scene.time
    );
    println!("alone; beside a neighbour that burns as much as the attack; beside the attack");
    for attack in ATTACKS.iter().filter(|attack| attack.name.contains(&wanted)) {
        let mut rows = Rows::default();
        for round in 0..rounds {
            if !scene.measure(attack, seed ^ round, &mut rows).await {
                return;
            }
        }
        rows.print(attack.name);
    }
    assert!(tasks.iter().all(|task| !task.is_finished()), "the honest ones go on");
    tasks.iter().for_each(JoinHandle::abort);
    scene.broker.ends_cleanly().await;
}

struct Measured {
    broker: BrokerProcess,
    count: watch::Receiver<u64>,
    user: Option<User>,
    time: Duration,
}

impl Measured {
    /// One round of one attack. `false`: no such process can be started.
    async fn measure(&self, attack: &Attack, seed: u64, rows: &mut Rows) -> bool {
        rows.alone.push(self.rate().await);
        rows.connects_alone.push(self.connects().await);
        let path = self.broker.path();
        let task = format!("attack|{}|{}|{seed}", attack.name, path.display());
        let Some(mut child) = Process::start(self.user, &task) else { return false };
        assert_eq!(child.line().await.as_deref(), Some("begins"));
        let (began, pid) = (Instant::now(), child.pid());
        let before = (cpu_time(pid), cpu_time(self.broker.pid()));
        let hearing = async { while child.line().await.is_some() {} };
        let measured = async { (self.rate().await, self.connects().await) };
        tokio::select! {
            (rate, connects) = measured => {
                rows.beside.push(rate);
                rows.connects_beside.push(connects);
            }
            () = hearing => panic!("{} has ended: {}", attack.name, self.broker.log()),
        }
        let time = began.elapsed().as_secs_f64();
        let share = (cpu_time(pid) - before.0).as_secs_f64() / time;
        rows.burnt.push(share);
        rows.broker.push((cpu_time(self.broker.pid()) - before.1).as_secs_f64() / time);
        child.kill().await;
        let Some(mut neighbour) = Process::start(self.user, &format!("neighbour|{share}")) else {
            return false;
        };
        assert_eq!(neighbour.line().await.as_deref(), Some("begins"));
        rows.neighbour.push(self.rate().await);
        neighbour.kill().await;
        true
    }

    /// Until another client has lanes, in milliseconds.
    async fn connects(&self) -> f64 {
        let began = Instant::now();
        let client = Client::connect(&self.broker.url("shm")).await.expect("connects");
        let time = began.elapsed();
        client.drain(Duration::from_secs(5)).await;
        time.as_secs_f64() * 1e3
    }

    async fn rate(&self) -> f64 {
        let (began, before) = (Instant::now(), *self.count.borrow());
        tokio::time::sleep(self.time).await;
        (*self.count.borrow() - before) as f64 / began.elapsed().as_secs_f64()
    }
}

impl Rows {
    fn print(mut self, name: &str) {
        let ratios = |of: &[f64], by: &[f64]| -> Vec<f64> {
            of.iter().zip(by).map(|(of, by)| of / by).collect()
        };
        let mut by_alone = ratios(&self.beside, &self.alone);
        let mut by_neighbour = ratios(&self.beside, &self.neighbour);
        println!(
            "{name:<42} {:>9.0} {:>9.0} {:>9.0}, {:.2} of alone, {:.2} of beside the neighbour; \
             the attack burns {:.2} of a core, the broker {:.2}; a client connects in {:.1} ms \
             alone, {:.1} beside it",
            median(&mut self.alone),
            median(&mut self.neighbour),
            median(&mut self.beside),
            median(&mut by_alone),
            median(&mut by_neighbour),
            median(&mut self.burnt),
            median(&mut self.broker),
            median(&mut self.connects_alone),
            median(&mut self.connects_beside),
        );
    }
}

/// Burns this part of a core, and touches nothing else, until it is killed.
pub fn be_a_neighbour(share: f64) {
    say("begins");
    neighbour::burn(share, || cpu_time(std::process::id()));
}

/// A publisher and a subscriber, and how many messages have come.
async fn stream(broker: &BrokerProcess) -> ([JoinHandle<()>; 2], watch::Receiver<u64>) {
    let url = broker.url("shm");
    let client = Client::connect(&url).await.expect("connects");
    let patient = PublisherOptions::default().hold(Duration::from_secs(60));
    let publisher = client.publisher_with("stream", patient).await.expect("opens");
    let reader = Client::connect(&url).await.expect("connects");
    let hold = SubscribeOptions::default().policy(SlowPolicy::Hold);
    let mut all = reader.subscribe_with("stream", hold).await.expect("subscribes");
    let (told, count) = watch::channel(0);
    let publishing = tokio::spawn(async move {
        for number in 0u64.. {
            let mut body = [0; BYTES];
            body[..8].copy_from_slice(&number.to_le_bytes());
            publisher.publish(body.to_vec()).await.expect("there is a broker");
        }
    });
    let reading = tokio::spawn(async move {
        let mut number = 0u64;
        while let Some(batch) = all.next_batch().await {
            for message in batch.expect("there is a broker").iter() {
                assert_eq!(message.payload()[..8], number.to_le_bytes(), "none is lost");
                number += 1;
            }
            told.send_replace(number);
        }
    });
    ([publishing, reading], count)
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
