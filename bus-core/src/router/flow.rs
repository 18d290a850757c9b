//! What a connection has still to write, and sessions that are given nothing until it has.
//!
//! Credits and windows bound what one receiver or subscription has under way; this bounds all
//! of them together, whatever their number, and one message of any length with them.

use crate::time::Time;

use super::session::Handle;
use super::{Router, SessionId};

impl Router {
    /// The shell tells how many bytes a session's connection has still to write. Whether it had
    /// too many, and has written half of them: then it is to be relieved.
    pub fn note_unwritten(&mut self, session: SessionId, bytes: usize) -> bool {
        let Some(entry) = self.ground.sessions.get_mut(session) else { return false };
        entry.unwritten_bytes = bytes as u64;
        entry.congested && entry.unwritten_bytes <= self.ground.unwritten_bytes_max / 2
    }

    /// Gives a session what has come while its connection had too much to write.
    pub fn relieve(&mut self, now: Time, session: SessionId) {
        let Some(entry) = self.ground.sessions.get_mut(session) else { return };
        entry.congested = false;
        self.ground.now = now;
        let channels = entry.channels();
        self.serve_session(session);
        for channel in channels {
            match self.ground.handle(session, channel).cloned() {
                Ok(Handle::Server { service, .. }) => self.dispatch(service),
                Ok(Handle::Subscription(subscription)) => self.pump(subscription),
                _ => {}
            }
        }
        self.bury_dead();
    }
}
