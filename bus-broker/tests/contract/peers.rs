//! Points 20 and 21: hostile peers cost others nothing, and nobody stops reading.

use std::time::Duration;

use bus_broker::BrokerConfig;
use bus_client::{
    Client, ClientOptions, ErrorKind, Message, PublisherOptions, QueueOptions, Selector,
    SlowPolicy, SubscribeOptions,
};
use bus_core::router::RouterConfig;
use bus_core::session::Resume;
use bus_core::transport::frame_bytes;
use bus_core::{FLAG_HEADERS, Header, Kind, control};
use bytes::Bytes;

use crate::bus::{Bus, everywhere, failed, soon, start_with, text, until};
use crate::proxy::Proxy;
use crate::raw::{Raw, honest, resuming};

/// What no client would send after its handshake.
fn malformed() -> Vec<(&'static str, Bytes)> {
    let frame = |header, body: &[u8]| frame_bytes(header, body);
    let giant = |kind: Kind| {
        let mut bytes = vec![0xff, 0xff, 0xff, 0xff, kind.code()];
        bytes.resize(16, 0);
        Bytes::from(bytes)
    };
    let headers = Header::new(Kind::Send, 0, 1).with_flags(FLAG_HEADERS);
    vec![
        (
            "an unknown kind",
            Bytes::from_static(&[0, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ),
        ("4 GiB of payload", giant(Kind::Publish)),
        ("4 GiB of control", giant(Kind::Request)),
        ("a second hello", frame(Header::new(Kind::Hello, 0, 0), &[])),
        ("a welcome", frame(Header::new(Kind::Welcome, 0, 0), &[])),
        ("a delivery", frame(Header::new(Kind::Deliver, 0, 1), b"mine")),
        ("a lease", frame(Header::new(Kind::Lease, 0, 1), b"mine")),
        ("a receipt", frame(Header::new(Kind::Accepted, 0, 1), &[])),
        ("a reply", frame(Header::new(Kind::Reply, 0, 0), &[])),
        ("no control message", frame(Header::new(Kind::Request, 0, 0), &[0xff; 40])),
        ("type 0", frame(Header::new(Kind::Send, 0, 0), b"body")),
        ("a type above the highest", frame(Header::new(Kind::Publish, 0, u64::MAX), b"body")),
        ("headers that are cut off", frame(headers, &[200, 0, 1, 2])),
        ("a large payload not offered", frame(Header::new(Kind::Send, 0, 1), &[0; 70_000])),
        ("an offer without a length", frame(Header::new(Kind::Offer, 0, 1), &[1, 2])),
        ("an ack of what was never given", frame(Header::new(Kind::Ack, 0, 1), &[])),
        ("very many acks", frame(Header::new(Kind::Ack, u32::MAX, 1), &[])),
        ("confirming what was never sent", frame(Header::new(Kind::Confirm, 0, 1 << 40), &[])),
    ]
}

#[tokio::test]
async fn point_20_a_peer_that_breaks_the_protocol_costs_itself_its_connection_only() {
    everywhere(async |bus: Bus| {
        let (sender, receiver) = (bus.client().await, bus.client().await);
        let to = bus.queue(&sender, "q").await;
        let mut consumer =
            bus.queue(&receiver, "q").await.consumer(Selector::Any, 4).await.expect("consumes");
        for (what, bytes) in malformed() {
            let mut raw = Raw::established(&bus.url).await;
            raw.bytes(bytes).await;
            let kinds = soon(raw.read_to_end()).await;
            let polite = |kind: &Kind| matches!(kind, Kind::Refuse | Kind::Confirm);
            assert!(kinds.iter().all(polite), "{what} was answered with {kinds:?}");
            to.send(what).await.expect("sends");
            let delivery = soon(consumer.next()).await.expect("goes on").expect("a delivery");
            assert_eq!(text(delivery.payload()), what);
            delivery.ack().await.expect("in time");
        }
    })
    .await;
}

#[tokio::test]
async fn point_20_what_is_well_formed_and_senseless_is_answered_or_passed_over() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let queue = bus.queue(&client, "q").await;
        queue.send("mine").await.expect("sends");
        let held = soon(queue.receive(Selector::Any)).await.expect("a delivery");
        let mut raw = Raw::established(&bus.url).await;
        let senseless = [
            Header::new(Kind::Publish, 7, 1),
            Header::new(Kind::Send, 99, 1),
            Header::new(Kind::Consumed, 3, u64::MAX),
            Header::new(Kind::Taken, 3, u64::MAX),
            Header::new(Kind::Granted, 0, 1),
            Header::new(Kind::Withdraw, 0, 12),
            Header::new(Kind::Call, 5, 1),
            Header::new(Kind::CallReply, 0, 1),
        ];
        for header in senseless {
            raw.frame(header, &[]).await;
        }
        raw.frame(Header::new(Kind::Ping, 0, 77), &[]).await;
        loop {
            let frame = soon(raw.next()).await.expect("its connection is let be");
            if frame.header.kind == Kind::Pong {
                assert_eq!(frame.header.word, 77);
                break;
            }
        }
        held.ack().await.expect("nobody else settled it");
    })
    .await;
}

#[tokio::test]
async fn point_20_frames_right_behind_the_hello_are_taken_too() {
    everywhere(async |bus: Bus| {
        let mut raw = Raw::connect(&bus.url).await;
        let hello = frame_bytes(Header::new(Kind::Hello, 0, 0), &control::encode_hello(&honest()));
        let ping = frame_bytes(Header::new(Kind::Ping, 0, 3), &[]);
        raw.bytes([hello, ping].concat()).await;
        assert_eq!(soon(raw.next()).await.expect("an answer").header.kind, Kind::Welcome);
        assert_eq!(soon(raw.next()).await.expect("an answer").header.kind, Kind::Pong);
    })
    .await;
}

#[tokio::test]
async fn point_20_nobody_goes_on_with_the_session_of_somebody_else() {
    everywhere(async |bus: Bus| {
        let mut victim = Raw::connect(&bus.url).await;
        let welcome = victim.hello(&honest()).await.expect("the broker takes it");
        let mut hello = resuming(&welcome);
        let token = Bytes::from_static(&[7; 16]);
        hello.resume = hello.resume.map(|resume| Resume { token, ..resume });
        let refused = Raw::connect(&bus.url).await.hello(&hello).await;
        assert_eq!(refused.expect_err("it is not its own").kind(), ErrorKind::SessionDenied);
        victim.frame(Header::new(Kind::Ping, 0, 1), &[]).await;
        assert_eq!(soon(victim.next()).await.expect("goes on").header.kind, Kind::Pong);
    })
    .await;
}

#[tokio::test]
async fn point_20_a_user_has_a_share_of_the_sessions_and_objects_and_no_more() {
    let router = RouterConfig {
        sessions_per_user_max: 3,
        objects_per_user_max: 4,
        ..RouterConfig::default()
    };
    // Only over TCP is a peer of this process not the broker's own user.
    let [mem, _, _, tcp, _] = start_with(BrokerConfig::default().router(router)).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(tcp.client().await);
    }
    assert_eq!(failed(Client::connect(&tcp.url).await), ErrorKind::QuotaExceeded);
    for number in 0..4 {
        clients[number % 3].queue(&format!("q{number}")).await.expect("within its share");
    }
    assert_eq!(failed(clients[0].queue("q4").await), ErrorKind::QuotaExceeded);
    assert_eq!(failed(clients[1].publisher("t").await), ErrorKind::QuotaExceeded);
    let other = mem.client().await;
    other.queue("q5").await.expect("another user has its own share");
    drop(clients.pop());
    until("its place is free", async || Client::connect(&tcp.url).await.is_ok()).await;
}

#[tokio::test]
async fn point_21_what_a_client_does_not_read_stops_nothing_else_on_its_connection() {
    everywhere(async |bus: Bus| {
        let (client, other) = (bus.client().await, bus.client().await);
        let mut ignored = Vec::new();
        for policy in [SlowPolicy::Hold, SlowPolicy::DropOldest, SlowPolicy::End] {
            let options = SubscribeOptions::default().policy(policy);
            let name = bus.name("t");
            ignored.push(client.subscribe_with(&name, options).await.expect("subscribes"));
        }
        let work = bus.queue(&client, "work").await;
        let _unread = work.consumer(Selector::Any, 1000).await.expect("consumes");
        let open = PublisherOptions::default().mode(0o777).hold(Duration::from_secs(60));
        let topic = other.publisher_with(&bus.name("t"), open).await.expect("opens");
        let theirs = bus.queue(&other, "work").await;
        for number in 0..2000 {
            let body = vec![number as u8; 4000];
            // The topic is held back when one of them is full; that is this publisher's matter.
            let _ = topic.try_publish(body.clone()).expect("the topic is there");
            let _ = theirs.try_send(body).await;
        }
        let queue = bus.queue(&client, "mine").await;
        for number in 0..100 {
            let body = format!("{number}");
            soon(queue.send(body.clone())).await.expect("sends");
            let delivery = soon(queue.receive(Selector::Any)).await.expect("a delivery");
            assert_eq!(text(delivery.payload()), body);
            soon(delivery.ack()).await.expect("in time");
            soon(client.ping()).await.expect("answers");
        }
    })
    .await;
}

#[tokio::test]
async fn point_21_large_calls_in_both_directions_at_once_do_not_wait_for_each_other() {
    everywhere(async |bus: Bus| {
        const LENGTH: usize = 256 * 1024;
        let clients = [bus.client().await, bus.client().await];
        let mut tasks = Vec::new();
        for (number, client) in clients.iter().enumerate() {
            let name = bus.name(&format!("s{number}"));
            let mut server = client.serve_with(&name, 64, Some(0o777)).await.expect("serves");
            tokio::spawn(async move {
                while let Some(Ok(call)) = server.next().await {
                    let body = call.payload().clone();
                    call.reply(body).expect("is connected");
                }
            });
        }
        for (number, client) in clients.iter().enumerate() {
            let service = client.service(&bus.name(&format!("s{}", 1 - number))).await;
            let service = service.expect("opens");
            tasks.push(async move {
                let calls = (0..60u8).map(|byte| {
                    service.call(Message::from(vec![byte; LENGTH]), Duration::from_secs(25))
                });
                for (byte, reply) in (0..).zip(futures::future::join_all(calls).await) {
                    assert_eq!(reply.expect("a reply").payload(), &vec![byte; LENGTH]);
                }
            });
        }
        futures::future::join_all(tasks).await;
    })
    .await;
}

#[tokio::test]
async fn point_21_a_peer_whose_reading_stalls_stops_no_other_and_loses_nothing() {
    everywhere(async |bus: Bus| {
        let proxy = Proxy::start(bus.tag, &bus.url).await;
        let stalled = bus.client_at(&proxy.url, ClientOptions::default()).await;
        let (client, reader) = (bus.client().await, bus.client().await);
        let large = QueueOptions::default().bytes_max(64 << 20);
        let queue = bus.queue_with(&client, "q", large).await;
        let mut consumer =
            bus.queue(&stalled, "q").await.consumer(Selector::Any, 1000).await.expect("consumes");
        let policy = SubscribeOptions::default().policy(SlowPolicy::DropOldest);
        let mut dropping =
            stalled.subscribe_with(&bus.name("t"), policy).await.expect("subscribes");
        let mut fast = reader.subscribe(&bus.name("t")).await.expect("subscribes");
        proxy.hold_up(false, true);
        let open = PublisherOptions::default().mode(0o777);
        let topic = client.publisher_with(&bus.name("t"), open).await.expect("opens");
        for number in 0..600u32 {
            soon(queue.send(vec![number as u8; 20_000])).await.expect("there is room");
            soon(topic.publish(vec![number as u8; 20_000])).await.expect("nobody holds it");
            let found = soon(fast.next()).await.expect("goes on").expect("a message");
            assert_eq!(found.payload()[0], number as u8);
        }
        proxy.hold_up(false, false);
        for number in 0..600u32 {
            let delivery = soon(consumer.next()).await.expect("goes on").expect("a delivery");
            assert_eq!(delivery.payload()[0], number as u8);
            drop(delivery.ack());
        }
        let mut heard = 0;
        while heard + dropping.lost() < 600 {
            soon(dropping.next()).await.expect("goes on").expect("a message");
            heard += 1;
        }
        assert_eq!(heard + dropping.lost(), 600);
    })
    .await;
}
