//! The same sockets through tokio, on a current-thread runtime.
//!
//! It shows what the reactor adds to the bare socket, which any async bus pays too.
//! Where one side has several peers, one task looks at all of them in turn.

use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::streams::{Family, Incoming, Outgoing, Tcp, Unix, open};
use crate::cell::Order;
use crate::contender::{Connector, Port};

/// A family whose streams tokio can take over.
pub trait TokioFamily: Family {
    /// Tokio's stream.
    type Async: AsyncRead + AsyncWrite + Unpin;

    /// Hands a connected stream to the runtime.
    fn adopt(stream: Self::Stream) -> io::Result<Self::Async>;
}

impl TokioFamily for Unix {
    type Async = UnixStream;

    fn adopt(stream: Self::Stream) -> io::Result<UnixStream> {
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }
}

impl TokioFamily for Tcp {
    type Async = TcpStream;

    fn adopt(stream: Self::Stream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream)
    }
}

/// Opens sockets of a family for tokio. Being connected is done blocking: nothing else runs yet.
pub struct TokioConnector<F: TokioFamily> {
    batched: bool,
    listener: Option<F::Listener>,
    held: Vec<F::Async>,
    family: PhantomData<F>,
}

impl<F: TokioFamily> TokioConnector<F> {
    /// One write for each message, or one for each batch.
    pub fn new(batched: bool) -> TokioConnector<F> {
        TokioConnector { batched, listener: None, held: Vec::new(), family: PhantomData }
    }
}

impl<F: TokioFamily> Connector for TokioConnector<F> {
    type Port = TokioPort<F::Async>;

    async fn open(&mut self, order: &Order) -> Result<Self::Port> {
        let streams = open::<F>(order)?.into_iter().map(F::adopt);
        let streams = streams.collect::<io::Result<Vec<_>>>()?;
        Ok(TokioPort::new(streams, order.cell.payload_bytes, self.batched))
    }

    async fn listen(&mut self, order: &Order) -> Result<()> {
        self.listener = Some(F::listen(Path::new(&order.address))?);
        Ok(())
    }

    async fn accept(&mut self, order: &Order) -> Result<()> {
        if let Some(listener) = &self.listener {
            for _ in 0..order.cell.clients {
                self.held.push(F::adopt(F::accept(listener)?)?);
            }
        }
        Ok(())
    }
}

/// One worker's sockets.
pub struct TokioPort<S> {
    streams: Vec<S>,
    incoming: Vec<Incoming>,
    outgoing: Outgoing,
    /// The stream to look at first, so that none starves.
    turn: usize,
}

impl<S> TokioPort<S> {
    /// Of connected streams.
    pub fn new(streams: Vec<S>, payload_bytes: usize, batched: bool) -> TokioPort<S> {
        let incoming = streams.iter().map(|_| Incoming::new(payload_bytes)).collect();
        TokioPort { streams, incoming, outgoing: Outgoing::new(payload_bytes, batched), turn: 0 }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Port for TokioPort<S> {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, _kind: u32, fill: F) -> Result<()> {
        if self.outgoing.push(fill) { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        let bytes = self.outgoing.take();
        for stream in &mut self.streams {
            stream.write_all(bytes).await?;
        }
        Ok(())
    }

    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        loop {
            let (place, count) = poll_fn(|context| self.poll_read(context)).await?;
            if self.incoming[place].show(count, &mut visit)? {
                return Ok(());
            }
        }
    }
}

impl<S: AsyncRead + Unpin> TokioPort<S> {
    /// Reads from the first stream that has something: which, and how much.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(usize, usize)>> {
        let count = self.streams.len();
        for step in 0..count {
            let place = (self.turn + step) % count;
            let mut room = ReadBuf::new(self.incoming[place].room());
            let stream = Pin::new(&mut self.streams[place]);
            if let Poll::Ready(result) = stream.poll_read(context, &mut room) {
                result?;
                let read = room.filled().len();
                self.turn = (place + 1) % count;
                return Poll::Ready(Ok((place, read)));
            }
        }
        Poll::Pending
    }
}
