//! Programs without an async runtime: calls that block, from as many threads as one likes.
//!
//! Run it with `cargo run -p bus-examples --bin blocking`. It brings its own broker, which has a
//! thread and a runtime to itself; everything else is ordinary threads.

use std::thread;
use std::time::Duration;

use bus_broker::{Broker, BrokerConfig};
use bus_client::blocking::Client;
use bus_client::{ErrorKind, Selector};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let url = format!("local:{}", directory.path().join("bus.sock").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = BrokerConfig::default().listen(url.parse()?);
    // The broker has a thread of its own; the runtime is needed to start it, and to end it.
    let broker = runtime.block_on(Broker::start(config))?;

    share_a_queue(&url)?;
    follow_a_topic(&url)?;
    ask_a_service(&url)?;
    runtime.block_on(broker.drain(PATIENCE));
    Ok(())
}

/// One client for two workers: a thread that waits is woken by what comes for it.
fn share_a_queue(url: &str) -> Result<()> {
    let client = Client::connect(url)?;
    println!("connected over {:?}", client.transport().transport);
    let jobs = client.queue("jobs")?;
    thread::scope(|scope| {
        for worker in ["first", "second"] {
            let jobs = &jobs;
            scope.spawn(move || -> Result<()> {
                loop {
                    let delivery = jobs.receive(Selector::Any)?;
                    if delivery.payload() == "go home" {
                        delivery.ack()?;
                        return Ok(());
                    }
                    println!("the {worker} worker does: {}", text(delivery.payload()));
                    delivery.ack()?;
                }
            });
        }
        jobs.send_all(["sweep", "wash", "iron", "fold", "go home", "go home"])
    })?;

    // A call takes at most as long as its handle says, or as the call itself does.
    let nothing = jobs.within(Duration::from_millis(10)).receive(Selector::Any);
    let nothing = nothing.expect_err("everything is done");
    assert_eq!(nothing.kind(), ErrorKind::TimedOut);
    println!("{nothing}");
    Ok(())
}

/// A subscriber is an iterator.
fn follow_a_topic(url: &str) -> Result<()> {
    let (near, far) = (Client::connect(url)?, Client::connect(url)?);
    let news = far.subscribe("news.>")?;
    let publisher = near.publisher("news.today")?;
    for headline in ["rain", "more rain", "sun"] {
        publisher.publish(headline)?;
    }
    for (expected, received) in ["rain", "more rain", "sun"].iter().zip(news) {
        let received = received?;
        println!("{}: {}", received.topic(), text(received.payload()));
        assert_eq!(received.payload(), expected);
    }
    Ok(())
}

/// A server answers until its client ends.
fn ask_a_service(url: &str) -> Result<()> {
    let (near, far) = (Client::connect(url)?, Client::connect(url)?);
    let mut server = far.serve("text.upper", 4)?;
    let serving = thread::spawn(move || {
        server.serve(|call| {
            let asked = std::str::from_utf8(call.payload())?;
            Ok::<_, std::str::Utf8Error>(asked.to_uppercase().into())
        })
    });
    let reply = near.request("text.upper", "hello", PATIENCE)?;
    println!("hello -> {}", text(reply.payload()));
    assert_eq!(reply.payload(), "HELLO");
    far.drain(PATIENCE);
    let ended = serving.join().map_err(|_| "the server panicked")?;
    assert_eq!(ended.expect_err("its client has ended").kind(), ErrorKind::Closed);
    Ok(())
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
