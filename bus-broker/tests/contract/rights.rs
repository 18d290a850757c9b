//! Point 10: owner, group and mode, by the kernel's word about the peer.
//!
//! In this process every client over `mem:` and `local:` is the broker's own user, and whoever
//! comes over TCP is anonymous; other users are other processes, over `local:`.

use bus_client::{
    Client, ErrorKind, Message, Object, PublisherOptions, QueueChange, QueueOptions, Selector,
    TopicChange,
};

use crate::bus::{Bus, everywhere, failed, home, message, soon, start, stat, until_stat};
use crate::order::receiving;
use crate::process::{Process, User, may_become_others};

const OWNER: User = User { uid: 51_001, gid: 52_001, group: None };
const MEMBER: User = User { uid: 51_002, gid: 52_001, group: None };
const STRANGER: User = User { uid: 51_003, gid: 52_003, group: None };
const SUPPLEMENTARY: User = User { uid: 51_004, gid: 52_004, group: Some(52_001) };

/// A queue that the broker's own user has created with this mode, and holds with one message.
async fn owned(admin: &Client, name: &str, mode: u16) {
    let queue = admin.queue_with(name, QueueOptions::default().mode(mode)).await.expect("opens");
    queue.send("there").await.expect("sends");
}

/// Whether each of open, send, receive, purge is allowed.
async fn allowed(client: &Client, name: &str) -> [bool; 4] {
    let is = |kind: ErrorKind| {
        assert_eq!(kind, ErrorKind::PermissionDenied);
        false
    };
    let opened = client.queue_with(name, QueueOptions::default().must_exist()).await;
    let Ok(queue) = opened else { return [is(failed(opened)); 4] };
    let send = queue.try_send("mine").await;
    let receive = queue.try_receive(Selector::Any).await;
    let purge = client.admin().purge(Object::Queue, name).await;
    [
        true,
        send.is_ok() || is(failed(send)),
        receive.is_ok() || is(failed(receive)),
        purge.is_ok() || is(failed(purge)),
    ]
}

#[tokio::test]
async fn point_10_the_brokers_own_user_may_everything_and_anonymous_has_the_bits_of_others() {
    everywhere(async |bus: Bus| {
        let (client, admin) = (bus.client().await, bus.admin().await);
        let cases = [
            (0o770, [false; 4]),
            (0o702, [true, true, false, false]),
            (0o704, [true, false, true, false]),
            (0o701, [true, false, false, true]),
            (0o007, [true; 4]),
        ];
        for (mode, anonymous) in cases {
            let name = bus.name(&format!("mode{mode:o}"));
            owned(&admin, &name, mode).await;
            let expected = if bus.is_anonymous() { anonymous } else { [true; 4] };
            assert_eq!(allowed(&client, &name).await, expected, "mode {mode:o}");
        }
        // Without a mode a queue is its owner's; an anonymous creator's is everybody's.
        let private = admin.queue(&bus.name("private")).await.expect("opens");
        private.send("there").await.expect("sends");
        let may = allowed(&client, private.name().as_str()).await;
        assert_eq!(may, [!bus.is_anonymous(); 4]);
        let own = client.queue(&bus.name("own")).await.expect("opens");
        own.send("there").await.expect("sends");
        assert_eq!(allowed(&client, own.name().as_str()).await, [true; 4]);
    })
    .await;
}

#[tokio::test]
async fn point_10_reading_and_writing_topics_and_services_are_apart() {
    everywhere(async |bus: Bus| {
        let (client, admin) = (bus.client().await, bus.admin().await);
        let denied = bus.is_anonymous();
        let check = |result: Result<(), ErrorKind>, what: &str| {
            let expected = if denied { Err(ErrorKind::PermissionDenied) } else { Ok(()) };
            assert_eq!(result, expected, "{what}");
        };
        let mode = |mode| PublisherOptions::default().mode(mode);
        let read_only = admin.publisher_with(&bus.name("r"), mode(0o744)).await.expect("opens");
        let write_only = admin.publisher_with(&bus.name("w"), mode(0o722)).await.expect("opens");
        client.subscribe(&bus.name("r")).await.expect("others may read");
        client.publisher(&bus.name("w")).await.expect("others may write");
        let publishing = client.publisher(&bus.name("r")).await;
        check(publishing.map(drop).map_err(|error| error.kind()), "publish");
        let subscribing = client.subscribe(&bus.name("w")).await;
        check(subscribing.map(drop).map_err(|error| error.kind()), "subscribe");
        // A pattern passes over what it may not read.
        let mut all = client.subscribe(">").await.expect("a pattern is always allowed");
        write_only.publish_confirmed("secret").await.expect("publishes");
        read_only.publish_confirmed("open").await.expect("publishes");
        loop {
            let received = soon(all.next()).await.expect("goes on").expect("a message");
            if received.topic() == bus.name("r") {
                break;
            }
            let secret = received.topic() == bus.name("w");
            assert!(!(denied && secret), "it may not be read");
        }
        let _server = admin.serve_with(&bus.name("s"), 1, Some(0o700)).await.expect("serves");
        let serving = client.serve(&bus.name("s"), 1).await;
        check(serving.map(drop).map_err(|error| error.kind()), "serve");
    })
    .await;
}

#[tokio::test]
async fn point_10_rights_are_checked_again_for_those_who_wait() {
    let [_, _, _, bus, _] = start().await;
    let (client, admin) = (bus.client().await, bus.admin().await);
    let options = QueueOptions::default().mode(0o707).count_max(1);
    let own = admin.queue_with("q", options).await.expect("opens");
    own.send(message(1, "fills")).await.expect("sends");
    let queue = client.queue("q").await.expect("others may");
    let receiver = receiving(&queue, Selector::Eq(crate::bus::kind(2)));
    let small = queue.post("small").await.expect("posts");
    let large = queue.post(Message::from(vec![0; 100_000])).await.expect("posts");
    until_stat(&admin, &own, |stat| stat.waiting == 1 && stat.blocked == 2).await;
    let (topic, mode) = (admin.publisher("t").await.expect("opens"), Some(0o700));
    let open = TopicChange { mode: Some(0o777), ..TopicChange::default() };
    admin.admin().set_topic("t", open).await.expect("changes");
    let mut subscriber = client.subscribe("t").await.expect("others may");
    let publisher = client.publisher("t").await.expect("others may");
    let closed = QueueChange { mode, ..QueueChange::default() };
    admin.admin().set_queue("q", closed).await.expect("changes");
    let closed = TopicChange { mode, ..TopicChange::default() };
    admin.admin().set_topic("t", closed).await.expect("changes");
    assert_eq!(failed(soon(receiver).await.expect("runs")), ErrorKind::PermissionDenied);
    assert_eq!(failed(soon(small).await), ErrorKind::PermissionDenied);
    assert_eq!(failed(soon(large).await), ErrorKind::PermissionDenied);
    let ended = soon(subscriber.next()).await.expect("an end");
    assert_eq!(failed(ended), ErrorKind::PermissionDenied);
    let published = publisher.publish_confirmed("too late").await;
    assert_eq!(failed(published), ErrorKind::PermissionDenied);
    assert_eq!(failed(queue.try_send("too late").await), ErrorKind::PermissionDenied);
    assert_eq!(stat(&admin, &own).await.messages, 1);
    topic.publish_confirmed("goes on").await.expect("the owner may");
}

#[tokio::test]
async fn point_10_owner_group_and_others_are_told_apart_by_the_kernels_word() {
    if !may_become_others() {
        return;
    }
    let [_, bus, _, _, _] = start().await;
    let answers = async |user: User, actions: &str| {
        let child = Process::start(Some(user), &format!("{} q {actions}", bus.url))?;
        Some(child.answers().await.join(" "))
    };
    let Some(created) = answers(OWNER, "create=642 send receive send purge chown").await else {
        return;
    };
    const NO: &str = "permission-denied";
    assert_eq!(created, format!("ok ok ok ok {NO} {NO}"), "its owner may read and write");
    let admin = bus.admin().await;
    let queue = admin.queue("q").await.expect("opens");
    let peeked = queue.peek(Selector::Any, 0).await.expect("one is left");
    assert_eq!(peeked.sender.uid, Some(OWNER.uid));
    assert_eq!(peeked.sender.gid, Some(OWNER.gid));
    assert_ne!(peeked.sender.pid, Some(std::process::id()));
    let mut groups = vec![MEMBER, SUPPLEMENTARY];
    if !std::path::Path::new("/usr/bin/setpriv").exists() {
        eprintln!("skipped in part: no setpriv to give a process a supplementary group");
        groups.pop();
    }
    for user in groups {
        let found = answers(user, "open send receive purge").await;
        assert_eq!(found, Some(format!("ok {NO} ok {NO}")), "its group may read");
        queue.send("another").await.expect("sends");
    }
    let found = answers(STRANGER, "open send receive purge").await;
    assert_eq!(found, Some(format!("ok ok {NO} {NO}")), "others may write");
    let closed = QueueChange { mode: Some(0o740), ..QueueChange::default() };
    admin.admin().set_queue("q", closed).await.expect("changes");
    assert_eq!(answers(STRANGER, "open send").await, Some(NO.into()), "others may nothing");
}

#[tokio::test]
async fn point_10_a_waiting_process_of_another_user_ends_when_its_right_is_taken_away() {
    if !may_become_others() {
        return;
    }
    let [_, bus, _, _, _] = start().await;
    let admin = bus.admin().await;
    let options = QueueOptions::default().mode(0o704);
    let queue = admin.queue_with("q", options).await.expect("opens");
    let task = format!("{} q wait", bus.url);
    let Some(mut child) = Process::start(Some(STRANGER), &task) else { return };
    assert_eq!(child.line().await.as_deref(), Some("waiting"));
    until_stat(&admin, &queue, |stat| stat.waiting == 1).await;
    let closed = QueueChange { mode: Some(0o700), ..QueueChange::default() };
    admin.admin().set_queue("q", closed).await.expect("changes");
    assert_eq!(child.line().await.as_deref(), Some("permission-denied"));
}

#[tokio::test]
async fn point_10_a_client_trusts_no_broker_but_its_own_users_and_roots() {
    if !may_become_others() {
        return;
    }
    let home = home();
    std::os::unix::fs::chown(home.path(), Some(OWNER.uid), None).expect("root may");
    let url = format!("local:{}", home.path().join("bus.sock").display());
    let Some(mut broker) = Process::start(Some(OWNER), &format!("serve {url}")) else { return };
    assert_eq!(broker.line().await.as_deref(), Some("serving"));
    for (user, expected) in [(OWNER, "ok"), (STRANGER, "permission-denied")] {
        let child = Process::start(Some(user), &format!("{url} q create=666"));
        let found = child.expect("one was started before").answers().await;
        assert_eq!(found, [expected], "uid {}", user.uid);
    }
    Client::connect(&url).await.expect("root may look at anybody's");
}
