//! Typed publish and subscribe: one client publishes readings of a sensor, another receives them.
//!
//! Run it with `cargo run -p bus-examples --bin quickstart`. It brings its own broker.

use bus_broker::{Broker, BrokerConfig};
use bus_client::Client;

/// What travels: an ordinary protobuf message. A field's `tag` is its number on the wire, so it
/// stays what it is when fields come or go. Code that prost generates from a `.proto` file looks
/// the same; for a few small messages writing it by hand saves the build script.
#[derive(Clone, PartialEq, prost::Message)]
struct Reading {
    #[prost(string, tag = "1")]
    sensor: String,
    #[prost(double, tag = "2")]
    celsius: f64,
}

/// The full name, `examples.Reading`, becomes the number by which the bus tells the types of
/// messages apart. The broker registers both: if another program used the number for another
/// name, it would get an error instead of your messages.
impl prost::Name for Reading {
    const PACKAGE: &'static str = "examples";
    const NAME: &'static str = "Reading";
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A broker inside this process. With one that runs already (`bus serve`) this line goes away,
    // and the clients connect to "local:" instead.
    let broker = Broker::start(BrokerConfig::default()).await?;

    // Two clients, as if they were two programs.
    let display = Client::connect(broker.url()).await?;
    let kitchen = Client::connect(broker.url()).await?;

    // `>` stands for the rest of a topic's name, `*` for exactly one token of it. What is
    // published once `subscribe` has returned will be delivered.
    let mut readings = display.subscribe("sensors.>").await?.typed::<Reading>().await?;

    // A topic is there as soon as somebody publishes on it.
    let publisher = kitchen.publisher("sensors.kitchen").await?.typed::<Reading>().await?;
    for celsius in [20.5, 21.0, 21.5] {
        publisher.publish(&Reading { sensor: "oven".into(), celsius }).await?;
    }
    // Raw bytes may travel on the same topic. A typed subscriber passes them over and counts them.
    publisher.raw().publish("not a reading").await?;
    publisher.publish(&Reading { sensor: "oven".into(), celsius: 22.0 }).await?;

    // Messages of one publisher arrive in the order in which it published them.
    for expected in [20.5, 21.0, 21.5, 22.0] {
        let (reading, received) = readings.next().await.ok_or("the subscription has ended")??;
        println!(
            "{}: {} measures {} degrees (told by {})",
            received.topic(),
            reading.sensor,
            reading.celsius,
            received.sender(),
        );
        assert_eq!(received.topic(), "sensors.kitchen");
        assert_eq!(reading, Reading { sensor: "oven".into(), celsius: expected });
    }
    assert_eq!(readings.others(), 1);
    println!("and {} message of another type was passed over", readings.others());
    Ok(())
}
