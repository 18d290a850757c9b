//! The broker's answers to sends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bus_core::ErrorKind;

use crate::error::Error;
use crate::handle::{Handle, poll_assisted};
use crate::spans::Span;
use crate::state::Verdict;

/// How safe an accepted message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ReceiptLevel {
    /// In the broker's memory.
    Accepted,
}

/// The broker has taken a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// How safe it is.
    pub level: ReceiptLevel,
}

/// The receipt of a message that was handed over, to be awaited when it matters. Dropping it
/// leaves the message as it is; [`PendingReceipt::withdraw`] takes it back.
#[must_use = "a send may fail: await the receipt, or drop it knowingly"]
pub struct PendingReceipt {
    handle: Arc<Handle>,
    ticket: u64,
    /// Taken back if it is dropped before the verdict.
    withdraw: bool,
    done: bool,
    /// What the message was sent in: it ends with the verdict.
    span: Option<Span>,
}

impl PendingReceipt {
    pub(crate) fn new(handle: Arc<Handle>, ticket: u64, withdraw: bool) -> PendingReceipt {
        PendingReceipt { handle, ticket, withdraw, done: false, span: None }
    }

    /// The same, and it ends this span.
    pub(crate) fn within(mut self, span: Span) -> PendingReceipt {
        self.span = Some(span);
        self
    }

    /// Takes the message back if it still waits for room. The receipt then fails as
    /// `Withdrawn`; else it is accepted. So it says which.
    pub fn withdraw(&self) {
        self.handle.with(|state| state.withdraw(self.ticket));
    }
}

impl Future for PendingReceipt {
    type Output = Result<Receipt, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ticket = self.ticket;
        let verdict = ready!(poll_assisted(&mut self.handle, cx, |handle, cx| {
            handle.with(|state| state.poll_verdict(ticket, cx))
        }));
        self.done = true;
        let receipt = match verdict {
            Verdict::Accepted => Ok(Receipt { level: ReceiptLevel::Accepted }),
            Verdict::Failed(failure) => Err(failure.into()),
            Verdict::Reply(_) => {
                Err(Error::new(ErrorKind::Protocol, "the broker answered a send with a reply"))
            }
        };
        if let Some(mut span) = self.span.take() {
            span.note(&receipt);
        }
        Poll::Ready(receipt)
    }
}

impl Drop for PendingReceipt {
    fn drop(&mut self) {
        if !self.done {
            let (ticket, withdraw) = (self.ticket, self.withdraw);
            self.handle.with(|state| state.detach_verdict(ticket, withdraw));
        }
    }
}
