//! Receiving what is published.
//!
//! Two faces over the same runs of frames: a [`Stream`] of owned messages, and batches whose
//! messages are borrowed where they stand.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bus_core::router::{self, SlowPolicy};
use bus_core::session::Origin;
use bus_core::{
    BACKLOG_BYTES_MAX, ErrorKind, Failure, Headers, Message, MessageType, Name, Run, Selector,
    Sender, WINDOW_BYTES_MAX, WINDOW_BYTES_MIN, window_charge,
};
use bytes::Bytes;
use futures::Stream;

use crate::error::Error;
use crate::handle::{Handle, OpenChannel, Place, Waits, poll_assisted};
use crate::inbox::Item;

/// How to subscribe.
#[derive(Clone, Debug, Default)]
pub struct SubscribeOptions {
    options: router::SubscribeOptions,
    group: Option<String>,
}

impl SubscribeOptions {
    /// Only these types (all by default).
    pub fn selector(mut self, selector: Selector) -> Self {
        self.options.selector = selector;
        self
    }

    /// What happens when this subscriber does not keep up. By default it holds publishers of
    /// its own user back for as long as the topic allows, and ends beside those of others.
    pub fn policy(mut self, policy: SlowPolicy) -> Self {
        self.options.policy = policy;
        self
    }

    /// Bytes under way to this client, and so memory in it: 4 KiB to 16 MiB, 1 MiB by default.
    pub fn window_bytes(mut self, bytes: u64) -> Self {
        self.options.window_bytes = bytes;
        self
    }

    /// Bytes that wait at the broker beyond the window: at most 64 MiB, 1 MiB by default.
    pub fn backlog_bytes(mut self, bytes: u64) -> Self {
        self.options.backlog_bytes = bytes;
        self
    }

    /// Shares the subscription with all others of this group on the same pattern: each message
    /// reaches one of them.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    pub(crate) fn finish(mut self) -> Result<router::SubscribeOptions, Error> {
        if let Some(group) = &self.group {
            self.options.group = Some(Name::new(group)?);
        }
        let within = |what: &str, value: u64, min: u64, max: u64| match (min..=max).contains(&value)
        {
            true => Ok(()),
            false => Err(Failure::new(
                ErrorKind::InvalidArgument,
                format!("{what} is {value}; it must be {min} to {max}"),
            )),
        };
        within("window_bytes", self.options.window_bytes, WINDOW_BYTES_MIN, WINDOW_BYTES_MAX)?;
        within("backlog_bytes", self.options.backlog_bytes, 0, BACKLOG_BYTES_MAX)?;
        Ok(self.options)
    }
}

/// A subscription. Dropping it unsubscribes.
///
/// As a [`Stream`] it yields messages until it ends: with `TooSlow`, `Removed`,
/// `PermissionDenied`, or the client's end as its last item.
pub struct Subscriber {
    channel: OpenChannel,
    window: u64,
    run: Option<Run>,
    origins: Vec<(u32, Arc<Origin>)>,
    origin: Arc<Origin>,
    /// Bytes used up, and those of which the broker has been told.
    consumed: u64,
    reported: u64,
    /// Of which session those are.
    life: u64,
    /// The run is of that session: what is used up of it counts.
    counts: bool,
    lost: u64,
    finished: bool,
}

/// A message that was published.
#[derive(Clone, Debug)]
pub struct Received {
    message: Message,
    origin: Arc<Origin>,
}

/// Messages that arrived together. They are used up when the batch is dropped.
pub struct Batch<'a> {
    run: Run,
    origins: &'a [(u32, Arc<Origin>)],
    origin: Arc<Origin>,
}

/// A message of a batch, where it stands.
#[derive(Clone, Copy)]
pub struct MessageRef<'a> {
    kind: MessageType,
    headers: &'a [u8],
    payload: &'a [u8],
    origin: &'a Origin,
    run: &'a Run,
}

impl Subscriber {
    pub(crate) fn new(channel: OpenChannel, window: u64) -> Subscriber {
        let life = channel.handle.with(|state| state.life());
        Subscriber {
            channel,
            window,
            run: None,
            origins: Vec::new(),
            origin: Arc::default(),
            consumed: 0,
            reported: 0,
            life,
            counts: true,
            lost: 0,
            finished: false,
        }
    }

    /// The next message; `None` after the subscription has ended. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Result<Received, Error>> {
        poll_fn(|cx| poll_assisted(self, cx, Subscriber::poll_message)).await
    }

    /// The messages that are there, at least one, to be looked at where they stand; `None`
    /// after the subscription has ended. Cancelling loses nothing.
    pub async fn next_batch(&mut self) -> Option<Result<Batch<'_>, Error>> {
        match poll_fn(|cx| poll_assisted(self, cx, Subscriber::poll_run)).await {
            None => None,
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(())) => self.take_batch(),
        }
    }

    /// How many messages its policy has dropped so far, of those before the last one yielded.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn take_batch(&mut self) -> Option<Result<Batch<'_>, Error>> {
        let run = self.run.take()?;
        // Used up as soon as the application has it: a batch is bounded by the window.
        let mut first = self.origin.clone();
        for view in run.views() {
            match view {
                Ok(view) => {
                    if self.counts {
                        self.consumed +=
                            window_charge(view.headers.len() + view.payload.len(), self.window);
                    }
                    if view.header.origin != 0 {
                        self.origin = find(&self.origins, view.header.origin);
                    }
                }
                Err(error) => return Some(Err(Failure::from(error).into())),
            }
        }
        std::mem::swap(&mut first, &mut self.origin);
        let batch_origin = std::mem::replace(&mut self.origin, first);
        Some(Ok(Batch { run, origins: &self.origins, origin: batch_origin }))
    }

    #[inline]
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Received, Error>>> {
        loop {
            let next = self.run.as_mut().and_then(Run::next_message);
            match next {
                Some(Ok((header, message))) => {
                    if header.origin != 0 {
                        self.origin = find(&self.origins, header.origin);
                    }
                    if self.counts {
                        self.consumed += window_charge(message.len(), self.window);
                    }
                    let origin = self.origin.clone();
                    return Poll::Ready(Some(Ok(Received { message, origin })));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(Failure::from(error).into()))),
                None => self.run = None,
            }
            match self.poll_run(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(()))) => {}
            }
        }
    }

    /// Makes sure that there is a run with something in it.
    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Error>>> {
        if self.run.as_ref().is_some_and(|run| !run.bytes.is_empty()) {
            return Poll::Ready(Some(Ok(())));
        }
        if self.finished {
            return Poll::Ready(None);
        }
        let (channel, serial) = (self.channel.channel, self.channel.serial);
        let item = self.channel.handle.with(|state| {
            if state.life() != self.life {
                // A new session counts from nothing; what may lie here is of the old one.
                (self.life, self.consumed, self.reported) = (state.life(), 0, 0);
            }
            if self.consumed - self.reported >= self.window / 4 {
                state.session.consumed(channel, self.consumed);
                self.reported = self.consumed;
            }
            let ended = state.check_open(channel, serial).err();
            let Some(inbox) = state.inbox(channel, serial) else { return Some(Err(ended)) };
            match (inbox.items.pop_front(), ended) {
                (Some(item), _) => Some(Ok(item)),
                (None, Some(error)) => Some(Err(Some(error))),
                (None, None) => {
                    inbox.wait(cx);
                    None
                }
            }
        });
        match item {
            None => Poll::Pending,
            Some(Ok(Item::Run { run, origins, life })) => {
                self.counts = life == self.life;
                self.run = Some(run);
                self.origins = origins;
                Poll::Ready(Some(Ok(())))
            }
            Some(Ok(Item::Lost(count))) => {
                self.lost += count;
                self.poll_run(cx)
            }
            Some(Ok(Item::Leased(_) | Item::LeasedParcel(_) | Item::Call { .. })) => {
                self.poll_run(cx)
            }
            Some(Err(error)) => {
                self.finished = true;
                Poll::Ready(error.map(Err))
            }
        }
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.channel.handle
    }
}

impl Stream for Subscriber {
    type Item = Result<Received, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        poll_assisted(&mut *self, cx, Subscriber::poll_message)
    }
}

impl Waits for Subscriber {
    fn place(&self) -> Place<'_> {
        self.channel.alone()
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Subscriber(channel {})", self.channel.channel)
    }
}

fn find(origins: &[(u32, Arc<Origin>)], number: u32) -> Arc<Origin> {
    origins
        .iter()
        .find(|(other, _)| *other == number)
        .map(|(_, origin)| origin.clone())
        .unwrap_or_default()
}

impl Received {
    /// The message itself.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Takes the message out.
    pub fn into_message(self) -> Message {
        self.message
    }

    /// Its type.
    pub fn kind(&self) -> MessageType {
        self.message.kind()
    }

    /// Its payload.
    pub fn payload(&self) -> &Bytes {
        self.message.payload()
    }

    /// Its headers.
    pub fn headers(&self) -> &Headers {
        self.message.headers()
    }

    /// The topic that it was published on.
    pub fn topic(&self) -> &str {
        self.origin.topic.as_ref().map_or("", Name::as_str)
    }

    /// Who published it, by the broker's word.
    pub fn sender(&self) -> &Sender {
        &self.origin.sender
    }
}

impl Batch<'_> {
    /// The messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = MessageRef<'_>> {
        let mut origin: &Origin = &self.origin;
        self.run.views().map_while(Result::ok).filter_map(move |view| {
            if view.header.origin != 0 {
                let found = self.origins.iter().find(|(number, _)| *number == view.header.origin);
                origin = found.map_or(origin, |(_, found)| found);
            }
            let kind = MessageType::new(view.header.word)?;
            Some(MessageRef {
                kind,
                headers: view.headers,
                payload: view.payload,
                origin,
                run: &self.run,
            })
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.run.frames).unwrap_or(usize::MAX)
    }

    /// Whether there is none, which does not happen.
    pub fn is_empty(&self) -> bool {
        self.run.frames == 0
    }
}

impl<'a> MessageRef<'a> {
    /// Its type.
    pub fn kind(&self) -> MessageType {
        self.kind
    }

    /// Its payload.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Its payload to keep: shares the batch's memory.
    pub fn to_bytes(&self) -> Bytes {
        self.run.bytes.slice_ref(self.payload)
    }

    /// Its headers.
    pub fn headers(&self) -> Headers {
        // The broker has checked them; malformed ones would be none.
        Headers::parse(Bytes::copy_from_slice(self.headers)).unwrap_or_default()
    }

    /// The topic that it was published on.
    pub fn topic(&self) -> &'a str {
        self.origin.topic.as_ref().map_or("", Name::as_str)
    }

    /// Who published it, by the broker's word.
    pub fn sender(&self) -> &'a Sender {
        &self.origin.sender
    }
}
