//! Point 19: connections are lost, sessions go on; and what is said when they cannot.

use std::time::{Duration, Instant};

use bus_client::{
    Client, ClientEvent, ClientOptions, ErrorKind, Events, PublisherOptions, QueueOptions, Selector,
};

use crate::bus::{
    Bus, everywhere, failed, kind, message, soon, start, stat, text, until, until_stat,
};
use crate::order::{drain, receiving};
use crate::proxy::Proxy;

/// Connects through a proxy that can cut the connection.
async fn through(bus: &Bus, options: ClientOptions) -> (Proxy, Client) {
    let proxy = Proxy::start(bus.tag, &bus.url).await;
    let quick = options.backoff(Duration::from_millis(2), Duration::from_millis(20));
    let client = bus.client_at(&proxy.url, quick).await;
    (proxy, client)
}

fn grace(grace: Duration) -> ClientOptions {
    ClientOptions::default().grace(grace)
}

/// Reads events until one is as wanted.
async fn event(events: &mut Events, wanted: impl Fn(&ClientEvent) -> bool) -> ClientEvent {
    loop {
        let event = soon(events.next()).await.expect("goes on");
        if wanted(&event) {
            return event;
        }
    }
}

async fn resumed(events: &mut Events) {
    event(events, |event| matches!(event, ClientEvent::Resumed { .. })).await;
}

async fn restarted(events: &mut Events) -> ClientEvent {
    event(events, |event| matches!(event, ClientEvent::Restarted { .. })).await
}

#[tokio::test]
async fn point_19_a_cut_connection_is_resumed_and_every_handle_goes_on() {
    everywhere(async |bus: Bus| {
        let (proxy, client) = through(&bus, ClientOptions::default()).await;
        let other = bus.client().await;
        let mut events = client.events();
        let queue = bus.queue(&client, "q").await;
        let same = bus.queue(&other, "q").await;
        let mut consumer = queue.consumer(Selector::Any, 4).await.expect("consumes");
        let open = PublisherOptions::default().mode(0o777);
        let topic = client.publisher_with(&bus.name("t"), open).await.expect("opens");
        let mut subscriber = client.subscribe(&bus.name("t")).await.expect("subscribes");
        let mut server = client.serve_with(&bus.name("s"), 2, Some(0o777)).await.expect("serves");
        let service = other.service(&bus.name("s")).await.expect("opens");
        for round in 0..5 {
            let body = format!("round {round}");
            proxy.cut();
            let lost = event(&mut events, |_| true).await;
            assert!(matches!(lost, ClientEvent::Disconnected { .. }), "{lost:?}");
            resumed(&mut events).await;
            same.send(body.clone()).await.expect("sends");
            let delivery = soon(consumer.next()).await.expect("goes on").expect("a delivery");
            assert_eq!((text(delivery.payload()), delivery.attempt()), (&*body, 0));
            soon(delivery.ack()).await.expect("in time");
            topic.publish(body.clone()).await.expect("publishes");
            let found = soon(subscriber.next()).await.expect("goes on").expect("a message");
            assert_eq!(text(found.payload()), body);
            let limit = Duration::from_secs(20);
            let (reply, ()) = tokio::join!(service.call(body.clone(), limit), async {
                let call = soon(server.next()).await.expect("goes on").expect("a call");
                call.reply("yes").expect("is connected");
            });
            reply.expect("a reply");
        }
    })
    .await;
}

#[tokio::test]
async fn point_19_what_was_sent_before_a_cut_is_there_exactly_once() {
    everywhere(async |bus: Bus| {
        let admin = bus.client().await;
        let bodies = (0..30).map(|number| match number % 7 {
            // Offered, and so granted or not yet when the connection goes.
            3 => format!("{number:0>65535}{:0>5000}", ""),
            _ => format!("{number}"),
        });
        let bodies: Vec<String> = bodies.collect();
        for (to_broker, to_client) in [(false, true), (true, false), (true, true)] {
            let (proxy, client) = through(&bus, ClientOptions::default()).await;
            let mut events = client.events();
            let queue = bus.queue(&client, "q").await;
            let mine = bus.queue(&admin, "q").await;
            proxy.hold_up(to_broker, to_client);
            let mut receipts = Vec::new();
            for body in &bodies {
                receipts.push(queue.post(body.clone()).await.expect("posts"));
            }
            if !to_broker {
                // All small ones before the first offer of their type are in, and nobody knows.
                until_stat(&admin, &mine, |stat| stat.accepted >= 3).await;
            }
            proxy.cut();
            proxy.hold_up(false, false);
            resumed(&mut events).await;
            for receipt in receipts {
                soon(receipt).await.expect("accepted");
            }
            assert!(drain(&mine, Selector::Any).await == bodies, "once each, and in order");
            let change = bus_client::Object::Queue;
            bus.admin().await.admin().remove(change, &bus.name("q")).await.expect("removes");
        }
    })
    .await;
}

#[tokio::test]
async fn point_19_under_many_cuts_nothing_is_lost_or_repeated_within_the_session() {
    everywhere(async |bus: Bus| {
        const COUNT: u32 = 1500;
        let (out, sender) = through(&bus, ClientOptions::default()).await;
        let (back, receiver) = through(&bus, ClientOptions::default()).await;
        let to = bus.queue(&sender, "q").await;
        let from = bus.queue(&receiver, "q").await;
        let mut consumer = from.consumer(Selector::Any, 32).await.expect("consumes");
        let open = PublisherOptions::default().mode(0o777);
        let topic = sender.publisher_with(&bus.name("t"), open).await.expect("opens");
        let mut subscriber = receiver.subscribe(&bus.name("t")).await.expect("subscribes");
        let sending = async {
            let mut receipts = Vec::new();
            for number in 0..COUNT {
                receipts.push(to.post(format!("{number}")).await.expect("posts"));
                topic.publish(format!("{number}")).await.expect("publishes");
                if number % 100 == 50 {
                    out.cut_after(number as usize * 7 % 4001, number as usize * 11 % 1009);
                }
            }
            for receipt in receipts {
                soon(receipt).await.expect("accepted");
            }
        };
        let taking = async {
            for number in 0..COUNT {
                let delivery = soon(consumer.next()).await.expect("goes on").expect("a delivery");
                assert_eq!(text(delivery.payload()).parse(), Ok(number));
                assert_eq!(delivery.attempt(), 0);
                if number % 130 == 60 {
                    back.cut_after(number as usize * 5 % 503, number as usize * 13 % 2003);
                }
                soon(delivery.ack()).await.expect("its lease has lived on");
            }
        };
        let hearing = async {
            for number in 0..COUNT {
                let found = soon(subscriber.next()).await.expect("goes on").expect("a message");
                assert_eq!(text(found.payload()).parse(), Ok(number));
            }
        };
        tokio::join!(sending, taking, hearing);
        let stat = stat(&bus.client().await, &from).await;
        assert_eq!((stat.acked, stat.messages), (u64::from(COUNT), 0));
    })
    .await;
}

#[tokio::test]
async fn point_19_leases_live_on_in_the_grace_and_end_after_it() {
    everywhere(async |bus: Bus| {
        let admin = bus.client().await;
        let mine = bus.queue(&admin, "q").await;
        mine.send_all(["a", "b"]).await.expect("sends");
        let (proxy, client) = through(&bus, grace(Duration::from_secs(60))).await;
        let (short, hasty) = through(&bus, grace(Duration::from_millis(150))).await;
        let (none, careless) = through(&bus, grace(Duration::ZERO)).await;
        let mut events = client.events();
        let kept = bus.queue(&client, "q").await.receive(Selector::Any).await.expect("a delivery");
        let lost = bus.queue(&hasty, "q").await.receive(Selector::Any).await.expect("a delivery");
        proxy.close();
        proxy.turned_away(1).await;
        assert_eq!(stat(&admin, &mine).await.leased, 2);
        short.close();
        until_stat(&admin, &mine, |stat| stat.leased == 1 && stat.messages == 1).await;
        proxy.open();
        resumed(&mut events).await;
        soon(kept.ack()).await.expect("its session lives");
        let mut events = hasty.events();
        short.open();
        restarted(&mut events).await;
        assert_eq!(failed(soon(lost.ack()).await), ErrorKind::StaleLease);
        let again = bus.queue(&careless, "q").await.receive(Selector::Any).await;
        let again = again.expect("a delivery");
        assert_eq!((text(again.payload()), again.attempt()), ("b", 1));
        none.close();
        until_stat(&admin, &mine, |stat| stat.leased == 0 && stat.messages == 1).await;
    })
    .await;
}

#[tokio::test]
async fn point_19_after_a_goodbye_nothing_is_kept() {
    everywhere(async |bus: Bus| {
        let (client, admin) =
            (bus.client_with(grace(Duration::from_secs(300))).await, bus.client());
        let admin = admin.await;
        let mine = bus.queue(&admin, "q").await;
        mine.send("a").await.expect("sends");
        let held = bus.queue(&client, "q").await.receive(Selector::Any).await.expect("a delivery");
        until_stat(&admin, &mine, |stat| stat.leased == 1).await;
        client.drain(Duration::from_secs(5)).await;
        until_stat(&admin, &mine, |stat| stat.leased == 0 && stat.messages == 1).await;
        drop(held);
    })
    .await;
}

#[tokio::test]
async fn point_19_across_epochs_what_was_unconfirmed_is_unknown_and_handles_are_opened_again() {
    everywhere(async |bus: Bus| {
        let (proxy, client) = through(&bus, ClientOptions::default()).await;
        let mut events = client.events();
        let queue = bus.queue_with(&client, "q", QueueOptions::default().exclusive()).await;
        queue.send("accepted before").await.expect("sends");
        let mut subscriber = client.subscribe(&bus.name("t")).await.expect("subscribes");
        let waiting = receiving(&queue, Selector::Eq(kind(5)));
        until_stat(&client, &queue, |stat| stat.waiting == 1).await;
        proxy.hold_up(false, true);
        let receipt = queue.post("nobody knows").await.expect("posts");
        let other = start().await.into_iter().find(|other| other.tag == bus.tag);
        let other = other.expect("the same transport");
        proxy.lead_to(&other.url);
        proxy.hold_up(false, false);
        let told = restarted(&mut events).await;
        let ClientEvent::Restarted { unknown, reason, .. } = &told else { panic!("{told:?}") };
        assert_eq!(*unknown, 1, "one send had no verdict");
        assert!(!reason.is_empty());
        assert_eq!(failed(soon(receipt).await), ErrorKind::OutcomeUnknown);
        queue.send(message(5, "the new one")).await.expect("it was opened again");
        let delivery = soon(waiting).await.expect("runs").expect("it waits there too");
        assert_eq!(text(delivery.payload()), "the new one");
        delivery.ack().await.expect("in time");
        assert_eq!(drain(&queue, Selector::Any).await, Vec::<String>::new(), "it was volatile");
        let topic = client.publisher(&bus.name("t")).await.expect("opens");
        topic.publish("heard").await.expect("publishes");
        let found = soon(subscriber.next()).await.expect("goes on").expect("a message");
        assert_eq!(text(found.payload()), "heard");
    })
    .await;
}

#[tokio::test]
async fn point_19_a_lost_session_is_told_with_its_gaps_and_unknown_publishes() {
    everywhere(async |bus: Bus| {
        let (proxy, client) = through(&bus, grace(Duration::from_millis(100))).await;
        let mut events = client.events();
        let open = PublisherOptions::default().mode(0o777);
        let topic = client.publisher_with(&bus.name("t"), open).await.expect("opens");
        let _subscriber = client.subscribe(&bus.name("other")).await.expect("subscribes");
        proxy.hold_up(true, true);
        for _ in 0..5 {
            topic.publish("lost?").await.expect("is handed over");
        }
        proxy.close();
        let admin = bus.client().await;
        until("the session is over", async || {
            let clients = admin.admin().clients().await.expect("answers");
            clients.iter().all(|client| client.connected)
        })
        .await;
        proxy.hold_up(false, false);
        proxy.open();
        let told = restarted(&mut events).await;
        let ClientEvent::Restarted { publishes_unknown: 5, reason, .. } = &told else {
            panic!("{told:?}")
        };
        assert!(reason.contains("grace"), "{reason}");
        let wanted = bus.name("other");
        event(
            &mut events,
            |event| matches!(event, ClientEvent::Gap { pattern } if *pattern == wanted),
        )
        .await;
    })
    .await;
}

#[tokio::test]
async fn point_19_of_a_slow_publisher_only_the_last_are_unknown() {
    everywhere(async |bus: Bus| {
        let (proxy, client) = through(&bus, ClientOptions::default()).await;
        let mut events = client.events();
        let open = PublisherOptions::default().mode(0o777);
        let topic = client.publisher_with(&bus.name("t"), open).await.expect("opens");
        let (began, mut count) = (Instant::now(), 0);
        // Too few for their number to have them confirmed; a second after the first they are for their age.
        while began.elapsed() < Duration::from_millis(1300) {
            topic.publish("slowly").await.expect("is handed over");
            count += 1;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let other = start().await.into_iter().find(|other| other.tag == bus.tag);
        let other = other.expect("the same transport");
        proxy.lead_to(&other.url);
        let told = restarted(&mut events).await;
        let ClientEvent::Restarted { publishes_unknown, .. } = told else { panic!("{told:?}") };
        assert!(publishes_unknown < count / 2, "{publishes_unknown} of {count}");
    })
    .await;
}

#[tokio::test]
async fn point_19_of_a_publisher_that_is_silent_nothing_is_unknown() {
    everywhere(async |bus: Bus| {
        let (proxy, client) = through(&bus, ClientOptions::default()).await;
        let mut events = client.events();
        let open = PublisherOptions::default().mode(0o777);
        let topic = client.publisher_with(&bus.name("t"), open).await.expect("opens");
        // Too few to be confirmed for their number, and nothing comes after them.
        let before = proxy.brought();
        for _ in 0..50 {
            topic.publish("at once").await.expect("is handed over");
        }
        soon(proxy.brought_more_than(before)).await;
        let other = start().await.into_iter().find(|other| other.tag == bus.tag);
        let other = other.expect("the same transport");
        proxy.lead_to(&other.url);
        let told = restarted(&mut events).await;
        let ClientEvent::Restarted { publishes_unknown, .. } = told else { panic!("{told:?}") };
        assert_eq!(publishes_unknown, 0);
    })
    .await;
}

#[tokio::test]
async fn point_19_attempts_to_connect_again_back_off() {
    everywhere(async |bus: Bus| {
        let proxy = Proxy::start(bus.tag, &bus.url).await;
        let slow = ClientOptions::default().backoff(Duration::from_millis(10), Duration::MAX / 8);
        let client = bus.client_at(&proxy.url, slow).await;
        let before = Instant::now();
        proxy.close();
        soon(proxy.turned_away(6)).await;
        // Pauses of 10, 20, 40, 80 and 160 ms, each of which may be halved.
        assert!(before.elapsed() >= Duration::from_millis(155), "{:?}", before.elapsed());
        proxy.open();
        soon(client.ping()).await.expect("it is back");
    })
    .await;
}

#[tokio::test]
async fn point_19_a_client_that_shall_not_connect_again_says_so() {
    everywhere(async |bus: Bus| {
        let (proxy, client) = through(&bus, ClientOptions::default().reconnect(false)).await;
        let mut events = client.events();
        let queue = bus.queue(&client, "q").await;
        proxy.hold_up(false, true);
        let receipt = queue.post("nobody knows").await.expect("posts");
        let waiting = receiving(&queue, Selector::Eq(kind(9)));
        proxy.cut();
        event(&mut events, |event| matches!(event, ClientEvent::Closed { .. })).await;
        assert_eq!(failed(soon(receipt).await), ErrorKind::OutcomeUnknown);
        assert_eq!(failed(soon(waiting).await.expect("runs")), ErrorKind::Disconnected);
        assert_eq!(failed(queue.send("late").await), ErrorKind::Disconnected);
    })
    .await;
}
