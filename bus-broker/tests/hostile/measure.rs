//! What honest clients over TCP and TLS keep of their throughput while others connect in vain, and how
//! long new ones take to get in.
//!
//! On few cores any process takes time away from others, so each flood is compared with two times without
//! it: with nobody else there, and beside a neighbour that burns as much of a core as the flood's process
//! did and leaves the broker alone.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bus_broker::{Broker, BrokerConfig};
use bus_client::Client;
use tokio::sync::watch;

use crate::attacks::seed;
use crate::child::{Process, cpu_time};
use crate::figures::Figures;
use crate::flood::TASK;
use crate::neighbour;
use crate::pair::Pair;
use crate::raw::authority;
use crate::source::ELSEWHERE;
use crate::tls_port::TlsPort;

/// What the task of a neighbour begins with.
pub const NEIGHBOUR: &str = "neighbour|";
/// How long the honest ones are measured with nobody else there, and beside a neighbour.
const CALM: Duration = Duration::from_secs(4);
/// Between two newcomers.
const PAUSE: Duration = Duration::from_millis(100);

/// Each flood: where it comes from, and whether half-open connections are opened again at once.
const FLOODS: [(&str, Ipv4Addr, &str); 4] = [
    ("warm-up", ELSEWHERE, "together"),
    ("half-open ones opened again together, from elsewhere", ELSEWHERE, "together"),
    ("half-open ones opened again at once, from elsewhere", ELSEWHERE, "refilled"),
    ("half-open ones opened again at once, from here", Ipv4Addr::LOCALHOST, "refilled"),
];

/// In a process of its own: burns this part of a core.
pub fn be_a_neighbour(share: &str) {
    neighbour::burn(share.parse().expect("a part"), || cpu_time(std::process::id()));
}

struct Honest {
    name: &'static str,
    count: watch::Receiver<u64>,
    before: u64,
}

/// Round trips of each pair since they were asked for the last time, in a second.
fn rates(all: &mut [Honest], time: Duration) -> Vec<f64> {
    let rate = |pair: &mut Honest| {
        let now = *pair.count.borrow();
        (now - std::mem::replace(&mut pair.before, now)) as f64 / time.as_secs_f64()
    };
    all.iter_mut().map(rate).collect()
}

async fn calm(all: &mut [Honest]) -> Vec<f64> {
    rates(all, Duration::from_secs(1));
    let began = Instant::now();
    tokio::time::sleep(CALM).await;
    rates(all, began.elapsed())
}

/// New clients come and go, one at a time. Tells how long each took until it was in.
async fn newcomers(
    tcp: &str,
    port: &TlsPort,
    name: &str,
    took: &mut Newcomers,
    is_over: &Cell<bool>,
) {
    while !is_over.get() {
        let began = Instant::now();
        let client = match name {
            "tcp" => Client::connect(tcp).await,
            _ => port.try_client().await,
        };
        match client {
            Ok(client) => {
                took.millis.push(began.elapsed().as_secs_f64() * 1e3);
                client.drain(Duration::from_secs(1)).await;
            }
            Err(_) => took.refused += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Of one listener.
#[derive(Default)]
struct Newcomers {
    /// Milliseconds until each was in.
    millis: Vec<f64>,
    refused: u32,
}

impl Newcomers {
    fn print(mut self, name: &str) {
        self.millis.sort_by(f64::total_cmp);
        let all = &self.millis;
        let (Some(last), Some(median)) = (all.last(), all.get(all.len() / 2)) else {
            return println!("         {name}: no newcomer got in, {} were refused", self.refused);
        };
        println!(
            "         {name}: {} newcomers got in, after {median:.1} ms (median), {last:.1} ms at most; \
             {} were refused",
            all.len(),
            self.refused
        );
    }
}

/// A flood until its end: what the honest ones reached, and the part of a core that it burnt.
async fn beside(task: &str, all: &mut [Honest], tcp: &str, port: &TlsPort) -> (Vec<f64>, f64) {
    let mut child = Process::start(None, task).expect("it is this user's");
    assert_eq!(child.line().await.as_deref(), Some("begins"));
    rates(all, Duration::from_secs(1));
    let (began, burnt, own) = (Instant::now(), cpu_time(child.pid()), cpu_time(std::process::id()));
    let (mut over_tcp, mut over_tls) = (Newcomers::default(), Newcomers::default());
    let mut ended = String::new();
    let is_over = Cell::new(false);
    let flood = async {
        loop {
            match child.line().await.expect("it goes on to its end") {
                line if line == "done" => break,
                line => ended = line,
            }
        }
        is_over.set(true);
        (began.elapsed(), rates(all, began.elapsed()))
    };
    let ((time, during), (), ()) = tokio::join!(
        flood,
        newcomers(tcp, port, "tcp", &mut over_tcp, &is_over),
        newcomers(tcp, port, "tls", &mut over_tls, &is_over),
    );
    let share = |pid, before: Duration| {
        cpu_time(pid).saturating_sub(before).as_secs_f64() / time.as_secs_f64()
    };
    let (burnt, own) = (share(child.pid(), burnt), share(std::process::id(), own));
    println!(
        "         20000 of random bytes in {time:.1?}, {ended} half-open ones were ended; the flood burns \
         {burnt:.2} of a core, broker and clients {own:.2}"
    );
    over_tcp.print("tcp");
    over_tls.print("tls");
    child.kill().await;
    (during, burnt)
}

async fn beside_a_neighbour(share: f64, all: &mut [Honest]) -> Vec<f64> {
    let mut child =
        Process::start(None, &format!("{NEIGHBOUR}{share}")).expect("it is this user's");
    assert_eq!(child.line().await.as_deref(), Some("begins"));
    let rates = calm(all).await;
    child.kill().await;
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
    let honest = 2 * pairs.len() as u64 + 1;
    // The first flood makes what is made once.
    let mut baseline: Option<Figures> = None;
    let wanted = std::env::var("BUS_HOSTILE_FLOOD").unwrap_or_default();
    let floods = FLOODS.iter().enumerate();
    let floods = floods.filter(|(number, (what, ..))| *number == 0 || what.contains(&wanted));
    for (_, (what, source, refilled)) in floods {
        println!("-- {what}");
        let alone = calm(&mut all).await;
        let task = format!("{TASK}{tcp}|{tls}|{source}|{refilled}|{}", seed());
        let (during, share) = beside(&task, &mut all, tcp, &port).await;
        let figures = Figures::with_sessions(&broker, honest).await;
        let neighbour = beside_a_neighbour(share, &mut all).await;
        for (pair, ((alone, neighbour), during)) in
            all.iter().zip(alone.iter().zip(&neighbour).zip(&during))
        {
            println!(
                "         {}: {alone:.0} round trips a second alone, {neighbour:.0} beside a neighbour that burns as \
                 much, {during:.0} beside the flood: {:.2} of alone, {:.2} of beside the neighbour",
                pair.name,
                during / alone,
                during / neighbour,
            );
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
