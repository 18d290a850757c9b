//! What has gone wrong last on a bridge, and whether that is over.
//!
//! It stays to be seen after it is over, since an operator may come late. Invariant: what is told as over has been followed by
//! its opposite; of what happened only once nothing is told.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

/// Something that has gone wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// What.
    pub text: String,
    /// How long ago it was told last; of a queue that is not carried, how long ago that began.
    pub age: Duration,
    /// For how long it has been over; `None` while it lasts, or if that cannot be known.
    pub over: Option<Duration>,
}

impl LastError {
    /// Puts it among what is told of a direction.
    pub(super) fn add_to(told: &mut Value, last: Option<&LastError>) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        told["last_error"] = json!(last.map(|last| &last.text));
        told["last_error_ms"] = json!(last.map(|last| millis(last.age)));
        told["last_error_over_ms"] = json!(last.and_then(|last| last.over).map(millis));
    }
}

/// What it was about: that is how it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// There was no connection, or the other broker let nothing cross.
    Connection,
    /// The other broker does not let this one pattern cross, for the reason that is told.
    Denied,
    /// A queue was not carried.
    Queue,
    /// It happened.
    Event,
}

/// The same while it may still go on.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub cause: Cause,
    pub text: String,
    pub at: Instant,
    over: Option<Instant>,
}

impl Trouble {
    /// Now.
    pub fn new(cause: Cause, text: String) -> Trouble {
        Trouble { cause, text, at: Instant::now(), over: None }
    }

    /// It is over from now on, or goes on.
    pub fn set_over(&mut self, is_over: bool) {
        match is_over {
            true => self.over = self.over.or_else(|| Some(Instant::now())),
            false => self.over = None,
        }
    }

    /// Whether it is known to be over.
    pub fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Of two things, what lasts is more to be told than what is over or has only happened; then the later one.
    pub fn weight(&self) -> (bool, Instant) {
        (!self.is_over() && self.cause != Cause::Event, self.at)
    }

    /// For whoever asks now.
    pub fn told(&self) -> LastError {
        let over = self.over.map(|over| over.elapsed());
        LastError { text: self.text.clone(), age: self.at.elapsed(), over }
    }
}
