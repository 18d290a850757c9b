//! Round trip: one message there, one of the same size back, one in flight.
//!
//! Both sides write their whole payload afresh; writing it and checking it are part
//! of the time. A wake-up across idle cores costs far more than the transport, so
//! each size is measured all on one core, one core each, and as the scheduler likes.
//! Invariant: each answer carries the number of its question, or the run fails.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use hdrhistogram::Histogram;

use super::{Figure, Scale, Workload};
use crate::cell::{Cell, Order, Pinning, Role, WorkloadKind};
use crate::child::{Latency, Outcome};
use crate::contender::Port;
use crate::payload::{Header, Ledger};
use crate::stage::Stage;

/// See the module.
pub struct RoundTrip;

impl Workload for RoundTrip {
    fn kind(&self) -> WorkloadKind {
        WorkloadKind::RoundTrip
    }

    fn about(&self) -> &'static str {
        "one message there and one back, one in flight"
    }

    fn cells(&self, scale: &Scale) -> Vec<Cell> {
        cells(WorkloadKind::RoundTrip, scale)
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>> {
        play(stage).map(figures)
    }
}

/// The cells of a kind of round trip.
pub fn cells(kind: WorkloadKind, scale: &Scale) -> Vec<Cell> {
    let pinnings: &[Pinning] = match scale.two_cores {
        true => &[Pinning::OneCore, Pinning::OneEach, Pinning::Free],
        false => &[Pinning::OneCore],
    };
    let of_size =
        |&size| pinnings.iter().map(move |&pinning| Cell { pinning, ..Cell::new(kind, size) });
    scale.sizes.iter().flat_map(of_size).collect()
}

/// What a kind of round trip tells.
pub fn figures(latency: Latency) -> Vec<Figure> {
    vec![
        Figure::new("p50", "us", microseconds(latency.p50_ns)),
        Figure::new("p99", "us", microseconds(latency.p99_ns)),
        Figure::new("p99.9", "us", microseconds(latency.p999_ns)),
    ]
}

/// Plays one pinger and one echo.
pub fn play(stage: &mut Stage<'_>) -> Result<Latency> {
    let outcomes = stage.play(&[(Role::Pinger, 0), (Role::Echo, 0)])?;
    match outcomes.as_slice() {
        [Outcome::Latency(latency), Outcome::Done] => Ok(*latency),
        other => bail!("expected a pinger's and an echo's outcome, got {other:?}"),
    }
}

/// The pinger's part.
pub async fn ping<P: Port>(port: &mut P, order: &Order, _start_ns: u64) -> Result<Outcome> {
    const SIGNIFICANT_DIGITS: u8 = 3;
    let mut histogram = Histogram::<u64>::new(SIGNIFICANT_DIGITS)?;
    let mut ledger = Ledger::new(order.cell.payload_bytes, 1, 0, 1);
    let warm = Instant::now() + Duration::from_millis(order.timing.warm_up_ms);
    let end = warm + Duration::from_millis(order.timing.measure_ms);
    let mut header = Header { last: false, sender: 0, sequence: 0 };
    loop {
        let asked = Instant::now();
        port.send(1, |message| header.write(message)).await?;
        port.flush().await?;
        port.receive(|message| ledger.accept(message)).await?;
        let answered = Instant::now();
        header.sequence += 1;
        ensure!(ledger.received() == header.sequence, "more answers than questions");
        if asked >= warm {
            histogram.record((answered - asked).as_nanos() as u64)?;
        }
        // At least one is measured, however slow it is.
        if answered >= end && !histogram.is_empty() {
            break;
        }
    }
    header.last = true;
    port.send(1, |message| header.write(message)).await?;
    port.flush().await?;
    Ok(Outcome::Latency(Latency {
        count: histogram.len(),
        p50_ns: histogram.value_at_quantile(0.5),
        p99_ns: histogram.value_at_quantile(0.99),
        p999_ns: histogram.value_at_quantile(0.999),
        max_ns: histogram.max(),
    }))
}

/// The echo's part, until the pinger's last message.
pub async fn echo<P: Port>(port: &mut P, order: &Order) -> Result<Outcome> {
    let mut ledger = Ledger::new(order.cell.payload_bytes, 1, 0, 1);
    let mut answered = 0;
    loop {
        port.receive(|message| ledger.accept(message)).await?;
        if ledger.complete() {
            return Ok(Outcome::Done);
        }
        ensure!(ledger.received() == answered + 1, "more than one question in flight");
        let header = Header { last: false, sender: 0, sequence: answered };
        port.send(1, |message| header.write(message)).await?;
        port.flush().await?;
        answered += 1;
    }
}

/// For figures.
pub fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1_000.0
}
