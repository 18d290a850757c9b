//! Whether somebody listens to a publisher's topic.
//!
//! The broker is asked once and tells every change by itself; here is only waited for what it says.
//! Changes that undo each other before somebody looks are none. Invariant: what is answered was
//! told in the session that there is.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bus_core::ErrorKind;
use futures::Stream;

use crate::client::wait_reply;
use crate::error::Error;
use crate::handle::{OpenChannel, wait_assisted};
use crate::publisher::Publisher;

/// The next answer, while it is waited for.
type Next<'a> = Pin<Box<dyn Future<Output = Result<bool, Error>> + Send + 'a>>;

/// Whether somebody listens to a topic, as a stream: first how it is, then each change. What ends
/// the publisher is the last item.
pub struct Matching<'a> {
    publisher: &'a Publisher,
    seen: Option<bool>,
    next: Option<Next<'a>>,
    over: bool,
}

impl<'a> Matching<'a> {
    pub(crate) fn new(publisher: &'a Publisher) -> Matching<'a> {
        Matching { publisher, seen: None, next: None, over: false }
    }

    /// How it is at first, and from then on what it has changed to; none after the end. Cancelling
    /// loses nothing.
    pub async fn next(&mut self) -> Option<Result<bool, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Matching<'_> {
    type Item = Result<bool, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let (publisher, seen) = (self.publisher, self.seen);
        let next = self.next.get_or_insert_with(|| Box::pin(publisher.matching_other_than(seen)));
        let told = std::task::ready!(next.as_mut().poll(cx));
        self.next = None;
        match &told {
            Ok(matched) => self.seen = Some(*matched),
            Err(_) => self.over = true,
        }
        Poll::Ready(Some(told))
    }
}

impl fmt::Debug for Matching<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Matching({:?})", self.publisher.topic())
    }
}

/// Waits until it is something else than what was seen.
pub(crate) async fn other_than(open: &OpenChannel, seen: Option<bool>) -> Result<bool, Error> {
    ask(open).await?;
    let (channel, serial) = (open.channel, open.serial);
    let told = wait_assisted(open, |cx| {
        let look = open.with(|state| match state.session.is_matched(channel) {
            Some(told) if Some(told) != seen => Poll::Ready(told),
            _ => {
                if let Some(inbox) = state.inbox(channel, serial) {
                    inbox.wait(cx);
                }
                Poll::Pending
            }
        });
        look.map_or_else(|error| Poll::Ready(Err(error)), |told| told.map(Ok))
    });
    told.await
}

/// Asks the broker, unless it has told already. Whoever is dropped meanwhile has asked all the same.
async fn ask(open: &OpenChannel) -> Result<(), Error> {
    let request = open.with(|state| {
        let unasked = state.session.is_matched(open.channel).is_none();
        unasked.then(|| {
            let request = state.session.watch_matching(open.channel);
            state.expect_reply(request);
            request
        })
    })?;
    let Some(request) = request else { return Ok(()) };
    match wait_reply(&open.handle, request).await {
        // A new session is asked again by itself.
        Err(error)
            if matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::OutcomeUnknown) =>
        {
            open.with(|_| ())
        }
        answered => answered.map(|_| ()),
    }
}
