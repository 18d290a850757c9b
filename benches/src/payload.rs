//! What is in a message: a header at its start, a pattern to its end, and the check of both.
//!
//! The header is one little-endian u64: bit 63 marks the last message of a
//! sender, bits 48 to 62 are the sender, the rest is its sequence number. The
//! sender writes every byte, so that no contender gains by leaving a body untouched.
//! Invariant: a `Ledger` accepts each message of each sender once, in order,
//! or it fails the run. It is not a checksum: only the ends of the body are looked at.

use anyhow::{Result, bail, ensure};

/// The header at the start of a message, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this ends the sender's flow; the sequence number is then the count before it.
    pub last: bool,
    /// Which sender, below 32,768.
    pub sender: usize,
    /// From 0, below 2^48.
    pub sequence: u64,
}

impl Header {
    const LAST: u64 = 1 << 63;
    const SENDER_SHIFT: u32 = 48;
    const SEQUENCE_MASK: u64 = (1 << Self::SENDER_SHIFT) - 1;

    /// Reads the header, if the message is long enough to have one.
    pub fn read(message: &[u8]) -> Option<Header> {
        let word = u64::from_le_bytes(*message.first_chunk()?);
        Some(Header {
            last: word & Self::LAST != 0,
            sender: ((word & !Self::LAST) >> Self::SENDER_SHIFT) as usize,
            sequence: word & Self::SEQUENCE_MASK,
        })
    }

    /// Writes a whole message of this header: every byte of `message`.
    pub fn write(self, message: &mut [u8]) {
        message.fill(self.pattern());
        if let Some(start) = message.first_chunk_mut() {
            *start = self.word().to_le_bytes();
        }
    }

    /// Whether `message` has the length and, at its end, the pattern that `write` gave it.
    pub fn fits(self, message: &[u8], payload_bytes: usize) -> bool {
        let end = message.get(size_of::<u64>()..).and_then(<[u8]>::last);
        message.len() == payload_bytes && end.is_none_or(|&byte| byte == self.pattern())
    }

    fn word(self) -> u64 {
        let last = if self.last { Self::LAST } else { 0 };
        let sender = (self.sender as u64) << Self::SENDER_SHIFT;
        last | sender | (self.sequence & Self::SEQUENCE_MASK)
    }

    fn pattern(self) -> u8 {
        self.sequence as u8
    }
}

/// A receiver's account of what each sender sent it.
pub struct Ledger {
    payload_bytes: usize,
    /// The sequence number expected next, for each sender; `None` after its last message.
    next: Vec<Option<u64>>,
    /// A receiver of one type among many sees each `stride`th number of a sender.
    stride: u64,
    received: u64,
    open: usize,
}

impl Ledger {
    /// Expects `first`, `first + stride`, ... from each of `senders`.
    pub fn new(payload_bytes: usize, senders: usize, first: u64, stride: u64) -> Ledger {
        Ledger {
            payload_bytes,
            next: vec![Some(first); senders],
            stride,
            received: 0,
            open: senders,
        }
    }

    /// Takes one message, or says what is wrong with it.
    #[inline]
    pub fn accept(&mut self, message: &[u8]) -> Result<()> {
        let Some(header) = Header::read(message) else {
            bail!("a message of {} bytes has no header", message.len());
        };
        ensure!(
            header.fits(message, self.payload_bytes),
            "message {} of sender {} has {} bytes or a damaged end, not {} whole ones",
            header.sequence,
            header.sender,
            message.len(),
            self.payload_bytes
        );
        let stride = self.stride;
        let Some(Some(next)) = self.next.get_mut(header.sender) else {
            bail!("a message of sender {}, unknown or ended", header.sender);
        };
        if header.last {
            // The sender tells how many it sent in all; the next of ours would be at or past that.
            ensure!(
                *next >= header.sequence && *next < header.sequence + stride,
                "sender {} ended at {}, but {next} is still expected",
                header.sender,
                header.sequence
            );
            self.next[header.sender] = None;
            self.open -= 1;
            return Ok(());
        }
        ensure!(
            *next == header.sequence,
            "sender {}: expected {next}, got {} (lost, repeated or reordered)",
            header.sender,
            header.sequence
        );
        *next += stride;
        self.received += 1;
        Ok(())
    }

    /// Messages accepted, the last of each sender aside.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether every sender has ended.
    pub fn complete(&self) -> bool {
        self.open == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(last: bool, sender: usize, sequence: u64) -> Vec<u8> {
        let mut message = vec![0; 64];
        Header { last, sender, sequence }.write(&mut message);
        message
    }

    #[test]
    fn header_survives_the_message() {
        let header = Header::read(&message(true, 7, 123_456)).unwrap();
        assert_eq!((header.last, header.sender, header.sequence), (true, 7, 123_456));
    }

    #[test]
    fn ledger_accepts_senders_interleaved_and_ends_with_them() {
        let mut ledger = Ledger::new(64, 2, 0, 1);
        for (sender, sequence) in [(0, 0), (1, 0), (1, 1), (0, 1)] {
            ledger.accept(&message(false, sender, sequence)).unwrap();
        }
        ledger.accept(&message(true, 0, 2)).unwrap();
        assert!(!ledger.complete());
        ledger.accept(&message(true, 1, 2)).unwrap();
        assert!(ledger.complete());
        assert_eq!(ledger.received(), 4);
    }

    #[test]
    fn ledger_refuses_loss_repetition_and_a_short_end() {
        for wrong in [message(false, 0, 1), message(true, 0, 1), message(false, 1, 0)] {
            assert!(Ledger::new(64, 1, 0, 1).accept(&wrong).is_err());
        }
        let mut ledger = Ledger::new(64, 1, 0, 1);
        ledger.accept(&message(false, 0, 0)).unwrap();
        assert!(ledger.accept(&message(false, 0, 0)).is_err());
    }

    #[test]
    fn ledger_refuses_a_damaged_body() {
        let mut damaged = message(false, 0, 3);
        damaged[63] ^= 1;
        assert!(Ledger::new(64, 1, 3, 1).accept(&damaged).is_err());
        assert!(Ledger::new(64, 1, 3, 1).accept(&message(false, 0, 3)[..63]).is_err());
    }

    #[test]
    fn ledger_of_one_type_expects_each_eighth() {
        let mut ledger = Ledger::new(64, 1, 2, 8);
        ledger.accept(&message(false, 0, 2)).unwrap();
        ledger.accept(&message(false, 0, 10)).unwrap();
        assert!(ledger.accept(&message(false, 0, 11)).is_err());
        assert!(ledger.accept(&message(true, 0, 27)).is_err());
        ledger.accept(&message(true, 0, 17)).unwrap();
    }
}
