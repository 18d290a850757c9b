//! What a scrape of the metrics of a thousand queues costs others: a measurement, to be read by people.
//!
//! The broker is a process of its own. Here one thread asks for round trips, one after the other, and another one
//! disturbs, in turns. What a scrape costs others may be a core that is busy, or the broker's thread that has no time
//! for them. To tell them apart there is work of the same length that has nothing to do with the broker, and the
//! kernel's word on how long threads that could run had no core. The control is a broker that is held for two
//! milliseconds: if that is not seen, nothing is.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bus_client::Client;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::gettid;
use tempfile::TempDir;

const QUEUES: usize = 1000;
/// The control: so long, so often.
const HELD: Duration = Duration::from_millis(2);
const HELD_EACH: Duration = Duration::from_millis(20);

/// What goes on beside the round trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    ScrapeEachSecond,
    /// A core is busy for as long as a scrape takes.
    WorkEachSecond,
    Scrapes,
    Work,
    /// The broker is stopped, and goes on.
    Holds,
}

/// The order in which they take turns.
const ALL: [Beside; 6] = [
    Beside::Nothing,
    Beside::ScrapeEachSecond,
    Beside::WorkEachSecond,
    Beside::Scrapes,
    Beside::Work,
    Beside::Holds,
];

/// The broker, as anybody runs it.
struct Broker {
    process: Child,
    url: String,
    metrics: SocketAddr,
    _directory: TempDir,
}

/// How long threads have run, and how long they could have and had no core.
#[derive(Clone, Copy, Default)]
struct Times {
    ran: Duration,
    waited: Duration,
}

/// What one turn has brought.
struct Turn {
    lasted: Duration,
    /// In nanoseconds, the shortest first.
    round_trips: Vec<u64>,
    scrapes: Vec<Duration>,
    hub: Times,
    metrics: Times,
    client: Times,
}

impl Broker {
    fn start() -> Broker {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("local:{}", directory.path().join("bus.sock").display());
        let program = std::env::var("BUS_SCRAPE_PROGRAM");
        let program = program.unwrap_or_else(|_| env!("CARGO_BIN_EXE_bus").to_owned());
        let mut command = Command::new(program);
        command.args(["serve", "-l", &url, "--metrics", "127.0.0.1:0"]);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let said = BufReader::new(process.stdout.take().expect("piped")).lines();
        let address = said.map_while(Result::ok).find_map(|line| {
            Some(line.strip_prefix("metrics on http://")?.strip_suffix("/metrics")?.to_owned())
        });
        let metrics = address.expect("it serves metrics").parse().expect("an address");
        Broker { process, url, metrics, _directory: directory }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    /// What the kernel says of the thread of this name.
    fn times(&self, name: &str) -> Times {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("it runs");
        let is_it = |path: &std::path::PathBuf| {
            fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let task = tasks.flatten().map(|task| task.path()).find(is_it).expect("the thread");
        Times::read(&task.join("schedstat").display().to_string())
    }

    /// Asks for all of it, as a scraper does. How long that took.
    fn scrape(&self, page: &mut Vec<u8>) -> Duration {
        page.clear();
        let began = Instant::now();
        let mut stream = TcpStream::connect(self.metrics).expect("it listens");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("it listens");
        stream.read_to_end(page).expect("an answer");
        let took = began.elapsed();
        assert!(page.len() > 500_000, "{}", String::from_utf8_lossy(page));
        took
    }

    /// Disturbs until it is told to stop. How long each scrape took.
    #[expect(clippy::disallowed_methods, reason = "its thread has no runtime, and a time to keep")]
    fn disturb(&self, beside: Beside, busy: Duration, stops: &AtomicBool) -> Vec<Duration> {
        let (mut scrapes, mut page, mut next) = (Vec::new(), Vec::new(), Instant::now());
        let each = match beside {
            Beside::Nothing | Beside::ScrapeEachSecond | Beside::WorkEachSecond => {
                // In the middle of its second.
                next += Duration::from_millis(500);
                Duration::from_secs(1)
            }
            Beside::Holds => HELD_EACH,
            Beside::Scrapes | Beside::Work => Duration::ZERO,
        };
        while !stops.load(Ordering::Relaxed) {
            if Instant::now() < next {
                thread::sleep((next - Instant::now()).min(Duration::from_millis(20)));
                continue;
            }
            match beside {
                Beside::Nothing => {}
                Beside::ScrapeEachSecond | Beside::Scrapes => scrapes.push(self.scrape(&mut page)),
                Beside::WorkEachSecond | Beside::Work => {
                    let began = Instant::now();
                    while began.elapsed() < busy {}
                }
                Beside::Holds => {
                    self.signal(Signal::STOP);
                    thread::sleep(HELD);
                    self.signal(Signal::CONT);
                }
            }
            next += each;
        }
        scrapes
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Times {
    fn read(path: &str) -> Times {
        let text = fs::read_to_string(path).expect("the kernel counts");
        let mut nanos = text.split(' ').map(|part| part.trim().parse().expect("a number"));
        let mut next = || Duration::from_nanos(nanos.next().expect("a number"));
        Times { ran: next(), waited: next() }
    }

    fn own() -> Times {
        Times::read(&format!("/proc/self/task/{}/schedstat", gettid().as_raw_nonzero()))
    }

    fn since(self, before: Times) -> Times {
        Times { ran: self.ran - before.ran, waited: self.waited - before.waited }
    }
}

impl Turn {
    fn take(
        broker: &Broker,
        client: &Pings,
        beside: Beside,
        busy: Duration,
        lasts: Duration,
    ) -> Turn {
        let stops = AtomicBool::new(false);
        thread::scope(|scope| {
            let disturber = scope.spawn(|| broker.disturb(beside, busy, &stops));
            let (hub, metrics) = (broker.times("bus-broker"), broker.times("bus-metrics"));
            let (own, began) = (Times::own(), Instant::now());
            let mut round_trips = client.ask(lasts);
            let (lasted, own) = (began.elapsed(), Times::own().since(own));
            let hub = broker.times("bus-broker").since(hub);
            let metrics = broker.times("bus-metrics").since(metrics);
            stops.store(true, Ordering::Relaxed);
            let scrapes = disturber.join().expect("it does not fail");
            round_trips.sort_unstable();
            Turn { lasted, round_trips, scrapes, hub, metrics, client: own }
        })
    }

    /// In microseconds.
    fn at(&self, part: f64) -> f64 {
        // No more than there are.
        let index = ((self.round_trips.len() - 1) as f64 * part).round() as usize;
        self.round_trips[index] as f64 / 1e3
    }

    /// What somebody would wait, in microseconds, who asks at any moment: until the round trip ends that is under way
    /// then, and for one more. So what holds a hundred thousand round trips a second up counts as it does with ten.
    fn at_any_moment(&self, part: f64) -> f64 {
        let all: f64 = self.round_trips.iter().map(|nanos| *nanos as f64).sum();
        // The time in which more than so long is left of a round trip is that part of all.
        let (mut longer, mut longer_count) = (0.0, 0.0);
        let mut waits = 0.0;
        for (index, nanos) in self.round_trips.iter().enumerate().rev() {
            (longer, longer_count) = (longer + *nanos as f64, longer_count + 1.0);
            let next = index.checked_sub(1).map_or(0.0, |before| self.round_trips[before] as f64);
            waits = (longer - (1.0 - part) * all) / longer_count;
            if waits >= next {
                break;
            }
        }
        waits.max(0.0) / 1e3 + self.at(0.5)
    }
}

/// Somebody who asks for one round trip after the other, and does nothing else.
struct Pings {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Pings {
    fn new(broker: &Broker) -> Pings {
        // Shared memory, unless something else is to be measured.
        let over = std::env::var("BUS_SCRAPE_OVER").unwrap_or_else(|_| "shm".to_owned());
        let url = broker.url.replace("local:", &format!("{over}:"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = runtime.block_on(async {
            let client = Client::connect(&url).await.expect("connects");
            for number in 0..QUEUES {
                let queue = client.queue(&format!("q{number}")).await.expect("opens");
                queue.send("a").await.expect("sends");
            }
            client
        });
        Pings { runtime, client }
    }

    fn ask(&self, lasts: Duration) -> Vec<u64> {
        self.runtime.block_on(async {
            let (mut all, until) = (Vec::with_capacity(1 << 20), Instant::now() + lasts);
            while Instant::now() < until {
                let took = self.client.ping().await.expect("it is there");
                all.push(u64::try_from(took.as_nanos()).expect("short"));
            }
            all
        })
    }
}

/// The middle one, and the least and the largest.
fn spread(mut all: Vec<f64>) -> String {
    all.sort_by(f64::total_cmp);
    format!("{:.0} ({:.0}-{:.0})", all[all.len() / 2], all[0], all[all.len() - 1])
}

fn print(beside: Beside, turns: &[Turn]) {
    let of = |value: &dyn Fn(&Turn) -> f64| spread(turns.iter().map(value).collect());
    let per_second = |of: &dyn Fn(&Turn) -> Duration| {
        let part = |turn: &Turn| 1e6 * of(turn).as_secs_f64() / turn.lasted.as_secs_f64();
        turns.iter().map(part).sum::<f64>() / turns.len() as f64
    };
    println!("{beside:?}, {} turns; round trips in us:", turns.len());
    println!(
        "  p50 {}, p99 {}, p99.9 {}, p99.99 {}, max {}; a second {}",
        of(&|it| it.at(0.5)),
        of(&|it| it.at(0.99)),
        of(&|it| it.at(0.999)),
        of(&|it| it.at(0.9999)),
        of(&|it| it.at(1.0)),
        of(&|it| it.round_trips.len() as f64 / it.lasted.as_secs_f64()),
    );
    println!(
        "  asked at any moment: p50 {}, p99 {}, p99.9 {}, p99.99 {}",
        of(&|it| it.at_any_moment(0.5)),
        of(&|it| it.at_any_moment(0.99)),
        of(&|it| it.at_any_moment(0.999)),
        of(&|it| it.at_any_moment(0.9999)),
    );
    println!(
        "  us of a second without a core: broker {:.0}, client {:.0}; on one: broker {:.0}, metrics {:.0}",
        per_second(&|it| it.hub.waited),
        per_second(&|it| it.client.waited),
        per_second(&|it| it.hub.ran),
        per_second(&|it| it.metrics.ran),
    );
    let scrapes: Vec<f64> =
        turns.iter().flat_map(|it| &it.scrapes).map(|it| it.as_secs_f64() * 1e6).collect();
    if !scrapes.is_empty() {
        println!("  {} scrapes of {} us", scrapes.len(), spread(scrapes));
    }
}

fn number(name: &str, default: f64) -> f64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// `cargo test --release -p bus-broker --test scrapes -- --ignored --nocapture`; `BUS_SCRAPE_ROUNDS` and
/// `BUS_SCRAPE_SECONDS` say how many turns each has, and how long one is; `BUS_SCRAPE_OVER=unix` has the client use
/// a socket, and `BUS_SCRAPE_PROGRAM` names another broker, to compare with.
#[test]
#[ignore = "a measurement, to be read by people"]
fn measure_round_trips_of_others_beside_scrapes() {
    let rounds = number("BUS_SCRAPE_ROUNDS", 3.0) as usize;
    let lasts = Duration::from_secs_f64(number("BUS_SCRAPE_SECONDS", 3.0));
    let broker = Broker::start();
    let client = Pings::new(&broker);
    let mut page = Vec::new();
    let mut scrapes: Vec<Duration> = (0..20).map(|_| broker.scrape(&mut page)).collect();
    scrapes.sort();
    println!("a scrape alone: {:?} (median of 20), {:?} at most", scrapes[10], scrapes[19]);
    let mut all: Vec<Vec<Turn>> = ALL.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (beside, turns) in ALL.iter().zip(&mut all) {
            turns.push(Turn::take(&broker, &client, *beside, scrapes[10], lasts));
        }
    }
    ALL.iter().zip(&all).for_each(|(beside, turns)| print(*beside, turns));
    let held = ALL.iter().position(|it| *it == Beside::Holds).map(|index| &all[index]);
    let held = held.expect("it is one of them");
    // It is held for a tenth of the time: whoever asks then waits for a half of it and more, every other time.
    let seen =
        held.iter().all(|turn| turn.at_any_moment(0.97) * 1e3 >= HELD.as_nanos() as f64 / 2.0);
    assert!(seen, "a broker that is held for {HELD:?} is not seen: the measurement is of no use");
}
