//! What may be said over TLS beside words once the handshake is over, and how much of it.
//!
//! New keys, tickets and empty records are allowed, and do not show above. Whoever sends nothing else, or what is not
//! allowed, is cut off with a reason on both sides.

use std::io::{Read, Write};
use std::sync::Arc;

use bus_core::transport::{TlsFailure, connect_tls};
use bytes::BytesMut;
use rustls::ContentType;

use crate::certificates::Authority;
use crate::foreign::{server_config, with_stranger};
use crate::meeting::{failure, hear, read, say};
use crate::wilful::{ASK, Wilful, visited};

#[tokio::test]
async fn new_keys_and_tickets_do_not_show() {
    const ROUNDS: usize = 100;
    let authority = Authority::new();
    let mut config = server_config(&authority.broker(&["127.0.0.1"]), &[b"busbar/1"]);
    config.send_tls13_tickets = 8;
    let connection = rustls::ServerConnection::new(Arc::new(config)).expect("a connection");
    let (address, server) = with_stranger(move |stream| {
        let mut stream = rustls::StreamOwned::new(connection, stream);
        for round in 0..ROUNDS {
            stream.read_exact(&mut [0; 5])?;
            if round % 3 == 0 {
                stream.conn.refresh_traffic_keys().map_err(std::io::Error::other)?;
            }
            stream.write_all(b"welcome")?;
            stream.flush()?;
        }
        Ok(())
    });
    let mut link = connect_tls(&address, &authority.trusting(None)).await.expect("connects");
    for _ in 0..ROUNDS {
        say(&mut *link, b"hello").await.expect("goes on");
        hear(&mut *link, b"welcome").await.expect("goes on");
    }
    server.await.expect("runs").expect("it understands what it hears");
}

#[tokio::test]
async fn whoever_asks_often_for_new_keys_is_told_of_some_once() {
    let (mut link, stranger) = visited(move |address, authority| {
        let mut wilful = Wilful::connect(address, authority);
        // As often as is allowed between two words, and more often with words between.
        for _ in 0..32 {
            wilful.renew_keys();
        }
        wilful.send(ContentType::ApplicationData, b"hel");
        wilful.renew_keys();
        wilful.send(ContentType::ApplicationData, b"lo");
        let heard = [wilful.read(), wilful.read()];
        wilful.send(ContentType::Alert, &[1, 0]);
        heard
    })
    .await;
    hear(&mut *link, b"hello").await.expect("it may ask");
    say(&mut *link, b"welcome").await.expect("goes on");
    let [keys, word] = stranger.await.expect("runs");
    assert_eq!(keys.map(|(kind, _)| kind), Some(ContentType::Handshake));
    assert_eq!(word, Some((ContentType::ApplicationData, b"welcome".to_vec())));
    assert_eq!(hear(&mut *link, b"x").await.map_err(|error| error.kind()), ended());
}

#[tokio::test]
async fn whoever_asks_for_new_keys_with_the_last_word_of_the_handshake_is_told_of_them() {
    let (mut link, stranger) = visited(move |address, authority| {
        let mut wilful = Wilful::connect_unfinished(address, authority);
        wilful.renew_keys();
        wilful.send(ContentType::ApplicationData, b"hello");
        let heard = [wilful.read(), wilful.read()];
        wilful.send(ContentType::Alert, &[1, 0]);
        heard
    })
    .await;
    hear(&mut *link, b"hello").await.expect("it may ask");
    say(&mut *link, b"welcome").await.expect("goes on");
    let [keys, word] = stranger.await.expect("runs");
    assert_eq!(keys.map(|(kind, _)| kind), Some(ContentType::Handshake));
    assert_eq!(word, Some((ContentType::ApplicationData, b"welcome".to_vec())));
}

fn ended() -> Result<(), std::io::ErrorKind> {
    Err(std::io::ErrorKind::UnexpectedEof)
}

/// What our listener says of a client that does this after its first word, and what the client is told.
async fn misbehaving(act: fn(&mut Wilful)) -> (TlsFailure, Option<(ContentType, Vec<u8>)>) {
    let (mut link, stranger) = visited(move |address, authority| {
        let mut wilful = Wilful::connect(address, authority);
        wilful.send(ContentType::ApplicationData, b"hello");
        // So that the handshake is over on both sides.
        assert_eq!(wilful.read(), Some((ContentType::ApplicationData, b"welcome".to_vec())));
        act(&mut wilful);
        wilful.read()
    })
    .await;
    hear(&mut *link, b"hello").await.expect("so far it is good");
    // It is known, so that it is not for its length that something is refused.
    link.establish();
    say(&mut *link, b"welcome").await.expect("goes on");
    let mut heard = BytesMut::with_capacity(100);
    let error = loop {
        match read(&mut *link, &mut heard).await {
            Ok(count) => assert!(count > 0 && b"again".starts_with(&heard), "{heard:?}"),
            Err(error) => break error,
        }
    };
    (failure(Err(error)).0, stranger.await.expect("runs"))
}

/// It is cut off for this reason, and told so with this alert.
async fn is_cut_off(act: fn(&mut Wilful), reason: &str, alert: u8) {
    let (found, told) = misbehaving(act).await;
    let TlsFailure::Other { reason: found } = found else { panic!("{found:?}") };
    assert!(found.contains(reason), "{found}");
    assert_eq!(told, Some((ContentType::Alert, vec![2, alert])), "{reason}");
}

const UNEXPECTED: u8 = 10;
const BAD_RECORD: u8 = 20;
const OVERFLOW: u8 = 22;
const DECODING: u8 = 50;

#[tokio::test]
async fn whoever_sends_only_what_brings_nothing_is_cut_off() {
    let empty = |wilful: &mut Wilful| {
        for _ in 0..33 {
            wilful.send(ContentType::ApplicationData, b"");
        }
    };
    is_cut_off(empty, "TooManyEmptyFragments", UNEXPECTED).await;
    is_cut_off(|wilful| (0..33).for_each(|_| wilful.renew_keys()), "TooManyKeyUpdate", UNEXPECTED)
        .await;
    let cancelled = |wilful: &mut Wilful| {
        for _ in 0..33 {
            wilful.send(ContentType::Alert, &[1, 90]);
        }
    };
    is_cut_off(cancelled, "TooManyWarningAlerts", UNEXPECTED).await;
    // The control: with a word now and then as many of them are nothing.
    let (found, _) = misbehaving(|wilful| {
        for word in [b"a", b"g", b"a", b"i"] {
            for _ in 0..32 {
                wilful.send(ContentType::ApplicationData, b"");
            }
            wilful.send(ContentType::ApplicationData, word);
        }
        wilful.stream.shutdown(std::net::Shutdown::Write).expect("a socket");
    })
    .await;
    assert_eq!(found, TlsFailure::Truncated);
}

#[tokio::test]
async fn what_is_not_allowed_after_the_handshake_is_refused() {
    // A ticket of a client, another handshake, new keys with something behind them, a word within a message.
    is_cut_off(
        |wilful| wilful.send(ContentType::Handshake, &[4, 0, 0, 1, 0]),
        "NewSessionTicket",
        UNEXPECTED,
    )
    .await;
    is_cut_off(
        |wilful| wilful.send(ContentType::Handshake, &[1, 0, 0, 1]),
        "ClientHello",
        UNEXPECTED,
    )
    .await;
    is_cut_off(
        |wilful| wilful.send(ContentType::Handshake, &[ASK, ASK].concat()),
        "KeyEpochWithPendingFragment",
        UNEXPECTED,
    )
    .await;
    is_cut_off(
        |wilful| {
            wilful.send(ContentType::Handshake, &ASK[..2]);
            wilful.send(ContentType::ApplicationData, b"again");
        },
        "MessageInterleaved",
        UNEXPECTED,
    )
    .await;
    is_cut_off(|wilful| wilful.send(ContentType::Handshake, b""), "InvalidEmpty", DECODING).await;
    is_cut_off(|wilful| wilful.send(ContentType::Alert, &[1]), "Alert", DECODING).await;
    is_cut_off(|wilful| wilful.send(ContentType::Heartbeat, &[1]), "Heartbeat", UNEXPECTED).await;
}

#[tokio::test]
async fn what_is_no_record_of_the_peer_is_refused() {
    fn raw(wilful: &mut Wilful, bytes: &[u8]) {
        wilful.stream.write_all(bytes).expect("there is room");
    }
    // In the clear: an alert, a change of ciphers; sealed by nobody; and longer than a record may be.
    is_cut_off(|wilful| raw(wilful, &[21, 3, 3, 0, 2, 1, 0]), "Alert", UNEXPECTED).await;
    is_cut_off(|wilful| raw(wilful, &[20, 3, 3, 0, 1, 1]), "ChangeCipherSpec", UNEXPECTED).await;
    let forged = |wilful: &mut Wilful| raw(wilful, &[&[23, 3, 3, 0, 40][..], &[7; 40]].concat());
    is_cut_off(forged, "decrypt", BAD_RECORD).await;
    is_cut_off(|wilful| raw(wilful, &[23, 3, 3, 0, 3, 1, 2, 3]), "decrypt", BAD_RECORD).await;
    is_cut_off(|wilful| raw(wilful, &[23, 3, 3, 0x41, 1]), "excess record size", OVERFLOW).await;
    let long = |wilful: &mut Wilful| {
        wilful.send(ContentType::ApplicationData, &[7; 16 * 1024 + 1]);
    };
    is_cut_off(long, "excess record size", OVERFLOW).await;
    // What the peer says itself is known to it.
    let (found, told) = misbehaving(|wilful| wilful.send(ContentType::Alert, &[2, 80])).await;
    assert_eq!(found, TlsFailure::Other { reason: "the peer says InternalError".into() });
    assert_eq!(told, None);
}
