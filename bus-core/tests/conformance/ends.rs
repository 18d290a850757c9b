//! The end of a link, and who is at the other one.

use std::io;

use bytes::Bytes;

use super::{in_time, pairs, read, write};

#[tokio::test]
async fn what_was_written_before_the_end_is_read_before_the_end() {
    for (name, mut pair) in pairs("end").await {
        write(&mut *pair.near, vec![Bytes::from_static(b"last words")]).await.expect("writes");
        drop(pair.near);
        let got =
            in_time(name, read(&mut *pair.far, usize::MAX)).await.expect("ends without error");
        assert_eq!(got, &b"last words"[..], "{name}");
    }
}

#[tokio::test]
async fn writing_to_a_peer_that_is_gone_fails() {
    for (name, mut pair) in pairs("gone").await {
        drop(pair.far);
        let piece = Bytes::from(vec![0; 64 * 1024]);
        let wrote = async {
            loop {
                if let Err(error) = write(&mut *pair.near, vec![piece.clone()]).await {
                    return error;
                }
            }
        };
        let error = in_time(name, wrote).await;
        let kinds = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{name}: {error}");
    }
}

#[tokio::test]
async fn the_kernel_vouches_for_local_peers_and_for_nobody_else() {
    for (name, pair) in pairs("peer").await {
        let credentials = &pair.far.peer().credentials;
        match name {
            "tcp" => assert_eq!(*credentials, None),
            _ => {
                let found = credentials.as_ref().expect("known");
                assert_eq!(found.pid, Some(std::process::id()), "{name}");
                assert_eq!(found.uid, bus_core::sys::effective_uid(), "{name}");
            }
        }
    }
}
