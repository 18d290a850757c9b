//! How a link ends, and who is at its other end.

use std::future::poll_fn;
use std::io;

use bus_core::sys::effective_uid;
use bus_core::transport::Transport;
use bytes::Bytes;

use crate::pairs::{Listening, Pair, fill, pattern, read_exactly, read_some, write_all};

pub async fn what_was_written_before_the_end_can_be_read(pair: Pair) {
    let Pair { mut near, mut far } = pair;
    let all = pattern(100_000);
    write_all(&mut *near, vec![all.clone()]).await.expect("goes on");
    drop(near);
    assert!(read_exactly(&mut *far, all.len()).await == all);
    for _ in 0..3 {
        assert!(read_some(&mut *far, 10).await.expect("an end is no error").is_empty());
    }
}

pub async fn writing_to_an_ended_peer_fails(pair: Pair) {
    let Pair { near, mut far } = pair;
    drop(near);
    let piece = pattern(1000);
    // A socket notices with the first answer from the other side.
    for _ in 0..10_000 {
        if let Err(error) = write_all(&mut *far, vec![piece.clone()]).await {
            let ended = [
                io::ErrorKind::BrokenPipe,
                io::ErrorKind::ConnectionReset,
                io::ErrorKind::ConnectionAborted,
            ];
            assert!(ended.contains(&error.kind()), "{error:?}");
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it goes on writing to nobody");
}

pub async fn an_end_wakes_who_waits_to_read(pair: Pair) {
    let Pair { near, mut far } = pair;
    let waiting = tokio::spawn(async move { read_some(&mut *far, 10).await });
    tokio::task::yield_now().await;
    drop(near);
    let found = waiting.await.expect("runs").expect("an end is no error");
    assert!(found.is_empty());
}

pub async fn an_end_wakes_who_waits_to_write(pair: Pair) {
    let Pair { mut near, far } = pair;
    let piece = pattern(100_000);
    fill(&mut *near, &piece);
    let waiting = tokio::spawn(async move {
        loop {
            write_all(&mut *near, vec![piece.clone()]).await?;
        }
    });
    tokio::task::yield_now().await;
    drop(far);
    let ended: io::Result<()> = waiting.await.expect("runs");
    ended.expect_err("nobody reads it");
}

/// The kernel's word about the peer, or none.
pub async fn both_ends_know_what_they_are(listening: &Listening) {
    let pair = listening.pair().await;
    for link in [&pair.near, &pair.far] {
        assert_eq!(link.transport(), listening.transport);
        let peer = link.peer();
        assert!(!peer.address.is_empty(), "people are told where it is");
        match (listening.transport, &peer.credentials) {
            (Transport::Tcp | Transport::Tls, found) => {
                assert_eq!(*found, None, "nobody vouches for it")
            }
            (_, None) => panic!("a peer on this machine is known"),
            (_, Some(found)) => {
                assert_eq!(found.uid, effective_uid());
                assert_eq!(found.pid, Some(std::process::id()));
            }
        }
    }
}

pub async fn a_cancelled_accept_loses_no_connection(listening: &Listening) {
    for _ in 0..20 {
        let accepting = async {
            // Given up before it is polled, and after one poll.
            drop(listening.accept());
            let accepted = tokio::select! {
                biased;
                far = listening.accept() => Some(far),
                () = std::future::ready(()) => None,
            };
            let mut far = match accepted {
                Some(far) => far,
                None => listening.accept().await,
            };
            poll_fn(|cx| far.poll_writable(cx)).await.expect("goes on");
            far
        };
        // Whoever connects may want an answer before he has connected.
        let (mut near, mut far) = tokio::join!(listening.connect(), accepting);
        write_all(&mut *near, vec![Bytes::from_static(b"hello")]).await.expect("goes on");
        assert_eq!(read_exactly(&mut *far, 5).await, &b"hello"[..]);
        poll_fn(|cx| far.poll_writable(cx)).await.expect("there is room");
    }
}
