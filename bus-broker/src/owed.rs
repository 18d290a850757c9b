//! Confirmations that are owed to clients which say nothing more.
//!
//! What comes later takes a confirmation along; but whoever has said something and falls silent would keep
//! it, and not know what of it has arrived when the broker is lost. Invariant: a session with something that
//! is not confirmed is on the list, once.

use std::collections::VecDeque;
use std::time::Duration;

use bus_core::Time;
use bus_core::router::SessionId;

use crate::hub::Hub;
use crate::slot::slot_of;

/// Sessions that are looked at before others have their turn, and the pause after that.
const LOOKS_MAX: usize = 64;
const PAUSE: Duration = Duration::from_millis(1);

/// The list.
#[derive(Default)]
pub(crate) struct Owed {
    sessions: VecDeque<SessionId>,
    due: Option<Time>,
}

impl Owed {
    /// It is to be looked at then, if it is.
    pub fn note(&mut self, session: SessionId, due: Option<Time>) {
        let Some(due) = due else { return };
        self.sessions.push_back(session);
        self.due = Some(self.due.map_or(due, |first| first.min(due)));
    }
}

impl Hub {
    /// When there is something to do though nobody says anything.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.router.next_deadline().into_iter().chain(self.owed.due).min()
    }

    /// Has those confirmed for whom it is time: they are written to with all others that have output.
    pub(crate) fn confirm_aged(&mut self) {
        let now = self.now();
        if self.owed.due.is_none_or(|due| now < due) {
            return;
        }
        self.owed.due = None;
        let all = self.owed.sessions.len();
        for _ in 0..all.min(LOOKS_MAX) {
            let Some(session) = self.owed.sessions.pop_front() else { break };
            let Some(slot) = slot_of(&mut self.slots, session) else { continue };
            match slot.state.inbound.look_again(now) {
                Some(due) => self.owed.note(session, Some(due)),
                None if !std::mem::replace(&mut slot.dirty, true) => {
                    self.dirty.push(session.index());
                }
                None => {}
            }
        }
        if all > LOOKS_MAX {
            self.owed.due = Some(now.after(PAUSE));
        }
    }
}
