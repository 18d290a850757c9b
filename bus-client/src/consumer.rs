//! Taking from a queue: consumers with credit, and the single receive.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bus_core::router::{Command, ConsumeOptions};
use bus_core::session::{ChannelKind, Leased};
use bus_core::{CREDIT_MAX, ErrorKind, Selector};
use futures::Stream;

use crate::client::wait_reply;
use crate::delivery::Delivery;
use crate::error::Error;
use crate::handle::{Handle, OpenChannel, Place, Waits, poll_assisted, wait_assisted};
use crate::inbox::Item;

/// How to consume.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerOptions {
    pub(crate) options: ConsumeOptions,
}

impl ConsumerOptions {
    /// A consumer of what the selector matches; so many deliveries may be unsettled at a time.
    ///
    /// What was unsettled when a client was lost (killed, or away for longer than its grace) is
    /// suspected of it, and is delivered alone whatever the credit: when nothing else is
    /// unsettled, and nothing more until it is settled. A consumer that waits for several before
    /// it settles the first gets them when the lease of one that it was handed has run out. One
    /// that extends is held up for one lease of the queue: from when it would have got what is
    /// suspected beside others, or from when it was handed it. Then it gets all as its credit says.
    pub fn new(selector: Selector, credit: u32) -> ConsumerOptions {
        ConsumerOptions {
            options: ConsumeOptions { selector, credit, ..ConsumeOptions::default() },
        }
    }

    /// Acknowledges each delivery when it is yielded: if the program fails after that, the
    /// message is gone. If the process dies before it has waited again, what was yielded since
    /// may be delivered once more, each message alone.
    pub fn auto_ack(mut self, auto_ack: bool) -> Self {
        self.options.auto_ack = auto_ack;
        self
    }

    /// The longest message to take: when the next one is longer the consumer ends as `TooBig`,
    /// and the message stays.
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.options.bytes_max = bytes;
        self
    }
}

/// Takes from a queue, ahead of the application by its credit. What the application has not
/// been handed goes back when the consumer is dropped or paused, or when another receiver
/// waits for it.
pub struct Consumer {
    channel: OpenChannel,
    /// The broker's consumer hangs on the queue's handle.
    queue: Arc<OpenChannel>,
    options: ConsumeOptions,
    finished: bool,
}

impl Consumer {
    pub(crate) fn new(
        channel: OpenChannel,
        queue: Arc<OpenChannel>,
        options: ConsumeOptions,
    ) -> Consumer {
        Consumer { channel, queue, options, finished: false }
    }

    /// The next delivery; `None` after the consumer has ended. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Result<Delivery, Error>> {
        poll_fn(|cx| poll_assisted(self, cx, Consumer::poll_delivery)).await
    }

    /// The next delivery, if one is there already.
    pub fn try_next(&mut self) -> Option<Delivery> {
        let (channel, serial) = (self.channel.channel, self.channel.serial);
        let taken = self.channel.handle.with(|state| take(state, channel, serial))?;
        Some(Delivery::new(self.channel.handle.clone(), taken))
    }

    /// Takes nothing more until [`Consumer::resume`]; what was not handed out goes back.
    /// Cancelling after the first poll leaves the consumer paused, but what came before the
    /// broker's answer is still handed out.
    ///
    /// # Errors
    /// Why the consumer or client has ended.
    pub async fn pause(&mut self) -> Result<(), Error> {
        self.set_credit(0).await?;
        let (channel, serial) = (self.channel.channel, self.channel.serial);
        self.channel.handle.with(|state| state.return_items(channel, serial));
        Ok(())
    }

    /// Takes again. Cancelling after the first poll does not undo it.
    ///
    /// # Errors
    /// Why the consumer or client has ended.
    pub async fn resume(&mut self) -> Result<(), Error> {
        self.set_credit(self.options.credit).await
    }

    async fn set_credit(&mut self, credit: u32) -> Result<(), Error> {
        let number = self.channel.channel;
        let request = self.channel.with(|state| {
            let request = state.session.set_credit(number, credit);
            state.expect_reply(request);
            request
        })?;
        wait_reply(&self.channel.handle, request).await.map(|_| ())
    }

    fn poll_delivery(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Delivery, Error>>> {
        if self.finished {
            return Poll::Ready(None);
        }
        match poll_leased(&self.channel, cx).map_err(|error| cause(&self.queue, error)) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(delivery)) => Poll::Ready(Some(Ok(delivery))),
            Poll::Ready(Err(error)) => {
                self.finished = true;
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

impl Stream for Consumer {
    type Item = Result<Delivery, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        poll_assisted(&mut *self, cx, Consumer::poll_delivery)
    }
}

impl Waits for Consumer {
    fn place(&self) -> Place<'_> {
        self.channel.alone()
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Consumer({}, credit {})", self.options.selector, self.options.credit)
    }
}

/// Fails for a credit that would take nothing, or more than the broker allows.
pub(crate) fn check_credit(credit: u32) -> Result<(), Error> {
    if (1..=CREDIT_MAX).contains(&credit) {
        return Ok(());
    }
    let text = format!("a credit of {credit}; it must be 1 to {CREDIT_MAX}");
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

/// A single receive. Dropping its future closes the channel, and gives back what has come.
pub(crate) async fn receive(
    queue: &Arc<OpenChannel>,
    options: ConsumeOptions,
) -> Result<Delivery, Error> {
    let handle: &Arc<Handle> = &queue.handle;
    let number = queue.channel;
    let channel = queue.with(|state| {
        let kind = ChannelKind::Receive { auto_ack: options.auto_ack };
        let open = |request, channel| Command::Consume { request, channel, queue: number, options };
        let (channel, _) = state.session.open(kind, open)?;
        let serial = state.add_inbox(channel, None);
        Ok::<_, Error>(OpenChannel { handle: handle.clone(), channel, serial })
    })??;
    wait_assisted(&channel.handle, |cx| poll_leased(&channel, cx))
        .await
        .map_err(|error| cause(queue, error))
}

/// Why a receiver has ended: if its queue could not be opened again, for that reason.
fn cause(queue: &OpenChannel, error: Error) -> Error {
    match error.kind() {
        ErrorKind::Closed => queue.with(|_| ()).err().unwrap_or(error),
        _ => error,
    }
}

fn poll_leased(channel: &OpenChannel, cx: &mut Context<'_>) -> Poll<Result<Delivery, Error>> {
    let (number, serial) = (channel.channel, channel.serial);
    let found = channel.handle.with(|state| {
        if let Some(taken) = take(state, number, serial) {
            return Poll::Ready(Ok(taken));
        }
        state.check_open(number, serial)?;
        match state.inbox(number, serial) {
            Some(inbox) => {
                inbox.wait(cx);
                Poll::Pending
            }
            None => Poll::Ready(Err(Error::new(ErrorKind::Closed, "the handle is closed"))),
        }
    });
    found.map_ok(|taken| Delivery::new(channel.handle.clone(), taken))
}

/// Takes the next delivery out of an inbox: from now on the application has it. Which life of the
/// session it belongs to, too: after the lock is released another one may begin.
fn take(state: &mut crate::state::State, channel: u32, serial: u64) -> Option<(Leased, u64)> {
    let inbox = state.inbox(channel, serial)?;
    let leased = loop {
        match inbox.items.front_mut()? {
            Item::LeasedParcel(several) => match several.pop_front() {
                Some(leased) => {
                    if several.parcel.is_empty() {
                        inbox.items.pop_front();
                    }
                    break leased;
                }
                None => drop(inbox.items.pop_front()),
            },
            _ => {
                if let Some(Item::Leased(leased)) = inbox.items.pop_front() {
                    break leased;
                }
            }
        }
    };
    state.session.take(channel, leased.serial, leased.lease);
    Some((leased, state.life()))
}
