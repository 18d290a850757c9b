//! What was said of a queue that is not carried: once for each time that it ceases to be.
//!
//! A queue that is tried again and again is carried for a moment each time, perhaps. That is no news, and one that
//! comes and goes all day is news a few times only, and of one failure a few reasons are. Invariant: how it stands is known at any time, whatever of it
//! was said.

use std::time::Duration;

use bus_core::bridge::CarriedStat;
use tokio::time::Instant;

use super::last_error::{Cause, Trouble};

/// For so long it must have been carried for its next failure to be another one.
const MOMENT: Duration = Duration::from_millis(250);
/// If it was carried for so long, that failure is told whatever was told before.
const SETTLED: Duration = Duration::from_secs(10);
/// Failures that are told of a queue that is carried for less than that each time: so many in so long.
const UNSETTLED_MAX: usize = 5;
const UNSETTLED_WITHIN: Duration = Duration::from_secs(300);
/// Reasons of one failure that are told. They come from the other broker, which may have one more each time.
const REASONS_MAX: usize = 4;

/// What was said of one queue.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Of the failure that was told last, the reasons that were.
    reasons: Vec<String>,
    carried_since: Option<Instant>,
    /// When failures began that were told though the queue was not settled; the oldest is overwritten.
    unsettled: [Option<Instant>; UNSETTLED_MAX],
    /// Why it is not carried, or was not.
    trouble: Option<Trouble>,
}

impl Said {
    /// Where the queue stands now. Gives the reason if it is to be told.
    pub fn note(&mut self, queue: &CarriedStat) -> Option<String> {
        if queue.is_carried {
            self.carried_since.get_or_insert_with(Instant::now);
            self.trouble.iter_mut().for_each(|trouble| trouble.set_over(true));
            return None;
        }
        if let Some(since) = self.carried_since.take()
            && self.is_another(since.elapsed())
        {
            self.reasons.clear();
        }
        let text = queue.last_error.as_ref()?.to_string();
        match self.trouble.as_mut().filter(|last| !last.is_over()) {
            // It has lasted since it began, whatever is said of it now.
            Some(last) => last.text.clone_from(&text),
            None => self.trouble = Some(Trouble::new(Cause::Queue, text.clone())),
        }
        if self.reasons.len() >= REASONS_MAX || self.reasons.contains(&text) {
            return None;
        }
        self.reasons.push(text.clone());
        Some(text)
    }

    /// Why it is not carried, or was not.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Whether it fails anew, after it was carried for so long, and that is to be told.
    fn is_another(&mut self, carried_for: Duration) -> bool {
        if carried_for >= SETTLED || self.reasons.is_empty() {
            return true;
        }
        let oldest = &mut self.unsettled[0];
        let is_told =
            carried_for >= MOMENT && oldest.is_none_or(|began| began.elapsed() >= UNSETTLED_WITHIN);
        if is_told {
            *oldest = Some(Instant::now());
            self.unsettled.rotate_left(1);
        }
        is_told
    }
}

#[cfg(test)]
pub(super) mod tests {
    use bus_core::{ErrorKind, Failure, Name};

    use super::*;

    /// One that is not carried, for this reason, or is.
    pub(in crate::bridge) fn queue(why: Option<&str>) -> CarriedStat {
        CarriedStat {
            name: Name::new("jobs").expect("a name"),
            is_carried: why.is_none(),
            leased: 0,
            receivers: 0,
            sends: 0,
            sent: 0,
            delivered: 0,
            last_error: why.map(|why| Failure::new(ErrorKind::NotFound, why)),
        }
    }

    /// How often its failures were told: so many, each after it was carried for so long.
    async fn told(said: &mut Said, failures: u32, carried_for: Duration) -> usize {
        let mut told = 0;
        for _ in 0..failures {
            assert_eq!(said.note(&queue(None)), None);
            tokio::time::advance(carried_for).await;
            // There is none to be had since it was taken away, and nobody makes one.
            let reasons = ["taken", "none", "none"];
            told += reasons.iter().filter_map(|why| said.note(&queue(Some(why)))).count();
            tokio::time::advance(Duration::from_secs(2)).await;
        }
        told
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_fails_each_time_it_is_tried_is_told_once() {
        let mut said = Said::default();
        assert_eq!(told(&mut said, 50, Duration::ZERO).await, 2);
        assert_eq!(said.note(&queue(Some("no right"))).as_deref(), Some("no right"));
        // One that has worked meanwhile has broken anew.
        assert_eq!(told(&mut said, 1, SETTLED).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_that_somebody_brings_about_is_told_and_no_flood_of_them() {
        let mut said = Said::default();
        assert_eq!(told(&mut said, 3, Duration::from_secs(3)).await, 6);
        // An hour in which a program makes and removes it.
        assert_eq!(told(&mut said, 720, Duration::from_secs(3)).await, 2 * 5 * 12);
        assert_eq!(told(&mut said, 30, SETTLED).await, 60, "each is of its own");
    }

    #[tokio::test(start_paused = true)]
    async fn reasons_without_end_are_told_a_few_times_and_are_one_trouble() {
        let mut said = Said::default();
        let fails = |said: &mut Said, number: u32| {
            said.note(&queue(Some(&format!("refused, attempt {number}")))).is_some()
        };
        let mut told = 0;
        for number in 0..100 {
            told += usize::from(fails(&mut said, number));
            tokio::time::advance(Duration::from_secs(2)).await;
        }
        assert_eq!(told, REASONS_MAX);
        let last = said.trouble().map(Trouble::told).expect("it lasts");
        assert_eq!((last.text.as_str(), last.over), ("refused, attempt 99", None));
        assert_eq!(last.age, Duration::from_secs(200), "since it began");
        // It was carried, and is another one from now on.
        said.note(&queue(None));
        tokio::time::advance(SETTLED).await;
        assert!(fails(&mut said, 0));
        assert_eq!(said.trouble().map(|it| it.told().age), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_comes_back_is_told_with_its_new_time_also_if_the_log_is_silent() {
        let mut said = Said::default();
        told(&mut said, 50, Duration::ZERO).await;
        let age = |said: &Said| said.trouble().map(|trouble| trouble.told().age);
        assert_eq!(age(&said), Some(Duration::from_secs(2)));
        said.note(&queue(None));
        assert!(said.trouble().is_some_and(Trouble::is_over));
        assert_eq!(said.note(&queue(Some("none"))), None);
        assert!(said.trouble().is_some_and(|trouble| !trouble.is_over()));
        assert_eq!(age(&said), Some(Duration::ZERO));
    }
}
