//! A directory for the time of a process, gone when it is dropped.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

use bus_core::sys::folder_mode;

/// A private directory.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one under the machine's directory for temporary files.
    pub fn new() -> io::Result<Scratch> {
        let mut random = [0u8; 6];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let tag: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::env::temp_dir().join(format!("bus-{}-{tag}", std::process::id()));
        folder_mode(&mut DirBuilder::new(), 0o700).create(&path)?;
        Ok(Scratch(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// A directory that somebody else has made, gone when it is dropped, if it is empty by then.
pub struct Adopted(pub PathBuf);

impl Drop for Adopted {
    fn drop(&mut self) {
        // Its maker may have removed it, or have something in it.
        let _ = fs::remove_dir(&self.0);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans that directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}
