//! The same program over a local socket and over TCP: only the URL differs.
//!
//! Run it with `cargo run -p bus-examples --bin local_and_tcp`. It brings its own broker, with a
//! socket in a temporary directory and a TCP port that the system chooses.

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, PublisherOptions, QueueOptions, Selector};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("bus.sock");

    // One broker, two listeners. From a shell: `bus serve --listen local:PATH --listen tcp://...`
    let config = BrokerConfig::default()
        .listen(format!("local:{}", socket.display()).parse()?)
        .listen("tcp://127.0.0.1:0".parse()?);
    let broker = Broker::start(config).await?;

    // Where it really listens: the port is known now.
    let [local, tcp] = broker.urls() else { return Err("there are two listeners".into()) };

    program(local, local).await?;
    program(tcp, tcp).await?;
    // How somebody is connected is nobody else's business.
    program(tcp, local).await
}

/// Sends over one URL and receives over another. Nothing in here knows which they are.
async fn program(from: &str, to: &str) -> Result<()> {
    let sender = Client::connect(from).await?;
    let receiver = Client::connect(to).await?;

    // Rights are as of a file. TCP brings no credentials, so its peers are anonymous and have the
    // rights of "others" only. By default queues are their owner's alone (0700) and topics may
    // only be read by others (0744), hence the modes here.
    let open_to_all = 0o777;

    let mut news = receiver.subscribe("news.*").await?;
    let options = PublisherOptions::default().mode(open_to_all);
    let publisher = sender.publisher_with("news.today", options).await?;
    publisher.publish("all is well").await?;
    let received = news.next().await.ok_or("the subscription has ended")??;
    assert_eq!(received.payload(), "all is well");
    let publishing_user = received.sender().uid;

    let options = QueueOptions::default().mode(open_to_all);
    let outbox = sender.queue_with("orders", options.clone()).await?;
    let inbox = receiver.queue_with("orders", options).await?;
    outbox.send_all(["tea", "toast"]).await?;
    for expected in ["tea", "toast"] {
        let delivery = inbox.receive(Selector::Any).await?;
        assert_eq!(delivery.payload(), expected);
        delivery.ack().await?;
    }

    let over = |client: &Client| match client.transport().transport {
        Some(transport) => transport.to_string(),
        None => "nothing".into(),
    };
    let who = match publishing_user {
        Some(uid) => format!("uid {uid}"),
        None => "somebody anonymous".into(),
    };
    println!("from {who} over {} to {}: news and orders", over(&sender), over(&receiver));
    Ok(())
}
