//! A broker with something of everything: queues, a sender that waits, dead letters, topics, services, and names that are out
//! to harm.

use std::net::SocketAddr;
use std::time::Duration;

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, ClientOptions, QueueOptions, Selector};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Runs if it is taken for markup. A client may call itself so, and a type.
pub const HOSTILE: &str = "<img src=x onerror=document.documentElement.dataset.hacked='x'>";

/// Longer than anything takes that works, also where the machine has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A type with a name to harm.
#[derive(Clone, PartialEq, prost::Message)]
struct Hostile {
    #[prost(uint32, tag = "1")]
    number: u32,
}

impl prost::Name for Hostile {
    const NAME: &'static str = HOSTILE;
    const PACKAGE: &'static str = "a";
}

/// It is there until it is dropped.
pub struct Scene {
    broker: Broker,
    clients: Vec<Client>,
    tasks: Vec<JoinHandle<()>>,
    _folder: TempDir,
}

/// A broker that serves its page there.
pub async fn broker_at(address: SocketAddr) -> Broker {
    Broker::start(BrokerConfig::default().metrics(address)).await.expect("starts")
}

impl Scene {
    pub async fn start() -> Scene {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("local:{}", folder.path().join("bus.sock").display());
        let listen = url.parse().expect("a URL");
        let config = BrokerConfig::default().name("harbour").listen(listen);
        let config = config.metrics("127.0.0.1:0".parse().expect("an address"));
        let broker = Broker::start(config).await.expect("starts");
        let mut scene = Scene { broker, clients: Vec::new(), tasks: Vec::new(), _folder: folder };
        scene.queues(&url).await;
        scene.topics(&url).await;
        scene.hostile(&url).await;
        scene
    }

    /// Where it serves the page.
    pub fn address(&self) -> SocketAddr {
        self.broker.metrics_address().expect("it serves it")
    }

    pub fn page(&self) -> String {
        format!("http://{}/", self.address())
    }

    /// So many queues more, each one deeper than the one before.
    pub async fn many_queues(&self, count: usize) {
        for number in 0..count {
            let queue = self.clients[0].queue(&format!("many.{number}")).await.expect("opens");
            for _ in 0..number / 40 + usize::from(number + 1 == count) {
                queue.send("x").await.expect("sends");
            }
        }
    }

    /// The broker ends.
    pub async fn end(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.broker.drain(Duration::ZERO).await;
    }

    async fn client(&mut self, url: &str, name: &str) -> Client {
        let options = ClientOptions::default().name(name);
        let client = Client::connect_with(url, options).await.expect("connects");
        self.clients.push(client.clone());
        client
    }

    async fn queues(&mut self, url: &str) {
        let (maker, worker) = (self.client(url, "maker").await, self.client(url, "worker").await);
        let small = QueueOptions::default().count_max(3);
        let full = maker.queue_with("jobs.full", small).await.expect("opens");
        for _ in 0..3 {
            full.send("x").await.expect("there is room");
        }
        for _ in 0..2 {
            let full = full.clone();
            self.tasks.push(tokio::spawn(async move { drop(full.send("waits").await) }));
        }
        let poison = maker.queue("jobs.poison").await.expect("opens");
        poison.send("bad").await.expect("sends");
        let delivery = poison.receive(Selector::Any).await.expect("receives");
        delivery.reject("it cannot be read").await.expect("rejects");
        let (jobs, taker) = (
            maker.queue("jobs.images").await.expect("opens"),
            worker.queue("jobs.images").await.expect("opens"),
        );
        self.tasks.push(tokio::spawn(async move {
            while jobs.send(vec![0; 4000]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
        }));
        self.tasks.push(tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok(delivery) = taker.receive(Selector::Any).await {
                if kept.len() < 7 {
                    kept.push(delivery);
                } else if delivery.ack().await.is_err() {
                    return;
                }
            }
        }));
    }

    async fn topics(&mut self, url: &str) {
        let client = self.client(url, "station").await;
        let mut news = client.subscribe("news.>").await.expect("subscribes");
        self.tasks.push(tokio::spawn(async move { while news.next().await.is_some() {} }));
        for (topic, pause) in [("news.weather", 5), ("news.sports", 15)] {
            let publisher = client.publisher(topic).await.expect("opens");
            self.tasks.push(tokio::spawn(async move {
                while publisher.publish("rain").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            }));
        }
        let mut server = client.serve_with("sums", 4, None).await.expect("serves");
        self.tasks.push(tokio::spawn(async move {
            while let Some(Ok(call)) = server.next().await {
                let _ = call.reply("3");
            }
        }));
        client.request("sums", "1+2", PATIENCE).await.expect("it is served");
    }

    async fn hostile(&mut self, url: &str) {
        let client = self.client(url, HOSTILE).await;
        let queue = client.queue("strange").await.expect("opens").typed::<Hostile>().await;
        queue.expect("a type").send(&Hostile { number: 7 }).await.expect("sends");
    }
}
