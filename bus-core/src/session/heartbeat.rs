//! Whether the other side of a connection is still there while nothing comes from it.
//!
//! Pure: at every look it is told the time and what shows that the other side is there, and says
//! what to do. Either side of a connection has one, and neither relies on the other's. Invariant: a
//! peer is given up only after [`SILENCE_MAX`] of looks that came in time and saw no sign of it.

use std::time::Duration;

use crate::limits::{HEARTBEAT, SILENCE_MAX};
use crate::time::Time;

/// What shows that the other side is there: numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Bytes that have come from it.
    pub heard: u64,
    /// Bytes that its system is known to have taken, where that can be told. A message that takes
    /// minutes on a slow line keeps a question waiting behind it, and shows here that all is well.
    pub acknowledged: Option<u64>,
}

/// What a look has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// There is nothing to do until the next look.
    Wait,
    /// There was no sign of it: ask for one. Once is enough, since nothing is lost on the way.
    Ask,
    /// There was none for so long that the connection is dead.
    Dead {
        /// How long.
        silent: Duration,
    },
}

/// Looks at one connection.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    signs: Signs,
    /// The look that saw the last sign.
    alive_at: Time,
    looked_at: Time,
    /// It was asked, and has given no sign since. A question at each look would sound like a sign of
    /// life to a peer that can hear and not be heard, and it would notice late.
    asked: bool,
}

impl Heartbeat {
    /// Of a connection that is established now.
    pub fn new(now: Time) -> Heartbeat {
        Heartbeat { signs: Signs::default(), alive_at: now, looked_at: now, asked: false }
    }

    /// A look, at [`Heartbeat::next_look`] or later.
    pub fn look(&mut self, now: Time, signs: Signs) -> Beat {
        // Whoever was stopped, or whose machine slept, has not listened meanwhile.
        let late = now.since(self.looked_at) >= 2 * HEARTBEAT;
        self.looked_at = now;
        let alive = std::mem::replace(&mut self.signs, signs) != signs;
        if alive || late {
            (self.alive_at, self.asked) = (now, false);
        }
        match now.since(self.alive_at) {
            silent if silent >= SILENCE_MAX => Beat::Dead { silent },
            _ if alive || self.asked => Beat::Wait,
            _ => {
                self.asked = true;
                Beat::Ask
            }
        }
    }

    /// When to look next.
    pub fn next_look(&self) -> Time {
        self.looked_at.after(HEARTBEAT)
    }
}

#[cfg(test)]
mod tests;
