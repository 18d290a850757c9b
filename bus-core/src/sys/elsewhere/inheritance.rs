//! A local socket's file that a child process inherits: Linux alone can open one for nothing but connecting.
//!
//! There is none here; a child is told the URL, and connects by that.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::not_available;

/// A local socket's file, held by a descriptor: there is none.
#[derive(Debug)]
pub enum SocketFile {}

impl SocketFile {
    /// The socket at this path.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn open(_path: &Path) -> io::Result<SocketFile> {
        Err(not_available("a socket's file that a child inherits"))
    }

    /// The one that this process has inherited under this number.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn inherited(_number: i32, _identity: (u64, u64)) -> io::Result<SocketFile> {
        Err(not_available("a socket's file that was inherited"))
    }

    /// The number by which a child knows it.
    pub fn number(&self) -> i32 {
        match *self {}
    }

    /// Device and number of the file.
    pub fn identity(&self) -> (u64, u64) {
        match *self {}
    }

    /// Where it can be connected to, in this process.
    pub fn path(&self) -> PathBuf {
        match *self {}
    }

    /// Leaves it to each child that this command starts.
    pub fn leave_to(self, _command: &mut Command) {
        match self {}
    }
}
