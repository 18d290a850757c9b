//! Walks the repository and reads its text files.
//!
//! Build output, version control and generated code are left out, and so is the lock file, which
//! cargo writes. It reads the disk as it is and asks no other program: a file that is not
//! committed yet is looked at too.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing written by hand, wherever they stand.
const SKIPPED_FOLDERS: &[&str] = &[".git", "target", "generated", "proptest-regressions"];
/// In a second working tree of one repository `.git` is a file.
const SKIPPED_FILES: &[&str] = &["Cargo.lock", ".git"];

/// One text file of the repository.
pub struct File {
    /// From the root of the repository, separated by `/`.
    pub path: String,
    pub text: String,
}

/// All text files, sorted by path.
pub fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent");
    let mut paths = Vec::new();
    walk(root, &mut paths);
    paths.sort();
    paths.iter().filter_map(|path| read(root, path)).collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let entry = entry.expect("a folder entry can be read");
        // Not followed: a link could lead out of the repository, or around in a circle.
        let kind = entry.file_type().expect("a folder entry has a type");
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
            walk(&entry.path(), paths);
        } else if kind.is_file() && !SKIPPED_FILES.contains(&name.as_str()) {
            paths.push(entry.path());
        }
    }
}

/// Nothing if the file is not text, or was removed since the walk (an editor's swap file).
fn read(root: &Path, path: &Path) -> Option<File> {
    let text = String::from_utf8(fs::read(path).ok()?).ok()?;
    let inside = path.strip_prefix(root).expect("the walk started at the root");
    Some(File { path: inside.to_str()?.replace('\\', "/"), text })
}

#[test]
fn walk_finds_this_file_and_skips_generated_ones() {
    let files = files();
    let has = |path: &str| files.iter().any(|file| file.path == path);
    assert!(has("bus-core/tests/tidy/tree.rs"));
    assert!(has("Cargo.toml"));
    assert!(!files.iter().any(|file| file.path.contains("/generated/")));
    assert!(!has("Cargo.lock"));
}
