//! The heartbeat of a link that may die without a word, with the runtime's clock.
//!
//! Only where the other side is behind a network: who is on this machine is known to be gone by
//! the kernel. What is to be said, and what follows from an end, is the caller's.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::{Link, Transport};
use crate::session::{Beat, Heartbeat, Said, Signs};
use crate::time::Time;

/// Keeps looking at one link.
pub struct Pulse {
    heartbeat: Heartbeat,
    began: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Pulse {
    /// Of an established link, to somebody who may leave a question unanswered for so long; none if the
    /// kernel tells of its end. It costs a timer.
    pub fn of(link: &dyn Link, patience: Duration) -> Option<Pulse> {
        if !matches!(link.transport(), Transport::Tcp | Transport::Tls) {
            return None;
        }
        let (heartbeat, began) = (Heartbeat::new(Time::ZERO, patience), Instant::now());
        let timer = Box::pin(sleep_until(began + heartbeat.next_look().since(Time::ZERO)));
        Some(Pulse { heartbeat, began, timer })
    }

    /// Ready when there is something to do: never with [`Beat::Wait`]. `heard` bytes have come
    /// over the link so far, and `said` is what goes the other way. To be polled when nothing is left to be
    /// read; who is told to ask does so at once.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        link: &dyn Link,
        heard: u64,
        said: impl Fn() -> Said,
    ) -> Poll<Beat> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Time::ZERO.after(self.began.elapsed());
            let signs = Signs { heard, said: said(), passage: link.passage() };
            let beat = self.heartbeat.look(now, signs);
            let next = self.began + self.heartbeat.next_look().since(Time::ZERO);
            self.timer.as_mut().reset(next);
            if beat != Beat::Wait {
                return Poll::Ready(beat);
            }
        }
    }
}
