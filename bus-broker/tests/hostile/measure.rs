//! What honest clients over TCP and TLS keep of their throughput while others connect in vain.
//!
//! Another process opens connections of random bytes, and beside them as many as it can that never
//! finish their handshake. It takes its part of the cores, which the figures do not leave out.

use std::time::{Duration, Instant};

use bus_broker::{Broker, BrokerConfig};
use futures::future::join_all;
use futures::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::attacks::{AT_A_TIME, RANDOM_CONNECTIONS, seed};
use crate::child::{Process, say};
use crate::dice::{Dice, mixed};
use crate::figures::Figures;
use crate::pair::Pair;
use crate::raw::authority;
use crate::tls_port::TlsPort;

/// What the child's task begins with.
pub const TASK: &str = "flood|";
/// Half-open connections at a time, over both listeners.
const HALF_OPEN: usize = 2000;
/// How long the honest ones are measured with nobody else there.
const CALM: Duration = Duration::from_secs(5);

/// In a process of its own: connects to these two listeners in vain.
pub async fn flood(task: &str) {
    bus_core::sys::raise_file_limit();
    let parts: Vec<&str> = task.split('|').collect();
    let [tcp, tls, seed] = parts[..] else { panic!("no such task") };
    let seed: u64 = seed.parse().expect("a seed");
    let port = TlsPort::new(tls, seed + 1).await;
    say("begins");
    let addresses = [tcp, tls].map(|url| url.split_once("//").expect("a URL").1);
    let random = async { tokio::join!(random_frames(addresses[0], seed), port.random_bytes()) };
    let rounds = async {
        for round in 0u64.. {
            half_open(addresses, &port).await;
            say(format!("{} half-open ones were ended", (round + 1) * HALF_OPEN as u64));
        }
    };
    tokio::select! {
        _ = random => {}
        () = rounds => {}
    }
    say("done");
}

/// As many connections in the clear as the other side makes over TLS: none of them shakes hands.
async fn random_frames(address: &str, seed: u64) {
    let one = async |number: u64| {
        let mut dice = Dice::new(seed ^ mixed(number));
        let length = dice.below(600) as usize;
        let bytes = dice.bytes(length);
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        // The broker may have had enough before all is written.
        let _ = stream.write_all(&bytes).await;
        if number.is_multiple_of(8) {
            let _ = timeout(Duration::from_millis(50), stream.read(&mut [0; 4096])).await;
        }
    };
    stream::iter(0..RANDOM_CONNECTIONS).map(one).buffer_unordered(AT_A_TIME).count().await;
}

/// Opens so many at once, and stays until all are ended.
async fn half_open(addresses: [&str; 2], port: &TlsPort) {
    let one = async |number: usize| {
        let address = addresses[number % 2];
        let Ok(mut stream) = TcpStream::connect(address).await else { return };
        // Less than the header of a frame, or of what TLS begins with.
        let _ = stream.write_all(&port.opening()[..number % 5]).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    join_all((0..HALF_OPEN).map(one)).await;
}

struct Honest {
    name: &'static str,
    count: watch::Receiver<u64>,
    before: u64,
}

impl Honest {
    fn begin(&mut self) {
        self.before = *self.count.borrow();
    }

    /// How many round trips there were since this was asked for the last time.
    fn since(&mut self) -> u64 {
        let now = *self.count.borrow();
        now - std::mem::replace(&mut self.before, now)
    }
}

fn print(what: &str, time: Duration, all: &mut [Honest]) -> Vec<f64> {
    let rates: Vec<f64> =
        all.iter_mut().map(|pair| pair.since() as f64 / time.as_secs_f64()).collect();
    for (pair, rate) in all.iter().zip(&rates) {
        println!("{what:<8} {:<4} {rate:>8.0} round trips a second", pair.name);
    }
    rates
}

#[tokio::test]
#[ignore = "it measures for a minute: `--ignored --nocapture measure`"]
async fn measure_what_honest_clients_keep_beside_connections_in_vain() {
    let config = BrokerConfig::default()
        .listen("tcp://127.0.0.1:0".parse().expect("a URL"))
        .listen("tls://127.0.0.1:0".parse().expect("a URL"))
        .tls(authority::server_files());
    let broker = Broker::start(config).await.expect("starts");
    let [tcp, tls] = broker.urls() else { panic!("it listens at two places") };
    let port = TlsPort::new(tls, 1).await;
    let (stop, stopped) = watch::channel(false);
    let (mut all, mut pairs) = (Vec::new(), Vec::new());
    for (name, pair) in [("tcp", Pair::new(tcp, "tcp").await), ("tls", port.pair().await)] {
        let (told, count) = watch::channel(0);
        pairs.push(tokio::spawn(pair.run(stopped.clone(), told)));
        all.push(Honest { name, count, before: 0 });
    }
    let task = format!("{TASK}{tcp}|{tls}|{}", seed());
    let honest = 2 * pairs.len() as u64 + 1;
    // The first time makes what is made once.
    let mut baseline: Option<Figures> = None;
    for round in ["warm-up", "measured"] {
        println!("-- {round}");
        all.iter_mut().for_each(Honest::begin);
        tokio::time::sleep(CALM).await;
        let before = print("before", CALM, &mut all);
        let began = Instant::now();
        let mut child = Process::start(None, &task).expect("it is this user's");
        let mut last = String::from("2000 half-open ones were there, and not yet ended");
        loop {
            match child.line().await.expect("it goes on to its end") {
                line if line == "done" => break,
                line if line == "begins" => {}
                line => last = line,
            }
        }
        let time = began.elapsed();
        let during = print("during", time, &mut all);
        println!("         it took {time:?}; beside 20000 of random bytes {last}");
        child.kill().await;
        let figures = Figures::with_sessions(&broker, honest).await;
        all.iter_mut().for_each(Honest::begin);
        tokio::time::sleep(CALM).await;
        print("after", CALM, &mut all);
        for (before, during) in before.iter().zip(&during) {
            println!("         kept: {:.2}", during / before);
        }
        match &baseline {
            None => baseline = Some(figures),
            Some(baseline) => figures.are_back_at(baseline),
        }
    }
    stop.send(true).expect("somebody listens");
    for pair in pairs {
        pair.await.expect("nothing is lost");
    }
}
