//! A link that does not send at once what it takes, as one over TLS when its socket is full.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker, ready};

use bus_core::transport::{Link, Peer, Transport};
use bytes::{Bytes, BytesMut};

/// Polls until what was written goes out.
const POLLS: u32 = 5;

/// A link that holds back what it takes, and loses it when it is dropped.
pub struct Holding {
    inner: Box<dyn Link>,
    held: VecDeque<Bytes>,
    polls: u32,
    /// Whoever waits to read: he is woken for what is held back.
    reader: Option<Waker>,
}

impl Holding {
    pub fn new(inner: Box<dyn Link>) -> Holding {
        Holding { inner, held: VecDeque::new(), polls: 0, reader: None }
    }

    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() && self.polls < POLLS {
            self.polls += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while let Some(first) = self.held.pop_front() {
            assert_eq!(self.inner.try_write(std::slice::from_ref(&first))?, first.len());
        }
        Poll::Ready(Ok(()))
    }
}

impl Link for Holding {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reader = Some(cx.waker().clone());
        let _ = self.poll_held(cx)?;
        self.inner.poll_readable(cx)
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.inner.try_read(buffer)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        self.inner.poll_writable(cx)
    }

    fn try_write(&mut self, slices: &[Bytes]) -> io::Result<usize> {
        if !self.held.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.polls = 0;
        self.reader.iter().for_each(Waker::wake_by_ref);
        self.held.extend(slices.iter().filter(|slice| !slice.is_empty()).cloned());
        Ok(slices.iter().map(Bytes::len).sum())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_held(cx)
    }

    fn transport(&self) -> Transport {
        self.inner.transport()
    }

    fn peer(&self) -> &Peer {
        self.inner.peer()
    }
}
