//! What bytes do on a link: in order, in any pieces, in both directions, as fast as the reader.

use std::io;
use std::task::{Context, Waker};

use bytes::Bytes;

use super::{in_time, pairs, pattern, read, write};

#[tokio::test]
async fn bytes_arrive_in_order_whatever_the_pieces() {
    for (name, mut pair) in pairs("order").await {
        let sent = pattern(200_000);
        let pieces: Vec<Bytes> = (1..400)
            .scan(0, |start, step| {
                let end = (*start + step * 3).min(sent.len());
                let piece = sent.slice(*start..end);
                *start = end;
                Some(piece)
            })
            .filter(|piece| !piece.is_empty())
            .collect();
        let total: usize = pieces.iter().map(Bytes::len).sum();
        let both =
            async { tokio::join!(write(&mut *pair.near, pieces), read(&mut *pair.far, total)) };
        let (wrote, got) = in_time(name, both).await;
        wrote.expect("writes");
        assert_eq!(got.expect("reads"), sent[..total], "{name}");
    }
}

#[tokio::test]
async fn a_message_of_64_mib_gets_through() {
    for (name, mut pair) in pairs("large").await {
        let sent = pattern(64 << 20);
        let both = async {
            tokio::join!(
                write(&mut *pair.near, vec![sent.clone()]),
                read(&mut *pair.far, sent.len())
            )
        };
        let (wrote, got) = in_time(name, both).await;
        wrote.expect("writes");
        assert!(got.expect("reads") == sent, "{name}: the bytes differ");
    }
}

#[tokio::test]
async fn both_directions_go_at_once() {
    for (name, mut pair) in pairs("both").await {
        let sent = pattern(3 << 20);
        let (near, far) = (&mut pair.near, &mut pair.far);
        let there = async {
            write(&mut **near, vec![sent.slice(..100)]).await.expect("writes");
            let got = read(&mut **near, sent.len()).await.expect("reads");
            assert_eq!(got.len(), sent.len(), "{name}");
        };
        let back = async {
            let got = read(&mut **far, 100).await.expect("reads");
            assert_eq!(got, sent[..100], "{name}");
            write(&mut **far, vec![sent.clone()]).await.expect("writes");
        };
        in_time(name, async { tokio::join!(there, back) }).await;
    }
}

#[tokio::test]
async fn nothing_there_would_block_and_is_no_end() {
    for (name, mut pair) in pairs("idle").await {
        let mut cx = Context::from_waker(Waker::noop());
        let error = pair.far.try_read(&mut bytes::BytesMut::new()).expect_err("nothing is there");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{name}");
        // A link may be taken for readable once; after a vain try it is not.
        assert!(pair.far.poll_readable(&mut cx).is_pending(), "{name}");
        write(&mut *pair.near, vec![Bytes::from_static(b"now")]).await.expect("writes");
        assert_eq!(in_time(name, read(&mut *pair.far, 3)).await.expect("reads"), &b"now"[..]);
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_stops_the_writer_and_no_byte_is_lost() {
    for (name, mut pair) in pairs("full").await {
        let piece = pattern(32 * 1024);
        let mut sent = 0;
        loop {
            match pair.near.try_write(std::slice::from_ref(&piece)) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut cx = Context::from_waker(Waker::noop());
                    if pair.near.poll_writable(&mut cx).is_pending() {
                        break;
                    }
                }
                Err(error) => panic!("{name}: {error}"),
            }
            assert!(sent < 64 << 20, "{name}: a link without bound");
        }
        let got = in_time(name, read(&mut *pair.far, sent)).await.expect("reads");
        assert_eq!(got.len(), sent, "{name}");
        in_time(name, std::future::poll_fn(|cx| pair.near.poll_writable(cx)))
            .await
            .expect("writable again");
    }
}
