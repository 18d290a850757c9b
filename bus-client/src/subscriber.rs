//! Receiving what is published.
//!
//! Two faces over the same runs of frames: a [`Stream`] of owned messages, and batches whose
//! messages are borrowed where they stand.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bus_core::session::Origin;
use bus_core::{Failure, Run, window_charge};
use futures::Stream;

use crate::error::Error;
use crate::handle::{Handle, OpenChannel, Place, Waits, poll_assisted};
use crate::inbox::{Inbox, Item};
use crate::received::{Batch, Received, find, sequence_of};

/// A subscription. Dropping it unsubscribes; in a group the others get what it has not handed over.
///
/// As a [`Stream`] it yields messages until it ends: with `TooSlow`, `Removed`,
/// `PermissionDenied`, or the client's end as its last item.
pub struct Subscriber {
    channel: OpenChannel,
    window: u64,
    /// It is a member of a group: what it has not used up goes to others when it ends.
    shares: bool,
    run: Option<Run>,
    origins: Vec<(u32, Arc<Origin>)>,
    origin: Arc<Origin>,
    /// The number of the last message among those of its source.
    sequence: u64,
    /// Bytes used up, and those of which the broker has been told.
    consumed: u64,
    reported: u64,
    /// Of which session those are.
    life: u64,
    /// The run is of that session: what is used up of it counts.
    counts: bool,
    lost: u64,
    unconfirmed: u64,
    finished: bool,
}

impl Subscriber {
    pub(crate) fn new(channel: OpenChannel, window: u64, shares: bool) -> Subscriber {
        let life = channel.handle.with(|state| state.life());
        Subscriber {
            channel,
            window,
            shares,
            run: None,
            origins: Vec::new(),
            origin: Arc::default(),
            sequence: 0,
            consumed: 0,
            reported: 0,
            life,
            counts: true,
            lost: 0,
            unconfirmed: 0,
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

    /// How many messages are lost so far, of those before the last one yielded: dropped by its policy,
    /// or not brought by a bridge. It is an upper bound: see [`Subscriber::unconfirmed`].
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Of how many of [`Subscriber::lost`] it is not known whether they have arrived all the same: a
    /// bridge had sent them, and the broker was lost before it had confirmed them.
    pub fn unconfirmed(&self) -> u64 {
        self.unconfirmed
    }

    fn take_batch(&mut self) -> Option<Result<Batch<'_>, Error>> {
        let run = self.run.take()?;
        // Used up as soon as the application has it: a batch is bounded by the window.
        let (mut first, before) = (self.origin.clone(), self.sequence);
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
                    self.sequence = sequence_of(&view.header, self.sequence);
                }
                Err(error) => return Some(Err(Failure::from(error).into())),
            }
        }
        std::mem::swap(&mut first, &mut self.origin);
        let batch_origin = std::mem::replace(&mut self.origin, first);
        Some(Ok(Batch { run, origins: &self.origins, origin: batch_origin, before }))
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
                    self.sequence = sequence_of(&header, self.sequence);
                    if self.counts {
                        self.consumed += window_charge(message.len(), self.window);
                    }
                    let (origin, sequence) = (self.origin.clone(), self.sequence);
                    return Poll::Ready(Some(Ok(Received { message, origin, sequence })));
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
            let waits = |inbox: &mut Inbox| inbox.items.is_empty();
            let waits = self.shares && state.inbox(channel, serial).is_none_or(waits);
            let unreported = self.consumed - self.reported;
            if is_due(unreported, self.window, self.shares, waits) {
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
            Some(Ok(Item::Run { run, life, .. })) if self.shares && life != self.life => {
                self.leave_to_others(&run);
                self.poll_run(cx)
            }
            Some(Ok(Item::Run { run, origins, life })) => {
                self.counts = life == self.life;
                self.run = Some(run);
                self.origins = origins;
                Poll::Ready(Some(Ok(())))
            }
            Some(Ok(Item::Lost { count, unconfirmed })) => {
                self.lost += count;
                self.unconfirmed += unconfirmed;
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

    /// The others of the group have been given what came in a session that is over, as far as its broker
    /// knew of it.
    fn leave_to_others(&mut self, run: &Run) {
        let count = run.views().count() as u64;
        self.lost += count;
        self.unconfirmed += count;
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.channel.handle
    }
}

/// Whether the broker is to be told of so many bytes used up. By what is known to be under way to a
/// member of a group others are preferred to it, and given what is left when it is gone; so it says
/// early that it has done something, and at once that it has nothing to do.
fn is_due(unreported: u64, window: u64, shares: bool, waits: bool) -> bool {
    match shares {
        false => unreported >= window / 4,
        true => unreported >= window / 16 || (waits && unreported > 0),
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // The others of a group are to get exactly what this one has not handed over.
        if self.shares && self.consumed > self.reported {
            let (channel, life, consumed) = (self.channel.channel, self.life, self.consumed);
            // If the channel has ended, there is nobody to tell.
            let _ = self.channel.with(|state| {
                if state.life() == life {
                    state.session.consumed(channel, consumed);
                }
            });
        }
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
