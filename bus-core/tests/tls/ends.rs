//! How connections over TLS end: with a farewell, without one, and by somebody in between.

use std::io;

use bus_core::transport::{TlsFailure, connect_tls};
use bytes::BytesMut;
use rustls::ContentType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Receiver;

use crate::certificates::Authority;
use crate::meeting::{address, failure, hear, listen, meet, read, say};
use crate::wilful::{Wilful, visited};

/// What somebody in between does to what the client sends, after its first words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Forward,
    /// It ends the connection to the broker.
    End,
    /// It changes a bit.
    Change,
    /// It sends a record again.
    Repeat,
}

/// Forwards a connection, and acts on what the client sends once it is told to.
async fn forward(middle: TcpListener, target: String, act: Act, mut told: Receiver<()>) {
    let (mut near, _) = middle.accept().await.expect("accepts");
    let mut far = TcpStream::connect(target).await.expect("connects");
    let (mut up, mut down) = ([0; 8192], [0; 8192]);
    let mut acts = false;
    loop {
        tokio::select! {
            count = near.read(&mut up) => {
                let count = count.expect("goes on");
                match act {
                    _ if !acts || act == Act::Forward => {}
                    Act::End => return,
                    Act::Change => up[count / 2] ^= 1,
                    _ => far.write_all(&up[..count]).await.expect("goes on"),
                }
                // The broker may have had enough of it.
                if count == 0 || far.write_all(&up[..count]).await.is_err() {
                    return;
                }
            }
            count = far.read(&mut down) => match count {
                Ok(1..) => near.write_all(&down[..count.unwrap_or(0)]).await.expect("goes on"),
                _ => return,
            },
            Some(()) = told.recv() => acts = true,
        }
    }
}

/// Connects through somebody in between, and gives what the broker's side then reads.
async fn between(act: Act) -> io::Result<usize> {
    let authority = Authority::new();
    let mut listener = listen(&authority.server(&authority.broker(&["127.0.0.1"]))).await;
    let target = address(&listener);
    let middle = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let entrance = middle.local_addr().expect("an address").to_string();
    let (tell, told) = tokio::sync::mpsc::channel::<()>(1);
    let forwarding = tokio::spawn(forward(middle, target, act, told));
    let client = authority.trusting(None);
    let connecting = async {
        let mut near = connect_tls(&entrance, &client).await.expect("connects");
        say(&mut *near, b"hello").await.expect("goes on");
        near
    };
    let accepting = async {
        let mut far = listener.accept().await.expect("accepts");
        hear(&mut *far, b"hello").await.expect("the first word is not touched");
        far
    };
    let (mut near, mut far) = tokio::join!(connecting, accepting);
    tell.send(()).await.expect("it listens");
    tokio::task::yield_now().await;
    say(&mut *near, b"again").await.expect("it is on its way");
    let mut heard = BytesMut::new();
    while let Ok(1..) = read(&mut *far, &mut heard).await {
        assert!(b"again".starts_with(&heard[..]), "{heard:?}");
        if act == Act::Forward {
            drop(near);
            return read(&mut *far, &mut heard).await;
        }
    }
    let result = read(&mut *far, &mut heard).await;
    drop(near);
    forwarding.await.expect("runs");
    result
}

#[tokio::test]
async fn an_end_with_a_farewell_is_an_end() {
    assert_eq!(between(Act::Forward).await.expect("an end is no error"), 0);
}

#[tokio::test]
async fn an_end_without_a_farewell_is_a_loss() {
    let error = between(Act::End).await.expect_err("something may be missing");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(TlsFailure::of(&error), Some(&TlsFailure::Truncated));
}

#[tokio::test]
async fn what_was_changed_or_repeated_on_its_way_is_not_heard() {
    for act in [Act::Change, Act::Repeat] {
        let error = between(act).await.expect_err("it is not what was said");
        let found = TlsFailure::of(&error).expect("a failure of TLS");
        assert!(matches!(found, TlsFailure::Other { .. }), "{found:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_during_the_handshake_is_told_so() {
    let authority = Authority::new();
    let mut listener = listen(&authority.server(&authority.broker(&["127.0.0.1"]))).await;
    drop(TcpStream::connect(address(&listener)).await.expect("connects"));
    let mut link = listener.accept().await.expect("accepts");
    let result = hear(&mut *link, b"hello").await.map(|()| link);
    let (found, told) = failure(result);
    assert_eq!(found, TlsFailure::Ended);
    assert!(told.contains("closed the connection before"), "{told}");
}

#[tokio::test]
async fn a_failure_is_told_again_to_whoever_asks_again() {
    let authority = Authority::new();
    let server = authority.server(&authority.broker(&["127.0.0.1"]));
    let mut listener = listen(&server).await;
    let address = address(&listener);
    let stranger = async {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"junk").await.expect("there is room");
        stream
    };
    let (_stranger, link) = tokio::join!(stranger, listener.accept());
    let mut link = link.expect("accepts");
    for _ in 0..3 {
        let error = hear(&mut *link, b"hello").await.expect_err("it is no TLS");
        assert_eq!(TlsFailure::of(&error), Some(&TlsFailure::NotTls));
        let error = say(&mut *link, b"hello").await.expect_err("it is no TLS");
        assert_eq!(TlsFailure::of(&error), Some(&TlsFailure::NotTls));
        let error = link.try_write(&[b"hello"[..].into()]).expect_err("nothing goes out");
        assert_eq!(TlsFailure::of(&error), Some(&TlsFailure::NotTls));
    }
    // The listener has not suffered.
    meet(&server, &authority.trusting(None)).await.client.expect("connects");
}

/// What is read of a client that says two words and then something that nobody has sealed, all in one write:
/// with the last word of its handshake, or after it.
async fn before_a_forged_record(is_known: bool, room: usize) -> (Vec<u8>, io::Error) {
    let (go, gone) = std::sync::mpsc::sync_channel::<()>(1);
    let (mut link, stranger) = visited(move |address, authority| {
        let mut wilful = Wilful::connect_unfinished(address, authority);
        if is_known {
            wilful.send(ContentType::ApplicationData, b"hello");
            gone.recv().expect("it is heard");
        }
        wilful.keep(ContentType::ApplicationData, b"one");
        wilful.keep(ContentType::ApplicationData, b"two");
        wilful.send_raw(&[&[23, 3, 3, 0, 40][..], &[7; 40]].concat());
        // Until it is told.
        wilful.read()
    })
    .await;
    if is_known {
        hear(&mut *link, b"hello").await.expect("so far it is good");
        link.establish();
        go.send(()).expect("it waits");
    }
    let mut all = Vec::new();
    let error = loop {
        let mut some = BytesMut::with_capacity(room);
        match read(&mut *link, &mut some).await {
            Ok(count) => assert!(count > 0, "it has not ended"),
            Err(error) => break error,
        }
        all.extend_from_slice(&some);
    };
    stranger.await.expect("runs");
    (all, error)
}

#[tokio::test]
async fn what_was_said_before_a_failure_is_heard_before_it() {
    // Decrypted where it is read; with less room than there are words; and before it is known who it is.
    for (is_known, room) in [(true, 256 * 1024), (true, 4), (false, 256 * 1024), (false, 4)] {
        let (heard, error) = before_a_forged_record(is_known, room).await;
        assert_eq!(heard, b"onetwo", "known: {is_known}, room: {room}");
        let found = TlsFailure::of(&error).expect("a failure of TLS");
        assert!(matches!(found, TlsFailure::Other { .. }), "{found:?}");
    }
}

/// Fills a link, and drops it: at once, or when it says that all is out. Gives how much was taken,
/// how much arrived, and how that ended.
async fn filled_and_dropped(flushes: bool) -> (usize, usize, io::Result<usize>) {
    let authority = Authority::new();
    let server = authority.server(&authority.broker(&["127.0.0.1"]));
    let met = meet(&server, &authority.trusting(None)).await;
    let (mut near, mut far) = (met.client.expect("connects"), met.broker.expect("accepts"));
    let (piece, mut taken) = (bytes::Bytes::from(vec![7; 100_000]), 0);
    while let Ok(count) = near.try_write(std::slice::from_ref(&piece)) {
        taken += count;
    }
    let sending = async move {
        if flushes {
            std::future::poll_fn(|cx| near.poll_flush(cx)).await.expect("goes on");
        }
        drop(near);
    };
    let reading = async {
        let mut arrived = 0;
        loop {
            match read(&mut *far, &mut BytesMut::with_capacity(64 * 1024)).await {
                Ok(count @ 1..) => arrived += count,
                end => return (arrived, end),
            }
        }
    };
    let ((), (arrived, end)) = tokio::join!(sending, reading);
    (taken, arrived, end)
}

#[tokio::test]
async fn all_that_was_taken_arrives_if_it_was_flushed_and_a_loss_is_told_if_not() {
    let (taken, arrived, end) = filled_and_dropped(true).await;
    assert_eq!((arrived, end.expect("an end is no error")), (taken, 0));
    let (taken, arrived, end) = filled_and_dropped(false).await;
    assert!(arrived < taken, "all {taken} bytes were out, so that nothing is shown");
    let error = end.expect_err("something is missing");
    assert_eq!(TlsFailure::of(&error), Some(&TlsFailure::Truncated));
}
