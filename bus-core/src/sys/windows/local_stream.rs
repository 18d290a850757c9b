//! A connection of this machine: one end of a named pipe, as the runtime has it.
//!
//! Reading and writing never wait. What was written is the runtime's until the pipe has room for it.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::{BufMut, BytesMut};
use tokio::net::windows::named_pipe::{NamedPipeClient, NamedPipeServer};

/// Bytes that are written at once: what a pipe holds.
pub(super) const PIPE_BYTES: usize = 64 * 1024;

/// One end of a pipe.
#[derive(Debug)]
pub(crate) enum LocalStream {
    /// Of whoever listens.
    Server(NamedPipeServer),
    /// Of whoever has connected.
    Client(NamedPipeClient),
}

impl LocalStream {
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            LocalStream::Server(pipe) => pipe.poll_read_ready(cx),
            LocalStream::Client(pipe) => pipe.poll_read_ready(cx),
        }
    }

    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            LocalStream::Server(pipe) => pipe.poll_write_ready(cx),
            LocalStream::Client(pipe) => pipe.poll_write_ready(cx),
        }
    }

    pub fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        match self {
            LocalStream::Server(pipe) => pipe.try_read_buf(buffer),
            LocalStream::Client(pipe) => pipe.try_read_buf(buffer),
        }
    }

    /// A pipe takes one piece at a time: so small ones are put together.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let single = slices.iter().find(|slice| !slice.is_empty());
        let Some(single) = single.filter(|first| first.len() < PIPE_BYTES) else {
            let most = single.map_or(0, |slice| slice.len().min(PIPE_BYTES));
            return self.try_write(single.map_or(&[], |slice| &slice[..most]));
        };
        let mut together = BytesMut::with_capacity(PIPE_BYTES.min(single.len() * slices.len()));
        for slice in slices {
            let most = slice.len().min(PIPE_BYTES - together.len());
            together.extend_from_slice(&slice[..most]);
        }
        self.try_write(&together)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            LocalStream::Server(pipe) => pipe.try_write(bytes),
            LocalStream::Client(pipe) => pipe.try_write(bytes),
        }
    }
}

/// Ready when what was written is in the pipe: the other side gets it, also if this one ends.
pub(crate) fn poll_written(stream: &LocalStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    stream.poll_write_ready(cx)
}

/// From a descriptor that was handed over: there is none.
pub(crate) fn local_stream(socket: super::OwnedFd) -> io::Result<LocalStream> {
    match socket {}
}
