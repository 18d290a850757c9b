//! Calls: one that is given up leaves nothing waiting, and the next one is answered.

use std::time::Duration;

use bus_client::{Call, Error, ErrorKind, Message, Server, Service, ServiceStat};

use crate::world::{World, nothing};

const LONG: Duration = Duration::from_secs(60);

async fn stat(world: &World) -> ServiceStat {
    world.settle().await;
    world.other.admin().stat("s").await.expect("it is there").services.remove(0)
}

/// Answers calls until one says `next`: those that were given up may come first.
async fn serve_until_next(server: &tokio::sync::Mutex<Server>) {
    let mut server = server.try_lock().expect("one at a time");
    loop {
        let call = server.next().await.expect("goes on").expect("a call");
        let body = call.message().clone();
        let last = body.payload() == "next";
        call.reply(body).expect("is connected");
        if last {
            return;
        }
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_nothing() {
    let world = World::new().await;
    let server = world.other.serve_with("s", 2, Some(0o777)).await.expect("serves");
    let server = tokio::sync::Mutex::new(server);
    let service = world.client.service("s").await.expect("opens");
    let check = async |result: Option<Result<Message, Error>>| {
        if let Some(result) = result {
            assert_eq!(result.expect("a reply").payload(), "one");
        }
        let next = service.call("next", LONG);
        let (next, ()) = tokio::join!(next, serve_until_next(&server));
        assert_eq!(next.expect("a reply").payload(), "next");
        let stat = stat(&world).await;
        assert_eq!((stat.pending, stat.running), (0, 0));
    };
    let call = async || service.call("one", LONG).await;
    let answer = async || {
        let mut server = server.try_lock().expect("one at a time");
        let call = server.next().await.expect("goes on").expect("a call");
        call.reply("one").expect("is connected");
    };
    assert!(world.at_each_point(call, answer, check).await >= 2);
    // This one opens its service first, so that its call comes later.
    let request = async || world.client.request("s", "one", LONG).await;
    for (polls, answered) in [(1, false), (1, true), (2, false), (2, true), (3, true)] {
        let result = world.cut_short(polls, answered, &request, &nothing).await;
        assert!(result.is_none(), "nobody has answered");
        check(None).await;
    }
}

#[tokio::test]
async fn a_servers_next_loses_nothing() {
    let world = World::new().await;
    let server = world.client.serve_with("s", 2, Some(0o777)).await.expect("serves");
    let server = tokio::sync::Mutex::new(server);
    let service = world.other.service("s").await.expect("opens");
    let service = std::sync::Arc::new(service);
    let calls = std::cell::RefCell::new(Vec::new());
    let next = async || {
        let mut server = server.try_lock().expect("one at a time");
        server.next().await.expect("goes on")
    };
    let come = async || {
        let service = service.clone();
        calls.borrow_mut().push(tokio::spawn(async move { service.call("one", LONG).await }));
        while stat(&world).await.running == 0 {}
    };
    let check = async |result: Option<Result<Call, Error>>| {
        let call = match result {
            Some(call) => call,
            None => next().await,
        };
        call.expect("a call").reply("two").expect("is connected");
        let calling = calls.borrow_mut().pop().expect("it was made");
        assert_eq!(calling.await.expect("runs").expect("a reply").payload(), "two");
    };
    assert!(world.at_each_point(next, come, check).await >= 2);
}

#[tokio::test]
async fn opening_a_server_or_service_is_done_or_undone() {
    let world = World::new().await;
    let _server = world.client.serve_with("s", 1, Some(0o777)).await.expect("serves");
    let channels = async || {
        let clients = world.other.admin().clients().await.expect("answers");
        clients.iter().map(|client| client.channels).sum::<u64>()
    };
    let before = channels().await;
    let serve = async || world.client.serve("s", 1).await;
    let check = async |result: Option<Result<Server, Error>>| {
        let opened = result.is_some();
        let held = result.map(|result| result.expect("serves"));
        assert_eq!(stat(&world).await.servers, 1 + u64::from(opened));
        drop(held);
        assert_eq!(stat(&world).await.servers, 1);
    };
    assert!(world.at_each_point(serve, nothing, check).await >= 2);
    let open = async || world.client.service("s").await;
    let check = async |result: Option<Result<Service, Error>>| {
        drop(result.map(|result| result.expect("opens")));
        world.settle().await;
        assert_eq!(channels().await, before, "no handle is left behind");
    };
    assert!(world.at_each_point(open, nothing, check).await >= 2);
}

#[tokio::test]
async fn dropping_a_server_refuses_what_was_not_looked_at() {
    let world = World::new().await;
    let mut server = world.client.serve_with("s", 2, Some(0o777)).await.expect("serves");
    let service = std::sync::Arc::new(world.other.service("s").await.expect("opens"));
    let calls = ["in hand", "unread"].map(|text| {
        let service = service.clone();
        tokio::spawn(async move { service.call(text, LONG).await })
    });
    while stat(&world).await.running < 2 {}
    let in_hand = server.next().await.expect("goes on").expect("a call");
    assert_eq!(in_hand.payload(), "in hand");
    drop(server);
    let mut kinds = Vec::new();
    for call in calls {
        kinds.push(call.await.expect("runs").expect_err("nobody answers").kind());
    }
    assert_eq!(kinds, [ErrorKind::Unreachable, ErrorKind::ServiceFailed]);
    in_hand.reply("too late").expect("nobody minds");
    world.settle().await;
}
