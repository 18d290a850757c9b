//! A session is lost with its broker, and the client begins another one.

use std::time::Duration;

use bus_client::{ClientOptions, ErrorKind, MessageType, SubscribeOptions};
use bus_core::router::{Answer, Command};
use bus_core::transport::MemListener;
use bus_core::{Header, Kind, WINDOW_BYTES_MIN, window_charge};
use tokio::time::Instant;

use crate::peer::{Peer, opened};

/// The broker has gone, and another one has taken its place.
async fn again(old: Peer, listener: &mut MemListener) -> Peer {
    // Nothing runs on while others have something to do: the client has taken what was said.
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(old);
    Peer::accept(listener, 2).await
}

fn delivery() -> Header {
    Header::new(Kind::Deliver, 0, 1)
}

#[tokio::test(start_paused = true)]
async fn what_an_old_session_has_delivered_is_not_counted_in_a_new_one() {
    let (mut peer, mut listener, client) = Peer::with_listener(ClientOptions::default()).await;
    let options = SubscribeOptions::default().window_bytes(WINDOW_BYTES_MIN);
    let (subscriber, _) = tokio::join!(client.subscribe_with("t", options), peer.answer(opened()));
    let mut subscriber = subscriber.expect("subscribes");
    peer.say(delivery(), &[1; 600]).await;
    let mut peer = again(peer, &mut listener).await;
    peer.answer(opened()).await;
    let next = subscriber.next().await.expect("goes on").expect("a message");
    assert_eq!(next.payload()[..], [1; 600], "it is still good");
    peer.say(delivery(), &[2; 1200]).await;
    let next = subscriber.next().await.expect("goes on").expect("a message");
    assert_eq!(next.payload()[..], [2; 1200]);
    // What was used up is told when the next one is asked for.
    let consumed = tokio::select! {
        next = subscriber.next() => panic!("nothing more has come: {next:?}"),
        frame = peer.hear() => frame.header,
    };
    assert_eq!(consumed.kind, Kind::Consumed);
    assert_eq!(consumed.word, window_charge(1200, WINDOW_BYTES_MIN));
}

#[tokio::test(start_paused = true)]
async fn names_of_types_are_registered_again_before_anything_is_opened() {
    let (mut peer, mut listener, client) = Peer::with_listener(ClientOptions::default()).await;
    let (queue, _) = tokio::join!(client.queue("q"), peer.answer(opened()));
    let done = peer.answer(Answer::Done { count: 1 });
    let (typed, _) = tokio::join!(queue.expect("opens").typed::<String>(), done);
    let typed = typed.expect("registers");
    for _ in 0..2 {
        peer = again(peer, &mut listener).await;
        let Command::Declare { request: 0, kind, name } = peer.asked().await else {
            panic!("it is the first thing, and asks for no answer");
        };
        assert_eq!(name, "google.protobuf.StringValue");
        assert_eq!(kind, MessageType::of_name(&name));
        let opens = peer.answer(opened()).await;
        assert!(matches!(opens, Command::OpenQueue { .. }), "{opens:?}");
    }
    drop(typed);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_refused_is_not_registered_again() {
    let (mut peer, mut listener, client) = Peer::with_listener(ClientOptions::default()).await;
    let (queue, _) = tokio::join!(client.queue("q"), peer.answer(opened()));
    let queue = queue.expect("opens");
    let refused = peer.refuse(ErrorKind::TypeClash);
    let (typed, ()) = tokio::join!(queue.clone().typed::<String>(), refused);
    assert_eq!(typed.expect_err("refused").kind(), ErrorKind::TypeClash);
    let mut peer = again(peer, &mut listener).await;
    let opens = peer.asked().await;
    assert!(matches!(opens, Command::OpenQueue { .. }), "{opens:?}");
    drop(queue);
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_connections_end_at_once_makes_pauses() {
    let shortest = Duration::from_millis(100);
    let options = ClientOptions::default().backoff(shortest, 4 * shortest);
    let (peer, mut listener, _client) = Peer::with_listener(options).await;
    drop(peer);
    // Each pause is at least half of what it may be.
    for pause in [1, 2, 4, 4, 4] {
        let start = Instant::now();
        drop(Peer::accept(&mut listener, 1).await);
        assert!(start.elapsed() >= pause * shortest / 2, "{:?}", start.elapsed());
    }
    // One that lasts is made again at once.
    let peer = Peer::accept(&mut listener, 1).await;
    tokio::time::sleep(10 * shortest).await;
    drop(peer);
    let start = Instant::now();
    Peer::accept(&mut listener, 1).await;
    assert!(start.elapsed() < shortest / 2, "{:?}", start.elapsed());
}
