//! Numbered records with a checksum, and what must be true of a row of them.
//!
//! A record tells whose it is and which one; a byte of it that is torn does not pass. Whoever
//! checks gives what is wrong as text, so that a test can see that it is found.

#![allow(dead_code, reason = "no test needs all of it")]

use crate::dice::{Dice, mixed};

/// Bytes of a record without its filling.
pub const HEAD_BYTES: usize = 32;

/// Whose record it is, and which of his.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub writer: u64,
    pub number: u64,
}

/// `length | writer | number | checksum | filling`, all of them whole words.
pub fn record(mark: Mark, filling: usize) -> Vec<u8> {
    let words = filling / 8;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + words * 8);
    bytes.extend(((HEAD_BYTES + words * 8) as u64).to_le_bytes());
    bytes.extend(mark.writer.to_le_bytes());
    bytes.extend(mark.number.to_le_bytes());
    bytes.extend([0; 8]);
    for index in 0..words as u64 {
        bytes.extend(mixed(mark.writer ^ mark.number << 20 ^ index).to_le_bytes());
    }
    let sum = checksum(&bytes);
    bytes[24..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// A record of any length: in one frame, in several, and longer than a whole lane.
pub fn any_length(mark: Mark) -> Vec<u8> {
    let mut dice = Dice::new(mark.writer << 32 ^ mark.number);
    let most = match dice.below(64) {
        0 => 400_000,
        1..8 => 40_000,
        _ => 600,
    };
    record(mark, dice.below(most) as usize)
}

/// What a record says of itself, if it is whole.
pub fn read(bytes: &[u8]) -> Result<Mark, String> {
    if bytes.len() < HEAD_BYTES || word(bytes, 0) != bytes.len() as u64 {
        return Err(format!("a record of {} bytes is none", bytes.len()));
    }
    let mark = Mark { writer: word(bytes, 1), number: word(bytes, 2) };
    match word(bytes, 3) == checksum(bytes) {
        true => Ok(mark),
        false => Err(format!("{mark:?} with {} bytes is torn", bytes.len())),
    }
}

/// How long the record is that begins here, if that can be told.
pub fn length(bytes: &[u8]) -> Option<usize> {
    (bytes.len() >= 8).then(|| word(bytes, 0) as usize)
}

fn word(bytes: &[u8], index: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[index * 8..][..8]);
    u64::from_le_bytes(word)
}

/// Over all words but its own.
fn checksum(bytes: &[u8]) -> u64 {
    let words = (0..bytes.len() / 8).filter(|index| *index != 3);
    words.fold(1, |sum: u64, index| {
        (sum.rotate_left(7) ^ word(bytes, index)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

/// What came of one writer: from 0 on, without a gap, nothing twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    pub count: u64,
}

impl Row {
    /// One more.
    pub fn take(&mut self, mark: Mark) -> Result<(), String> {
        if mark.number != self.count {
            return Err(format!("{mark:?} instead of number {}", self.count));
        }
        self.count += 1;
        Ok(())
    }

    /// Nothing is missing of so many that are known to have been written.
    pub fn has(&self, written: u64) -> Result<(), String> {
        match self.count >= written {
            true => Ok(()),
            false => Err(format!("{} of {written} are there, the rest is lost", self.count)),
        }
    }
}
