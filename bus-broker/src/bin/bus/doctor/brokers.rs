//! Brokers as a client meets them: each is connected to, and asked.

use std::io;
use std::time::Duration;

use bus_client::{BusUrl, Client, ErrorKind, Transport};

use super::finding::Finding;
use crate::show::printable;
use crate::value::show_count;
use crate::{connecting, session};

/// How long connecting may take.
const LIMIT: Duration = Duration::from_secs(3);
/// Round trips of which the shortest counts.
const TRIPS: u32 = 5;
/// URLs of one broker that are tried.
const LISTENERS_MAX: usize = 16;

/// What is found at these brokers; without any, at the one that is meant, over all its listeners.
pub async fn findings(url: &str, urls: &[BusUrl]) -> Vec<Finding> {
    let mut found = Vec::new();
    if !urls.is_empty() {
        for url in urls {
            found.extend(one(&url.to_string()).await.0);
        }
        return found;
    }
    let (first, listeners) = one(url).await;
    found.extend(first);
    for listener in listeners.iter().filter(|other| *other != url).take(LISTENERS_MAX) {
        found.extend(one(listener).await.0);
    }
    found
}

/// One broker, and where else it listens.
async fn one(url: &str) -> (Vec<Finding>, Vec<String>) {
    let shown = if url.is_empty() { "the default places".to_owned() } else { printable(url) };
    let options = session::once("doctor").connect_timeout(connecting::limit_or(LIMIT));
    let client = match Client::connect_with(url, options).await {
        Ok(client) => client,
        Err(error) => return (vec![refused(&shown, &error)], Vec::new()),
    };
    let mut found = vec![lane(&shown, &client)];
    let mut best: Option<Duration> = None;
    for _ in 0..TRIPS {
        if let Ok(trip) = client.ping().await {
            best = Some(best.map_or(trip, |best| best.min(trip)));
        }
    }
    let listeners = match client.admin().broker().await {
        Ok(info) => {
            found.push(version(&shown, &info.version, info.lanes_refused, &info.lanes_refusal));
            info.listeners
        }
        Err(error) => {
            let text = format!("{shown}: {error}");
            found.push(Finding::broken("broker", text, "it answers nothing", "look at its log"));
            Vec::new()
        }
    };
    found.push(match best {
        Some(best) => {
            Finding::ok("round trip", format!("{shown}: {best:.1?}, the best of {TRIPS}"))
        }
        None => Finding::broken("round trip", shown, "it answers no ping", "look at its log"),
    });
    client.drain(Duration::from_secs(1)).await;
    (found, listeners)
}

fn refused(shown: &str, error: &bus_client::Error) -> Finding {
    let text = format!("{shown}: {error}");
    match error.kind() {
        ErrorKind::Unauthenticated
        | ErrorKind::PermissionDenied
        | ErrorKind::SessionDenied
        | ErrorKind::Untrusted
        | ErrorKind::Insecure => Finding::costs(
            "connection",
            text,
            "it is there, and does not let this client in",
            "give credentials: --token-file, --tls-ca, --tls-cert and --tls-key, or a context",
        ),
        _ if is_silence(error) => Finding::broken(
            "connection",
            text,
            "nothing can be sent or received there",
            match shown.starts_with("tcp:") || shown.starts_with("tls:") {
                true => {
                    "look whether the host is up, whether something between drops what is sent, and whether the broker's process is stopped"
                }
                false => {
                    "somebody holds that address and says nothing: look whether that process is stopped, or has much else to do"
                }
            },
        ),
        _ => Finding::broken(
            "connection",
            text,
            "nothing can be sent or received there",
            "start a broker there, or name another one (--url)",
        ),
    }
}

/// Whether somebody may be there who has not answered in time.
fn is_silence(error: &bus_client::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    cause.is_some_and(|cause: &io::Error| cause.kind() == io::ErrorKind::TimedOut)
}

fn lane(shown: &str, client: &Client) -> Finding {
    let info = client.transport();
    let transport = info.transport.map_or_else(|| "nothing".to_owned(), |used| used.to_string());
    let found = format!("{shown}: connected over {transport}");
    match info.transport {
        Some(Transport::Local) => Finding::costs(
            "lane",
            format!("{found}: {}", info.reason),
            "no shared memory: every message goes through the kernel",
            "what is missing for lanes stands above",
        ),
        _ => Finding::ok("lane", found),
    }
}

fn version(shown: &str, version: &str, refused: u64, why: &str) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let found = format!("{shown}: version {}", printable(version));
    if version != own {
        return Finding::costs(
            "broker",
            format!("{found}; this command has {own}"),
            "what only one of them knows answers `Unsupported`",
            "install the same version on both sides",
        );
    }
    match refused {
        0 => Finding::ok("broker", found),
        refused => Finding::costs(
            "broker",
            format!(
                "{found}; lanes refused so far: {}, last: {}",
                show_count(refused),
                printable(why)
            ),
            "those clients go over the socket",
            "what the last one was refused for stands there",
        ),
    }
}
