//! Two brokers that look like one bus for what their owners share.
//!
//! Run it with `cargo run -p bus-examples --bin two_brokers`. It brings both brokers: a plant with
//! its measurements, and an office that wants some of them. In real life they are on two machines;
//! `docs/remote.md` shows that from a shell.

use std::time::Duration;

use bus_broker::{Authority, BridgeConfig, Broker, BrokerConfig, CertificateMatch, Making};
use bus_broker::{ClientCertificates, TlsServerFiles, User};
use bus_client::{Client, Pattern, Publisher, Received, Subscriber, UserName};
use tokio::time::timeout;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // Certificates for both ends: `bus cert` does the same from a shell.
    let folder = tempfile::tempdir()?;
    let making = Making { days: 1, force: false };
    let (authority, _) = Authority::create(folder.path(), making)?;
    let office = authority.server("office", &["127.0.0.1".to_owned()], making)?;
    let plant = authority.client("plant", making)?;

    // The office listens, asks for certificates, and knows whose is the plant's.
    let files = TlsServerFiles {
        certificate: office.certificate,
        key: office.key,
        client_authority: Some(authority.certificate()),
        client_certificates: ClientCertificates::Required,
    };
    let user = User::new(UserName::new("plant")?).admin(true);
    let config = BrokerConfig::default()
        .name("office")
        .listen("tls://127.0.0.1:0".parse()?)
        .tls(files)
        .user(user.certificate(CertificateMatch::Name("plant".into())));
    let office = Broker::start(config).await?;

    // The plant connects to it. Measurements go out under a name of their own, orders come in.
    let bridge = BridgeConfig::new("office", office.urls()[0].parse()?)?
        .outgoing(Pattern::new("measured.>")?)
        .incoming(Pattern::new("orders.>")?)
        .prefixes("", "plant.north")
        .authority(authority.certificate())
        .certificate(plant.certificate, plant.key);
    let plant = Broker::start(BrokerConfig::default().name("plant").bridge(bridge)).await?;

    let (desk, machine) =
        (Client::connect(office.url()).await?, Client::connect(plant.url()).await?);
    let mut measured = desk.subscribe("plant.north.measured.*").await?;
    let mut orders = machine.subscribe("orders.*").await?;
    let thermometer = machine.publisher("measured.oven").await?;
    let orderer = desk.publisher("plant.north.orders.oven").await?;

    let received = until_heard(&thermometer, "214 degrees", &mut measured).await?;
    assert_eq!(received.payload(), "214 degrees");
    let provenance = received.provenance().ok_or("it came over the bridge")?;
    println!("the office hears of `{}`, measured at `{}`", received.topic(), provenance.broker);

    let order = until_heard(&orderer, "cool down", &mut orders).await?;
    println!("the plant is told on `{}`: {:?}", order.topic(), order.payload());
    Ok(())
}

/// What nobody beyond wants does not cross, and a wish takes a moment to get there: what was
/// published before that is not kept for it.
async fn until_heard(
    publisher: &Publisher,
    text: &'static str,
    subscriber: &mut Subscriber,
) -> Result<Received> {
    loop {
        publisher.publish(text).await?;
        if let Ok(received) = timeout(Duration::from_millis(50), subscriber.next()).await {
            return Ok(received.ok_or("the subscription has ended")??);
        }
    }
}
