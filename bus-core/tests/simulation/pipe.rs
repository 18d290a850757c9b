//! One direction of a connection: bytes that arrive later, in arbitrary pieces, or not at all.
//!
//! Bytes keep their order. A cut leaves a random part of what was under way and then the end.

use std::collections::VecDeque;
use std::time::Duration;

use bus_core::Time;
use bus_core::session::Outbound;
use bytes::Bytes;

use crate::dice::Dice;
use crate::plan::Pace;

/// A pipe.
#[derive(Debug)]
pub struct Pipe {
    chunks: VecDeque<(Time, Bytes)>,
    /// Nothing arrives before this.
    last: Time,
    under_way: usize,
    pace: Pace,
    /// When the reader sees the end.
    end: Option<Time>,
}

/// What a reader finds.
#[derive(Debug)]
pub enum Arrival {
    Bytes(Bytes),
    End,
    Nothing,
}

impl Pipe {
    pub fn new(pace: Pace) -> Pipe {
        Pipe { chunks: VecDeque::new(), last: Time::ZERO, under_way: 0, pace, end: None }
    }

    /// How many bytes it takes now.
    pub fn room(&self) -> usize {
        match self.end {
            Some(_) => 0,
            None => self.pace.capacity.saturating_sub(self.under_way),
        }
    }

    pub fn push(&mut self, now: Time, dice: &mut Dice, mut bytes: Bytes) {
        self.under_way += bytes.len();
        while !bytes.is_empty() {
            // Small pieces are slow: only some of what is under way comes in those.
            let longest = if dice.chance(10) { self.pace.piece } else { self.pace.piece.max(100) };
            let length = (1 + dice.below(longest)).min(bytes.len());
            let piece = bytes.split_to(length);
            let at = now.after(dice.within(self.pace.delay)).max(self.last);
            self.last = at;
            self.chunks.push_back((at, piece));
        }
    }

    /// When the reader has something to read.
    pub fn next(&self) -> Option<Time> {
        self.chunks.front().map(|(at, _)| *at).or(self.end)
    }

    pub fn take(&mut self, now: Time) -> Arrival {
        if self.chunks.front().is_some_and(|(at, _)| *at <= now) {
            let (_, bytes) = self.chunks.pop_front().expect("there is one");
            self.under_way -= bytes.len();
            return Arrival::Bytes(bytes);
        }
        match self.end {
            Some(end) if self.chunks.is_empty() && end <= now => Arrival::End,
            _ => Arrival::Nothing,
        }
    }

    /// Closes it behind what is under way.
    pub fn close(&mut self, now: Time) {
        self.end = self.end.or(Some(now.max(self.last)));
    }

    /// Cuts it at an arbitrary byte. The reader sees the end within so long, and what was under
    /// way before the cut may come as late.
    pub fn cut(&mut self, now: Time, dice: &mut Dice, notice: Duration) {
        let mut left = if dice.chance(50) { 0 } else { dice.below(self.under_way + 1) };
        let late = if dice.chance(50) { dice.within(notice) } else { Duration::ZERO };
        self.under_way = left;
        let mut kept = VecDeque::new();
        for (at, mut bytes) in std::mem::take(&mut self.chunks) {
            bytes.truncate(left);
            left -= bytes.len();
            if !bytes.is_empty() {
                self.last = at.after(late);
                kept.push_back((self.last, bytes));
            }
        }
        self.chunks = kept;
        self.end = Some(now.after(dice.within(notice)).max(self.last));
    }
}

/// Puts bytes into a pipe, as many as it takes.
pub fn push(pipe: &mut Pipe, now: Time, dice: &mut Dice, bytes: &mut Bytes) {
    let length = bytes.len().min(pipe.room());
    pipe.push(now, dice, bytes.split_to(length));
}

/// Writes what is unsent, as much as the pipe takes, sometimes less.
pub fn write(pipe: &mut Pipe, now: Time, dice: &mut Dice, outbound: &mut Outbound) {
    let mut slices = Vec::new();
    let limit = pipe.room().min(1 + dice.below(200_000));
    outbound.unsent(limit, 1 + dice.below(8), &mut slices);
    let count = slices.iter().map(Bytes::len).sum();
    for slice in slices {
        pipe.push(now, dice, slice);
    }
    outbound.advance(count);
}
