//! One worker's pair of bare rings: one to write, one to read.
//!
//! The writer keeps the reader's cursor in mind and looks again only when that says full; the
//! reader says how far it is once for all that it found.
//! How either side waits is the bell's business.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use anyhow::Result;

use super::bells::Bell;
use super::meeting::{exchange, meet};
use super::rival_ring_memory::{RingMemory, Shape};
use crate::cell::Order;
use crate::contender::{Connector, Port};

/// Opens rings with a kind of bell.
pub struct RingConnector<M> {
    make_bell: M,
}

impl<B: Bell, M: Fn() -> Result<B>> RingConnector<M> {
    /// With bells that are made so, when a port is opened.
    pub fn new(make_bell: M) -> RingConnector<M> {
        RingConnector { make_bell }
    }
}

impl<B: Bell, M: Fn() -> Result<B>> Connector for RingConnector<M> {
    type Port = RingPort<B>;

    async fn open(&mut self, order: &Order) -> Result<RingPort<B>> {
        let shape = Shape::of(order.cell.payload_bytes);
        let (outgoing, memory) = RingMemory::create(shape)?;
        let mut bell = (self.make_bell)()?;
        bell.prepare(&outgoing)?;
        let socket = meet(order)?;
        let mut own = vec![memory.as_fd()];
        own.extend(bell.descriptor());
        let mut theirs = exchange(&socket, &own)?;
        let incoming = RingMemory::open(&theirs.remove(0), shape)?;
        bell.meet(&incoming, theirs.pop())?;
        let ahead = Ahead { head: 0, cursor: 0 };
        Ok(RingPort { outgoing, incoming, ahead, next: 0, bell })
    }
}

/// What the writer knows of its ring.
struct Ahead {
    /// The next message's number.
    head: u64,
    /// The reader's cursor when it was last looked at.
    cursor: u64,
}

/// One worker's rings.
pub struct RingPort<B> {
    outgoing: RingMemory,
    incoming: RingMemory,
    ahead: Ahead,
    /// The number of the message that is read next.
    next: u64,
    bell: B,
}

impl<B: Bell> Port for RingPort<B> {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, _kind: u32, fill: F) -> Result<()> {
        let slots = self.outgoing.shape().slots();
        while self.ahead.head - self.ahead.cursor >= slots {
            // Pairs with the release in `receive`: the reader has read what is below.
            let cursor = self.outgoing.cursor().load(Ordering::Acquire);
            if cursor == self.ahead.cursor {
                self.bell.wait_for_room(&self.outgoing, cursor)?;
            }
            self.ahead.cursor = cursor;
        }
        self.outgoing.write(self.ahead.head, fill);
        self.ahead.head += 1;
        self.bell.ring(&self.outgoing, self.ahead.head)
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    #[inline]
    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        self.bell.wait(&self.incoming, self.next).await?;
        let end = self.next + (self.incoming.shape().slots() / 8).max(1);
        while self.next < end && self.incoming.is_there(self.next) {
            self.incoming.read(self.next, &mut visit)?;
            self.next += 1;
        }
        self.incoming.cursor().store(self.next, Ordering::Release);
        self.bell.ring_room(&self.incoming)
    }
}
