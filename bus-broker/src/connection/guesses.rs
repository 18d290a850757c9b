//! Whoever shows tokens that nobody has is charged for it, and waits before he is heard again.

#![cfg(test)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bus_core::session::Hello;
use bus_core::transport::{mem_pair, next_frame, write_frame};
use bus_core::{Decoder, Header, Kind, Token, UserName, control};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use crate::config::BrokerConfig;
use crate::handshakes::Handshakes;
use crate::hub::Hub;
use crate::registry::Registry;
use crate::users::{TokenHash, User};

/// Tries, all at one moment: what is charged is paid off by time alone.
const TRIES: usize = 600;

/// How long somebody waits after so many tries with this token, and what he has been told.
async fn waits_after(shown: &str) -> (Duration, Kind) {
    let token = |text: &str| Token::new(&text.repeat(40)).expect("a token");
    let alice = User::new(UserName::new("alice").expect("a name"));
    let config = BrokerConfig::default().user(alice.token(TokenHash::of(&token("a"))));
    let (events, _heard) = mpsc::channel(16);
    let hub = Rc::new(RefCell::new(Hub::new(config, Registry::default(), 1, events)));
    let hello = Hello { credential: Some(token(shown)), ..super::tests::hello("guest") };
    let (handshakes, mut told) = (Handshakes::new(true), Kind::Ping);
    for _ in 0..TRIES {
        let (near, mut far) = mem_pair();
        let handshake = handshakes.begin(near.peer(), hub.borrow().now());
        let served = spawn_local(super::serve(hub.clone(), near, handshake));
        let hello = control::encode_hello(&hello);
        write_frame(&mut *far, Header::new(Kind::Hello, 0, 0), &hello).await.expect("room");
        let frame = next_frame(&mut *far, &mut Decoder::for_handshake()).await;
        told = frame.expect("it answers").header.kind;
        // Whoever was refused has gone by now; an honest one says goodbye.
        let _ = write_frame(&mut *far, Header::new(Kind::Goodbye, 0, 0), &[]).await;
        served.await.expect("runs");
    }
    let peer = mem_pair().0.peer().clone();
    (handshakes.begin(&peer, hub.borrow().now()).wait(), told)
}

#[tokio::test(start_paused = true)]
async fn guessing_tokens_makes_wait_and_showing_a_good_one_does_not() {
    let both = async { (waits_after("x").await, waits_after("a").await) };
    let (guessed, honest) = LocalSet::new().run_until(both).await;
    assert_eq!((guessed.1, honest.1), (Kind::Refuse, Kind::Welcome));
    assert!(guessed.0 > Duration::ZERO, "he need not wait");
    assert_eq!(honest.0, Duration::ZERO);
}
