//! A broker with honest pairs of clients, one over lanes and one over sockets, and a hostile
//! process beside them.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::attacks::Attack;
use crate::broker::{BrokerProcess, Figures};
use crate::dice::given;
use crate::handed_over::{ENDS, UNSAFE, expected};
use crate::pair::Pair;
use crate::process::{Process, User};

/// Honest pairs go on for so long before and during each attack, at the least.
const MILLIS: u64 = 100;
/// Longer than anything takes that works, also where the machine has much else to do.
const SOON: Duration = Duration::from_secs(60);
/// Descriptors that one hostile client may cost the broker while it is there: its connections,
/// and what comes along in a handshake.
const DESCRIPTORS_EACH: usize = 16;

pub struct Scene {
    pub broker: BrokerProcess,
    pairs: Vec<JoinHandle<u64>>,
    counts: Vec<watch::Receiver<u64>>,
    stop: watch::Sender<bool>,
    before: Figures,
}

impl Scene {
    pub async fn start() -> Scene {
        let broker = BrokerProcess::start().await;
        let (stop, stopped) = watch::channel(false);
        let (mut pairs, mut counts) = (Vec::new(), Vec::new());
        for scheme in ["shm", "unix"] {
            let pair = Pair::new(&broker.url(scheme), scheme).await;
            let (told, count) = watch::channel(0);
            pairs.push(tokio::spawn(pair.run(stopped.clone(), told)));
            counts.push(count);
        }
        let before = broker.figures();
        let mut scene = Scene { broker, pairs, counts, stop, before };
        scene.goes_on(100).await;
        // What is made once, on first use, belongs to the baseline.
        scene.before = scene.broker.figures();
        scene
    }

    /// How many messages the honest pairs have exchanged.
    fn count(&self) -> u64 {
        self.counts.iter().map(|count| *count.borrow()).sum()
    }

    /// Waits until the honest ones have gone on by so many messages each.
    pub async fn goes_on(&mut self, by: u64) {
        for count in &mut self.counts {
            let wanted = *count.borrow() + by;
            // However slow the machine is: each message comes soon.
            while *count.borrow_and_update() < wanted {
                let told = tokio::time::timeout(SOON, count.changed()).await;
                let told = told.expect("they are not stopped");
                assert!(told.is_ok(), "an honest pair has ended: {}", self.broker.log());
            }
        }
    }

    /// Messages a second of the honest ones, while they are let be for some time.
    async fn rate(&mut self, time: Duration) -> f64 {
        let (began, count) = (Instant::now(), self.count());
        while began.elapsed() < time {
            self.goes_on(5).await;
        }
        (self.count() - count) as f64 / began.elapsed().as_secs_f64()
    }

    /// One attack, by a process of a user.
    pub async fn attack(&mut self, user: Option<User>, attack: &Attack, seed: u64) {
        let time = Duration::from_millis(given("BUS_HOSTILE_MILLIS", MILLIS));
        let alone = self.rate(time).await;
        let heard = self.broker.log().len();
        let path = self.broker.path();
        let task = format!("attack|{}|{}|{seed}", attack.name, path.display());
        let Some(mut child) = Process::start(user, &task) else { return };
        assert_eq!(child.line().await.as_deref(), Some("begins"), "{}", attack.name);
        let (began, count) = (Instant::now(), self.count());
        let (mut turns, mut descriptors) = (0, 0);
        while turns < attack.turns || began.elapsed() < time {
            let said = child.line().await;
            assert_eq!(said.as_deref(), Some("turn"), "{}: {}", attack.name, self.broker.log());
            turns += 1;
            let now = self.broker.figures();
            descriptors = descriptors.max(now.descriptors);
            assert!(!now.mappings.keys().any(|name| name.starts_with(UNSAFE)), "{now:?}");
        }
        let beside = (self.count() - count) as f64 / began.elapsed().as_secs_f64();
        child.kill().await;
        self.returns(attack.name).await;
        let limit = self.before.descriptors + DESCRIPTORS_EACH;
        assert!(descriptors <= limit, "{}: {descriptors} descriptors", attack.name);
        let log = self.broker.log();
        if let Some(reason) = attack.reason {
            let told = log[heard..].lines().filter(|line| line.contains(reason)).count();
            assert!(told >= attack.turns.min(2), "{}: {}", attack.name, &log[heard..]);
        }
        self.goes_on(20).await;
        let uid = user.map_or_else(bus_core::sys::effective_uid, |user| user.uid);
        eprintln!(
            "uid {uid} {}: {turns} turns in {:?}; the honest: {alone:.0}/s alone, {beside:.0}/s \
             beside it, {:.2} of it",
            attack.name,
            began.elapsed(),
            beside / alone,
        );
    }

    /// Everything that a client may not hand over, by a process of a user.
    pub async fn hand_over(&mut self, user: Option<User>) {
        let task = format!("hand over|{}", self.broker.path().display());
        let Some(mut child) = Process::start(user, &task) else { return };
        let mut told = Vec::new();
        let line = loop {
            tokio::select! {
                line = child.line() => match line {
                    Some(line) if line == "holding" => break Some(line),
                    Some(line) => told.push(line),
                    None => break None,
                },
                // At every moment that can be looked at.
                () = tokio::time::sleep(Duration::from_micros(200)) => self.has_nothing_unsafe(),
            }
        };
        assert!(line.is_some(), "it has ended too early: {told:#?}");
        self.has_nothing_unsafe();
        for (what, reason) in expected() {
            let line = told.iter().find_map(|line| line.strip_prefix(&format!("{what}: ")));
            let line = line.unwrap_or_else(|| panic!("{what} is not told of: {told:#?}"));
            match line.starts_with("skipped") {
                true => eprintln!("{what}: {line}"),
                false => assert!(line.contains(reason), "{what}: {line}, not {reason}"),
            }
        }
        let ended = told.iter().filter(|line| line.ends_with(ENDS)).count();
        eprintln!("{} cases, of which {ended} ended their connection", told.len());
        child.kill().await;
        self.returns("what it has handed over").await;
        self.goes_on(20).await;
    }

    fn has_nothing_unsafe(&self) {
        let now = self.broker.figures();
        assert!(!now.mappings.keys().any(|name| name.starts_with(UNSAFE)), "{now:?}");
    }

    /// The broker holds what it held before.
    pub async fn returns(&self, what: &str) {
        if let Err(error) = self.broker.returns_to(&self.before).await {
            panic!("after {what}: {error}\n{}", self.broker.log());
        }
    }

    /// The honest ones have lost nothing.
    pub async fn end(self) {
        self.stop.send(true).expect("somebody listens");
        for pair in self.pairs {
            let count = tokio::time::timeout(SOON, pair).await.expect("it ends soon");
            assert!(count.expect("the honest pair loses nothing") > 0);
        }
        self.broker.ends_cleanly().await;
    }
}
