//! Whether `bus top` still hears of its broker, and since when not.
//!
//! Invariant: figures that are older than a look may be are never shown without a word.

use std::time::{Duration, SystemTime};

use bus_client::ClientEvent;
use tokio::time::Instant;

use crate::show::printable;
use crate::value::show_duration;

/// A broker that is well answers a look within that.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is told for how long there is no answer.
const TELLING: Duration = Duration::from_secs(1);

/// The connection, as far as it can be told.
pub struct Line {
    /// Between two looks.
    pause: Duration,
    answered: Instant,
    lost: Option<Lost>,
}

struct Lost {
    since: Instant,
    at: SystemTime,
    reason: String,
}

impl Line {
    /// It has just answered.
    pub fn new(pause: Duration) -> Line {
        Line { pause, answered: Instant::now(), lost: None }
    }

    /// A look has come.
    pub fn answered(&mut self) {
        self.answered = Instant::now();
    }

    /// Something has happened to the connection.
    pub fn note(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Disconnected { reason } => {
                let lost = || Lost { since: Instant::now(), at: SystemTime::now(), reason };
                self.lost.get_or_insert_with(lost);
            }
            ClientEvent::Connected { .. }
            | ClientEvent::Resumed { .. }
            | ClientEvent::Restarted { .. } => {
                // The next look is on its way.
                (self.lost, self.answered) = (None, Instant::now());
            }
            _ => {}
        }
    }

    /// When it is to be looked at again.
    pub fn pause(&self) -> Duration {
        TELLING.min(self.pause)
    }

    /// What is wrong with it.
    pub fn trouble(&self) -> Option<String> {
        if let Some(Lost { since, at, reason }) = &self.lost {
            let at = humantime::format_rfc3339_seconds(*at).to_string();
            // The time of day is enough beside how long ago it was.
            let at = at.get(11..19).unwrap_or_default();
            let age = show_duration(Duration::from_secs(since.elapsed().as_secs()));
            let reason = printable(reason);
            return Some(format!(
                "no connection for {age} (since {at} UTC), tries again; figures of before: {reason}"
            ));
        }
        let silent = self.answered.elapsed();
        (silent > self.pause + PATIENCE).then(|| {
            let age = show_duration(Duration::from_secs(silent.as_secs()));
            format!("no answer from the broker for {age}; figures of before")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_is_told_with_its_age_and_a_new_one_ends_that() {
        let mut line = Line::new(TELLING);
        assert_eq!(line.trouble(), None);
        let gone = |reason: &str| ClientEvent::Disconnected { reason: reason.into() };
        line.note(gone("it \u{1b}[2J was killed"));
        tokio::time::advance(Duration::from_secs(65)).await;
        line.note(gone("again"));
        let told = line.trouble().expect("it is gone");
        assert!(told.starts_with("no connection for 1m 5s (since "), "{told}");
        assert!(told.contains("killed") && !told.contains('\u{1b}'), "{told}");
        line.note(ClientEvent::Connected { transport: bus_client::Transport::Local });
        assert_eq!(line.trouble(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_answer_is_told_as_that() {
        let mut line = Line::new(TELLING);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(line.trouble(), None, "it may be on its way");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(line.trouble().is_some_and(|told| told.starts_with("no answer")));
        line.answered();
        assert_eq!(line.trouble(), None);
    }
}
