//! A short probe of the machine: how long a cache line takes to another core and back.
//!
//! Two threads, one on each of two cores, hand one word to and fro. On an
//! undisturbed machine the time hardly changes, so a change between runs says that the
//! host moved the virtual cores or gave them to others.
//! It is not a benchmark of any contender, and takes a few milliseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine;
use crate::statistics::median;

/// A word on cache lines of its own, also where the hardware fetches them in pairs.
#[repr(align(128))]
struct Word(AtomicU64);

/// Nanoseconds of a round trip between the first two of `cores`; `None` with less than two.
pub fn cache_line_round_trip_ns(cores: &[usize]) -> Option<f64> {
    const LIMIT: Duration = Duration::from_millis(5);
    let &[near, far, ..] = cores else { return None };
    let (there, back) = (Word(AtomicU64::new(0)), Word(AtomicU64::new(0)));
    thread::scope(|scope| {
        scope.spawn(|| {
            // Where pinning is refused, the figure is that of the scheduler's choice.
            let _ = machine::pin_current_thread(far);
            answer(&there.0, &back.0);
        });
        let asking = scope.spawn(|| {
            let _ = machine::pin_current_thread(near);
            ask(&there.0, &back.0, LIMIT)
        });
        asking.join().ok().map(|mut batches| median(&mut batches))
    })
}

/// Ends the partner.
const STOP: u64 = u64::MAX;

/// Counts up and waits for each number to come back; gives the mean of each batch.
fn ask(there: &AtomicU64, back: &AtomicU64, limit: Duration) -> Vec<f64> {
    const BATCH: u64 = 100;
    const BATCHES_MAX: usize = 100;
    let deadline = Instant::now() + limit;
    let mut batches = Vec::with_capacity(BATCHES_MAX);
    let mut number = 0;
    while batches.len() < BATCHES_MAX && (batches.is_empty() || Instant::now() < deadline) {
        let begun = Instant::now();
        for _ in 0..BATCH {
            number += 1;
            // Relaxed in all four places: the word is the only thing handed over.
            there.store(number, Ordering::Relaxed);
            while back.load(Ordering::Relaxed) != number {
                std::hint::spin_loop();
            }
        }
        batches.push(begun.elapsed().as_nanos() as f64 / BATCH as f64);
    }
    there.store(STOP, Ordering::Relaxed);
    batches
}

/// Sends each new number back until it is `STOP`.
fn answer(there: &AtomicU64, back: &AtomicU64) {
    let mut seen = 0;
    while seen != STOP {
        let number = there.load(Ordering::Relaxed);
        if number == seen {
            std::hint::spin_loop();
        } else {
            back.store(number, Ordering::Relaxed);
            seen = number;
        }
    }
}
