//! Hostile peers on every listener, while a well-behaved pair goes on and loses nothing.
//!
//! All in one test: it looks at the memory and the descriptors of the whole process, and so
//! must be alone in it. The seed is printed and can be given (`BUS_HOSTILE_SEED`).

#[path = "common/process.rs"]
mod child;
#[path = "common/dice.rs"]
mod dice;
#[path = "common/pair.rs"]
mod pair;
#[path = "common/raw.rs"]
mod raw;

#[path = "hostile/attacks.rs"]
mod attacks;
#[path = "hostile/figures.rs"]
mod figures;
#[path = "hostile/measure.rs"]
mod measure;
#[path = "hostile/process.rs"]
mod process;
#[path = "hostile/tls_port.rs"]
mod tls_port;

use std::time::Duration;

use bus_broker::{Broker, BrokerConfig};
use bus_client::Client;
use tokio::sync::watch;

use attacks::Target;
use figures::Figures;
use pair::Pair;
use tls_port::TlsPort;

/// The test that a child runs.
const CHILD: &str = "process::child_process";
const SOON: Duration = Duration::from_secs(20);

/// Runs one attack on both listeners at once.
macro_rules! on_both {
    ($targets:expr, $attack:path) => {{
        let began = std::time::Instant::now();
        let [local, tcp] = &$targets;
        tokio::join!($attack(local), $attack(tcp));
        eprintln!("{}: {:?}", stringify!($attack), began.elapsed());
    }};
}

#[tokio::test]
async fn hostile_peers_cost_themselves_their_connection_and_others_nothing() {
    let seed = attacks::seed();
    eprintln!("seed {seed}");
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = format!("local:{}", home.path().join("bus.sock").display());
    // Thousands of bad connections are to be heard, not to wait.
    let config = BrokerConfig::default()
        .throttle(false)
        .listen(path.parse().expect("a URL"))
        .listen("tcp://127.0.0.1:0".parse().expect("a URL"))
        .listen("tls://127.0.0.1:0".parse().expect("a URL"))
        .tls(raw::authority::server_files());
    let broker = Broker::start(config).await.expect("starts");
    let targets = [
        Target::new("local", &broker.urls()[0], seed),
        Target::new("tcp", &broker.urls()[1], seed + 1),
    ];
    let tls = TlsPort::new(&broker.urls()[2], seed + 2).await;
    let (stop, stopped) = watch::channel(false);
    let mut pairs = Vec::new();
    for target in &targets {
        let pair = Pair::new(&target.url, target.tag).await;
        pairs.push(tokio::spawn(pair.run(stopped.clone(), watch::channel(0).0)));
    }
    pairs.push(tokio::spawn(tls.pair().await.run(stopped.clone(), watch::channel(0).0)));
    // What is made once, on first use, belongs to the baseline.
    on_both!(targets, attacks::warm_up);
    tls.warm_up().await;
    // Two of each pair, and the one that looks.
    let honest = 2 * pairs.len() as u64 + 1;
    let before = Figures::with_sessions(&broker, honest).await;
    on_both!(targets, attacks::random_bytes);
    on_both!(targets, attacks::giant_frames);
    on_both!(targets, attacks::broken_handshakes);
    on_both!(targets, attacks::wrong_versions);
    on_both!(targets, attacks::stolen_sessions);
    on_both!(targets, attacks::frames_that_a_client_may_not_send);
    on_both!(targets, attacks::largest_numbers);
    on_both!(targets, attacks::foreign_leases);
    for target in &targets {
        attacks::greedy_peeks(target).await;
    }
    on_both!(targets, attacks::cut_in_the_middle_of_a_frame);
    on_both!(targets, attacks::half_open_handshakes);
    tls.attack().await;
    process::comes_and_goes_and_is_killed(&broker, &targets[0].url, &before).await;
    let after = Figures::with_sessions(&broker, honest).await;
    stop.send(true).expect("somebody listens");
    for pair in pairs {
        let count = pair.await.expect("the honest pair loses nothing");
        assert!(count > 50, "only {count} messages went meanwhile");
    }
    after.are_back_at(&before);
    let client = Client::connect(broker.url()).await.expect("it still takes clients");
    let info = client.admin().broker().await.expect("and answers");
    eprintln!("{info:?}");
    drop(targets);
    broker.drain(Duration::from_secs(5)).await;
}
