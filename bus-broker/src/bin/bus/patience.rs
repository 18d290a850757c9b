//! Nobody waits without a word: after a second the command says on standard error what it waits for.
//!
//! It says so once, and for a reason that is worth it: that a receiver waits for a message is what it
//! is for. What it does is not changed by that.

use std::pin::pin;
use std::time::Duration;

use bus_client::{Client, Queue, QueueStat};
use tokio::time::sleep;

use crate::exit::say;

/// After so long it looks why it waits; if there is nothing to say, again after twice as long.
const MOMENT: Duration = Duration::from_secs(1);
const LOOKS_APART_MAX: Duration = Duration::from_secs(32);

/// Waits at a queue.
pub struct Patience<'a> {
    client: &'a Client,
    queue: &'a Queue,
    /// For room, else for a message.
    sends: bool,
    told: bool,
}

impl<'a> Patience<'a> {
    /// Whoever sends to the queue.
    pub fn sending(client: &'a Client, queue: &'a Queue) -> Patience<'a> {
        Patience { client, queue, sends: true, told: false }
    }

    /// Whoever receives from it.
    pub fn receiving(client: &'a Client, queue: &'a Queue) -> Patience<'a> {
        Patience { client, queue, sends: false, told: false }
    }

    /// Waits for this, and says why if it takes long.
    pub async fn wait<T>(&mut self, deed: impl Future<Output = T>) -> T {
        let mut deed = pin!(deed);
        let mut pause = MOMENT;
        while !self.told {
            let look = async {
                sleep(pause).await;
                self.reason().await
            };
            let reason = tokio::select! {
                biased;
                done = &mut deed => return done,
                reason = look => reason,
            };
            if let Some(reason) = reason {
                say(format_args!("waits: {reason}"));
                self.told = true;
            }
            pause = (2 * pause).min(LOOKS_APART_MAX);
        }
        deed.await
    }

    /// What is waited for. What cannot be found out is not said.
    async fn reason(&self) -> Option<String> {
        if !self.sends {
            return self.queue.trouble().await.ok()?;
        }
        let queues = self.client.admin().queues(self.queue.name().as_str()).await.ok()?;
        queues.iter().find(|stat| !stat.retired).and_then(no_room)
    }
}

/// Why a send waits at a queue, if that is to be seen.
fn no_room(stat: &QueueStat) -> Option<String> {
    let name = &stat.name;
    let Some(hosted) = &stat.hosted else {
        let (messages, bytes, options) = (stat.messages, stat.bytes, &stat.options);
        return (stat.blocked > 0).then(|| {
            format!(
                "queue `{name}` is full: messages {messages} (limit {}), bytes {bytes} (limit {})",
                options.count_max, options.bytes_max
            )
        });
    };
    Some(match (&*hosted.trouble, &*hosted.broker) {
        ("", broker) => format!(
            "queue `{name}` lives at broker `{broker}`, which has not taken the message yet: it may be full"
        ),
        (trouble, _) => trouble.to_owned(),
    })
}
