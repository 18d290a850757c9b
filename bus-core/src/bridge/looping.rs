//! Whether what a link brings comes to its far broker by another way, too.
//!
//! The far broker says so of each relay that stands by for that reason; one that stands by since its
//! own connection was away is not meant. After a session has begun anew the old one may be such
//! another way for a moment. Invariant: what is said has been so, without a break, for as long as
//! a hint takes.

use std::collections::BTreeSet;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::RELAY_HINT;
use crate::time::Time;

use super::link::Link;
use super::source::Source;

/// What is known of other ways.
#[derive(Debug, Default)]
pub(super) struct Looping {
    /// Sources that another way brings, or has brought back to where they had been.
    elsewhere: BTreeSet<Id<Source>>,
    /// It was said that there are some.
    pub said: bool,
    /// When it is looked whether that is so no more, or is so now; and whether it was by then.
    pub look_at: Option<Time>,
    differs: bool,
}

impl Link {
    /// A source comes to the far broker by another way, or by this one alone.
    pub(super) fn note_elsewhere(&mut self, id: Id<Source>, elsewhere: bool) {
        let changes = match elsewhere {
            true => self.looping.elsewhere.insert(id),
            false => self.looping.elsewhere.remove(&id),
        };
        if changes {
            self.looping.weigh();
        }
    }

    /// There is another session at the far broker: nothing was said there yet.
    pub(super) fn forget_elsewhere(&mut self) {
        self.looping.elsewhere.clear();
        self.looping.weigh();
    }

    /// Says that there is another way, once, when that is sure; and forgets that it did when there
    /// is none any more.
    pub(super) fn look_at_looping(&mut self, now: Time) {
        let looping = &mut self.looping;
        if looping.look_at.is_none_or(|at| now < at) {
            return;
        }
        looping.look_at = None;
        // While it is away the far broker cannot say that it has changed.
        let differed = std::mem::replace(&mut looping.differs, self.far_is_up);
        if !self.far_is_up || !differed {
            looping.look_at = Some(now.after(RELAY_HINT));
            return;
        }
        looping.said = !looping.said;
        if looping.said {
            self.say_that_others_bring_it();
        }
    }

    fn say_that_others_bring_it(&mut self) {
        let some = self.looping.elsewhere.first().and_then(|id| self.sources.get(*id));
        let Some(source) = some else { return };
        let text = format!(
            "what {} publishes on `{}` comes there by another way, too: the bridges form a loop, or run beside each other; each message arrives once, and this way stands by for it",
            source.provenance, source.far_topic
        );
        self.trouble(Failure::new(ErrorKind::Loop, text));
    }
}

impl Looping {
    /// Something has changed: it is looked in a moment, which begins anew when it was as said meanwhile.
    fn weigh(&mut self) {
        if self.elsewhere.is_empty() != self.said {
            (self.look_at, self.differs) = (None, false);
        } else if self.look_at.is_none() {
            // The first look, at once, only begins to count.
            (self.look_at, self.differs) = (Some(Time::ZERO), false);
        }
    }
}
