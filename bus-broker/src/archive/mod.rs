//! A file of messages: what `bus dump` and `bus record` write, and `bus restore` and `bus replay` read.
//!
//! Bytes in and out, in no file and no stream: that is the command's business. Invariants: what was
//! written comes out equal and in its order, or as a typed error that names the place; a file that
//! was cut off, changed, shortened in its middle or lengthened is never taken for a whole one; no
//! content of a file makes this panic, or hold more than one entry.
//!
//! ```text
//! magic      8  89 'B' 'U' 'S' 'A' 0d 0a 1a    what text tools damage is not text
//! version    2  1, little-endian as all numbers
//! reserved   2  0
//! length     4  of the description
//! description   JSON: what this is, of which broker and when
//! checksum   4  CRC-32 of all before
//! entries, each:
//!   length   4  of the body
//!   tag      1  1 a message, 2 a gap, 3 the end, behind which nothing stands
//!   reserved 3  0
//!   body        as `entry.rs` says
//!   checksum 4  CRC-32 of the checksum before it, and of this entry
//! ```
//!
//! Each checksum continues the one before it, so that no entry can be taken out, or stand elsewhere.

mod decode;
mod description;
mod encode;
mod entry;
mod error;
#[cfg(test)]
mod tests;

pub use decode::ArchiveDecoder;
pub use description::{ArchiveContent, ArchiveDescription, ArchivedQueue};
pub use encode::ArchiveEncoder;
pub use entry::{ArchiveEnd, ArchiveEntry, ArchiveGap, ArchivedMessage};
pub use error::ArchiveError;

use bus_core::{HEADERS_BYTES_MAX, MESSAGE_BYTES_MAX};

const MAGIC: [u8; 8] = [0x89, b'B', b'U', b'S', b'A', 0x0d, 0x0a, 0x1a];
const VERSION: u16 = 1;
/// Magic, version, a reserved word and the length of the description.
const HEAD_BYTES: usize = 16;
const ENTRY_HEAD_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;
/// Topic, sender or reason of an entry.
const TEXT_BYTES_MAX: usize = 1024;
/// The longest body: a message with everything at its longest.
const BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX + HEADERS_BYTES_MAX + 2 * TEXT_BYTES_MAX + 64;

const TAG_MESSAGE: u8 = 1;
const TAG_GAP: u8 = 2;
const TAG_END: u8 = 3;

/// The checksum of these bytes, behind what has that checksum.
fn continued(checksum: u32, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&checksum.to_le_bytes());
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}
