//! An embedded broker with all of its transports, and what the checks have in common.
//!
//! Nothing here sleeps for a result: a condition is asked for until it holds, or its deadline
//! has passed.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bus_broker::{Broker, BrokerConfig};
use bus_client::{
    Client, ClientOptions, Error, ErrorKind, Message, MessageType, Queue, QueueOptions, QueueStat,
};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::raw::authority;

/// How long a check may take over one transport.
const CHECK_MAX: Duration = Duration::from_secs(30);
/// How long anything may take that should happen at once.
pub const SOON: Duration = Duration::from_secs(10);

/// A broker as it is reached over one transport.
#[derive(Clone)]
pub struct Bus {
    /// The transport, as part of names.
    pub tag: &'static str,
    pub url: String,
    /// The URL for whoever administers: the broker knows who is behind it.
    pub inside: String,
    pub broker: Arc<Broker>,
    _home: Arc<TempDir>,
}

/// A folder for sockets that every user can reach.
pub fn home() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().permissions(open).tempdir().expect("a temporary folder")
}

/// Starts a broker, and gives it as it is reached over each transport.
pub async fn start() -> [Bus; 5] {
    start_with(BrokerConfig::default()).await
}

pub async fn start_with(config: BrokerConfig) -> [Bus; 5] {
    let home = home();
    let local = format!("local:{}", home.path().join("bus.sock").display());
    let config = config
        .listen(local.parse().expect("a URL"))
        .listen("tcp://127.0.0.1:0".parse().expect("a URL"))
        .listen("tls://127.0.0.1:0".parse().expect("a URL"))
        .tls(authority::server_files());
    let broker = Arc::new(Broker::start(config).await.expect("the broker starts"));
    let home = Arc::new(home);
    let [socket, tcp, tls] = broker.urls() else { panic!("it listens at three places") };
    let lanes = socket.replacen("local:", "shm:", 1);
    let urls = [broker.url().to_owned(), lanes, socket.clone(), tcp.clone(), tls.clone()];
    let mut tags = ["mem", "lanes", "local", "tcp", "tls"].into_iter();
    urls.map(|url| Bus {
        tag: tags.next().expect("as many tags as URLs"),
        url,
        inside: broker.url().to_owned(),
        broker: broker.clone(),
        _home: home.clone(),
    })
}

/// Runs a check over every transport of one broker, all at once. What panics names its transport.
pub async fn everywhere(check: impl AsyncFn(Bus)) {
    let [mem, lanes, local, tcp, tls] = start().await;
    tokio::join!(
        over(mem, &check),
        over(lanes, &check),
        over(local, &check),
        over(tcp, &check),
        over(tls, &check)
    );
}

async fn over(bus: Bus, check: &impl AsyncFn(Bus)) {
    let tag = bus.tag;
    let mut running = pin!(timeout(CHECK_MAX, check(bus)));
    poll_fn(|cx| {
        let _on_panic = Told(tag);
        running
            .as_mut()
            .poll(cx)
            .map(|ended| ended.unwrap_or_else(|_| panic!("not done within {CHECK_MAX:?}")))
    })
    .await;
}

/// Tells over which transport a check has failed.
struct Told(&'static str);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this failed over `{}`", self.0);
        }
    }
}

impl Bus {
    pub async fn client(&self) -> Client {
        self.client_with(ClientOptions::default()).await
    }

    pub async fn client_with(&self, options: ClientOptions) -> Client {
        self.client_at(&self.url, options).await
    }

    /// A client that gets to this broker by another URL.
    pub async fn client_at(&self, url: &str, options: ClientOptions) -> Client {
        Client::connect_with(url, authority::trusting(options)).await.expect("connects")
    }

    /// Whether the broker does not know who is behind a connection.
    pub fn is_anonymous(&self) -> bool {
        matches!(self.tag, "tcp" | "tls")
    }

    /// A client that may do everything.
    pub async fn admin(&self) -> Client {
        Client::connect(&self.inside).await.expect("connects")
    }

    /// The name of an object of this transport.
    pub fn name(&self, base: &str) -> String {
        format!("{base}.{}", self.tag)
    }

    /// A queue that everybody may use.
    pub async fn queue(&self, client: &Client, base: &str) -> Queue {
        self.queue_with(client, base, QueueOptions::default()).await
    }

    pub async fn queue_with(&self, client: &Client, base: &str, options: QueueOptions) -> Queue {
        let options = options.mode(0o777);
        client.queue_with(&self.name(base), options).await.expect("the queue opens")
    }
}

/// The figures of a queue.
pub async fn stat(client: &Client, queue: &Queue) -> QueueStat {
    let name = queue.name().as_str();
    let page = client.admin().stat(name).await.expect("the queue is there");
    page.queues.into_iter().next().expect("it is a queue")
}

/// Asks until the figures of a queue are as they should be.
pub async fn until_stat(client: &Client, queue: &Queue, holds: impl Fn(&QueueStat) -> bool) {
    let deadline = Instant::now() + SOON;
    loop {
        let stat = stat(client, queue).await;
        if holds(&stat) {
            return;
        }
        assert!(Instant::now() < deadline, "never came to be: {stat:?}");
        tokio::task::yield_now().await;
    }
}

/// Asks until it is so.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < deadline, "never came to be: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What should come at once.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    match timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("did not come within {SOON:?}"),
    }
}

/// A type by its number.
pub fn kind(number: u64) -> MessageType {
    MessageType::new(number).expect("a valid type")
}

/// A message of a type.
pub fn message(number: u64, text: impl Into<String>) -> Message {
    Message::new(kind(number), text.into())
}

/// The payload as text.
pub fn text(payload: &[u8]) -> &str {
    std::str::from_utf8(payload).expect("text")
}

/// The kind of what must have failed.
pub fn failed<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    let error = result.expect_err("this must fail");
    assert!(!error.to_string().is_empty(), "an error says what is wrong");
    error.kind()
}
