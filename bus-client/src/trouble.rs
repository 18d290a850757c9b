//! Why a queue that lives at another broker cannot be used at the moment.
//!
//! It is asked for people, who read it in an error or while they wait; nothing is decided by it. A
//! queue of this broker is not asked about: it can be used whenever its broker can.

use std::time::Duration;

use bus_core::router::{Answer, Command, ObjectKind, QueueStat};
use bus_core::{ErrorKind, Pattern};
use tokio::time::timeout;

use crate::client::call;
use crate::error::Error;
use crate::queue::Queue;

impl Queue {
    /// Why this queue cannot be used now, if it lives at another broker: that cannot be reached, or
    /// does not give it. It is what whoever does not wait is told, in a sentence which names the broker
    /// and the bridge. Cancelling is harmless.
    ///
    /// # Errors
    /// Why the client has ended.
    pub async fn trouble(&self) -> Result<Option<String>, Error> {
        if !self.is_hosted() {
            return Ok(None);
        }
        let pattern = Pattern::new(self.name().as_str())?;
        let (object, after) = (ObjectKind::Queue, None);
        let list = move |request| Command::List { request, pattern, object, after };
        match call(self.handle(), list).await? {
            Answer::Listing(listing) => {
                let mut living = listing.queues.into_iter().filter(|queue| !queue.retired);
                Ok(living.next().and_then(trouble_of))
            }
            _ => {
                let text = "the broker answered a list with something else";
                Err(Error::new(ErrorKind::Protocol, text))
            }
        }
    }

    /// The same for a sentence that is told with it or without it, soon.
    pub(crate) async fn trouble_within(&self, limit: Duration) -> Option<String> {
        timeout(limit, self.trouble()).await.ok()?.ok()?
    }
}

fn trouble_of(queue: QueueStat) -> Option<String> {
    queue.hosted.map(|hosted| hosted.trouble).filter(|trouble| !trouble.is_empty())
}
