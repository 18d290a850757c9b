//! Request and reply: two servers share the calls to one service, and every call ends.
//!
//! Run it with `cargo run -p bus-examples --bin request_reply`. It brings its own broker.

use std::time::Duration;

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, ErrorKind, Message, Server};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How long a caller waits. The broker keeps the deadline, so it holds whatever the server does.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let broker = Broker::start(BrokerConfig::default()).await?;
    let caller = Client::connect(broker.url()).await?;

    // Nobody serves the name yet. That is an answer, not a time-out.
    let error = caller.request("text.upper", "hello", PATIENCE).await.expect_err("no server");
    println!("before there is a server: {error}");
    assert_eq!(error.kind(), ErrorKind::Unreachable);

    // Two servers of one name. Calls go to the one that has waited longest. Each takes up to
    // 16 calls at a time.
    let mut servers = Vec::new();
    for name in ["first", "second"] {
        let client = Client::connect(broker.url()).await?;
        let server = client.serve("text.upper", 16).await?;
        servers.push(tokio::spawn(shout(name, server)));
    }

    // For more calls than one, keep the opened service.
    let upper = caller.service("text.upper").await?;
    for (asked, expected) in [("one", "ONE"), ("two", "TWO"), ("three", "THREE")] {
        let reply = upper.call(asked, PATIENCE).await?;
        let server = reply.headers().get("served-by").ok_or("the reply says who made it")?;
        println!("{asked} -> {} by the {} server", text(reply.payload()), text(server));
        assert_eq!(reply.payload(), expected);
    }

    // A server can fail a call, and the caller is told its words.
    let error = upper.call("", PATIENCE).await.expect_err("nothing to shout");
    println!("an empty text: {error}");
    assert_eq!(error.kind(), ErrorKind::ServiceFailed);
    servers.iter().for_each(tokio::task::JoinHandle::abort);

    answer_too_late(&caller, broker.url()).await
}

/// Serves until it is aborted or its client ends.
async fn shout(name: &str, mut server: Server) -> std::result::Result<(), bus_client::Error> {
    while let Some(call) = server.next().await {
        let call = call?;
        let asked = text(call.payload());
        if asked.is_empty() {
            call.fail("there is nothing to shout")?;
            continue;
        }
        // A message may carry headers beside its payload.
        let reply = Message::from(asked.to_uppercase()).with_header("served-by", name)?;
        call.reply(reply)?;
    }
    Ok(())
}

/// When the deadline passes the caller goes on; a reply that comes later is dropped and counted.
async fn answer_too_late(caller: &Client, url: &str) -> Result<()> {
    let slow = Client::connect(url).await?;
    let mut server = slow.serve("text.slow", 1).await?;

    let asking = caller.request("text.slow", "hurry", Duration::from_millis(50));
    let error = asking.await.expect_err("nobody replies in time");
    println!("a slow server: {error}");
    assert_eq!(error.kind(), ErrorKind::TimedOut);

    let call = server.next().await.ok_or("serving has ended")??;
    call.reply("here it is")?;
    let stat = slow.admin().stat("text.slow").await?;
    assert_eq!(stat.services[0].late, 1);
    println!("its reply came too late, and was dropped and counted");
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
