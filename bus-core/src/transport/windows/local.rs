//! Named pipes, which are what local sockets are elsewhere.
//!
//! A name belongs to one broker as long as that runs, and is gone with it: nothing is left behind that would have to
//! be removed. Only this user and the system can connect, and a client looks at who the broker is.

use std::io;
use std::path::{Path, PathBuf};

use super::path::pipe_name;
use super::stream::StreamLink;
use super::{Link, Peer};
use crate::limits::SOCKET_PATH_BYTES_MAX;
use crate::sys::{LocalStream, OwnedFd, PipeListener, connect_pipe, credentials};

/// Accepts connections on a named pipe.
pub struct LocalListener {
    listener: PipeListener,
    path: PathBuf,
}

impl LocalListener {
    /// Listens on a pipe. Only this user and the system may connect.
    ///
    /// # Errors
    /// `AddrInUse` when somebody has a pipe of this name; when the name is too long, or the system refuses.
    pub fn bind(path: &Path) -> io::Result<LocalListener> {
        check_length(path)?;
        let listener = PipeListener::bind(&pipe_name(path)).map_err(|error| {
            let text = |what: &str| format!("{}: {what}", path.display());
            match error.kind() {
                io::ErrorKind::PermissionDenied => io::Error::new(
                    io::ErrorKind::AddrInUse,
                    text("another broker listens there already; stop it, or take another name"),
                ),
                kind => io::Error::new(kind, text(&error.to_string())),
            }
        })?;
        Ok(LocalListener { listener, path: path.to_owned() })
    }

    /// Listens with a socket that somebody else has made: there is none here.
    ///
    /// # Errors
    /// Nothing can be handed over.
    pub fn adopt(socket: OwnedFd, _path: &Path) -> io::Result<LocalListener> {
        match socket {}
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection. Cancelling loses none.
    ///
    /// # Errors
    /// When accepting fails. The listener stays usable.
    pub async fn accept(&self) -> io::Result<Box<dyn Link>> {
        let stream = self.listener.accept().await?;
        link(stream, &self.path)
    }
}

/// Connects to the broker on a pipe, and checks that it is this user's or the system's. While too many others are
/// connecting it tries again, without end: the caller has the deadline.
///
/// # Errors
/// When nobody listens there, or somebody else does.
pub async fn connect_local(path: &Path) -> io::Result<Box<dyn Link>> {
    check_length(path)?;
    link(connect_pipe(&pipe_name(path)).await?, path)
}

fn link(stream: LocalStream, path: &Path) -> io::Result<Box<dyn Link>> {
    let credentials = Some(credentials(&stream)?);
    let address = format!("local:{}", path.display());
    Ok(Box::new(StreamLink::local(stream, Peer { credentials, address, ..Peer::default() })))
}

fn check_length(path: &Path) -> io::Result<()> {
    let length = path.as_os_str().len();
    if length <= SOCKET_PATH_BYTES_MAX {
        return Ok(());
    }
    let text = format!(
        "the pipe's name {} has {length} bytes; it has at most {SOCKET_PATH_BYTES_MAX}",
        path.display()
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}
