//! A torrent of small messages over a bridge whose wire is cut again and again: none is lost, comes
//! twice or changes places, and how soon after healing everything is there.
//!
//! `BUS_NETWORKS_CUTS` says how often, and `BUS_NETWORKS_RATE` how many messages a second. Who says how
//! often asks for the long form, which also asserts how soon: it measures, and needs an optimised build.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bus_client::{Client, MessageType, PublisherOptions, SlowPolicy, SubscribeOptions};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::block_on;
use crate::bridged::{Bridging, brokers};
use crate::bridges::cut_time;
use crate::dice::{Dice, given};
use crate::host::{Host, Task};
use crate::load::{Access, PATIENCE};
use crate::record::{self, Mark, Row};
use crate::scene::lasts;
use crate::serving::{Accord, Scheme, Serving};
use crate::wire::Way;
use crate::world::World;

const TOPIC: &str = "torrent.a";
/// Between two bursts.
const PAUSE: Duration = Duration::from_millis(5);
/// With the head of a record it is 64 bytes.
const FILLING: usize = 32;
/// Whoever is behind by no more than what is published in this time has caught up.
const CLOSE: Duration = Duration::from_millis(50);
/// In the long form it has caught up within this.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(2);
/// The short form.
const SHORT_CUTS: u64 = 5;
const SHORT: Duration = Duration::from_millis(1500);
/// Before each cut, so that there is something to lose.
const FLOW: Duration = Duration::from_millis(300);

/// What is published on one host and heard on the other one.
struct Torrent {
    rate: u64,
    published: Arc<AtomicU64>,
    heard: Arc<Heard>,
    stops: Arc<AtomicBool>,
    writer: Task<()>,
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

    fn nothing_is_wrong(&self) {
        let wrong = self.wrong.lock().expect("nobody panics with it");
        assert!(
            wrong.is_empty(),
            "{} wrong, first {:?}",
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
    }
}

impl Torrent {
    /// Begins. Messages flow once it is known on the first host that the second one wants them.
    async fn begin([from, to]: [&Host; 2], access: &Access, rate: u64) -> Torrent {
        let (published, heard) = (Arc::<AtomicU64>::default(), Arc::<Heard>::default());
        let stops = Arc::<AtomicBool>::default();
        let (place, hears) = (access.clone(), heard.clone());
        drop(to.enter(move || read(place, hears)));
        let (place, counts, ends) = (access.clone(), published.clone(), stops.clone());
        let writer = from.enter(move || write(place, rate, counts, ends));
        let torrent = Torrent { rate, published, heard, stops, writer };
        torrent.until("it begins", |torrent| torrent.heard.next.load(Ordering::Acquire) > 0).await;
        torrent
    }

    /// Ends, and everything has come. How much that was.
    async fn ends(self) -> u64 {
        self.stops.store(true, Ordering::Release);
        let Torrent { published, heard, writer, .. } = self;
        writer.ends(PATIENCE).await;
        let published = published.load(Ordering::Acquire);
        let since = Instant::now();
        while heard.next.load(Ordering::Acquire) < published {
            assert!(since.elapsed() < PATIENCE, "the last messages have not come");
            sleep(Duration::from_millis(1)).await;
        }
        heard.nothing_is_wrong();
        published
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
}

async fn client(access: Access, name: &str) -> Client {
    Client::connect_with(&access.url, access.options.name(name)).await.expect("connects")
}

async fn read(access: Access, heard: Arc<Heard>) {
    let client = client(access, "torrent reader").await;
    let options = SubscribeOptions::default().policy(SlowPolicy::Hold);
    let options = options.window_bytes(16 << 20).backlog_bytes(64 << 20);
    let mut subscriber = client.subscribe_with(TOPIC, options).await.expect("subscribes");
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

async fn write(access: Access, rate: u64, published: Arc<AtomicU64>, stops: Arc<AtomicBool>) {
    let client = client(access, "torrent writer").await;
    let options = PublisherOptions::default().hold(PATIENCE).mode(0o777);
    let publisher = client.publisher_with(TOPIC, options).await.expect("opens");
    let mut pauses = interval(PAUSE);
    // Whoever was held up publishes what he owes, and no more than that at once.
    pauses.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0;
    while !stops.load(Ordering::Acquire) {
        pauses.tick().await;
        for _ in 0..rate * PAUSE.as_millis() as u64 / 1000 {
            let record = record::record(Mark { writer: 0, number }, FILLING);
            publisher.publish_slice(MessageType::ONE, &record).await.expect("publishes");
            number += 1;
        }
        published.store(number, Ordering::Release);
    }
    publisher.flush().await.expect("everything is accepted");
}

/// The wire is cut once. After how long everything is there again.
async fn cut(world: &World, torrent: &Torrent, number: u64, time: Duration) -> Duration {
    let wire = &world.wires[0];
    match number % 5 {
        0 | 1 => wire.down(number as usize % 5),
        2 => wire.drop_packets(Way::Both, 100),
        way => wire.drop_packets(Way::To(way as usize - 3), 100),
    }
    lasts(time).await;
    let (behind, heard) = (torrent.behind(), torrent.heard.next.load(Ordering::Acquire));
    world.heal();
    let healed = Instant::now();
    let flows = |torrent: &Torrent| torrent.heard.next.load(Ordering::Acquire) > heard;
    let flows = torrent.until("something comes", flows).await;
    torrent.catches_up().await;
    let after = healed.elapsed();
    torrent.heard.nothing_is_wrong();
    eprintln!(
        "cut {number} of {time:?}: {behind} behind; flows {flows:?} after healing, has caught up after {after:?}"
    );
    after
}

/// Cuts of every kind, for 0.1 to 10 s in the long form and to 2 s in the short one.
async fn is_cut(bridging: Bridging, ways: [usize; 2]) {
    let (cuts, rate) = (given("BUS_NETWORKS_CUTS", 0), given("BUS_NETWORKS_RATE", 2000));
    let Some(world) = World::pair() else { return };
    let accord = Accord::new();
    let brokers = brokers(&world, &accord, bridging).await;
    let options = accord.options(Scheme::Tls);
    let access = Access { url: accord.url(Scheme::Tls, "127.0.0.1"), options };
    let hosts = ways.map(|way| &world.hosts[way]);
    let torrent = Torrent::begin(hosts, &access, rate).await;
    let mut dice = Dice::new(given("BUS_NETWORKS_SEED", 0x5eed));
    let mut all = Vec::new();
    for number in 0..if cuts == 0 { SHORT_CUTS } else { cuts } {
        torrent.catches_up().await;
        lasts(FLOW).await;
        let time = cut_time(&mut dice);
        let time = if cuts == 0 { time.min(SHORT) } else { time };
        all.push(cut(&world, &torrent, number, time).await);
    }
    let published = torrent.ends().await;
    all.sort();
    let (count, middle, worst) = (all.len(), all[all.len() / 2], all[all.len() - 1]);
    eprintln!(
        "{count} cuts, {published} messages: caught up after {middle:?}, at the most {worst:?}"
    );
    let logs: Vec<_> = brokers.iter().map(Serving::log).collect();
    assert!(cuts == 0 || worst <= CAUGHT_UP_WITHIN, "{worst:?}\n{logs:?}");
}

#[test]
fn torrent_over_a_bridge_that_is_cut_loses_nothing() {
    block_on(is_cut(Bridging::Both, [0, 1]));
}

#[test]
fn torrent_that_is_read_over_there_loses_nothing() {
    block_on(is_cut(Bridging::One, [1, 0]));
}

#[test]
fn message_that_is_lost_or_twice_or_at_another_place_is_found() {
    let wrong = |numbers: &[u64]| {
        let (heard, mut row) = (Heard::default(), None);
        numbers.iter().for_each(|number| heard.take(&mut row, Mark { writer: 0, number: *number }));
        heard.wrong.into_inner().expect("nobody panics with it").len()
    };
    assert_eq!(wrong(&[3, 4, 5, 6]), 0);
    for numbers in [[3, 5, 6, 7], [3, 3, 4, 5], [3, 4, 4, 5], [3, 5, 4, 6]] {
        assert!(wrong(&numbers) > 0, "{numbers:?}");
    }
}
