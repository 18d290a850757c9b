//! Figures for Prometheus, whether the broker is well, and a page for people, over HTTP.
//!
//! A thread of its own with a client of its own: the broker's thread does for it what it does for any client that
//! lists what there is, a page at a time. Many who ask at once are answered with one look. Where cores are few the
//! thread gives way to others.

mod columns;
mod counted;
mod figures;
mod files;
mod held;
mod http;
mod look;
mod request;
mod snapshot;
mod subscribers;
mod table;
mod text;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use bus_client::{Client, ClientOptions};
use bus_core::sys::give_way;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::runtime::{self, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tracing::warn;

use http::{Answer, plain};
use request::Request;
use table::Wanted;
use watch::{Seen, Wish};

/// What the client calls itself.
const CLIENT_NAME: &str = "metrics";
/// How soon a broker that is well answers.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a look may take, behind another one.
const LOOKING: Duration = Duration::from_secs(20);
/// What Prometheus calls its text.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

/// Serves metrics until it is dropped.
#[derive(Debug)]
pub(crate) struct Metrics {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Metrics {
    /// Listens there, and asks the broker at this URL, which is in this process.
    ///
    /// # Errors
    /// When the address cannot be had, or the system has no thread.
    pub fn start(address: SocketAddr, url: &str) -> io::Result<Metrics> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let (address, url) = (listener.local_addr()?, url.to_owned());
        let (stop, stopped) = oneshot::channel();
        let mut builder = runtime::Builder::new_current_thread();
        thread::Builder::new().name("bus-metrics".into()).spawn(move || {
            // Nobody's message is to wait for a page.
            give_way();
            let runtime = match builder.enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime,
                Err(error) => return warn!(%error, "no metrics are served"),
            };
            runtime.block_on(async {
                tokio::select! {
                    result = serve(listener, url) => {
                        result.unwrap_or_else(|error| warn!(%error, "metrics are served no more"));
                    }
                    // Its other end is never used, only dropped.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Metrics { address, _stop: stop })
    }

    /// Where it listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: std::net::TcpListener, url: String) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let options = ClientOptions::default().name(CLIENT_NAME).grace(Duration::ZERO);
    let client = Client::connect_with(&url, options).await.map_err(io::Error::other)?;
    let (wish, wishes) = watch::wishes();
    spawn_local(watch::watch(client.clone(), wishes));
    http::serve(listener, move |request| answer(request, client.clone(), wish.clone())).await;
    Ok(())
}

async fn answer(request: Request, client: Client, wish: mpsc::Sender<Wish>) -> Answer {
    match &*request.path {
        "/metrics" => match seen(&wish, true).await {
            Some(seen) => good(TEXT, seen.look.text()),
            None => plain("503 Service Unavailable"),
        },
        "/snapshot.json" => match Wanted::parse(&request.query) {
            Ok(wanted) => match seen(&wish, false).await.map(|it| snapshot::snapshot(&it, &wanted))
            {
                Some(Ok(value)) => good(JSON, value.to_string()),
                Some(Err(status)) => plain(status),
                None => plain("503 Service Unavailable"),
            },
            Err(status) => plain(status),
        },
        // The broker's thread has answered.
        "/health" | "/health/ready" => match timeout(PATIENCE, client.ping()).await {
            Ok(Ok(_)) => plain("200 OK"),
            _ => plain("503 Service Unavailable"),
        },
        // This thread has.
        "/health/alive" => plain("200 OK"),
        path => files::file(path).unwrap_or_else(|| plain("404 Not Found")),
    }
}

fn good(kind: &'static str, text: String) -> Answer {
    Answer { status: "200 OK", kind, body: Bytes::from(text) }
}

/// A look, later than now or as good as now. `None` when too many want one, or there is none to be had.
async fn seen(wish: &mpsc::Sender<Wish>, later: bool) -> Option<Rc<Seen>> {
    let (tell, told) = oneshot::channel();
    wish.try_send((later, tell)).ok()?;
    timeout(LOOKING, told).await.ok()?.ok()?
}
