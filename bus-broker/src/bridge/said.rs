//! What was said of a queue that is not carried: once, until something else is so.
//!
//! A queue that is tried again and again is carried for a moment each time, perhaps. That is no
//! news. Invariant: the same reason is told again only after the queue was carried for a while.

use std::time::Duration;

use tokio::time::Instant;

/// For so long it must have been carried for its next failure to be another one.
const SETTLED: Duration = Duration::from_secs(10);

/// What was said of one queue.
#[derive(Debug, Default)]
pub(super) struct Said {
    text: String,
    carried_since: Option<Instant>,
}

impl Said {
    /// Whether it is carried now.
    pub fn note(&mut self, is_carried: bool) {
        if !is_carried {
            self.forget_if_settled();
            self.carried_since = None;
        } else if self.carried_since.is_none() {
            self.carried_since = Some(Instant::now());
        }
    }

    /// Whether this reason is to be told.
    pub fn is_new(&mut self, text: &str) -> bool {
        self.forget_if_settled();
        let is_new = self.text != text;
        if is_new {
            self.text = text.to_owned();
        }
        is_new
    }

    fn forget_if_settled(&mut self) {
        if self.carried_since.is_some_and(|since| since.elapsed() >= SETTLED) {
            self.text.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_fails_each_time_it_is_tried_is_told_once() {
        let mut said = Said::default();
        let mut told = 0;
        for _ in 0..50 {
            // It is there for a moment, and then it is found to come from where it goes.
            said.note(true);
            said.note(false);
            told += u32::from(said.is_new("a loop"));
            tokio::time::advance(Duration::from_secs(2)).await;
        }
        assert_eq!(told, 1);
        assert!(said.is_new("no right") && said.is_new("a loop") && !said.is_new("a loop"));
        // One that has worked meanwhile has broken anew.
        said.note(true);
        tokio::time::advance(SETTLED).await;
        said.note(false);
        assert!(said.is_new("a loop"));
    }
}
