//! What a link has taken is out before a connection is ended on purpose.
//!
//! With a link that holds everything back for a while, as one over TLS does when its socket is full.

#![cfg(test)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bus_core::transport::{Link, Peer, Transport, mem_pair, next_frame, write_frame};
use bus_core::{Decoder, Header, Kind, control};
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use crate::config::BrokerConfig;
use crate::handshakes::Handshakes;
use crate::hub::Hub;
use crate::registry::Registry;

/// Polls until what was written goes out.
const POLLS: u32 = 5;

/// A link that holds back what it takes, and loses it when it is dropped.
struct Holding {
    inner: Box<dyn Link>,
    held: VecDeque<Bytes>,
    polls: u32,
    /// Whoever waits to read: he is woken for what is held back.
    reader: Option<Waker>,
}

impl Holding {
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

#[tokio::test(start_paused = true)]
async fn what_a_broker_says_last_is_out_before_it_ends_a_connection() {
    let (near, mut far) = mem_pair();
    let (events, _heard) = mpsc::channel(16);
    let hub = Hub::new(BrokerConfig::default(), Registry::default(), 1, events);
    let hub = Rc::new(RefCell::new(hub));
    let handshake = Handshakes::default().begin(near.peer(), hub.borrow().now());
    let link = Holding { inner: near, held: VecDeque::new(), polls: 0, reader: None };
    let client = async {
        let served = spawn_local(super::serve(hub.clone(), Box::new(link), handshake));
        let hello = control::encode_hello(&super::tests::hello("held"));
        write_frame(&mut *far, Header::new(Kind::Hello, 0, 0), &hello).await.expect("room");
        let mut decoder = Decoder::for_handshake();
        let frame = next_frame(&mut *far, &mut decoder).await.expect("it answers");
        assert_eq!(frame.header.kind, Kind::Welcome);
        decoder.establish();
        hub.borrow_mut().announce_end();
        let last = next_frame(&mut *far, &mut decoder).await.expect("it says why");
        assert_eq!(last.header.kind, Kind::Refuse);
        next_frame(&mut *far, &mut decoder).await.expect_err("and has ended");
        served.await.expect("runs");
    };
    LocalSet::new().run_until(client).await;
}
