//! What is refused is logged: to whom, what, and from where.
//!
//! Never a payload, a token or a hash: a failure has none in it. How much is written is bounded, for
//! each session and for all together, and what was left out is counted.

use bus_core::router::{Output, SessionId};
use bus_core::transport::Peer;
use bus_core::{ErrorKind, Failure};
use tracing::{info, warn};

use crate::hub::Hub;
use crate::slot::slot_of;

impl Hub {
    /// A connection was refused.
    pub fn note_refused(&mut self, peer: &Peer, client: &str, failure: &Failure) {
        if let Some(left_out) = self.bound.take(self.now()) {
            warn!(peer = %peer.address, client, %failure, left_out, "refused");
        }
    }

    /// A handshake has failed.
    pub fn note_failed(&mut self, peer: &Peer, failure: &Failure) {
        if let Some(left_out) = self.bound.take(self.now()) {
            info!(peer = %peer.address, %failure, left_out, "handshake failed");
        }
    }

    /// A session is told something: if that is that it has no right, it is logged.
    #[inline]
    pub(crate) fn note_denied(&mut self, session: SessionId, output: &Output) {
        match output {
            Output::Reply { result: Err(failure), .. }
            | Output::Failed { failure, .. }
            | Output::Ended { failure, .. }
            | Output::Expired { failure } => self.log_denied(session, failure),
            _ => {}
        }
    }

    /// A session's connection has ended: what was not told of it is told now.
    pub(crate) fn note_gone(&mut self, session: SessionId) {
        let now = self.now();
        let Some(slot) = slot_of(&mut self.slots, session) else { return };
        let own = slot.guest.bound.left_out();
        if own == 0 {
            return;
        }
        match self.bound.take(now) {
            Some(others) => {
                let left_out = own + others;
                warn!(session = session.serial(), left_out, "denied more that was not logged");
            }
            // That line is counted as one already.
            None => self.bound.leave_out(own - 1),
        }
    }

    #[cold]
    fn log_denied(&mut self, session: SessionId, failure: &Failure) {
        if !matches!(failure.kind(), ErrorKind::PermissionDenied | ErrorKind::Unauthenticated) {
            return;
        }
        let now = self.now();
        let Some(slot) = slot_of(&mut self.slots, session) else { return };
        // Its own bound first: one who asks without end uses up nobody else's lines.
        let Some(own) = slot.guest.bound.take(now) else { return };
        let Some(others) = self.bound.take(now) else { return self.bound.leave_out(own) };
        let address = slot.line.as_ref().map_or("away", |line| &line.link.peer().address);
        let left_out = own + others;
        warn!(peer = address, session = session.serial(), %failure, left_out, "denied");
    }
}
