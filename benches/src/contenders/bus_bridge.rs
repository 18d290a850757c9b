//! Two brokers of the bus, joined by its bridge: clients over lanes, the link over TCP, or over TLS
//! with a certificate on either side. Here with topics; `bus_bridge_queue` has the queues.
//!
//! Nobody spins: whoever waits at a lane sleeps at once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bus_broker::{BridgeConfig, BrokerConfig, TokenHash, User};
use bus_client::{
    Client, ClientOptions, MessageType, Pattern, PublisherOptions, Token, UserName, Waiting,
};
use bus_core::sys::effective_uid;

use super::bus::MODE;
use super::bus_certificates as certificates;
use super::bus_server;
use super::bus_topic::{TopicConnector, TopicPort};
use crate::cell::{Cell, Order};
use crate::child::run_tokio;
use crate::contender::Connector;
use crate::joined::{Ends, Joinable, JoinedBrokers, Site};

/// See the module.
pub struct BusBridge {
    tls: bool,
}

/// Over either.
pub fn all() -> [BusBridge; 2] {
    [BusBridge { tls: false }, BusBridge { tls: true }]
}

/// It goes over loopback only.
const TOKEN: &str = "bridge_of_the_benches_on_loopback_only";
/// In the room of the near broker: where the far one takes links.
const FAR_LINK: &str = "far";

impl JoinedBrokers for BusBridge {
    fn name(&self) -> &str {
        if self.tls { "bus-bridge-tls" } else { "bus-bridge-tcp" }
    }

    fn about(&self) -> &str {
        match self.tls {
            false => {
                "two brokers of the bus joined by a bridge over TCP; clients over lanes, who waits sleeps"
            }
            true => "the same over TLS, with certificates on both sides",
        }
    }

    fn supports(&self, _: &Cell) -> Result<(), String> {
        Ok(())
    }

    fn start_far(&self, site: &Site<'_>) -> Result<Joinable> {
        if self.tls {
            certificates::make_mutual(site.room.directory())?;
        }
        start_far(self.name(), site)
    }

    fn start_near(&self, site: &Site<'_>, far_link: &str) -> Result<Joinable> {
        note_far(site, far_link)?;
        self.start_far(site)
    }

    fn run_role(&self, order: &Order, ends: &Ends) -> Result<()> {
        let options = ClientOptions::default().waiting(Waiting::Park);
        let order = Order { address: ends.own.clone(), ..order.clone() };
        let topics = TopicConnector::new(options.clone());
        run_tokio(BridgedConnector { topics, options, other: ends.other.clone() }, &order)
    }

    fn run_broker(&self, order: &Order) -> Result<()> {
        let folder = Path::new(&order.address);
        let mut config = broker_config(folder, self.tls)?;
        if let Some(far) = far_of(folder) {
            let (mut bridge, far_folder) = bridge_to(&far)?;
            for topic in ["question", "flow", "linked.>"] {
                bridge = bridge.outgoing(Pattern::new(topic)?);
            }
            for topic in ["answer", "linked.>"] {
                bridge = bridge.incoming(Pattern::new(topic)?);
            }
            if self.tls {
                bridge = bridge.tls(certificates::mutual_client(Path::new(far_folder)));
            }
            config = config.bridge(bridge);
        }
        bus_server::serve(config, folder)
    }
}

/// Starts a broker of this contender.
pub fn start_far(contender: &str, site: &Site<'_>) -> Result<Joinable> {
    let (server, urls) = bus_server::start(contender, site.cell, site.core, &site.room)?;
    let [local, tcp] = urls.as_slice() else { anyhow::bail!("not two addresses: {urls:?}") };
    Ok(Joinable {
        server,
        clients: local.replacen("local:", "shm:", 1),
        link: format!("{tcp}\n{}", site.room.directory().display()),
    })
}

/// Tells the near broker, which is not started yet, where the far one takes links.
pub fn note_far(site: &Site<'_>, far_link: &str) -> Result<()> {
    Ok(fs::write(site.room.directory().join(FAR_LINK), far_link)?)
}

/// What the broker in this folder was told of the far one, if it is the near one.
pub fn far_of(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(FAR_LINK)).ok()
}

/// A broker for local clients, and for a bridge.
pub fn broker_config(folder: &Path, tls: bool) -> Result<BrokerConfig> {
    let port = if tls { "tls://127.0.0.1:0" } else { "tcp://127.0.0.1:0" };
    let mut config = BrokerConfig::default().waiting(Waiting::Park);
    config = config.user(bridge_user(&Token::new(TOKEN)?)?);
    for url in [format!("local:{}/socket", folder.display()), port.to_owned()] {
        config = config.listen(url.parse()?);
    }
    Ok(if tls { config.tls(certificates::mutual_files(folder)) } else { config })
}

/// A bridge to the far broker, over which nothing goes so far; and the folder of that broker.
pub fn bridge_to(far: &str) -> Result<(BridgeConfig, &str)> {
    let (url, far_folder) = far.split_once('\n').context("not a URL and a folder")?;
    let bridge = BridgeConfig::new("bench", url.parse()?)?;
    Ok((bridge.token(Token::new(TOKEN)?), far_folder))
}

/// The bridge's user at the far broker: an administrator with the uid of whoever measures, as an
/// operator would have it for brokers of his own.
fn bridge_user(token: &Token) -> Result<User> {
    let user = User::new(UserName::new("bridge")?).uid(effective_uid()).admin(true);
    Ok(user.token(TokenHash::of(token)))
}

struct BridgedConnector {
    topics: TopicConnector,
    options: ClientOptions,
    other: String,
}

impl Connector for BridgedConnector {
    type Port = TopicPort;

    async fn open(&mut self, order: &Order) -> Result<TopicPort> {
        const PAUSE: Duration = Duration::from_millis(10);
        let port = self.topics.open(order).await?;
        // The link knows the port's topic once a later one has carried a message.
        let topic = format!("linked.{}", std::process::id());
        let own = Client::connect_with(&order.address, self.options.clone()).await?;
        let mut subscriber = own.subscribe(&topic).await?;
        let other = Client::connect_with(&self.other, self.options.clone()).await?;
        let publisher =
            other.publisher_with(&topic, PublisherOptions::default().mode(MODE)).await?;
        let kind = MessageType::new(1).context("there is no type 0")?;
        loop {
            publisher.publish_slice(kind, &[]).await?;
            if let Ok(came) = tokio::time::timeout(PAUSE, subscriber.next_batch()).await {
                came.context("the subscription has ended")??;
                return Ok(port);
            }
        }
    }
}
