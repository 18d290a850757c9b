//! Where a broker is: the URLs that clients and listeners take.
//!
//! Parsing touches nothing: whether a path or host exists is found out when it is used.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{ErrorKind, Failure};
use crate::limits::SOCKET_PATH_BYTES_MAX;

/// A broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusUrl {
    /// `local:` or `local:PATH`: same machine, best transport there is.
    Local(Option<PathBuf>),
    /// `shm:PATH`: same machine, shared memory or nothing.
    Shm(Option<PathBuf>),
    /// `unix:PATH`: same machine, the socket itself.
    Unix(Option<PathBuf>),
    /// `tcp://HOST:PORT`.
    Tcp(String),
    /// `tls://HOST:PORT`.
    Tls(String),
    /// `mem:` or `mem:NAME`: a broker in this process.
    Mem(String),
}

/// Why a text is not a broker's URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a broker's URL: {reason}")]
pub struct InvalidUrl {
    text: String,
    reason: String,
}

const SCHEMES: &[&str] = &["local", "shm", "unix", "tcp", "tls", "mem"];

impl FromStr for BusUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<BusUrl, InvalidUrl> {
        let wrong = |reason: String| InvalidUrl { text: text.chars().take(300).collect(), reason };
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(wrong(format!("it has no scheme; known are {}", known_schemes())));
        };
        let path = || -> Result<Option<PathBuf>, InvalidUrl> {
            if rest.len() > SOCKET_PATH_BYTES_MAX {
                return Err(wrong(format!(
                    "the path has {} bytes, a socket's path has at most {SOCKET_PATH_BYTES_MAX}",
                    rest.len()
                )));
            }
            if rest.contains('\0') {
                return Err(wrong("the path has a zero byte".into()));
            }
            Ok((!rest.is_empty()).then(|| PathBuf::from(rest)))
        };
        match scheme {
            "local" => path().map(BusUrl::Local),
            "shm" => path().map(BusUrl::Shm),
            "unix" => path().map(BusUrl::Unix),
            "tcp" => host_port(rest).map(BusUrl::Tcp).map_err(wrong),
            "tls" => host_port(rest).map(BusUrl::Tls).map_err(wrong),
            "mem" => Ok(BusUrl::Mem(rest.to_owned())),
            _ => {
                let near =
                    SCHEMES.iter().find(|known| known.starts_with(&scheme[..scheme.len().min(1)]));
                let hint =
                    near.map(|near| format!(" (did you mean `{near}:`?)")).unwrap_or_default();
                Err(wrong(format!(
                    "the scheme `{scheme}` is unknown{hint}; known are {}",
                    known_schemes()
                )))
            }
        }
    }
}

impl BusUrl {
    /// The path of a local URL that names one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            BusUrl::Local(path) | BusUrl::Shm(path) | BusUrl::Unix(path) => path.as_deref(),
            BusUrl::Tcp(_) | BusUrl::Tls(_) | BusUrl::Mem(_) => None,
        }
    }
}

fn known_schemes() -> String {
    let quoted: Vec<String> = SCHEMES.iter().map(|scheme| format!("`{scheme}:`")).collect();
    quoted.join(", ")
}

fn host_port(rest: &str) -> Result<String, String> {
    let Some(address) = rest.strip_prefix("//") else {
        return Err("write `//HOST:PORT` after the scheme".into());
    };
    let address = address.strip_suffix('/').unwrap_or(address);
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err("it has no port; write `//HOST:PORT`".into());
    };
    if host.is_empty() {
        return Err("it has no host".into());
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err("an IPv6 address stands in brackets".into());
    }
    if host.contains(['/', '@', '?', '#']) || host.chars().any(char::is_whitespace) {
        return Err(format!("`{host}` is not a host"));
    }
    match port.parse::<u16>() {
        Ok(_) => Ok(address.to_owned()),
        Err(_) => Err(format!("`{port}` is not a port (0 to 65535)")),
    }
}

impl fmt::Display for BusUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path) = match self {
            BusUrl::Local(path) => ("local", path),
            BusUrl::Shm(path) => ("shm", path),
            BusUrl::Unix(path) => ("unix", path),
            BusUrl::Tcp(address) => return write!(out, "tcp://{address}"),
            BusUrl::Tls(address) => return write!(out, "tls://{address}"),
            BusUrl::Mem(name) => return write!(out, "mem:{name}"),
        };
        match path {
            Some(path) => write!(out, "{scheme}:{}", path.display()),
            None => write!(out, "{scheme}:"),
        }
    }
}

impl From<InvalidUrl> for Failure {
    fn from(error: InvalidUrl) -> Failure {
        Failure::new(ErrorKind::InvalidUrl, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_round_trip() {
        for text in [
            "local:",
            "local:/run/bus/b.sock",
            "shm:/a",
            "unix:/a",
            "unix:",
            "tcp://127.0.0.1:7",
            "tcp://[::1]:7",
            "tls://host:7",
            "mem:",
            "mem:test",
        ] {
            let url: BusUrl = text.parse().expect("a URL");
            assert_eq!(url.to_string(), text);
        }
    }

    #[test]
    fn bad_urls_say_why() {
        let check = |text: &str, reason: &str| {
            let error = text.parse::<BusUrl>().expect_err("not a URL").to_string();
            assert!(error.contains(reason), "{text}: {error}");
        };
        check("nats://h:1", "unknown");
        check("", "no scheme");
        check("tcp:h:1", "//HOST:PORT");
        check("tcp://h", "no port");
        check("tcp://:1", "no host");
        check("tcp://h:99999", "not a port");
        check("tcp://::1:7", "brackets");
        check("locl:/x", "did you mean `local:`");
        check(&format!("local:/{}", "x".repeat(200)), "at most 107");
    }
}
