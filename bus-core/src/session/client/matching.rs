//! Whether somebody listens to a publisher's topic, as far as the broker has said.
//!
//! It is asked once and told from then on; a new session is asked again when the publisher is
//! opened again. Invariant: what is known was told in this session.

use crate::router::{Channel, Command, RequestId};

use super::{ClientSession, Event};

impl ClientSession {
    /// Asks to be told whether somebody listens to the topic of the publisher on this channel.
    pub fn watch_matching(&mut self, channel: Channel) -> RequestId {
        if let Some(entry) = self.channels.get_mut(channel) {
            entry.watches = true;
        }
        self.request(|request| Command::WatchMatching { request, channel })
    }

    /// Whether somebody listens; `None` if that was not told yet.
    pub fn is_matched(&self, channel: Channel) -> Option<bool> {
        self.channels.get(channel)?.matched
    }

    /// In a new session: asks again on a channel that was opened again. What the broker says to
    /// that nobody waits for.
    pub(super) fn watch_again(&mut self, channel: Channel) {
        if self.channels.get(channel).is_some_and(|entry| entry.watches) {
            self.push_command(&Command::WatchMatching { request: 0, channel });
        }
    }

    /// It was told. A channel of which it was not asked is none of the publisher that it is now.
    pub(super) fn matching(&mut self, channel: Channel, matched: bool) -> Option<Event> {
        let open =
            |entry: &&mut super::channel::Entry| entry.watches && !entry.closing && !entry.over;
        let entry = self.channels.get_mut(channel).filter(open)?;
        entry.matched = Some(matched);
        Some(Event::Matching { channel })
    }
}
