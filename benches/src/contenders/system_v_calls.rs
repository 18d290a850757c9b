//! The system calls of System V message queues and of IPC namespaces, made safe.
//!
//! A message buffer is the message type in
//! eight bytes and then the payload, as `struct msgbuf` has it; the calls copy, so no
//! pointer outlives them.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

/// Bytes of the message type at the start of a buffer.
pub const TYPE_BYTES: usize = size_of::<libc::c_long>();

/// The kernel's number of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueId(pub i32);

impl QueueId {
    /// Makes a queue that no key leads to.
    pub fn create() -> io::Result<QueueId> {
        // SAFETY: `msgget` takes no pointers.
        let id = unsafe { libc::msgget(libc::IPC_PRIVATE, libc::IPC_CREAT | 0o600) };
        if id < 0 { Err(io::Error::last_os_error()) } else { Ok(QueueId(id)) }
    }

    /// Removes the queue; whoever waits at it gets an error.
    pub fn remove(self) -> io::Result<()> {
        // SAFETY: `IPC_RMID` ignores the third argument, so null is as good as any.
        check(unsafe { libc::msgctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) })
    }

    /// Sends a buffer: a positive type, then the payload. Waits while the queue is full.
    pub fn send(self, buffer: &[u8]) -> io::Result<()> {
        let payload_bytes = payload_bytes_of(buffer)?;
        retry(|| {
            // SAFETY: `buffer` holds the type and after it `payload_bytes` bytes, all of them
            // initialised, and lives through the call, which only reads them.
            check(unsafe { libc::msgsnd(self.0, buffer.as_ptr().cast(), payload_bytes, 0) })
        })
    }

    /// Waits for the first message of type `kind` (0: of any) and returns its payload's length.
    pub fn receive(self, kind: i64, buffer: &mut [u8]) -> io::Result<usize> {
        let payload_bytes = payload_bytes_of(buffer)?;
        let mut length = 0;
        retry(|| {
            // SAFETY: `buffer` has room for the type and after it `payload_bytes` bytes, is
            // borrowed mutably through the call, and any bytes written are valid in it.
            length =
                unsafe { libc::msgrcv(self.0, buffer.as_mut_ptr().cast(), payload_bytes, kind, 0) };
            check(if length < 0 { -1 } else { 0 })
        })?;
        // Not negative, or `check` would have failed.
        Ok(length as usize)
    }
}

/// Gives this process, which must have one thread, an IPC namespace of its own.
pub fn enter_new_namespace() -> io::Result<()> {
    // SAFETY: `unshare` takes no pointers; with `CLONE_NEWIPC` it changes neither
    // memory nor descriptors of this process.
    check(unsafe { libc::unshare(libc::CLONE_NEWIPC) })
}

/// Moves this process into the IPC namespace that another process lives in.
pub fn enter_namespace_of(pid: u32) -> io::Result<()> {
    let namespace = File::open(format!("/proc/{pid}/ns/ipc"))?;
    // SAFETY: `setns` takes no pointers; the descriptor is open through the call.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWIPC) })
}

fn payload_bytes_of(buffer: &[u8]) -> io::Result<usize> {
    let bytes = buffer.len().checked_sub(TYPE_BYTES);
    bytes.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "no room for a message type"))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn retry(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
