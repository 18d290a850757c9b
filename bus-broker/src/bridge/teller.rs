//! What a direction of a bridge tells: on its board, in the log, and as an event.
//!
//! Invariant: what has been told is not told again until something else was.

use std::cell::RefCell;

use bus_core::Failure;
use bus_core::bridge::{PermitNews, Permits};
use tracing::{debug, info, warn};

use super::denied::DeniedStatus;
use super::last_error::{Cause, Trouble};
use super::status::{Board, LinkState, SharedBoard};
use crate::event_kinds::{BRIDGE, is_listed};
use crate::hub::SharedHub;
use crate::system::SystemEvent;

/// Tells for one direction.
pub(super) struct Teller {
    /// For people: the bridge, and which way.
    pub title: String,
    hub: SharedHub,
    pub board: SharedBoard,
    /// There is a connection that was not told of yet.
    pub is_new_way: bool,
    /// Why it stands as it does, as was told last.
    why: RefCell<Option<String>>,
}

impl Teller {
    pub fn new(title: String, hub: SharedHub) -> Teller {
        let board = Board::shared();
        Teller { title, hub, board, is_new_way: false, why: RefCell::default() }
    }

    /// How it stands from now on; and why, if that is no good news.
    pub fn turn(&self, state: LinkState, reason: Option<String>) {
        let mut board = self.board.borrow_mut();
        let is_new = board.turn(state);
        // Other trouble may have been told between.
        let says_more = reason.is_some() && *self.why.borrow() != reason;
        if is_new || says_more {
            self.why.replace(reason.clone());
        }
        if let Some(reason) = &reason {
            board.last_error = Some(Trouble::new(Cause::Connection, reason.clone()));
        }
        drop(board);
        if is_new || says_more {
            let bridge = &*self.title;
            match &reason {
                None => info!(bridge, state = state.word(), "bridge"),
                Some(reason) => warn!(bridge, state = state.word(), reason, "bridge"),
            }
            self.tell(state.word(), reason);
        }
    }

    /// The other broker lets it carry.
    pub fn connected(&mut self) {
        if std::mem::take(&mut self.is_new_way) {
            self.board.borrow_mut().connections += 1;
        }
        if self.board.borrow().state.is_waiting() {
            self.turn(LinkState::Connected, None);
        }
    }

    /// The other broker is there and lets nothing of it cross.
    pub fn refused(&self) {
        let (state, reason) = {
            let board = self.board.borrow();
            (board.state, board.denied.first().map(|denied| denied.reason.clone()))
        };
        if state != LinkState::Refused && state != LinkState::Paused {
            self.turn(LinkState::Refused, reason);
        }
    }

    /// What the other broker, of this name, has said of what may be carried.
    pub fn note_permits(&self, permits: &mut Permits, broker: &str) {
        let mut is_new = false;
        while let Some(news) = permits.news() {
            is_new = true;
            match news {
                PermitNews::Denied(denied) => {
                    let text = DeniedStatus::new(&denied, broker).reason;
                    self.board.borrow_mut().last_error =
                        Some(Trouble::new(Cause::Denied, text.clone()));
                    self.say_trouble(text);
                }
                PermitNews::Allowed(pattern) => {
                    let reason = format!("broker `{broker}` lets all of `{pattern}` cross now");
                    info!(bridge = self.title, reason, "bridge");
                    self.tell("allowed", Some(reason));
                }
            }
        }
        let mut board = self.board.borrow_mut();
        if is_new || board.denied.len() != permits.denied().count() {
            board.denied =
                permits.denied().map(|denied| DeniedStatus::new(denied, broker)).collect();
            let Board { denied, last_error, .. } = &mut *board;
            if let Some(error) = last_error.as_mut().filter(|error| error.cause == Cause::Denied) {
                error.set_over(denied.iter().all(|denied| denied.reason != error.text));
            }
        }
    }

    /// Tells it as an event.
    pub fn tell(&self, what: &'static str, reason: Option<String>) {
        debug_assert!(is_listed(BRIDGE, what), "what is told is listed: {what}");
        let bridge = self.title.clone();
        self.hub.borrow_mut().tell(SystemEvent::Bridge { bridge, what, reason });
    }

    /// Something that an operator should see.
    pub fn trouble(&self, failure: &Failure) {
        let text = failure.to_string();
        let mut board = self.board.borrow_mut();
        let is_new = board.last_error.as_ref().is_none_or(|last| last.text != text);
        board.last_error = Some(Trouble::new(Cause::Event, text.clone()));
        drop(board);
        match is_new {
            true => self.say_trouble(text),
            false => debug!(bridge = self.title, reason = text, "bridge"),
        }
    }

    /// The same, where it is known to be news.
    pub fn say_trouble(&self, text: String) {
        warn!(bridge = self.title, reason = text, "bridge");
        self.tell("trouble", Some(text));
    }
}
