//! Server programs that the system has installed.

use std::path::{Path, PathBuf};

/// Where distributions put servers; not in everybody's PATH.
const SERVER_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// The program's path, or why the rival cannot run.
pub fn find(name: &str, package: &str) -> Result<PathBuf, String> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&folders);
    let folders = folders.chain(SERVER_FOLDERS.iter().map(|folder| Path::new(folder).to_owned()));
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("{name} is not installed (Debian package {package})"))
}
