//! Blocking sockets: plain `read` and `write`, and `poll` only where one side has several peers.
//!
//! It shows what the kernel's socket costs when nothing stands before it.
//! It never awaits.

use std::io::{Read, Write};
use std::marker::PhantomData;
use std::os::fd::AsFd;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};

use super::streams::{Family, Incoming, Outgoing, open};
use crate::cell::Order;
use crate::contender::{Connector, Port};

/// Opens blocking sockets of a family.
pub struct BlockingConnector<F> {
    batched: bool,
    family: PhantomData<F>,
}

impl<F> BlockingConnector<F> {
    /// One write for each message, or one for each batch.
    pub fn new(batched: bool) -> BlockingConnector<F> {
        BlockingConnector { batched, family: PhantomData }
    }
}

impl<F: Family<Stream: Read + Write + AsFd>> Connector for BlockingConnector<F> {
    type Port = BlockingPort<F::Stream>;

    async fn open(&mut self, order: &Order) -> Result<Self::Port> {
        let streams = open::<F>(order)?;
        let payload_bytes = order.cell.payload_bytes;
        let incoming = streams.iter().map(|_| Incoming::new(payload_bytes)).collect();
        let outgoing = Outgoing::new(payload_bytes, self.batched);
        Ok(BlockingPort { streams, incoming, outgoing })
    }
}

/// One worker's sockets.
pub struct BlockingPort<S> {
    streams: Vec<S>,
    incoming: Vec<Incoming>,
    outgoing: Outgoing,
}

impl<S: Read + Write + AsFd> Port for BlockingPort<S> {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, _kind: u32, fill: F) -> Result<()> {
        if self.outgoing.push(fill) { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        let bytes = self.outgoing.take();
        for stream in &mut self.streams {
            stream.write_all(bytes)?;
        }
        Ok(())
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        if let ([stream], [incoming]) = (&mut *self.streams, &mut *self.incoming) {
            loop {
                let count = stream.read(incoming.room())?;
                if incoming.show(count, &mut visit)? {
                    return Ok(());
                }
            }
        }
        while !self.receive_from_ready(&mut visit)? {}
        Ok(())
    }
}

impl<S: Read + AsFd> BlockingPort<S> {
    /// Reads once from each stream that has something; one that ended says so by reading nothing.
    fn receive_from_ready(&mut self, visit: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        let mut watched: Vec<_> =
            self.streams.iter().map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
        poll(&mut watched, None)?;
        let ready: Vec<_> = watched.iter().map(|watched| !watched.revents().is_empty()).collect();
        let mut shown = false;
        for (place, stream) in self.streams.iter_mut().enumerate() {
            if ready[place] {
                let incoming = &mut self.incoming[place];
                let count = stream.read(incoming.room())?;
                shown |= incoming.show(count, visit)?;
            }
        }
        Ok(shown)
    }
}
