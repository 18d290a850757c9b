//! Publish cost: what handing one message over costs the sender, while nobody need be woken.
//!
//! Short bursts at a rate that every receiver keeps up with, so that the sender never waits for
//! room; between them it does not sleep either, so that who spins goes on spinning. A burst is
//! timed as a whole, with its flush: the clock costs as much as a message.
//! With `--count-calls` the sender runs under `strace -c`, and the number of its system calls in
//! all, start and end included, stands beside the number of messages: it says whether there is
//! one for each. The times are then strace's.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

use super::{Figure, SMALL_PAYLOAD_BYTES, Scale, Workload};
use crate::cell::{Cell, Order, Pinning, Role, WorkloadKind};
use crate::child::{Outcome, Published};
use crate::contender::Port;
use crate::payload::Header;
use crate::stage::Stage;

/// Messages that are timed together.
const BURST: u64 = 32;
/// From one burst's start to the next one's: a million messages a second.
const INTERVAL: Duration = Duration::from_micros(32);

/// See the module.
pub struct PublishCost;

impl Workload for PublishCost {
    fn kind(&self) -> WorkloadKind {
        WorkloadKind::PublishCost
    }

    fn about(&self) -> &'static str {
        "what handing one message over costs the sender, in bursts of 32, a million a second"
    }

    fn cells(&self, scale: &Scale) -> Vec<Cell> {
        let pinning = if scale.two_cores { Pinning::OneEach } else { Pinning::OneCore };
        vec![Cell { pinning, ..Cell::new(WorkloadKind::PublishCost, SMALL_PAYLOAD_BYTES) }]
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>> {
        let outcomes = stage.play(&[(Role::Publisher, 0), (Role::Receiver, 0)])?;
        let [Outcome::Published(published), Outcome::Received(count)] = outcomes.as_slice() else {
            bail!("expected a publisher's and a receiver's outcome, got {outcomes:?}");
        };
        if count.total != published.total {
            bail!("{} published, but {} received", published.total, count.total);
        }
        let mut figures = vec![
            Figure::new("each", "ns", published.p50_ns),
            Figure::new("p99", "ns", published.p99_ns),
            Figure::new("with its turn", "ns", published.with_turn_ns),
            Figure::new("messages", "in all", published.total as f64),
        ];
        if let Some(calls) = stage.traced_calls()? {
            figures.push(Figure::new("system calls", "in all", calls as f64));
        }
        Ok(figures)
    }
}

/// The publisher's part.
pub async fn publish<P: Port>(port: &mut P, order: &Order, _start_ns: u64) -> Result<Outcome> {
    const SIGNIFICANT_DIGITS: u8 = 3;
    let mut bursts = Histogram::<u64>::new(SIGNIFICANT_DIGITS)?;
    let mut with_turns = Histogram::<u64>::new(SIGNIFICANT_DIGITS)?;
    let mut header = Header { last: false, sender: 0, sequence: 0 };
    let mut next = Instant::now();
    let warm = next + Duration::from_millis(order.timing.warm_up_ms);
    let end = warm + Duration::from_millis(order.timing.measure_ms);
    while next < end || bursts.is_empty() {
        while Instant::now() < next {
            std::hint::spin_loop();
        }
        let begun = Instant::now();
        for _ in 0..BURST {
            port.send(1, |message| header.write(message)).await?;
            header.sequence += 1;
        }
        port.flush().await?;
        let handed_over = begun.elapsed();
        port.turn().await?;
        if begun >= warm {
            bursts.record(handed_over.as_nanos() as u64)?;
            with_turns.record(begun.elapsed().as_nanos() as u64)?;
        }
        // One that took longer is not caught up with: that would be another rate.
        next = (next + INTERVAL).max(begun + handed_over);
    }
    header.last = true;
    port.send(1, |message| header.write(message)).await?;
    port.flush().await?;
    let each =
        |histogram: &Histogram<u64>, part| histogram.value_at_quantile(part) as f64 / BURST as f64;
    Ok(Outcome::Published(Published {
        total: header.sequence,
        p50_ns: each(&bursts, 0.5),
        p99_ns: each(&bursts, 0.99),
        with_turn_ns: each(&with_turns, 0.5),
    }))
}
