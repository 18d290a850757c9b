//! Of how much it is not known whether it arrived, as a client is told when its broker begins anew.

use bus_client::{ClientEvent, Events};
use futures::FutureExt;

/// Of how many it is not known whether they have arrived: those that were on their way when a broker began anew.
#[derive(Debug, Default)]
pub struct Unknown {
    /// So many, or more.
    pub count: u64,
    /// Events have passed by unread: there may be more.
    more: bool,
}

impl Unknown {
    /// Counts what is told, until the client ends. Cancelling loses nothing that was counted.
    pub async fn follow(&mut self, events: &mut Events) {
        while let Some(event) = events.next().await {
            self.note(&event);
        }
    }

    pub fn note(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Restarted { publishes_unknown, .. } => {
                self.count = self.count.saturating_add(*publishes_unknown);
            }
            ClientEvent::Missed { .. } => self.more = true,
            _ => {}
        }
    }

    /// Counts what has been told until now.
    pub fn catch_up(&mut self, events: &mut Events) {
        let _ = self.follow(events).now_or_never();
    }

    /// In words; `None` if everything is known.
    pub fn told(&self) -> Option<String> {
        let more = if self.more { " or more" } else { "" };
        (self.count > 0 || self.more).then(|| {
            format!(
                "of {}{more} of them it is not known whether they arrived: the broker began anew",
                self.count
            )
        })
    }
}
