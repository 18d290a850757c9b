//! Descriptors that a process is handed, of which there are none on Windows.
//!
//! Types without values: whoever has one stands in a line that is never reached, and the compiler knows.

use std::io;
use std::marker::PhantomData;
use std::net::TcpListener;

/// There is none.
#[derive(Debug)]
pub enum OwnedFd {}

/// There is none.
#[derive(Clone, Copy, Debug)]
pub struct BorrowedFd<'a> {
    none: Never,
    owner: PhantomData<&'a OwnedFd>,
}

#[derive(Clone, Copy, Debug)]
enum Never {}

/// What has a descriptor: nothing.
pub trait AsFd {
    /// Its descriptor.
    fn as_fd(&self) -> BorrowedFd<'_>;
}

impl OwnedFd {
    /// Another one for the same.
    ///
    /// # Errors
    /// There is none of which that could be asked.
    pub fn try_clone(&self) -> io::Result<OwnedFd> {
        match *self {}
    }
}

impl AsFd for OwnedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

impl BorrowedFd<'_> {
    /// Another one for the same, owned.
    ///
    /// # Errors
    /// There is none of which that could be asked.
    pub fn try_clone_to_owned(&self) -> io::Result<OwnedFd> {
        match self.none {}
    }
}

impl AsFd for BorrowedFd<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        *self
    }
}

impl From<OwnedFd> for TcpListener {
    fn from(descriptor: OwnedFd) -> TcpListener {
        match descriptor {}
    }
}
