//! Local sockets.
//!
//! A path belongs to one broker: a lock file beside the socket is held with flock from before
//! a stale socket is unlinked until the listener is dropped. A live listener is never
//! overwritten, and no abstract socket is used.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::traits::tokio::{Listener as _, Stream as _};
use interprocess::local_socket::{
    ConnectOptions, GenericFilePath, ListenerOptions, Name, ToFsName,
};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use rustix::fs::{FlockOperation, RawMode, flock};
use rustix::net::{getpeername, listen};
use tokio::net::UnixStream;

use super::path::{explain, prepare_directory};
use super::stream::StreamLink;
use super::{Link, Peer, Transport};
use crate::limits::SOCKET_PATH_BYTES_MAX;
use crate::sys::{AsFd, Credentials, OwnedFd, effective_uid, peer_groups};

/// Everybody may connect.
const SOCKET_MODE: u32 = 0o666;

/// Connections that the system keeps for a broker until it accepts them. Who comes when there are so
/// many tries again: who waits here waits behind all of them, whoever has sent them.
const WAITING_MAX: i32 = 128;

/// Pause before that.
const PAUSE: Duration = Duration::from_millis(1);

/// Accepts connections on a local socket.
pub struct LocalListener {
    listener: Listener,
    path: PathBuf,
    /// Held until the end; none where the socket is somebody else's, who keeps it for the next broker.
    lock: Option<File>,
}

impl LocalListener {
    /// Listens on a path. Everybody may connect: rights are the broker's business.
    ///
    /// # Errors
    /// When another broker holds the path (`AddrInUse`; it is named by its pid), when the
    /// directory is not safe, or the path is in use by something else.
    pub fn bind(path: &Path) -> io::Result<LocalListener> {
        check_length(path)?;
        prepare_directory(path)?;
        let lock_path = lock_path(path);
        let mut lock = take_lock(&lock_path, path)?;
        match bind_locked(path, &mut lock) {
            Ok(listener) => Ok(LocalListener { listener, path: path.to_owned(), lock: Some(lock) }),
            Err(error) => {
                // Nobody is to find what nobody holds: it goes while it is still held, or it might be another's.
                let _ = fs::remove_file(&lock_path);
                drop(lock);
                Err(error)
            }
        }
    }

    /// Listens with a socket that is bound to this path and listens already. Path, mode and lock are the business of
    /// whoever has made it, and it stays when this listener ends.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn adopt(socket: OwnedFd, path: &Path) -> io::Result<LocalListener> {
        let listener = Listener::UdSocket(socket.try_into()?);
        Ok(LocalListener { listener, path: path.to_owned(), lock: None })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection. Cancelling loses none.
    ///
    /// # Errors
    /// When accepting fails, as without free descriptors. The listener stays usable.
    pub async fn accept(&self) -> io::Result<Box<dyn Link>> {
        let stream = self.listener.accept().await?;
        link(stream, &self.path)
    }
}

/// Listens on the path whose lock this is.
fn bind_locked(path: &Path, lock: &mut File) -> io::Result<Listener> {
    clear_stale(path)?;
    let name = socket_name(path)?;
    let listener = ListenerOptions::new()
        .name(name)
        .mode(SOCKET_MODE as RawMode)
        .create_tokio()
        .map_err(|error| explain(error, "cannot listen on", path))?;
    let Listener::UdSocket(socket) = &listener;
    listen(socket, WAITING_MAX)?;
    // The process's umask has cut the mode down.
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))
        .map_err(|error| explain(error, "cannot open to everybody", path))?;
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())?;
    Ok(listener)
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if self.lock.is_none() {
            return;
        }
        // The socket first: whoever gets the lock then finds neither. Both may be gone already.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(lock_path(&self.path));
    }
}

/// Connects to the broker on a path, and checks that it is this user's or root's. While too many
/// others are connecting it tries again, without end: the caller has the deadline.
///
/// # Errors
/// When nobody listens there, or somebody else does.
pub async fn connect_local(path: &Path) -> io::Result<Box<dyn Link>> {
    check_length(path)?;
    let stream = loop {
        let stream = Stream::from_options(&ConnectOptions::new().name(socket_name(path)?)).await?;
        let Stream::UdSocket(socket) = &stream;
        // One that has found no place is given out all the same, connected to nothing.
        match getpeername(socket.inner()) {
            Err(rustix::io::Errno::NOTCONN) => tokio::time::sleep(PAUSE).await,
            _ => break stream,
        }
    };
    let link = link(stream, path)?;
    let uid = effective_uid();
    match &link.peer().credentials {
        Some(peer) if peer.uid == uid || peer.uid == 0 || uid == 0 => Ok(link),
        Some(peer) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "the broker on {} is run by uid {}, neither this user ({uid}) nor root",
                path.display(),
                peer.uid
            ),
        )),
        None => Err(io::Error::other("the kernel does not tell who the broker is")),
    }
}

fn link(stream: Stream, path: &Path) -> io::Result<Box<dyn Link>> {
    let Stream::UdSocket(socket) = stream;
    let credentials = credentials(socket.inner())?;
    let address = format!("local:{}", path.display());
    let peer = Peer { credentials: Some(credentials), address, ..Peer::default() };
    Ok(Box::new(StreamLink::new(OwnedFd::try_from(socket)?, Transport::Local, peer)?))
}

fn credentials(socket: &UnixStream) -> io::Result<Credentials> {
    let found = socket.peer_cred()?;
    Ok(Credentials {
        pid: found.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0),
        uid: found.uid(),
        gid: found.gid(),
        // Without them the peer has less rights, not more.
        groups: peer_groups(socket.as_fd()).unwrap_or_default(),
    })
}

fn socket_name(path: &Path) -> io::Result<Name<'_>> {
    path.to_fs_name::<GenericFilePath>()
}

fn check_length(path: &Path) -> io::Result<()> {
    let length = path.as_os_str().len();
    if length <= SOCKET_PATH_BYTES_MAX {
        return Ok(());
    }
    let text = format!(
        "the socket path {} has {length} bytes; a socket's path has at most {SOCKET_PATH_BYTES_MAX}",
        path.display()
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Holds the lock file of a path, or says who does.
fn take_lock(lock_path: &Path, path: &Path) -> io::Result<File> {
    loop {
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(lock_path)
            .map_err(|error| explain(error, "cannot open the lock file", lock_path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            // Without the pid the answer is only less helpful.
            let _ = lock.read_to_string(&mut pid);
            let holder = if pid.trim().is_empty() {
                "another broker".into()
            } else {
                format!("a broker with pid {}", pid.trim())
            };
            let text = format!(
                "{holder} listens on {} already; stop it, or take another path",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        // The last holder may have removed the file between opening and locking it.
        match fs::metadata(lock_path) {
            Ok(found) if found.ino() == lock.metadata()?.ino() => return Ok(lock),
            _ => continue,
        }
    }
}

/// Removes a socket that nobody listens on any more.
fn clear_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(explain(error, "cannot look at", path)),
    };
    let in_use = |what: &str| {
        Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{} {what}", path.display())))
    };
    if !found.file_type().is_socket() {
        return in_use("is there already, and is not a socket");
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => in_use("is in use by a program that is not a broker"),
        Err(_) => fs::remove_file(path)
            .map_err(|error| explain(error, "cannot remove the stale socket", path)),
    }
}
