//! Parent and child: a program inherits the way to its parent's broker.
//!
//! What is left to the child is the broker's socket as a file, open for nothing but connecting, and
//! a variable in its environment that says under which number. The child makes the connection, so
//! the kernel names the child to the broker: its own user, its own process, whose death is seen at
//! once. What becomes of its parent is nothing to it. A connection that the parent had made would bear
//! the parent's name, end with the parent's process, and be lost if the child took its time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bus_core::sys::SocketFile;
use bus_core::{BusUrl, ErrorKind};

use crate::client::Client;
use crate::error::Error;
use crate::options::ClientOptions;

/// The variable of the environment that tells a child what was left to it.
pub const INHERITED_VARIABLE: &str = "BUS_INHERITED";

/// How the variable begins: with the version of the rest.
const VERSION: &str = "1";

/// What the variable says: `1;NUMBER,DEVICE,INODE;URL`, or `1;;URL` where there is no socket's file.
#[derive(Debug, PartialEq, Eq)]
struct Legacy {
    file: Option<(i32, (u64, u64))>,
    url: BusUrl,
}

impl Client {
    /// Leaves the programs that this command starts a connection to the same broker, each one its
    /// own: they call [`Client::inherited`], and need know neither URL nor path. To be called
    /// before the command is run; of tokio's command this is `as_std_mut()`.
    ///
    /// A program that does not take it costs nothing, and the broker does not know of it. No other
    /// program gets the descriptor, and those that the child starts do not either, once it has taken
    /// it; before that, whatever the child starts may take it too. The child is itself to the broker,
    /// with the rights of its own user. Over lanes it has lanes of its own.
    ///
    /// Over TCP and TLS it is the URL alone that is left: no token and no file of certificates, which the
    /// child gives in its options.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = bus_client::Client::connect("local:").await?;
    /// let mut command = std::process::Command::new("worker");
    /// client.leave_to(&mut command)?;
    /// let child = command.spawn()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Unsupported` for a client within one process (`mem:`), `NoBroker` when the socket is not where
    /// it was when this client connected, `Io`.
    pub fn leave_to(&self, command: &mut Command) -> Result<(), Error> {
        let address = self.handle.with(|state| {
            state.check()?;
            Ok::<_, Error>(state.address.clone())
        })?;
        let legacy = match &self.url {
            BusUrl::Mem(_) => {
                let text = "a client within one process (mem:) has nothing that a child could use";
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            BusUrl::Tcp(_) | BusUrl::Tls(_) => Legacy { file: None, url: self.url.clone() },
            BusUrl::Local(_) | BusUrl::Shm(_) | BusUrl::Unix(_) => {
                let path = Path::new(address.strip_prefix("local:").unwrap_or(&address));
                let file = SocketFile::open(path).map_err(|error| {
                    let text = format!(
                        "the broker's socket {} cannot be left to a child: {error}",
                        path.display()
                    );
                    Error::new(ErrorKind::NoBroker, text).with_source(error)
                })?;
                let said = (file.number(), file.identity());
                file.leave_to(command);
                Legacy { file: Some(said), url: with_path(&self.url, path) }
            }
        };
        command.env(INHERITED_VARIABLE, legacy.to_string());
        Ok(())
    }

    /// Connects as the process that has started this one has provided for with
    /// [`Client::leave_to`]. May be called more than once: each client is another one. When the
    /// broker that it was is gone, it connects where that was, and so it does when the connection
    /// is lost later. Must be called on a tokio runtime. Cancelling gives the attempt up.
    ///
    /// # Errors
    /// `NotFound` when nothing was left to this process; `InvalidArgument` when the variable is not
    /// well formed, or what it names is not there, as in a program that the child has started
    /// after it had taken it; else as [`Client::connect`].
    pub async fn inherited() -> Result<Client, Error> {
        Client::inherited_with(ClientOptions::default()).await
    }

    /// As [`Client::inherited`], with these options.
    ///
    /// # Errors
    /// As [`Client::inherited`].
    pub async fn inherited_with(mut options: ClientOptions) -> Result<Client, Error> {
        let Some(text) = std::env::var_os(INHERITED_VARIABLE) else {
            let text = format!("nothing was left to this process: {INHERITED_VARIABLE} is not set");
            return Err(Error::new(ErrorKind::NotFound, text));
        };
        let legacy = Legacy::parse(&text.to_string_lossy()).ok_or_else(|| {
            let text =
                format!("{INHERITED_VARIABLE} is not well formed: {}", text.to_string_lossy());
            Error::new(ErrorKind::InvalidArgument, text)
        })?;
        if let Some((number, identity)) = legacy.file {
            let file = SocketFile::inherited(number, identity).map_err(|error| {
                let text = format!(
                    "{INHERITED_VARIABLE} names descriptor {number}, and that is not the socket that was left: {error}"
                );
                Error::new(ErrorKind::InvalidArgument, text).with_source(error)
            })?;
            options.inherited = Some(Arc::new(file));
        }
        Client::connect_to(legacy.url, options).await
    }
}

impl Legacy {
    fn parse(text: &str) -> Option<Legacy> {
        let rest = text.strip_prefix(VERSION)?.strip_prefix(';')?;
        let (file, url) = rest.split_once(';')?;
        let url: BusUrl = url.parse().ok()?;
        let is_local = matches!(url, BusUrl::Local(_) | BusUrl::Shm(_) | BusUrl::Unix(_));
        let file = match file {
            "" => None,
            numbers => {
                let mut numbers = numbers.split(',');
                let number = numbers.next()?.parse().ok().filter(|number| *number >= 0)?;
                let identity = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
                if numbers.next().is_some() {
                    return None;
                }
                Some((number, identity))
            }
        };
        (is_local == file.is_some()).then_some(Legacy { file, url })
    }
}

impl std::fmt::Display for Legacy {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{VERSION};")?;
        if let Some((number, (device, inode))) = self.file {
            write!(out, "{number},{device},{inode}")?;
        }
        write!(out, ";{}", self.url)
    }
}

/// The same URL with the path where the broker is, from wherever the child is run: for when the
/// broker is another one.
fn with_path(url: &BusUrl, reached: &Path) -> BusUrl {
    // What this process has inherited itself has no path but the one in its URL.
    let reached = match reached.as_os_str().as_encoded_bytes().starts_with(b"/proc/self/") {
        true => url.path().unwrap_or(reached),
        false => reached,
    };
    let path: Option<PathBuf> = std::path::absolute(reached).ok();
    match url {
        BusUrl::Shm(_) => BusUrl::Shm(path),
        BusUrl::Unix(_) => BusUrl::Unix(path),
        _ => BusUrl::Local(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_read_as_it_was_written() {
        let cases = [
            (Some((7, (1, 2))), "shm:/run/bus/broker.sock"),
            (Some((3, (u64::MAX, u64::MAX))), "local:/tmp/a;b,c"),
            (None, "tcp://127.0.0.1:4000"),
        ];
        for (file, url) in cases {
            let legacy = Legacy { file, url: url.parse().expect("a URL") };
            assert_eq!(Legacy::parse(&legacy.to_string()), Some(legacy));
        }
    }

    #[test]
    fn what_is_not_well_formed_is_nothing() {
        let texts = [
            "",
            "1",
            "1;",
            "1;;",
            "2;7,1,2;local:/a",
            "1;7,1;local:/a",
            "1;7,1,2,3;local:/a",
            "1;-1,1,2;local:/a",
            "1;x,1,2;local:/a",
            "1;;local:/a",
            "1;7,1,2;tcp://127.0.0.1:1",
            "1;7,1,2;nonsense",
            "17,1,2;local:/a",
        ];
        for text in texts {
            assert_eq!(Legacy::parse(text), None, "{text}");
        }
    }
}
