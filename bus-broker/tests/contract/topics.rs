//! Points 12 to 15: order on topics, slow subscribers, kept messages, groups.

use std::time::{Duration, Instant};

use bus_client::{
    Client, ErrorKind, Publisher, PublisherOptions, Selector, SlowPolicy, SubscribeOptions,
    Subscriber,
};
use futures::FutureExt;

use crate::bus::{Bus, everywhere, failed, kind, message, soon, text, until};

async fn publisher(bus: &Bus, client: &Client, base: &str) -> Publisher {
    publisher_with(bus, client, base, PublisherOptions::default()).await
}

async fn publisher_with(
    bus: &Bus,
    client: &Client,
    base: &str,
    options: PublisherOptions,
) -> Publisher {
    client.publisher_with(&bus.name(base), options.mode(0o777)).await.expect("the topic opens")
}

async fn subscriber(bus: &Bus, client: &Client, options: SubscribeOptions) -> Subscriber {
    client.subscribe_with(&bus.name("t"), options).await.expect("subscribes")
}

/// Small buffers, so that a subscriber is slow soon.
fn narrow(policy: SlowPolicy) -> SubscribeOptions {
    SubscribeOptions::default().policy(policy).window_bytes(4096).backlog_bytes(4096)
}

async fn next(subscriber: &mut Subscriber) -> String {
    let received = soon(subscriber.next()).await.expect("goes on").expect("a message");
    text(received.payload()).to_owned()
}

#[tokio::test]
async fn point_12_each_subscriber_gets_what_each_publisher_published_in_order() {
    everywhere(async |bus: Bus| {
        let (reader, writer) = (bus.client().await, bus.client().await);
        let mut subscribers = Vec::new();
        for pattern in [bus.name("t"), "*.".to_owned() + bus.tag, ">".to_owned()] {
            subscribers.push(reader.subscribe(&pattern).await.expect("subscribes"));
        }
        let sources = ["one", "two", "three"];
        let mut publishing = Vec::new();
        for source in sources {
            let client = if source == "one" { bus.client().await } else { writer.clone() };
            let topic = publisher(&bus, &client, "t").await;
            publishing.push(tokio::spawn(async move {
                for number in 0..700 {
                    topic.publish(format!("{source} {number}")).await.expect("publishes");
                }
                topic.flush().await.expect("all has arrived");
            }));
        }
        for subscriber in &mut subscribers {
            let mut expected = [0; 3];
            while expected != [700; 3] {
                let received = soon(subscriber.next()).await.expect("goes on").expect("a message");
                if received.topic() != bus.name("t") {
                    continue;
                }
                let (source, number) = text(received.payload()).split_once(' ').expect("two words");
                let index = sources.iter().position(|name| *name == source).expect("one of them");
                assert_eq!(number.parse(), Ok(expected[index]), "of {source}");
                expected[index] += 1;
            }
        }
        for task in publishing {
            task.await.expect("all was published");
        }
    })
    .await;
}

#[tokio::test]
async fn point_12_batches_and_large_messages_keep_the_order() {
    everywhere(async |bus: Bus| {
        let (reader, writer) = (bus.client().await, bus.client().await);
        let mut subscriber = subscriber(&bus, &reader, SubscribeOptions::default()).await;
        let topic = publisher(&bus, &writer, "t").await;
        let length = |number: usize| if number.is_multiple_of(10) { 300_000 } else { number };
        let publishing = async {
            for number in 0..200 {
                topic.publish(vec![number as u8; length(number)]).await.expect("publishes");
            }
        };
        let reading = async {
            let mut number = 0;
            while number < 200 {
                let batch = soon(subscriber.next_batch()).await.expect("goes on").expect("some");
                for found in batch.iter() {
                    assert_eq!(found.payload(), vec![number as u8; length(number)]);
                    number += 1;
                }
            }
        };
        tokio::join!(publishing, reading);
    })
    .await;
}

#[tokio::test]
async fn point_13_a_subscriber_that_holds_publishers_back_ends_at_the_topics_ceiling() {
    everywhere(async |bus: Bus| {
        let (reader, writer) = (bus.client().await, bus.client().await);
        let hold = Duration::from_millis(300);
        let options = PublisherOptions::default().hold(hold);
        let topic = publisher_with(&bus, &writer, "t", options).await;
        let mut events = reader.events();
        let mut slow = subscriber(&bus, &reader, narrow(SlowPolicy::Hold)).await;
        let mut fast = subscriber(&bus, &reader, SubscribeOptions::default()).await;
        let began = Instant::now();
        let publishing = async {
            for number in 0..100 {
                topic.publish(format!("{number:0300}")).await.expect("publishes");
            }
            topic.flush().await.expect("all has arrived");
            began.elapsed()
        };
        let reading = async {
            for number in 0..100 {
                assert_eq!(next(&mut fast).await.parse(), Ok(number));
            }
        };
        let (took, ()) = tokio::join!(publishing, reading);
        assert!(took >= hold, "it was held back for {took:?} only");
        // What it was sent before comes first; then the end.
        let mut count = 0;
        let end = loop {
            match soon(slow.next()).await.expect("an end") {
                Ok(received) => assert_eq!(text(received.payload()).parse(), Ok(count)),
                Err(error) => break error,
            }
            count += 1;
        };
        assert_eq!(end.kind(), ErrorKind::TooSlow);
        assert!(count < 100 && slow.next().await.is_none());
        let event = soon(events.next()).await.expect("goes on");
        assert!(matches!(event, bus_client::ClientEvent::TooSlow { .. }), "{event:?}");
    })
    .await;
}

#[tokio::test]
async fn point_13_a_held_publisher_goes_on_when_the_subscriber_reads() {
    everywhere(async |bus: Bus| {
        let (reader, writer) = (bus.client().await, bus.client().await);
        let options = PublisherOptions::default().hold(Duration::from_secs(20));
        let topic = publisher_with(&bus, &writer, "t", options).await;
        let mut slow = subscriber(&bus, &reader, narrow(SlowPolicy::Hold)).await;
        for number in 0..100 {
            topic.publish(format!("{number:0300}")).await.expect("publishes");
        }
        let admin = reader.admin();
        until("the topic holds its publisher back", async || {
            let page = admin.stat(&bus.name("t")).await.expect("there");
            page.topics[0].held > 0
        })
        .await;
        assert!(topic.flush().now_or_never().is_none(), "it is not all accepted");
        for number in 0..100 {
            assert_eq!(next(&mut slow).await.parse(), Ok(number));
        }
        soon(topic.flush()).await.expect("all is accepted");
        assert_eq!(slow.lost(), 0);
    })
    .await;
}

#[tokio::test]
async fn point_13_drop_oldest_counts_what_it_drops_and_says_so() {
    everywhere(async |bus: Bus| {
        let (reader, writer) = (bus.client().await, bus.client().await);
        let topic = publisher(&bus, &writer, "t").await;
        let mut events = reader.events();
        let mut slow = subscriber(&bus, &reader, narrow(SlowPolicy::DropOldest)).await;
        for number in 0..200 {
            topic.publish(format!("{number:0300}")).await.expect("publishes");
        }
        soon(topic.flush()).await.expect("nobody holds it back");
        let (mut last, mut count) = (None, 0);
        while last != Some(199) {
            let number: u64 = next(&mut slow).await.parse().expect("a number");
            assert!(last < Some(number), "{number} came after {last:?}");
            (last, count) = (Some(number), count + 1);
        }
        assert!(slow.lost() > 0);
        assert_eq!(count + slow.lost(), 200, "what was not received is counted");
        let event = soon(events.next()).await.expect("goes on");
        assert!(matches!(event, bus_client::ClientEvent::Lost { count: 1.., .. }), "{event:?}");
        let stat = reader.admin().stat(&bus.name("t")).await.expect("there");
        assert_eq!(stat.topics[0].dropped, slow.lost());
    })
    .await;
}

#[tokio::test]
async fn point_13_end_ends_at_once_and_is_the_default_beside_another_users_topic() {
    everywhere(async |bus: Bus| {
        let (reader, writer, admin) = (bus.client().await, bus.client().await, bus.admin().await);
        let options = PublisherOptions::default().hold(Duration::from_secs(20));
        let topic = publisher_with(&bus, &writer, "t", options).await;
        let stranger = bus_client::TopicChange { owner: Some(54_321), ..Default::default() };
        admin.admin().set_topic(&bus.name("t"), stranger).await.expect("gives it away");
        for policy in [SlowPolicy::End, SlowPolicy::Auto] {
            let mut slow = subscriber(&bus, &reader, narrow(policy)).await;
            for number in 0..100 {
                topic.publish(format!("{number:0300}")).await.expect("publishes");
            }
            soon(topic.flush()).await.expect("nobody holds it back");
            let end = loop {
                match soon(slow.next()).await.expect("an end") {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(end.kind(), ErrorKind::TooSlow, "{policy:?}");
        }
        let stat = reader.admin().stat(&bus.name("t")).await.expect("there");
        assert_eq!(stat.topics[0].too_slow, 2);
    })
    .await;
}

#[tokio::test]
async fn point_14_a_topic_keeps_its_last_message_of_each_type_for_late_joiners() {
    everywhere(async |bus: Bus| {
        let (reader, writer) = (bus.client().await, bus.client().await);
        let options = PublisherOptions::default().keep_last(true);
        let topic = publisher_with(&bus, &writer, "t", options).await;
        for (number, body) in [(2, "old two"), (1, "one"), (2, "two"), (3, "three")] {
            topic.publish(message(number, body)).await.expect("publishes");
        }
        topic.publish_confirmed(message(3, "last three")).await.expect("arrives");
        let mut all = subscriber(&bus, &reader, SubscribeOptions::default()).await;
        for body in ["one", "two", "last three"] {
            assert_eq!(next(&mut all).await, body);
        }
        let only = SubscribeOptions::default().selector(Selector::Eq(kind(2)));
        let mut two = subscriber(&bus, &reader, only).await;
        assert_eq!(next(&mut two).await, "two");
        topic.publish(message(2, "new")).await.expect("publishes");
        assert_eq!((next(&mut all).await, next(&mut two).await), ("new".into(), "new".into()));
        let plain = publisher(&bus, &writer, "plain").await;
        plain.publish_confirmed("gone").await.expect("arrives");
        let mut late = reader.subscribe(&bus.name("plain")).await.expect("subscribes");
        plain.publish("seen").await.expect("publishes");
        assert_eq!(next(&mut late).await, "seen");
    })
    .await;
}

#[tokio::test]
async fn point_15_each_group_gets_each_message_once() {
    everywhere(async |bus: Bus| {
        let (reader, writer) = (bus.client().await, bus.client().await);
        let topic = publisher(&bus, &writer, "t").await;
        let group = |name: &str| SubscribeOptions::default().group(name);
        let mut groups = Vec::new();
        for name in ["blue", "blue", "blue", "red"] {
            let client = if groups.len() == 2 { &writer } else { &reader };
            groups.push((name, subscriber(&bus, client, group(name)).await));
        }
        for number in 0..300 {
            topic.publish(format!("{number}")).await.expect("publishes");
        }
        topic.flush().await.expect("all has arrived");
        for name in ["blue", "red"] {
            let mut seen = Vec::new();
            let mut busy = 0;
            for (_, member) in groups.iter_mut().filter(|(group, _)| *group == name) {
                // What was routed before this answer is here after it.
                writer.ping().await.expect("answers");
                reader.ping().await.expect("answers");
                let before = seen.len();
                while let Some(Some(found)) = member.next().now_or_never() {
                    let found = found.expect("a message");
                    seen.push(text(found.payload()).parse::<u32>().expect("a number"));
                }
                busy += u32::from(seen.len() > before);
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..300).collect::<Vec<_>>(), "group {name}");
            assert_eq!(busy, if name == "blue" { 3 } else { 1 }, "members that had work");
        }
        let of_another_policy = group("blue").policy(SlowPolicy::DropOldest);
        let refused = reader.subscribe_with(&bus.name("t"), of_another_policy).await;
        assert_eq!(failed(refused), ErrorKind::InvalidArgument, "members agree on their policy");
        for name in ["", "a.b", "*"] {
            let refused = reader.subscribe_with(&bus.name("t"), group(name)).await;
            assert_eq!(failed(refused), ErrorKind::InvalidName, "`{name}`");
        }
    })
    .await;
}

#[tokio::test]
async fn point_15_what_a_member_has_not_handed_over_goes_to_the_others_once() {
    everywhere(async |bus: Bus| {
        let (reader, writer) = (bus.client().await, bus.client().await);
        let topic = publisher(&bus, &writer, "t").await;
        let group = || SubscribeOptions::default().group("work");
        let mut first = subscriber(&bus, &reader, group()).await;
        let mut odd = subscriber(&bus, &writer, group().selector(Selector::Eq(kind(9)))).await;
        for number in 0..500 {
            topic.publish(message(1, format!("{number}"))).await.expect("publishes");
        }
        topic.publish(message(9, "odd")).await.expect("publishes");
        topic.flush().await.expect("all has arrived");
        let mut seen = Vec::new();
        for _ in 0..120 {
            seen.push(next(&mut first).await);
        }
        let mut second = subscriber(&bus, &writer, group()).await;
        let stat = writer.admin().stat(&bus.name("t")).await.expect("there").topics.remove(0);
        let told: Vec<_> = stat.groups.iter().map(|it| (it.name.as_str(), it.members)).collect();
        assert_eq!(told, [("work", 3)]);
        assert_eq!(stat.groups[0].first.len(), 3);
        drop(first);
        // What the first one had not handed over, and nothing of what it had.
        while seen.iter().filter(|text| *text != "odd").count() < 500 {
            seen.push(next(&mut second).await);
        }
        if !seen.contains(&"odd".to_owned()) {
            seen.push(next(&mut odd).await);
        }
        let mut numbers: Vec<u32> = seen.iter().filter_map(|text| text.parse().ok()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..500).collect::<Vec<_>>());
        assert_eq!(seen.len(), 501);
        for member in [&mut second, &mut odd] {
            reader.ping().await.expect("answers");
            writer.ping().await.expect("answers");
            assert!(member.next().now_or_never().is_none(), "something came twice");
        }
    })
    .await;
}

/// The numbers of messages under the texts that they bear, read one by one and in batches.
async fn numbers(subscriber: &mut Subscriber, count: usize, batches: bool) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    while found.len() < count {
        if batches {
            let batch = soon(subscriber.next_batch()).await.expect("goes on").expect("messages");
            let own = |message: bus_client::MessageRef<'_>| {
                (String::from_utf8_lossy(message.payload()).into_owned(), message.sequence())
            };
            found.extend(batch.iter().map(own));
        } else {
            let received = soon(subscriber.next()).await.expect("goes on").expect("a message");
            found.push((text(received.payload()).to_owned(), received.sequence()));
        }
    }
    found
}

#[tokio::test]
async fn each_message_bears_its_number_among_those_of_its_publisher() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let mut all = subscriber(&bus, &client, SubscribeOptions::default()).await;
        let mut in_batches = subscriber(&bus, &client, SubscribeOptions::default()).await;
        let only = SubscribeOptions::default().selector(Selector::Eq(kind(2)));
        let mut twos = subscriber(&bus, &client, only).await;
        let (one, other) =
            (publisher(&bus, &client, "t").await, publisher(&bus, &client, "t").await);
        for number in 1..=300u64 {
            let bearer = if number % 7 == 0 { &other } else { &one };
            let message = message(1 + u64::from(number % 3 == 0), format!("{number}"));
            bearer.publish(message).await.expect("publishes");
        }
        let expected = |number: &u64| match number % 7 {
            0 => (number.to_string(), number / 7),
            _ => (number.to_string(), number - number / 7),
        };
        // Of one publisher each comes in its order; between two handles there is none.
        let sorted = |mut found: Vec<(String, u64)>| {
            found.sort_by_key(|(text, _)| text.parse::<u64>().expect("a number"));
            found
        };
        let wanted: Vec<_> = (1..=300).map(|number| expected(&number)).collect();
        assert_eq!(sorted(numbers(&mut all, 300, false).await), wanted);
        assert_eq!(sorted(numbers(&mut in_batches, 300, true).await), wanted);
        let wanted: Vec<_> =
            (1..=300).filter(|number| number % 3 == 0).map(|n| expected(&n)).collect();
        assert_eq!(sorted(numbers(&mut twos, 100, false).await), wanted);
    })
    .await;
}
