//! One way of a connection: what is said arrives in order, late, and never if it is cut.
//!
//! What has not arrived is kept, as sessions keep it: a connection that is resumed brings it.

use std::collections::VecDeque;
use std::time::Duration;

use bus_core::Time;

/// Things on their way.
#[derive(Debug)]
pub struct Pipe<T> {
    latency: Duration,
    bytes_per_second: u64,
    items: VecDeque<(Time, u64, T)>,
    pub bytes: u64,
    /// When the last one arrives.
    last: Time,
    pub blocked: bool,
}

impl<T> Pipe<T> {
    pub fn new(latency: Duration, bytes_per_second: u64) -> Pipe<T> {
        Pipe {
            latency,
            bytes_per_second,
            items: VecDeque::new(),
            bytes: 0,
            last: Time::ZERO,
            blocked: false,
        }
    }

    /// Sends something. When it arrives, if nothing is cut.
    pub fn send(&mut self, now: Time, bytes: u64, item: T) -> Time {
        let takes = Duration::from_nanos(bytes * 1_000_000_000 / self.bytes_per_second);
        self.last = self.last.max(now.after(self.latency)).after(takes);
        self.items.push_back((self.last, bytes, item));
        self.bytes += bytes;
        self.last
    }

    /// What has arrived.
    pub fn receive(&mut self, now: Time) -> Option<T> {
        if self.blocked || self.items.front().is_none_or(|(at, ..)| *at > now) {
            return None;
        }
        let (_, bytes, item) = self.items.pop_front()?;
        self.bytes -= bytes;
        Some(item)
    }

    /// When the next thing arrives.
    pub fn next(&self) -> Option<Time> {
        self.items.front().filter(|_| !self.blocked).map(|(at, ..)| *at)
    }

    /// All of it is sent once more.
    pub fn send_again(&mut self, now: Time) {
        self.last = now;
        for (_, bytes, item) in std::mem::take(&mut self.items) {
            self.bytes -= bytes;
            self.send(now, bytes, item);
        }
    }

    pub fn clear(&mut self) {
        self.items.clear();
        (self.bytes, self.last) = (0, Time::ZERO);
    }
}
