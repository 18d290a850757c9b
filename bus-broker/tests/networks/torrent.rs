//! A torrent of small messages over a bridge whose wire is cut again and again: none is lost, comes
//! twice or changes places, and how soon after healing everything is there.
//!
//! `BUS_NETWORKS_CUTS` says how often, and `BUS_NETWORKS_RATE` how many messages a second; the long form
//! asserts how soon, and needs an optimised build for that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bus_client::{Client, MessageType, PublisherOptions, SlowPolicy, SubscribeOptions};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::block_on;
use crate::bridged::{Bridging, brokers};
use crate::bridges::cut_time;
use crate::dice::{Dice, given};
use crate::host::Host;
use crate::load::{Access, PATIENCE};
use crate::record::{self, Mark, Row};
use crate::scene::lasts;
use crate::serving::{Accord, Scheme, Serving};
use crate::wire::Way;
use crate::world::World;

/// Between two bursts.
const PAUSE: Duration = Duration::from_millis(5);
/// With the head of a record it is 64 bytes.
const FILLING: usize = 32;
/// Whoever is behind by no more than what is published in this time has caught up.
const CLOSE: Duration = Duration::from_millis(50);
/// A round: flow before the cut, so that there is something to lose.
const FLOW: Duration = Duration::from_millis(300);

/// What is published on one host and heard on the other one.
struct Torrent {
    rate: u64,
    published: Arc<AtomicU64>,
    /// How many have come after the first one that came.
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    /// The number after the last one that came.
    next: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Heard {
    /// Another message. The first one that comes is where it begins.
    fn take(&self, row: &mut Option<Row>, mark: Mark) {
        let row = row.get_or_insert(Row { count: mark.number });
        if let Err(wrong) = row.take(mark) {
            self.wrong.lock().expect("nobody panics with it").push(wrong);
            row.count = mark.number + 1;
        }
        self.next.store(row.count, Ordering::Release);
    }
}

impl Torrent {
    /// Begins; messages flow once it is known on the first host that the second one wants them.
    async fn begin([from, to]: [&Host; 2], access: &Access, topic: &str, rate: u64) -> Torrent {
        let (published, heard) = (Arc::new(AtomicU64::new(0)), Arc::new(Heard::default()));
        let torrent = Torrent { rate, published, heard };
        let (heard, place, name) = (torrent.heard.clone(), access.clone(), topic.to_owned());
        drop(to.enter(move || read(place, name, heard)));
        let (published, place, name) =
            (torrent.published.clone(), access.clone(), topic.to_owned());
        drop(from.enter(move || write(place, name, rate, published)));
        torrent.until("it begins", |torrent| torrent.heard.next.load(Ordering::Acquire) > 0).await;
        torrent
    }

    fn behind(&self) -> u64 {
        let heard = self.heard.next.load(Ordering::Acquire);
        self.published.load(Ordering::Acquire).saturating_sub(heard)
    }

    /// Waits until it has caught up. After how long it has.
    async fn catches_up(&self) -> Duration {
        let close = self.rate * CLOSE.as_millis() as u64 / 1000;
        self.until("it catches up", |torrent| torrent.behind() <= close).await
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Torrent) -> bool) -> Duration {
        let since = Instant::now();
        while !is_so(self) {
            assert!(
                since.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {what}; {}",
                self.behind()
            );
            sleep(Duration::from_millis(1)).await;
        }
        since.elapsed()
    }

    fn nothing_is_wrong(&self) {
        let wrong = self.heard.wrong.lock().expect("nobody panics with it");
        assert!(
            wrong.is_empty(),
            "{} wrong, first {:?}",
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
    }
}

async fn client(access: Access, name: &str) -> Client {
    Client::connect_with(&access.url, access.options.name(name)).await.expect("connects")
}

async fn read(access: Access, topic: String, heard: Arc<Heard>) {
    let client = client(access, "torrent reader").await;
    let options = SubscribeOptions::default().policy(SlowPolicy::Hold);
    let options = options.window_bytes(16 << 20).backlog_bytes(64 << 20);
    let mut subscriber = client.subscribe_with(&topic, options).await.expect("subscribes");
    let mut row = None;
    while let Some(found) = subscriber.next().await {
        let wrong = |text: String| heard.wrong.lock().expect("nobody panics with it").push(text);
        match found {
            Ok(found) => match record::read(found.payload()) {
                Ok(mark) => heard.take(&mut row, mark),
                Err(torn) => wrong(torn),
            },
            Err(error) => wrong(error.to_string()),
        }
    }
}

async fn write(access: Access, topic: String, rate: u64, published: Arc<AtomicU64>) {
    let client = client(access, "torrent writer").await;
    let options = PublisherOptions::default().hold(PATIENCE).mode(0o777);
    let publisher = client.publisher_with(&topic, options).await.expect("opens");
    let mut pauses = interval(PAUSE);
    // Whoever was held up publishes what he owes, and no more than that at once.
    pauses.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0;
    loop {
        pauses.tick().await;
        for _ in 0..rate * PAUSE.as_millis() as u64 / 1000 {
            let record = record::record(Mark { writer: 0, number }, FILLING);
            publisher.publish_slice(MessageType::ONE, &record).await.expect("publishes");
            number += 1;
        }
        published.store(number, Ordering::Release);
    }
}

/// So many cuts, in turn without carrier and in silence, one way and both, for 0.1 to `longest`.
async fn is_cut(bridging: Bridging, ways: [usize; 2], cuts: u64, longest: Duration, rate: u64) {
    let Some(world) = World::pair() else { return };
    let accord = Accord::new();
    let brokers = brokers(&world, &accord, bridging).await;
    let options = accord.options(Scheme::Tls);
    let access = Access { url: accord.url(Scheme::Tls, "127.0.0.1"), options };
    let hosts = ways.map(|way| &world.hosts[way]);
    let torrent = Torrent::begin(hosts, &access, "torrent.a", rate).await;
    let mut dice = Dice::new(given("BUS_NETWORKS_SEED", 0x5eed));
    let (wire, mut all) = (&world.wires[0], Vec::new());
    for cut in 0..cuts {
        torrent.catches_up().await;
        lasts(FLOW).await;
        let time = cut_time(&mut dice).min(longest);
        match cut % 4 {
            0 => wire.down(dice.below(2) as usize),
            1 => wire.drop_packets(Way::Both, 100),
            way => wire.drop_packets(Way::To(way as usize - 2), 100),
        }
        lasts(time).await;
        let (before, published) = (torrent.behind(), torrent.published.load(Ordering::Acquire));
        wire.heal();
        let healed = Instant::now();
        let first = torrent.heard.next.load(Ordering::Acquire);
        torrent.until("something comes", |at| at.heard.next.load(Ordering::Acquire) > first).await;
        let flows = healed.elapsed();
        torrent.catches_up().await;
        let after = healed.elapsed();
        eprintln!(
            "cut {cut} of {time:?}: {before} behind; flows {flows:?} and caught up {after:?} after healing, published {published}"
        );
        torrent.nothing_is_wrong();
        all.push(after);
    }
    all.sort();
    let published = torrent.published.load(Ordering::Acquire);
    eprintln!(
        "{cuts} cuts, {published} messages: caught up after {:?}, at the most {:?}",
        all[all.len() / 2],
        all.last()
    );
    assert!(
        !rate_matters(cuts) || all.iter().all(|after| *after <= Duration::from_secs(2)),
        "{:?}\n{:?}",
        all.last(),
        logs(&brokers)
    );
}

/// Whether this is a measurement.
fn rate_matters(cuts: u64) -> bool {
    cuts >= 100
}

fn logs(brokers: &[Serving]) -> Vec<String> {
    brokers.iter().map(Serving::log).collect()
}

#[test]
fn torrent_over_a_bridge_that_is_cut_loses_nothing() {
    let (cuts, rate) = (given("BUS_NETWORKS_CUTS", 4), given("BUS_NETWORKS_RATE", 2000));
    let longest = if cuts <= 4 { 2 } else { 10 };
    block_on(is_cut(Bridging::Both, [0, 1], cuts, Duration::from_secs(longest), rate));
}

#[test]
fn torrent_that_is_read_over_there_loses_nothing() {
    let (cuts, rate) = (given("BUS_NETWORKS_CUTS", 4), given("BUS_NETWORKS_RATE", 2000));
    let longest = if cuts <= 4 { 2 } else { 10 };
    block_on(is_cut(Bridging::One, [1, 0], cuts, Duration::from_secs(longest), rate));
}
