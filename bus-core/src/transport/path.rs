//! Where brokers listen on a machine when nothing else is said.
//!
//! Nothing here trusts a directory that others can write: the one that is used belongs to
//! this user, or to root.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::sys::effective_uid;

const SOCKET: &str = "broker.sock";

/// Where a broker of this user listens.
pub fn default_path() -> PathBuf {
    let uid = effective_uid();
    #[expect(clippy::disallowed_methods, reason = "the place is given by the environment")]
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    match runtime {
        Some(runtime) => PathBuf::from(runtime).join("bus").join(SOCKET),
        None if uid == 0 => Path::new("/run/bus").join(SOCKET),
        None => temporary(uid),
    }
}

/// Where a client of this user looks, in this order.
pub fn candidate_paths() -> Vec<PathBuf> {
    let mut paths =
        vec![default_path(), Path::new("/run/bus").join(SOCKET), temporary(effective_uid())];
    paths.dedup();
    paths
}

fn temporary(uid: u32) -> PathBuf {
    PathBuf::from(format!("/tmp/bus-{uid}")).join(SOCKET)
}

/// Makes sure that the directory of a socket is there and belongs to this user or root, and
/// that no other can write into it (unless it is sticky).
///
/// # Errors
/// When it cannot be made, or is not safe.
pub fn prepare_directory(socket: &Path) -> io::Result<()> {
    let directory = match socket.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let uid = effective_uid();
    let mode = if uid == 0 { 0o755 } else { 0o700 };
    match fs::DirBuilder::new().mode(mode).create(directory) {
        Ok(()) => fs::set_permissions(directory, fs::Permissions::from_mode(mode))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(explain(error, "cannot create the directory", directory)),
    }
    let found = fs::symlink_metadata(directory)
        .map_err(|error| explain(error, "cannot look at", directory))?;
    let found = if found.is_symlink() { fs::metadata(directory)? } else { found };
    let sticky = found.mode() & 0o1000 != 0;
    if found.uid() != uid && found.uid() != 0 {
        return Err(unsafe_directory(
            directory,
            format!("it belongs to uid {}, not to uid {uid} or root", found.uid()),
        ));
    }
    if found.mode() & 0o022 != 0 && !sticky {
        return Err(unsafe_directory(
            directory,
            format!("others may write into it (mode {:04o})", found.mode() & 0o7777),
        ));
    }
    Ok(())
}

/// Whether the folder is there in which a broker would listen.
pub fn folder_exists(socket: &Path) -> bool {
    socket.parent().is_none_or(|folder| folder.as_os_str().is_empty() || folder.exists())
}

fn unsafe_directory(directory: &Path, why: String) -> io::Error {
    let text =
        format!("the directory {} is not safe for a broker's socket: {why}", directory.display());
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

pub(super) fn explain(error: io::Error, what: &str, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}
