//! Figures for Prometheus, and whether the broker is well, over HTTP.
//!
//! A thread of its own with a client of its own: the broker's thread does for it what it does for any client that
//! lists what there is, a page at a time. Many who ask at once are answered with one gathering.

mod figures;
mod http;
mod text;

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use bus_client::{Client, ClientOptions};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::runtime::{self, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tracing::warn;

use figures::Figures;
use http::{Answer, plain};

/// Those who ask while figures are gathered.
const WAITING_MAX: usize = 64;
/// How soon a broker that is well answers.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long gathering may take, behind another one.
const GATHERING: Duration = Duration::from_secs(20);
/// What Prometheus calls its text.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves metrics until it is dropped.
#[derive(Debug)]
pub(crate) struct Metrics {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// Somebody who wants the page.
type Wish = oneshot::Sender<Option<Bytes>>;

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
    let options = ClientOptions::default().name("metrics").grace(Duration::ZERO);
    let client = Client::connect_with(&url, options).await.map_err(io::Error::other)?;
    let (wish, wishes) = mpsc::channel(WAITING_MAX);
    spawn_local(gather(client.clone(), wishes));
    http::serve(listener, move |path| answer(path, client.clone(), wish.clone())).await;
    Ok(())
}

async fn answer(path: String, client: Client, wish: mpsc::Sender<Wish>) -> Answer {
    match &*path {
        "/metrics" => {
            let (tell, told) = oneshot::channel();
            if wish.try_send(tell).is_err() {
                return plain("503 Service Unavailable");
            }
            match timeout(GATHERING, told).await {
                Ok(Ok(Some(body))) => Answer { status: "200 OK", kind: TEXT, body },
                _ => plain("503 Service Unavailable"),
            }
        }
        // The broker's thread has answered.
        "/health" | "/health/ready" => match timeout(PATIENCE, client.ping()).await {
            Ok(Ok(_)) => plain("200 OK"),
            _ => plain("503 Service Unavailable"),
        },
        // This thread has.
        "/health/alive" => plain("200 OK"),
        _ => plain("404 Not Found"),
    }
}

/// Gathers figures for all who wait, once for all of them.
async fn gather(client: Client, mut wishes: mpsc::Receiver<Wish>) {
    while let Some(first) = wishes.recv().await {
        // Those who come from here on have not been waiting, and get newer ones.
        let mut all = vec![first];
        while let Ok(more) = wishes.try_recv() {
            all.push(more);
        }
        let figures = Figures::gather(&client).await;
        let page = match figures {
            Ok(figures) => Some(Bytes::from(figures.page())),
            Err(error) => {
                warn!(%error, "no figures can be gathered");
                None
            }
        };
        for wish in all {
            // It may have gone.
            let _ = wish.send(page.clone());
        }
    }
}
