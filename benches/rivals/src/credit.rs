//! A window of credit for systems that drop what a slow receiver does not take.
//!
//! A sender keeps at most so many messages under way; each receiver tells each sender now and
//! then, through the same system, how many it has had. The least of the receivers counts.
//! Invariant: what is under way to one receiver from one sender never exceeds the window.

use anyhow::{Context, Result};
use bus_benches::cell::{Order, Role};
use bus_benches::payload::Header;

/// Messages of one sender that may be under way: many small ones, but few megabytes.
pub fn window_messages(payload_bytes: usize) -> u64 {
    const BYTES: usize = 8 << 20;
    const MANY: usize = 16 << 10;
    const FEW: usize = 8;
    (BYTES / payload_bytes).clamp(FEW, MANY) as u64
}

/// A sender's side.
pub struct Window {
    sent: u64,
    size: u64,
    /// Of each receiver.
    confirmed: Vec<u64>,
}

impl Window {
    /// For a sender; nobody else needs one.
    pub fn new(order: &Order) -> Option<Window> {
        (order.role == Role::Sender).then(|| Window {
            sent: 0,
            size: window_messages(order.cell.payload_bytes),
            confirmed: vec![0; order.cell.receivers],
        })
    }

    /// Whether one more message may be sent.
    pub fn is_open(&self) -> bool {
        let least = self.confirmed.iter().min().copied().unwrap_or(self.sent);
        self.sent - least < self.size
    }

    /// Notes that one was sent.
    pub fn note_sent(&mut self) {
        self.sent += 1;
    }

    /// Takes a receiver's confirmation.
    pub fn confirm(&mut self, message: &[u8]) -> Result<()> {
        let confirmation = Confirmation::read(message).context("a damaged confirmation")?;
        let confirmed = self.confirmed.get_mut(confirmation.receiver as usize);
        *confirmed.context("a confirmation of an unknown receiver")? = confirmation.count;
        Ok(())
    }
}

/// A receiver's side.
pub struct Tally {
    receiver: u64,
    step: u64,
    /// Of each sender.
    received: Vec<u64>,
}

impl Tally {
    /// For a receiver of a flow; nobody else needs one.
    pub fn new(order: &Order) -> Option<Tally> {
        (order.role == Role::Receiver).then(|| Tally {
            receiver: order.index as u64,
            step: (window_messages(order.cell.payload_bytes) / 4).max(1),
            received: vec![0; order.cell.senders],
        })
    }

    /// Counts a message; now and then says which sender must be told what.
    pub fn note(&mut self, message: &[u8]) -> Option<(usize, [u8; 16])> {
        // A message that has no header, or a foreign one, is refused by the harness.
        let sender = Header::read(message)?.sender;
        let received = self.received.get_mut(sender)?;
        *received += 1;
        let due = received.is_multiple_of(self.step);
        due.then(|| (sender, Confirmation { receiver: self.receiver, count: *received }.bytes()))
    }
}

/// What a receiver tells a sender.
struct Confirmation {
    receiver: u64,
    count: u64,
}

impl Confirmation {
    fn bytes(self) -> [u8; 16] {
        (u128::from(self.receiver) << 64 | u128::from(self.count)).to_le_bytes()
    }

    fn read(message: &[u8]) -> Option<Confirmation> {
        let both = u128::from_le_bytes(message.try_into().ok()?);
        Some(Confirmation { receiver: (both >> 64) as u64, count: both as u64 })
    }
}

#[cfg(test)]
mod tests {
    use bus_benches::cell::{Cell, Timing, WorkloadKind};

    use super::*;

    fn order(role: Role, index: usize) -> Order {
        let cell = Cell { receivers: 2, ..Cell::new(WorkloadKind::FanOut, 1 << 20) };
        let timing = Timing { warm_up_ms: 0, measure_ms: 0, idle_ms: 0, patience_ms: 0 };
        let (contender, address) = (String::new(), String::new());
        Order { contender, cell, role, index, address, core: None, timing, trace: None }
    }

    #[test]
    fn the_slowest_receiver_holds_the_sender_back() {
        let mut window = Window::new(&order(Role::Sender, 0)).unwrap();
        let mut sent = 0;
        while window.is_open() {
            window.note_sent();
            sent += 1;
        }
        assert_eq!(sent, window_messages(1 << 20));
        let mut message = vec![0; 64];
        Header { last: false, sender: 0, sequence: 0 }.write(&mut message);
        for receiver in 0..2 {
            let mut tally = Tally::new(&order(Role::Receiver, receiver)).unwrap();
            assert!(!window.is_open());
            let told: Vec<_> = (0..sent).filter_map(|_| tally.note(&message)).collect();
            assert_eq!(told.len(), 4);
            for (sender, confirmation) in told {
                assert_eq!(sender, 0);
                window.confirm(&confirmation).unwrap();
            }
        }
        assert!(window.is_open());
    }

    #[test]
    fn damaged_confirmations_are_refused() {
        let mut window = Window::new(&order(Role::Sender, 0)).unwrap();
        assert!(window.confirm(&[0; 15]).is_err());
        assert!(window.confirm(&Confirmation { receiver: 2, count: 1 }.bytes()).is_err());
    }

    #[test]
    fn a_pinger_needs_no_credit() {
        assert!(Window::new(&order(Role::Pinger, 0)).is_none());
        assert!(Tally::new(&order(Role::Echo, 0)).is_none());
    }
}
