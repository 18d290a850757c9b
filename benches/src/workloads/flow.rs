//! The two roles of all throughput workloads: a sender that never pauses, a receiver that counts.
//!
//! All receivers count in the same window of the shared clock, which opens after the warm-up
//! and closes while the senders still send; then they drain to every sender's last
//! message, which tells how many it sent. What is counted is what arrived, not what was sent.
//! Invariant: at the end each message sent has been received exactly as often as it should.

use anyhow::{Result, bail, ensure};

use super::Figure;
use crate::cell::{Order, Role};
use crate::child::{Count, Outcome};
use crate::contender::Port;
use crate::machine::monotonic_ns;
use crate::payload::{Header, Ledger};
use crate::stage::Stage;

pub const NS_PER_MS: u64 = 1_000_000;

/// Plays the cell's senders and receivers; `copies` is how many receivers get each message.
pub fn play(stage: &mut Stage<'_>, copies: u64) -> Result<Vec<Figure>> {
    let cell = stage.cell();
    let receivers = (0..cell.receivers).map(|index| (Role::Receiver, index));
    let senders = (0..cell.senders).map(|index| (Role::Sender, index));
    let cast: Vec<_> = senders.chain(receivers).collect();
    let per_second = rate(stage.play(&cast)?, copies)?;
    Ok(vec![
        Figure::new("messages", "msg/s", per_second),
        Figure::new("bytes", "GB/s", per_second * cell.payload_bytes as f64 / 1e9),
    ])
}

/// What all receivers got in a second, if each of `copies` got each message.
pub fn rate(outcomes: Vec<Outcome>, copies: u64) -> Result<f64> {
    let (mut sent, mut received, mut per_second) = (0, 0, 0.0);
    for outcome in outcomes {
        match outcome {
            Outcome::Sent(count) => sent += count,
            Outcome::Received(count) => {
                received += count.total;
                per_second += self::per_second(&count);
            }
            other => bail!("{other:?} is neither a sender's nor a receiver's outcome"),
        }
    }
    ensure!(received == sent * copies, "{sent} sent, {copies} copies, but {received} received");
    Ok(per_second)
}

/// What one receiver got in a second.
pub fn per_second(count: &Count) -> f64 {
    count.window_messages as f64 * 1e9 / count.window_ns as f64
}

/// The sender's part: goes through the types in turn, ends each of them.
pub async fn send<P: Port>(port: &mut P, order: &Order, start_ns: u64) -> Result<Outcome> {
    let timing = order.timing;
    // Past the end of the window, so that receivers never count a trickle.
    let rest_ms = timing.measure_ms / 20 + 20;
    let end = start_ns + (timing.warm_up_ms + timing.measure_ms + rest_ms) * NS_PER_MS;
    let stride = messages_between_looks(order.cell.payload_bytes);
    let mut header = Header { last: false, sender: order.index, sequence: 0 };
    let mut kind = 1;
    while monotonic_ns() < end {
        for _ in 0..stride {
            port.send(kind, |message| header.write(message)).await?;
            header.sequence += 1;
            kind = if kind == order.cell.kinds { 1 } else { kind + 1 };
        }
    }
    header.last = true;
    for kind in 1..=order.cell.kinds {
        port.send(kind, |message| header.write(message)).await?;
    }
    port.flush().await?;
    Ok(Outcome::Sent(header.sequence))
}

/// The receiver's part. With several types, receiver `n` gets type `n + 1`: each `kinds`th number.
pub async fn receive<P: Port>(port: &mut P, order: &Order, start_ns: u64) -> Result<Outcome> {
    let cell = &order.cell;
    let first = if cell.kinds > 1 { order.index as u64 } else { 0 };
    let mut ledger = Ledger::new(cell.payload_bytes, cell.senders, first, u64::from(cell.kinds));
    let mut window = Window::new(order, start_ns);
    while !ledger.complete() {
        port.receive(|message| ledger.accept(message)).await?;
        window.observe(ledger.received());
    }
    Ok(Outcome::Received(window.close(ledger.received())?))
}

/// Looking at the clock costs about as much as a small message, so it is not done for each.
fn messages_between_looks(payload_bytes: usize) -> u64 {
    const SMALL_BYTES: usize = 32 << 10;
    if payload_bytes < SMALL_BYTES { 32 } else { 1 }
}

/// A count and when it was taken.
#[derive(Clone, Copy)]
struct Mark {
    messages: u64,
    at_ns: u64,
}

/// The span in which messages count.
pub struct Window {
    opens_ns: u64,
    closes_ns: u64,
    stride: u64,
    next_look: u64,
    opened: Option<Mark>,
    closed: Option<Mark>,
}

impl Window {
    /// That of this order, for one who started then.
    pub fn new(order: &Order, start_ns: u64) -> Window {
        let opens_ns = start_ns + order.timing.warm_up_ms * NS_PER_MS;
        Window {
            opens_ns,
            closes_ns: opens_ns + order.timing.measure_ms * NS_PER_MS,
            stride: messages_between_looks(order.cell.payload_bytes),
            next_look: 0,
            opened: None,
            closed: None,
        }
    }

    /// So many are there now.
    #[inline]
    pub fn observe(&mut self, messages: u64) {
        if messages < self.next_look || self.closed.is_some() {
            return;
        }
        self.next_look = messages + self.stride;
        let mark = Mark { messages, at_ns: monotonic_ns() };
        if self.opened.is_none() {
            self.opened = (mark.at_ns >= self.opens_ns).then_some(mark);
        } else if mark.at_ns >= self.closes_ns {
            self.closed = Some(mark);
        }
    }

    /// The count, also if the flow ended before the window did.
    pub fn close(self, messages: u64) -> Result<Count> {
        let Some(opened) = self.opened else { bail!("nothing arrived after the warm-up") };
        let end = Mark { messages, at_ns: monotonic_ns() };
        let closed = self.closed.unwrap_or(end);
        Ok(Count {
            total: messages,
            window_messages: closed.messages - opened.messages,
            window_ns: (closed.at_ns - opened.at_ns).max(1),
        })
    }
}
