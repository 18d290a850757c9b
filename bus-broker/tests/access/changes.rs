//! What a change of users or policy does to those who are connected, and to nobody else.

use bus_broker::{Allowance, Deed, Who};
use bus_client::{Client, ClientEvent, ErrorKind, QueueOptions, Selector};

use crate::broker::{failed, kind, soon, until};
use crate::raw::{Raw, honest};
use crate::stage::{
    ALICE_UID, allow, config, connect, hash, named, policy, start, tcp, token, try_connect, user,
};

fn everybody() -> Allowance {
    allow(Who::Everybody, Deed::ALL, ">")
}

/// Why a client is told to have ended.
pub async fn reason(client: &Client) -> ErrorKind {
    soon(async {
        loop {
            if let Err(error) = client.ping().await {
                return error.kind();
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_new_policy_ends_what_waits_and_refuses_what_comes() {
    let broker = start(config().policy(policy(&[everybody()]))).await;
    let (alice, bob) = (connect(&broker, 'a').await, connect(&broker, 'b').await);
    let jobs = alice.queue_with("jobs", QueueOptions::default().mode(0o777)).await.expect("opens");
    let mut news = alice.subscribe("news").await.expect("subscribes");
    let mut others = bob.subscribe("news").await.expect("subscribes");
    let publisher = alice.publisher("news").await.expect("opens");
    publisher.publish_confirmed("one").await.expect("publishes");
    assert_eq!(soon(news.next()).await.expect("goes on").expect("heard").payload(), "one");
    let mut server = alice.serve("time", 1).await.expect("serves");
    let waiting = jobs.clone();
    let receiver = tokio::spawn(async move { waiting.receive(Selector::Eq(kind(9))).await });
    until("the receiver waits", async || crate::broker::stat(&alice, &jobs).await.waiting == 1)
        .await;
    let only_bob = config().policy(policy(&[allow(named("bob"), Deed::ALL, ">")]));
    let reloaded = broker.reload(only_bob).await.expect("taken over");
    assert_eq!((reloaded.users, reloaded.allowances, reloaded.ended), (2, 1, 0));
    assert!(reloaded.need_restart.is_empty(), "{reloaded:?}");
    let denied = ErrorKind::PermissionDenied;
    assert_eq!(failed(soon(news.next()).await.expect("an end")), denied);
    assert_eq!(failed(soon(receiver).await.expect("runs")), denied);
    assert_eq!(failed(soon(server.next()).await.expect("an end")), denied);
    assert_eq!(failed(soon(publisher.publish_confirmed("two")).await), denied);
    assert_eq!(failed(soon(jobs.send("two")).await), denied);
    assert_eq!(failed(alice.queue("jobs").await), denied);
    // The other one has heard the first message and no more, and goes on.
    assert_eq!(soon(others.next()).await.expect("goes on").expect("heard").payload(), "one");
    let jobs = bob.queue("jobs").await.expect("he may");
    jobs.send("two").await.expect("he may");
    assert_eq!(crate::broker::stat(&bob, &jobs).await.messages, 1);
}

#[tokio::test]
async fn whose_token_is_taken_away_loses_the_connection_and_is_told_why() {
    let broker = start(config()).await;
    let (alice, bob) = (connect(&broker, 'a').await, connect(&broker, 'b').await);
    let mut events = alice.events();
    let without = bus_broker::BrokerConfig::default()
        .listen("tcp://127.0.0.1:0".parse().expect("a URL"))
        .user(user("bob").uid(crate::stage::BOB_UID).token(hash('b')));
    let reloaded = broker.reload(without).await.expect("taken over");
    assert_eq!(reloaded.ended, 1);
    assert_eq!(reason(&alice).await, ErrorKind::Unauthenticated);
    let told = soon(async {
        loop {
            match events.next().await {
                Some(ClientEvent::Closed { reason, .. }) => return reason.to_string(),
                Some(_) => {}
                None => return String::new(),
            }
        }
    })
    .await;
    assert!(told.contains("user `alice`"), "{told}");
    let error = try_connect(tcp(&broker), Some(token('a'))).await.expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    bob.ping().await.expect("he goes on");
}

#[tokio::test]
async fn a_token_is_replaced_without_ending_whoever_has_the_new_one() {
    let broker = start(config()).await;
    let both = || user("alice").uid(ALICE_UID).groups(vec![61400]);
    let with = |alice| {
        let listen = "tcp://127.0.0.1:0".parse().expect("a URL");
        bus_broker::BrokerConfig::default().listen(listen).user(alice)
    };
    let old = connect(&broker, 'a').await;
    let reloaded = broker.reload(with(both().token(hash('a')).token(hash('n')))).await;
    assert_eq!(reloaded.expect("taken over").ended, 0);
    let new = connect(&broker, 'n').await;
    old.ping().await.expect("it goes on");
    let reloaded = broker.reload(with(both().token(hash('n')))).await.expect("taken over");
    assert_eq!(reloaded.ended, 1);
    assert_eq!(reason(&old).await, ErrorKind::Unauthenticated);
    new.ping().await.expect("it goes on");
    // Another uid makes another one of her.
    let reloaded = broker.reload(with(user("alice").uid(1).token(hash('n')))).await;
    assert_eq!(reloaded.expect("taken over").ended, 1);
    assert_eq!(reason(&new).await, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn who_is_away_when_the_token_goes_does_not_come_back() {
    use bus_core::session::Hello;
    let broker = start(config()).await;
    let grace = std::time::Duration::from_secs(60);
    let hello = Hello { grace, credential: Some(token('a')), ..honest() };
    let mut raw = Raw::connect(tcp(&broker)).await;
    let welcome = raw.hello(&hello).await.expect("taken");
    drop(raw);
    until("it is away", async || broker.registry().is_empty()).await;
    let other = user("alice").uid(ALICE_UID).groups(vec![61400]).token(hash('n'));
    let listen = "tcp://127.0.0.1:0".parse().expect("a URL");
    let next = bus_broker::BrokerConfig::default().listen(listen).user(other);
    assert_eq!(broker.reload(next).await.expect("taken over").ended, 1);
    let mut raw = Raw::connect(tcp(&broker)).await;
    let resuming = Hello { credential: Some(token('n')), ..crate::raw::resuming(&welcome) };
    let welcome = raw.hello(&resuming).await.expect("it is a user");
    assert!(!welcome.resumed, "{welcome:?}");
}

#[tokio::test]
async fn who_does_not_read_why_is_cut_off() {
    use bus_core::router::{Command, SubscribeOptions};
    use bus_core::{Header, Kind, WINDOW_BYTES_MAX, control};
    let broker = start(config()).await;
    let bob = connect(&broker, 'b').await;
    let publisher = bob.publisher("news").await.expect("opens");
    let mut raw = Raw::connect(tcp(&broker)).await;
    let hello = bus_core::session::Hello { credential: Some(token('a')), ..honest() };
    raw.hello(&hello).await.expect("taken");
    let options = SubscribeOptions { window_bytes: WINDOW_BYTES_MAX, ..Default::default() };
    let pattern = bus_client::Pattern::new("news").expect("a pattern");
    let subscribe = Command::Subscribe { request: 1, channel: 0, pattern, options };
    let body = control::encode_request(&subscribe).expect("a request");
    raw.frame(Header::new(Kind::Request, 0, 0), &body).await;
    raw.next().await.expect("an answer");
    // More than its socket takes: what comes behind it cannot be written.
    for _ in 0..12 {
        publisher.publish_confirmed(vec![0; 1 << 20]).await.expect("publishes");
    }
    let bob = user("bob").uid(crate::stage::BOB_UID).token(hash('b'));
    let listen = "tcp://127.0.0.1:0".parse().expect("a URL");
    let next = bus_broker::BrokerConfig::default().listen(listen).user(bob);
    assert_eq!(broker.reload(next).await.expect("taken over").ended, 1);
    until("it is gone", async || broker.registry().len() == 1).await;
    publisher.publish_confirmed("he goes on").await.expect("publishes");
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_changes_nothing() {
    let broker = start(config()).await;
    let next = config().name("other").throttle(false).lanes_max(3, 2);
    let reloaded = broker.reload(next).await.expect("taken over");
    assert_eq!(reloaded.need_restart, ["name", "throttle", "limits"]);
    let alice = connect(&broker, 'a').await;
    assert_eq!(alice.admin().broker().await.expect("tells").name, "bus");
}
