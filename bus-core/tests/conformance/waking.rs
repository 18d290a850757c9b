//! Readiness: what is told, when a waiting task is woken, and which one.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use crate::pairs::{Pair, fill, pattern, read_some, would_block, write_all};

pub async fn an_idle_link_is_not_readable_and_is_writable(pair: Pair) {
    let Pair { mut near, mut far } = pair;
    for link in [&mut near, &mut far] {
        // A socket may say once that it is readable, until it was tried.
        poll_fn(|cx| {
            while link.poll_readable(cx).is_ready() {
                assert!(would_block(&link.try_read(&mut BytesMut::with_capacity(10))));
            }
            Poll::Ready(())
        })
        .await;
        let idle = poll_fn(|cx| link.poll_readable(cx));
        assert!(timeout(Duration::from_millis(5), idle).await.is_err(), "nothing is there");
        poll_fn(|cx| link.poll_writable(cx)).await.expect("there is room");
    }
}

pub async fn data_wakes_who_waits_to_read(pair: Pair) {
    let Pair { mut near, mut far } = pair;
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let reading = tokio::spawn(async move {
        for _ in 0..50 {
            let part = read_some(&mut *far, 10).await.expect("goes on");
            tell.send(part).await.expect("it is waited for");
        }
    });
    for number in 0..50u8 {
        tokio::task::yield_now().await;
        write_all(&mut *near, vec![Bytes::copy_from_slice(&[number])]).await.expect("goes on");
        assert_eq!(told.recv().await.expect("goes on"), &[number][..]);
    }
    reading.await.expect("runs");
}

pub async fn room_wakes_who_waits_to_write(pair: Pair) {
    let Pair { mut near, mut far } = pair;
    let piece = pattern(100_000);
    let total = 20 * piece.len();
    let slices = vec![piece; 20];
    let writing = tokio::spawn(async move {
        fill(&mut *near, &Bytes::from_static(&[0; 1000]));
        write_all(&mut *near, slices).await.map(|()| near)
    });
    // It stands still now, and goes on with each read.
    tokio::task::yield_now().await;
    let mut read = 0;
    while read < total || !writing.is_finished() {
        let part = timeout(Duration::from_millis(500), read_some(&mut *far, 30_000)).await;
        match part {
            Ok(part) => read += part.expect("goes on").len(),
            Err(_) => assert!(writing.is_finished(), "nobody was woken after {read} bytes"),
        }
    }
    drop(writing.await.expect("runs").expect("goes on"));
}

/// A link belongs to one task at a time, which may change: who asked last is woken.
pub async fn the_last_waker_counts(pair: Pair) {
    let Pair { mut near, mut far } = pair;
    let mut early = Context::from_waker(Waker::noop());
    while let Poll::Ready(ready) = far.poll_readable(&mut early) {
        ready.expect("goes on");
        assert!(would_block(&far.try_read(&mut BytesMut::with_capacity(10))));
    }
    let reading = tokio::spawn(async move { read_some(&mut *far, 10).await });
    tokio::task::yield_now().await;
    write_all(&mut *near, vec![Bytes::from_static(b"woken")]).await.expect("goes on");
    let part = reading.await.expect("runs").expect("goes on");
    assert_eq!(part, &b"woken"[..]);
}
