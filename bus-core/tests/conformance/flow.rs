//! Bytes go through whole and in order, and no more of them than there is room for.

use std::future::poll_fn;
use std::task::Poll;

use bus_core::transport::Transport;
use bytes::{Bytes, BytesMut};

use crate::pairs::{Dice, Pair, fill, pattern, read_exactly, read_some, would_block, write_all};

pub async fn bytes_arrive_in_order_in_any_chunking(pair: Pair) {
    let Pair { mut near, mut far } = pair;
    let all = pattern(2 << 20);
    let sent = all.clone();
    let writing = async move {
        let (mut dice, mut rest) = (Dice(1), sent);
        while !rest.is_empty() {
            let limit = [3, 100, 5_000, 200_000][dice.below(4)];
            let slices = (0..1 + dice.below(5)).map(|_| {
                let length = dice.below(limit).min(rest.len());
                rest.split_to(length)
            });
            write_all(&mut *near, slices.collect()).await.expect("goes on");
        }
        near
    };
    let reading = async {
        let (mut dice, mut read) = (Dice(2), 0);
        while read < all.len() {
            let room = 1 + dice.below([2, 100, 5_000, 200_000][dice.0 as usize % 4]);
            let part = read_some(&mut *far, room).await.expect("goes on");
            assert!(!part.is_empty() && part == all[read..read + part.len()], "at {read}");
            read += part.len();
        }
    };
    tokio::join!(writing, reading);
}

pub async fn many_slices_go_out_in_order(pair: Pair) {
    let Pair { mut near, mut far } = pair;
    // More than any system call takes.
    let all = pattern(5_000 * 7);
    let slices: Vec<Bytes> = (0..5_000).map(|index| all.slice(index * 7..index * 7 + 7)).collect();
    let (written, read) =
        tokio::join!(write_all(&mut *near, slices), read_exactly(&mut *far, all.len()));
    written.expect("goes on");
    assert!(read == all);
}

pub async fn empty_slices_stand_in_nobodys_way(pair: Pair) {
    let Pair { mut near, mut far } = pair;
    let slices =
        [Bytes::new(), Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"two")];
    poll_fn(|cx| near.poll_writable(cx)).await.expect("there is room");
    assert_eq!(near.try_write(&slices).expect("there is room"), 6);
    assert_eq!(read_exactly(&mut *far, 6).await, &b"onetwo"[..]);
}

pub async fn a_read_appends_within_the_room_there_is(pair: Pair) {
    let Pair { mut near, mut far } = pair;
    let all = pattern(10_000);
    write_all(&mut *near, vec![all.clone()]).await.expect("goes on");
    let mut buffer = BytesMut::with_capacity(64);
    buffer.extend_from_slice(b"kept");
    let room = buffer.capacity();
    poll_fn(|cx| far.poll_readable(cx)).await.expect("there is something");
    let count = far.try_read(&mut buffer).expect("there is something");
    assert!(count > 0 && buffer.len() == 4 + count && buffer.len() <= room, "{count} bytes");
    assert!(buffer[..4] == b"kept"[..] && buffer[4..] == all[..count]);
    // Without any room it makes some.
    let mut full = BytesMut::new();
    poll_fn(|cx| far.poll_readable(cx)).await.expect("there is more");
    let more = far.try_read(&mut full).expect("there is more");
    assert!(more > 0 && full[..] == all[count..count + more]);
}

pub async fn a_full_link_would_block_and_goes_on_when_it_is_read(pair: Pair) {
    let Pair { mut near, mut far } = pair;
    let piece = pattern(100_003);
    let mut total = 0;
    for _ in 0..3 {
        poll_fn(|cx| near.poll_writable(cx)).await.expect("there is room");
        // A socket that is emptied meanwhile takes more; in the end it is full.
        loop {
            let went = fill(&mut *near, &piece);
            total += went;
            let full = poll_fn(|cx| Poll::Ready(near.poll_writable(cx).is_pending())).await;
            if full {
                break;
            }
        }
        assert!(would_block(&near.try_write(std::slice::from_ref(&piece))));
        assert!(total > 0 && total < 64 << 20, "{total} bytes fit into a link");
        let reading = async {
            while total > 0 {
                total -= read_some(&mut *far, total.min(50_000)).await.expect("goes on").len();
            }
        };
        let (flushed, ()) = tokio::join!(poll_fn(|cx| near.poll_flush(cx)), reading);
        flushed.expect("goes on");
    }
}

pub async fn both_directions_are_independent(pair: Pair) {
    let Pair { mut near, mut far } = pair;
    // One way is full, and the other goes on.
    let piece = pattern(64 * 1024);
    let stuck = fill(&mut *near, &piece);
    let all = pattern(3 << 20);
    let (written, read) =
        tokio::join!(write_all(&mut *far, vec![all.clone()]), read_exactly(&mut *near, all.len()));
    written.expect("goes on");
    assert!(read == all);
    let mut left = stuck;
    let reading = async {
        while left > 0 {
            left -= read_some(&mut *far, left).await.expect("goes on").len();
        }
    };
    let (flushed, ()) = tokio::join!(poll_fn(|cx| near.poll_flush(cx)), reading);
    flushed.expect("goes on");
}

pub async fn sixty_four_mebibytes_go_through(pair: Pair) {
    const LENGTH: usize = 64 << 20;
    let Pair { mut near, mut far } = pair;
    let piece = pattern(1 << 20);
    let slices = vec![piece.clone(); LENGTH / piece.len()];
    let reading = async {
        let mut read = 0;
        while read < LENGTH {
            let part = read_some(&mut *far, 1 << 20).await.expect("goes on");
            assert!(!part.is_empty(), "ended after {read} bytes");
            let at = read % piece.len();
            let first = part.len().min(piece.len() - at);
            assert!(part[..first] == piece[at..at + first], "at {read}");
            assert!(part[first..] == piece[..part.len() - first], "at {read}");
            read += part.len();
        }
        assert_eq!(read, LENGTH);
    };
    let (written, ()) = tokio::join!(write_all(&mut *near, slices), reading);
    written.expect("goes on");
}

pub async fn what_the_other_system_has_taken_is_told_over_a_network(pair: Pair) {
    let Pair { mut near, far } = pair;
    let told = near.passage();
    // Only Linux tells it of any socket.
    if !matches!(near.transport(), Transport::Tcp | Transport::Tls) || !cfg!(target_os = "linux") {
        return assert_eq!(told, None);
    }
    // Nobody reads: it is the system that takes them.
    let before = told.expect("it is told").acknowledged;
    let piece = pattern(10_000);
    write_all(&mut *near, vec![piece.clone()]).await.expect("there is room");
    let all = before + piece.len() as u64;
    while near.passage().expect("it is told").acknowledged < all {
        tokio::task::yield_now().await;
    }
    // Beyond that, what is sent to a reader that does not read is not taken for ever.
    let mut sent = all;
    loop {
        let count = fill(&mut *near, &pattern(64 * 1024)) as u64;
        sent += count;
        if count == 0 {
            break;
        }
    }
    assert!(near.passage().expect("it is told").acknowledged < sent);
    drop(far);
}
