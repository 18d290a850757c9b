//! Finding a broker and shaking hands with it.
//!
//! One attempt, with a deadline over all of it; trying again is the driver's business.

use std::io;

use bus_core::session::Welcome;
#[cfg(feature = "tls")]
use bus_core::sys::aside;
use bus_core::transport::{
    Link, LinkError, Transport, candidate_paths, connect_local, connect_mem, connect_tcp,
    folder_exists, next_frame,
};
#[cfg(feature = "tls")]
use bus_core::transport::{TlsClient, TlsFailure, check_server_name, connect_tls};
use bus_core::{BusUrl, Decoder, ErrorKind, FrameError, Kind, control};
use tokio::time::timeout;
use tracing::info;

use crate::credential::introduce;
use crate::error::Error;
use crate::knob::Knob;
use crate::lanes::{Wish, say_hello, take_up};
use crate::options::ClientOptions;
use bus_core::session::Hello;

/// A link that is ready for frames.
pub(crate) struct Connected {
    pub link: Box<dyn Link>,
    pub decoder: Decoder,
    pub welcome: Welcome,
    /// Why it has the transport that it has.
    pub reason: String,
}

/// Connects and shakes hands.
pub(crate) async fn connect(
    url: &BusUrl,
    hello: &Hello,
    options: &ClientOptions,
) -> Result<Connected, Error> {
    let limit = options.connect_timeout;
    match timeout(limit, attempt(url, hello, options)).await {
        Ok(result) => result,
        Err(elapsed) => {
            let why = match url {
                BusUrl::Tcp(_) | BusUrl::Tls(_) => {
                    "there was no answer: the host may be off, something between may drop what is sent, or the broker may stand still"
                }
                _ => "whoever listens there does not answer",
            };
            let text = format!("connecting to {url} took longer than {limit:?}: {why}");
            Err(Error::new(ErrorKind::NoBroker, text)
                .with_source(io::Error::new(io::ErrorKind::TimedOut, elapsed)))
        }
    }
}

/// Shakes hands over a link that is there already.
pub(crate) async fn shake_hands(
    link: Box<dyn Link>,
    url: &BusUrl,
    hello: &Hello,
    options: &ClientOptions,
) -> Result<Connected, Error> {
    let (limit, wish) = (options.connect_timeout, Wish::Never("the URL asks for it"));
    match timeout(limit, exchange(link, url, hello, options, wish)).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(ErrorKind::NoBroker, format!("no answer within {limit:?}"))),
    }
}

async fn attempt(url: &BusUrl, hello: &Hello, options: &ClientOptions) -> Result<Connected, Error> {
    let wish = Wish::of(url, options.shared_memory);
    let connected = match exchange(dial(url, options).await?, url, hello, options, wish).await {
        // What the broker handed over cannot be used here: the socket can.
        Err(error) if error.kind() == ErrorKind::Io && wish == Wish::Maybe => {
            let link = dial(url, options).await?;
            let mut connected = exchange(link, url, hello, options, Wish::Never("")).await?;
            connected.reason = error.to_string();
            connected
        }
        result => result?,
    };
    if wish == Wish::Maybe && connected.link.transport() != Transport::SharedMemory {
        info!(%url, reason = connected.reason, "over the socket, not shared memory");
    }
    match wish == Wish::Must && connected.link.transport() != Transport::SharedMemory {
        true => Err(Error::new(
            ErrorKind::Unsupported,
            format!("{url}: no shared memory ({}); use local: or unix:", connected.reason),
        )),
        false => Ok(connected),
    }
}

async fn exchange(
    mut link: Box<dyn Link>,
    url: &BusUrl,
    hello: &Hello,
    options: &ClientOptions,
    wish: Wish,
) -> Result<Connected, Error> {
    let hello = introduce(hello, options, &*link, url)?;
    let mut decoder = Decoder::for_handshake();
    let lost = |error: LinkError| match error {
        LinkError::Frame(error) => Error::new(
            ErrorKind::Protocol,
            format!("{url} does not speak the bus protocol: {error}"),
        ),
        LinkError::Io(error) => {
            let text = format!("the handshake with {url} failed: {error}");
            Error::new(kind_of(&error), text).with_knob(knob_of(&error)).with_source(error)
        }
        other => {
            Error::new(ErrorKind::NoBroker, format!("the handshake with {url} failed: {other}"))
                .with_source(other)
        }
    };
    let asked = say_hello(&mut *link, &hello, wish).await.map_err(lost)?;
    let frame = next_frame(&mut *link, &mut decoder).await.map_err(lost)?;
    match frame.header.kind {
        Kind::Welcome => {
            let welcome =
                control::decode_welcome(&frame.body).map_err(|error| lost(error.into()))?;
            decoder.establish();
            let reason = take_up(&mut link, asked, &welcome)?;
            Ok(Connected { link, decoder, welcome, reason })
        }
        Kind::Refuse => {
            let failure = control::decode_failure(Kind::Refuse, &frame.body)
                .map_err(|error| lost(error.into()))?;
            Err(Error::from(failure).context(format!("the broker at {url} refused the connection")))
        }
        kind => Err(lost(FrameError::Unexpected(kind).into())),
    }
}

async fn dial(url: &BusUrl, options: &ClientOptions) -> Result<Box<dyn Link>, Error> {
    if let Some(file) = &options.inherited {
        match connect_local(&file.path()).await {
            // That broker is gone: another one may be where it was.
            Err(error) if is_absent(&error) => {}
            result => return result.map_err(|error| explain(url, error)),
        }
    }
    let result = match url {
        BusUrl::Local(Some(path)) | BusUrl::Unix(Some(path)) | BusUrl::Shm(Some(path)) => {
            connect_local(path).await
        }
        BusUrl::Local(None) | BusUrl::Unix(None) | BusUrl::Shm(None) => {
            return dial_default().await;
        }
        BusUrl::Tcp(address) => connect_tcp(address).await,
        BusUrl::Mem(name) => connect_mem(name).await,
        BusUrl::Tls(address) => return dial_tls(url, address, options).await,
    };
    result.map_err(|error| explain(url, error))
}

#[cfg(feature = "tls")]
async fn dial_tls(
    url: &BusUrl,
    address: &str,
    options: &ClientOptions,
) -> Result<Box<dyn Link>, Error> {
    let files = options.tls.clone();
    // They may be slow to read: others on this thread go on meanwhile.
    let client =
        aside(move || TlsClient::new(&files)).await.map_err(|error| explain(url, error))?;
    let client = client.map_err(|error| {
        let knob = Knob::of_file(error.file());
        Error::new(ErrorKind::Config, error.to_string()).with_knob(Some(knob)).with_source(error)
    })?;
    check_server_name(address, options.tls.server_name.as_deref()).map_err(|error| {
        let text = format!("cannot connect to {url}: {error}");
        Error::new(ErrorKind::InvalidUrl, text).with_knob(Some(Knob::ServerName)).with_source(error)
    })?;
    let result = connect_tls(address, &client).await;
    result.map_err(|error| match TlsFailure::of(&error) {
        Some(_) => {
            let text = format!("cannot connect to {url}: {error}");
            Error::new(kind_of(&error), text).with_knob(knob_of(&error)).with_source(error)
        }
        None => explain(url, error),
    })
}

#[cfg(not(feature = "tls"))]
async fn dial_tls(
    url: &BusUrl,
    _address: &str,
    _options: &ClientOptions,
) -> Result<Box<dyn Link>, Error> {
    let text = format!("{url}: this program was built without TLS (the feature `tls`)");
    Err(Error::new(ErrorKind::Unsupported, text))
}

/// What kind of error it is that a link fails with before anything was agreed on.
#[cfg(feature = "tls")]
fn kind_of(error: &io::Error) -> ErrorKind {
    match TlsFailure::of(error) {
        None => ErrorKind::NoBroker,
        Some(failure) if failure.is_loss() => ErrorKind::NoBroker,
        Some(failure) if failure.is_about_trust() => ErrorKind::Untrusted,
        Some(_) => ErrorKind::Protocol,
    }
}

#[cfg(not(feature = "tls"))]
fn kind_of(_error: &io::Error) -> ErrorKind {
    ErrorKind::NoBroker
}

/// The setting that may be to blame for that.
#[cfg(feature = "tls")]
fn knob_of(error: &io::Error) -> Option<Knob> {
    TlsFailure::of(error).and_then(Knob::of_failure)
}

#[cfg(not(feature = "tls"))]
fn knob_of(_error: &io::Error) -> Option<Knob> {
    None
}

/// Tries the places where brokers listen by default.
async fn dial_default() -> Result<Box<dyn Link>, Error> {
    let mut tried = Vec::new();
    for path in candidate_paths() {
        match connect_local(&path).await {
            Ok(link) => return Ok(link),
            Err(error) if is_absent(&error) => tried.push(path.display().to_string()),
            Err(error) => return Err(explain(&BusUrl::Local(Some(path)), error)),
        }
    }
    Err(Error::new(
        ErrorKind::NoBroker,
        format!(
            "no broker is running (tried {}): start one with `bus serve`, or set BUS_URL",
            tried.join(", ")
        ),
    ))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn explain(url: &BusUrl, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::InvalidInput => ErrorKind::InvalidUrl,
        _ => ErrorKind::NoBroker,
    };
    let hint = hint(url, &error).map(|hint| format!(" ({hint})")).unwrap_or_default();
    Error::new(kind, format!("cannot reach a broker at {url}: {error}{hint}")).with_source(error)
}

/// What to do about it, where that is known. A broker that is elsewhere cannot be started from here.
fn hint(url: &BusUrl, error: &io::Error) -> Option<String> {
    let path = match url {
        BusUrl::Local(path) | BusUrl::Unix(path) | BusUrl::Shm(path) => path.as_ref(),
        BusUrl::Tcp(_) | BusUrl::Tls(_) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Some("nothing listens there".into());
        }
        BusUrl::Tcp(_) | BusUrl::Tls(_) | BusUrl::Mem(_) => return None,
    };
    match path {
        _ if !is_absent(error) => None,
        Some(path) if !folder_exists(path) => Some("the directory is not there".into()),
        Some(path) => {
            let listen = quoted(BusUrl::Local(Some(path.clone())).to_string());
            Some(format!("start one with `bus serve --listen {listen}`"))
        }
        None => Some("start one with `bus serve`".into()),
    }
}

/// As a shell takes it for one word.
fn quoted(word: String) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@".contains(c);
    match word.chars().all(is_plain) {
        true => word,
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("local:/run/bus.sock".into()), "local:/run/bus.sock");
        assert_eq!(quoted("local:/a b/it's".into()), r"'local:/a b/it'\''s'");
    }
}
