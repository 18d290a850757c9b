//! The type of a message: a whole number, chosen by users or made of a name.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::error::{ErrorKind, Failure};

/// The type of a message: 1 to 2^63-1. Users' own numbers are below 2^62.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageType(NonZeroU64);

impl MessageType {
    /// The lowest type, and the one a message has when nothing else is said.
    pub const ONE: MessageType = MessageType(NonZeroU64::MIN);
    /// The highest type.
    pub const MAX: u64 = i64::MAX as u64;
    /// Set in the types that stand for a name.
    const NAMED: u64 = 1 << 62;

    /// A type by its number; `None` for 0 and for numbers above 2^63-1.
    pub const fn new(number: u64) -> Option<MessageType> {
        match NonZeroU64::new(number) {
            Some(number) if number.get() <= MessageType::MAX => Some(MessageType(number)),
            _ => None,
        }
    }

    /// The type that stands for the full name of a protobuf message: a hash with bit 62 set.
    ///
    /// The hash is 64-bit FNV-1a (Fowler, Noll, Vo), so it is the same everywhere.
    pub const fn of_name(name: &str) -> MessageType {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let bytes = name.as_bytes();
        let mut index = 0;
        while index < bytes.len() {
            hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            index += 1;
        }
        let number = (hash & (MessageType::NAMED - 1)) | MessageType::NAMED;
        match NonZeroU64::new(number) {
            Some(number) => MessageType(number),
            None => MessageType::ONE,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// Whether it stands for a name.
    pub const fn is_named(self) -> bool {
        self.0.get() & MessageType::NAMED != 0
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}

impl fmt::Debug for MessageType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "type {}", self.0)
    }
}

impl TryFrom<u64> for MessageType {
    type Error = Failure;
    fn try_from(number: u64) -> Result<MessageType, Failure> {
        MessageType::new(number).ok_or_else(|| {
            Failure::new(
                ErrorKind::InvalidType,
                format!("{number} is not a message type: types are 1 to {}", MessageType::MAX),
            )
        })
    }
}

impl FromStr for MessageType {
    type Err = Failure;
    fn from_str(text: &str) -> Result<MessageType, Failure> {
        let number: u64 = text.parse().map_err(|_| {
            Failure::new(
                ErrorKind::InvalidType,
                format!(
                    "`{text}` is not a message type: types are whole numbers from 1 to {}",
                    MessageType::MAX
                ),
            )
        })?;
        MessageType::try_from(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_bounded() {
        assert!(MessageType::new(0).is_none());
        assert!(MessageType::new(MessageType::MAX).is_some());
        assert!(MessageType::new(MessageType::MAX + 1).is_none());
        let named = MessageType::of_name("bus.v1.Hello");
        assert!(named.is_named() && named.get() <= MessageType::MAX);
    }
}
