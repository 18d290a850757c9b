//! Points 9 and 11: queues come and go, and what is told about them.

use std::time::Duration;

use bus_client::{
    Client, Error, ErrorKind, Lifetime, Object, Queue, QueueOptions, Retired, Selector, Touch,
};

use crate::bus::{Bus, everywhere, failed, message, soon, stat, text, until, until_stat};
use crate::order::{drain, receiving};

async fn open(bus: &Bus, client: &Client, options: QueueOptions) -> Result<Queue, Error> {
    client.queue_with(&bus.name("q"), options.mode(0o777)).await
}

async fn is_there(bus: &Bus, client: &Client) -> bool {
    open(bus, client, QueueOptions::default().must_exist()).await.is_ok()
}

#[tokio::test]
async fn point_09_create_exclusive_create_and_open() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let missing = open(&bus, &client, QueueOptions::default().must_exist()).await;
        assert_eq!(failed(missing), ErrorKind::NotFound);
        let created = open(&bus, &client, QueueOptions::default().exclusive()).await;
        assert!(created.expect("it is new").was_created());
        let twice = open(&bus, &client, QueueOptions::default().exclusive()).await;
        assert_eq!(failed(twice), ErrorKind::AlreadyExists);
        let again = open(&bus, &client, QueueOptions::default()).await.expect("opens");
        assert!(!again.was_created());
        let there = open(&bus, &client, QueueOptions::default().must_exist()).await;
        assert!(!there.expect("opens").was_created());
        let durable = QueueOptions::default().lifetime(Lifetime::Durable);
        let durable = client.queue_with(&bus.name("durable"), durable).await;
        assert_eq!(failed(durable), ErrorKind::Unsupported);
        for bad in ["", "a b", "a..b", "$bus.mine", "a*"] {
            let kind = failed(client.queue(bad).await);
            assert!(
                matches!(kind, ErrorKind::InvalidName | ErrorKind::PermissionDenied),
                "`{bad}` gave {kind:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn point_09_an_old_handle_never_reaches_a_new_queue_of_its_name() {
    everywhere(async |bus: Bus| {
        let (client, admin) = (bus.client().await, bus.admin().await);
        let old = open(&bus, &client, QueueOptions::default()).await.expect("opens");
        old.send("old").await.expect("sends");
        let old_id = stat(&admin, &old).await.id;
        assert_eq!(admin.admin().remove(Object::Queue, &bus.name("q")).await.expect("removes"), 1);
        let new = open(&bus, &client, QueueOptions::default()).await.expect("opens");
        assert!(new.was_created() && stat(&admin, &new).await.id != old_id);
        assert_eq!(failed(old.send("lost").await), ErrorKind::Removed);
        assert_eq!(failed(old.try_receive(Selector::Any).await), ErrorKind::Removed);
        assert_eq!(failed(old.peek(Selector::Any, 0).await), ErrorKind::Removed);
        new.send("new").await.expect("sends");
        assert_eq!(failed(old.receive(Selector::Any).await), ErrorKind::Removed);
        assert_eq!(drain(&new, Selector::Any).await, ["new"]);
    })
    .await;
}

#[tokio::test]
async fn point_09_remove_tells_everyone_who_waits() {
    everywhere(async |bus: Bus| {
        let (client, admin) = (bus.client().await, bus.admin().await);
        let options = QueueOptions::default().count_max(1);
        let queue = open(&bus, &client, options).await.expect("opens");
        queue.send(message(1, "fills")).await.expect("there is room");
        let leased = soon(queue.receive(Selector::Any)).await.expect("a delivery");
        queue.send(message(1, "fills")).await.expect("there is room");
        let mut consumer =
            queue.consumer(Selector::Eq(crate::bus::kind(9)), 4).await.expect("consumes");
        let receiver = receiving(&queue, Selector::Eq(crate::bus::kind(9)));
        let small = queue.post(message(2, "small")).await.expect("posts");
        let large = queue.post(vec![0; 100_000]).await.expect("posts");
        until_stat(&admin, &queue, |stat| stat.waiting == 2 && stat.blocked == 2).await;
        admin.admin().remove(Object::Queue, &bus.name("q")).await.expect("removes");
        assert_eq!(failed(soon(receiver).await.expect("runs")), ErrorKind::Removed);
        let ended = soon(consumer.next()).await.expect("an end");
        assert_eq!(failed(ended), ErrorKind::Removed);
        assert!(consumer.next().await.is_none());
        assert_eq!(failed(soon(small).await), ErrorKind::Removed);
        assert_eq!(failed(soon(large).await), ErrorKind::Removed);
        assert_eq!(failed(soon(leased.ack()).await), ErrorKind::StaleLease);
    })
    .await;
}

#[tokio::test]
async fn point_09_retire_takes_the_name_now_and_the_contents_with_the_last_holder() {
    // One after the other: they share a broker, and its queues are counted.
    for bus in crate::bus::start().await {
        let (client, admin) = (bus.client().await, bus.admin().await);
        let old = open(&bus, &client, QueueOptions::default()).await.expect("opens");
        old.send("a").await.expect("sends");
        let retired = admin.admin().retire(Object::Queue, &bus.name("q")).await;
        assert_eq!(retired.expect("retires"), Retired { messages: 1, holders: 1 });
        let new = open(&bus, &client, QueueOptions::default()).await.expect("opens");
        assert!(new.was_created(), "the name was free at once");
        old.send("b").await.expect("its holders go on");
        assert_eq!(drain(&new, Selector::Any).await, Vec::<String>::new());
        assert_eq!(drain(&old, Selector::Any).await, ["a", "b"]);
        old.send("gone with the holder").await.expect("sends");
        let queues = async || admin.admin().broker().await.expect("answers").queues;
        let both = queues().await;
        drop(old);
        until("the retired queue is gone", async || queues().await == both - 1).await;
        assert!(is_there(&bus, &client).await);
    }
}

#[tokio::test]
async fn point_09_a_queue_ends_with_its_creator_or_its_last_holder_if_it_was_made_so() {
    everywhere(async |bus: Bus| {
        let (creator, holder) = (bus.client().await, bus.client().await);
        let options = QueueOptions::default().lifetime(Lifetime::Session);
        open(&bus, &creator, options).await.expect("opens");
        let held = open(&bus, &holder, QueueOptions::default()).await.expect("opens");
        let waiting = receiving(&held, Selector::Any);
        until_stat(&holder, &held, |stat| stat.waiting == 1).await;
        creator.drain(Duration::from_secs(1)).await;
        assert_eq!(failed(soon(waiting).await.expect("runs")), ErrorKind::Removed);
        assert!(!is_there(&bus, &holder).await);
        drop(held);
        let creator = bus.client().await;
        let options = QueueOptions::default().lifetime(Lifetime::LastHolder);
        let first = open(&bus, &creator, options).await.expect("opens");
        first.send("kept").await.expect("sends");
        let second = open(&bus, &holder, QueueOptions::default()).await.expect("opens");
        creator.drain(Duration::from_secs(1)).await;
        assert_eq!(drain(&second, Selector::Any).await, ["kept"], "somebody holds it still");
        drop(second);
        until("the queue is gone", async || !is_there(&bus, &holder).await).await;
    })
    .await;
}

#[tokio::test]
async fn point_11_a_queue_tells_all_about_itself() {
    everywhere(async |bus: Bus| {
        let named = |name: &str| bus_client::ClientOptions::default().name(name);
        let (one, two) = (bus.client_with(named("one")).await, bus.client_with(named("two")).await);
        let options = QueueOptions::default().count_max(4).bytes_max(5000).deliveries_max(2);
        let queue = bus.queue_with(&one, "q", options.lease(Duration::from_secs(9))).await;
        for (number, body) in [(1, "a"), (1, "bb"), (2, "ccc"), (2, "dddd")] {
            queue.send(message(number, body)).await.expect("there is room");
        }
        let blocked = queue.post("blocked").await.expect("posts");
        let other = bus.queue(&two, "q").await;
        for _ in 0..2 {
            let delivery = soon(other.receive(Selector::Any)).await.expect("a delivery");
            assert_eq!(text(delivery.payload()), "a");
            delivery.nack().await.expect("in time");
        }
        let acked = soon(other.receive(Selector::Any)).await.expect("a delivery");
        acked.ack().await.expect("in time");
        let _held = soon(other.receive(Selector::Any)).await.expect("a delivery");
        let waiting = receiving(&other, Selector::Eq(crate::bus::kind(77)));
        soon(blocked).await.expect("there was room");
        until_stat(&one, &queue, |stat| stat.waiting == 1).await;
        let stat = stat(&one, &queue).await;
        assert_eq!((stat.messages, stat.bytes, stat.leased), (2, 4 + 7 + 2 * 64, 1));
        assert_eq!((stat.accepted, stat.delivered, stat.acked), (5, 4, 1));
        assert_eq!((stat.redelivered, stat.dead, stat.dropped), (1, 1, 0));
        assert_eq!((stat.blocked, stat.waiting, stat.handles, stat.retired), (0, 1, 3, false));
        assert_eq!((stat.options.count_max, stat.options.bytes_max), (4, 5000));
        assert_eq!(stat.options.lease, Duration::from_secs(9));
        assert_eq!((stat.access.mode, stat.creator.name.as_str()), (0o777, "one"));
        let counts: Vec<_> = stat.types.iter().map(|t| (t.kind.get(), t.messages)).collect();
        assert_eq!(counts, [(1, 1), (2, 1)]);
        let by = |touch: &Option<Touch>| touch.clone().expect("it happened").sender.name;
        assert_eq!((by(&stat.last_send), by(&stat.last_receive)), ("one".into(), "two".into()));
        assert!(stat.last_send.expect("sent").age < Duration::from_secs(10));
        let known = if bus.is_anonymous() { None } else { Some(std::process::id()) };
        assert_eq!(stat.creator.pid, known, "by the kernel's word");
        assert_eq!(stat.access.owner.is_some(), !bus.is_anonymous());
        waiting.abort();
    })
    .await;
}
