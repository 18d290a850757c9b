//! What a peer over TLS can make a broker keep before it is known who he is.
//!
//! All memory of the process is counted, so that nothing else may run beside: there is one test.
//! The broker's side does what a broker does: it polls the link for the first frame. What the peers
//! themselves need is freed before it is counted; their connections stay.

#[path = "../certificates/mod.rs"]
mod certificates;
mod peers;

use std::net::TcpStream;

use bus_core::transport::{ClientCertificates, TlsListener, TlsServer, next_frame};
use bus_core::{Decoder, HANDSHAKE_MEMORY_BYTES_MAX};
use peak_alloc::PeakAlloc;
use tokio::task::{JoinHandle, spawn_blocking, yield_now};

use certificates::Authority;
use peers::Stage;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// As many do the same, so that what belongs to none of them hardly counts.
const PEERS: usize = 8;

/// What one such peer costs, and how many of them are still there. The control: what it would cost
/// if it were known who he is.
async fn cost(stage: &Stage, listener: &mut TlsListener, is_known: bool) -> (usize, usize) {
    let before = settled().await;
    let (mut peers, mut serving): (Vec<TcpStream>, Vec<JoinHandle<()>>) = (Vec::new(), Vec::new());
    for _ in 0..PEERS {
        let attack = stage.attack(listener.local_addr().expect("an address"));
        let attacking = spawn_blocking(attack);
        let mut link = listener.accept().await.expect("accepts");
        if is_known {
            link.establish();
        }
        serving.push(tokio::spawn(async move {
            let mut decoder = Decoder::for_handshake();
            let _ = next_frame(&mut *link, &mut decoder).await;
        }));
        peers.push(attacking.await.expect("it connects"));
    }
    let after = settled().await;
    let there = serving.iter().filter(|task| !task.is_finished()).count();
    serving.iter().for_each(JoinHandle::abort);
    drop(peers);
    (after.saturating_sub(before) / PEERS, there)
}

/// The memory in use, when nothing changes any more.
async fn settled() -> usize {
    let mut last = (MEMORY.current_usage(), 0);
    while last.1 < 2000 {
        yield_now().await;
        let now = MEMORY.current_usage();
        last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
    }
    last.0
}

#[tokio::test]
async fn before_it_is_known_who_he_is_a_peer_costs_no_more_than_the_limit() {
    let authority = Authority::new();
    let mut files = authority.server_files(&authority.broker(&["127.0.0.1"]));
    files.client_certificates = ClientCertificates::Optional;
    let server = TlsServer::new(&files).expect("good files");
    let mut listener = TlsListener::bind("127.0.0.1:0", server).await.expect("a port");
    let (all, control) = Stage::all(&authority);
    // What is made once belongs to nobody.
    cost(&all[0], &mut listener, false).await;
    cost(&control, &mut listener, false).await;
    for stage in all {
        let (bytes, there) = cost(&stage, &mut listener, false).await;
        println!("{}: {bytes} bytes, {there} of {PEERS} are there", stage.name);
        assert_eq!(there, if stage.is_taken { PEERS } else { 0 }, "{}", stage.name);
        // Whoever has shown that a believed certificate is his own costs it beside that.
        let most = HANDSHAKE_MEMORY_BYTES_MAX + stage.certificates_bytes;
        assert!(bytes <= most, "{} costs {bytes} bytes, and {most} are allowed", stage.name);
    }
    let (bytes, there) = cost(&control, &mut listener, true).await;
    println!("the control: {bytes} bytes");
    assert_eq!(there, PEERS);
    assert!(bytes > HANDSHAKE_MEMORY_BYTES_MAX, "only {bytes} bytes: nothing is shown");
    assert_eq!(cost(&control, &mut listener, false).await.1, 0);
}
