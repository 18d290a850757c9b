//! Where brokers listen on a machine when nothing else is said: the names of pipes.
//!
//! Pipes have a space of names of their own, in which there are no folders, and which belongs to nobody: so a name is
//! not safer than another one, and clients look at who is at the other end.

use std::io;
use std::path::{Path, PathBuf};

/// What the name of each pipe of this machine begins with.
const PIPES: &str = r"\\.\pipe\";

/// Where a broker of this user listens.
pub fn default_path() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the place is given by the environment")]
    let user = std::env::var_os("USERNAME").filter(|name| !name.is_empty());
    let user = user.map_or_else(|| "user".into(), |name| name.to_string_lossy().into_owned());
    format!("{PIPES}busbar-{}", user.replace('\\', "/")).into()
}

/// Where a client of this user looks, in this order.
pub fn candidate_paths() -> Vec<PathBuf> {
    vec![default_path()]
}

/// Pipes need no folder.
///
/// # Errors
/// Never.
pub fn prepare_directory(_pipe: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether the folder is there in which a broker would listen: pipes need none.
pub fn folder_exists(_pipe: &Path) -> bool {
    true
}

/// The name of the pipe for what stands in a URL: as it is if it is one already, else behind what all begin with. A
/// pipe's name has no backslash, so that other paths are written with slashes.
pub(super) fn pipe_name(path: &Path) -> String {
    let path = path.to_string_lossy();
    match path.get(..PIPES.len()) {
        Some(start) if start.eq_ignore_ascii_case(PIPES) => path.into_owned(),
        _ => format!("{PIPES}{}", path.replace('\\', "/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pipes_stand_for_themselves_and_others_behind_their_beginning() {
        let check = |path: &str, name: &str| assert_eq!(pipe_name(Path::new(path)), name);
        check("jobs", r"\\.\pipe\jobs");
        check(r"\\.\pipe\jobs", r"\\.\pipe\jobs");
        check(r"\\.\PIPE\jobs", r"\\.\PIPE\jobs");
        check(r"C:\Temp\bus.sock", r"\\.\pipe\C:/Temp/bus.sock");
        check("/tmp/bus.sock", r"\\.\pipe\/tmp/bus.sock");
        assert!(pipe_name(&default_path()).starts_with(r"\\.\pipe\busbar-"));
    }
}
