//! Point 16: requests and their replies, deadlines, and services that are not there.

use std::time::{Duration, Instant};

use bus_client::{Call, Client, ErrorKind, Server, ServiceStat};

use crate::bus::{Bus, everywhere, failed, message, soon, text, until};

async fn server(bus: &Bus, client: &Client, credit: u32) -> Server {
    client.serve_with(&bus.name("s"), credit, Some(0o777)).await.expect("serves")
}

async fn call(server: &mut Server) -> Call {
    soon(server.next()).await.expect("goes on").expect("a call")
}

async fn stat(bus: &Bus, client: &Client) -> ServiceStat {
    client.admin().stat(&bus.name("s")).await.expect("there").services.remove(0)
}

#[tokio::test]
async fn point_16_a_reply_comes_back_whatever_its_size() {
    everywhere(async |bus: Bus| {
        let (asker, answerer) = (bus.client().await, bus.client().await);
        let mut server = server(&bus, &answerer, 4).await;
        let serving = tokio::spawn(async move {
            while let Some(Ok(call)) = server.next().await {
                assert!(call.timeout() <= Duration::from_secs(20));
                let double = [call.payload().as_ref(), call.payload().as_ref()].concat();
                let kind = call.kind().get() + 1;
                call.reply(bus_client::Message::new(crate::bus::kind(kind), double))
                    .expect("is connected");
            }
        });
        let service = asker.service(&bus.name("s")).await.expect("opens");
        for length in [0, 1, 1000, 70_000, 3_000_000] {
            let question = bus_client::Message::new(crate::bus::kind(7), vec![5; length]);
            let reply = soon(service.call(question, Duration::from_secs(20))).await;
            let reply = reply.expect("a reply");
            assert_eq!((reply.kind().get(), reply.payload().len()), (8, 2 * length));
        }
        serving.abort();
    })
    .await;
}

#[tokio::test]
async fn point_16_no_responder_is_an_answer_and_not_a_time_out() {
    everywhere(async |bus: Bus| {
        let (asker, answerer) = (bus.client().await, bus.client().await);
        let long = Duration::from_secs(3600);
        let service = asker.service(&bus.name("s")).await.expect("opens");
        assert_eq!(failed(soon(service.call("anyone?", long)).await), ErrorKind::Unreachable);
        // A server that goes while it has a call, and while calls wait for it.
        let mut server = server(&bus, &answerer, 1).await;
        let asking = async {
            let (one, two) = tokio::join!(service.call("one", long), service.call("two", long));
            assert_eq!(failed(one), ErrorKind::Unreachable);
            assert_eq!(failed(two), ErrorKind::Unreachable);
        };
        let leaving = async {
            let call = call(&mut server).await;
            until("the other call waits", async || stat(&bus, &asker).await.pending == 1).await;
            drop(server);
            drop(call);
        };
        tokio::join!(soon(asking), leaving);
    })
    .await;
}

#[tokio::test]
async fn point_16_a_deadline_ends_a_call_and_a_late_reply_is_dropped_and_counted() {
    everywhere(async |bus: Bus| {
        let (asker, answerer) = (bus.client().await, bus.client().await);
        let mut server = server(&bus, &answerer, 1).await;
        let service = asker.service(&bus.name("s")).await.expect("opens");
        let (limit, before) = (Duration::from_millis(80), Instant::now());
        let (answer, late) = tokio::join!(service.call("slow", limit), call(&mut server));
        assert_eq!(failed(answer), ErrorKind::TimedOut);
        assert!(before.elapsed() >= limit);
        // The only server is busy, so this one ends while it waits.
        assert_eq!(failed(service.call("waits", limit).await), ErrorKind::TimedOut);
        late.reply("too late").expect("is connected");
        until("it is counted", async || stat(&bus, &asker).await.late == 1).await;
        let next = Duration::from_secs(20);
        let (answer, ()) = tokio::join!(service.call("next", next), async {
            let call = call(&mut server).await;
            assert_eq!(text(call.payload()), "next", "what had ended is not served");
            call.reply("in time").expect("is connected");
        });
        assert_eq!(answer.expect("a reply").payload(), "in time");
        assert_eq!(failed(service.call("past", Duration::ZERO).await), ErrorKind::TimedOut);
        let stat = stat(&bus, &asker).await;
        assert_eq!((stat.replies, stat.expired, stat.pending), (1, 3, 0));
    })
    .await;
}

#[tokio::test]
async fn point_16_a_server_that_fails_says_why() {
    everywhere(async |bus: Bus| {
        let (asker, answerer) = (bus.client().await, bus.client().await);
        let mut server = server(&bus, &answerer, 2).await;
        let long = Duration::from_secs(20);
        let name = bus.name("s");
        let (answer, ()) = tokio::join!(asker.request(&name, "a", long), async {
            call(&mut server).await.fail("out of paper").expect("is connected");
        });
        let error = answer.expect_err("it failed");
        assert_eq!(error.kind(), ErrorKind::ServiceFailed);
        assert!(error.to_string().contains("out of paper"), "{error}");
        let (answer, ()) = tokio::join!(asker.request(&name, "b", long), async {
            drop(call(&mut server).await);
        });
        assert_eq!(failed(answer), ErrorKind::ServiceFailed, "it was dropped");
    })
    .await;
}

#[tokio::test]
async fn point_16_several_servers_share_the_work_within_their_credit() {
    everywhere(async |bus: Bus| {
        let (asker, answerer) = (bus.client().await, bus.client().await);
        let mut servers = [server(&bus, &answerer, 2).await, server(&bus, &asker, 3).await];
        let service = asker.service(&bus.name("s")).await.expect("opens");
        let asking = async {
            let calls =
                (0..20).map(|n| service.call(message(1, n.to_string()), Duration::from_secs(20)));
            for (number, reply) in (0..).zip(futures::future::join_all(calls).await) {
                assert_eq!(text(reply.expect("a reply").payload()).parse(), Ok(number));
            }
        };
        let serving = async {
            until("both work", async || stat(&bus, &asker).await.running == 5).await;
            let mut held = Vec::new();
            for (server, credit) in servers.iter_mut().zip([2, 3]) {
                for _ in 0..credit {
                    held.push(call(server).await);
                }
            }
            assert_eq!(stat(&bus, &asker).await.pending, 15);
            for call in held {
                let body = call.message().clone();
                call.reply(body).expect("is connected");
            }
            let [one, two] = &mut servers;
            for _ in 0..15 {
                let found = tokio::select! { call = one.next() => call, call = two.next() => call };
                let call = found.expect("goes on").expect("a call");
                let body = call.message().clone();
                call.reply(body).expect("is connected");
            }
        };
        soon(async { tokio::join!(asking, serving) }).await;
    })
    .await;
}
