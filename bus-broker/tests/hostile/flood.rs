//! A process that opens connections in vain: of random bytes, and beside them as many as it can that never
//! finish their handshake.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::attacks::{AT_A_TIME, RANDOM_CONNECTIONS};
use crate::child::say;
use crate::dice::{Dice, mixed};
use crate::source::connect_from;
use crate::tls_port::TlsPort;

/// What the child's task begins with.
pub const TASK: &str = "flood|";
/// Half-open connections at a time, over both listeners.
const HALF_OPEN: usize = 2000;

/// In a process of its own: connects in vain to two listeners, from an address. Half-open ones that were
/// ended are opened again at once, or when all of them were ended.
pub async fn flood(task: &str) {
    bus_core::sys::raise_file_limit();
    let parts: Vec<&str> = task.split('|').collect();
    let [tcp, tls, source, refilled, seed] = parts[..] else { panic!("no such task") };
    let (seed, source): (u64, Ipv4Addr) =
        (seed.parse().expect("a seed"), source.parse().expect("an address"));
    let port = TlsPort::new(tls, seed + 1).await.coming_from(source);
    say("begins");
    let addresses = [tcp, tls].map(|url| url.split_once("//").expect("a URL").1);
    let random =
        async { tokio::join!(random_frames(addresses[0], source, seed), port.random_bytes()) };
    let mut ended = 0u64;
    let half_open = async {
        match refilled == "refilled" {
            true => refill(addresses, source, &port, &mut ended).await,
            false => loop {
                let once = (0..HALF_OPEN).map(|number| half_open(addresses, source, &port, number));
                ended += join_all(once).await.into_iter().map(u64::from).sum::<u64>();
            },
        }
    };
    tokio::select! {
        _ = random => {}
        () = half_open => {}
    }
    say(ended);
    say("done");
    // Until it is killed: what it has used is looked up first.
    std::future::pending().await
}

/// As many connections in the clear as the other side makes over TLS: none of them shakes hands.
async fn random_frames(address: &str, source: Ipv4Addr, seed: u64) {
    let one = async |number: u64| {
        let mut dice = Dice::new(seed ^ mixed(number));
        let length = dice.below(600) as usize;
        let bytes = dice.bytes(length);
        let mut stream = connect_from(source, address).await.expect("it listens");
        // The broker may have had enough before all is written.
        let _ = stream.write_all(&bytes).await;
        if number.is_multiple_of(8) {
            let _ = timeout(Duration::from_millis(50), stream.read(&mut [0; 4096])).await;
        }
    };
    stream::iter(0..RANDOM_CONNECTIONS).map(one).buffer_unordered(AT_A_TIME).count().await;
}

/// Opens so many, and for each that is ended another one.
async fn refill(addresses: [&str; 2], source: Ipv4Addr, port: &TlsPort, ended: &mut u64) {
    let all = stream::iter(0..usize::MAX).map(|number| half_open(addresses, source, port, number));
    let mut all = all.buffer_unordered(HALF_OPEN);
    while let Some(one) = all.next().await {
        *ended += u64::from(one);
    }
}

/// Opens one and stays until it is ended. Gives whether it came to be.
async fn half_open(addresses: [&str; 2], source: Ipv4Addr, port: &TlsPort, number: usize) -> bool {
    let address = addresses[number % 2];
    let Ok(mut stream) = connect_from(source, address).await else { return false };
    // Less than the header of a frame, or of what TLS begins with.
    let _ = stream.write_all(&port.opening()[..number % 5]).await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
    true
}
