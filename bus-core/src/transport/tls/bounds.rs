//! How much a peer may say before it is known who he is, so that he costs no more memory than then
//! allowed.
//!
//! What is bounded is what he says: the rest is what the TLS library needs for anybody, and the room
//! for his Hello. A test counts all of it together. A broker is known to its client by its
//! certificate; a client to its broker when the link is established.

use std::io;

use super::failure::{Side, TlsFailure};
use super::link::TlsLink;
use crate::frame::FRAME_HEADER_BYTES_MAX;
use crate::limits::{HANDSHAKE_FRAME_BYTES_MAX, HANDSHAKE_MEMORY_BYTES_MAX};

/// Certificates of a client beside its own: the library needs some memory for each, however short.
pub(super) const CLIENT_AUTHORITIES_MAX: usize = 8;
/// What TLS adds to a record: its header, its kind inside, and its tag.
const RECORD_OVERHEAD: usize = 5 + 1 + 16;
/// What is kept of a client that is not whole, before it is known who it is: the longest Hello, as a
/// record. What opens the handshake has 300 bytes to 2 KiB. What a client answers has to be whole
/// before any of it is given up, and the library keeps the certificates in it as well: they have 400
/// bytes to 2 KiB each, and so one authority may stand between, or several with short keys.
const KEPT_BYTES_MAX: usize = HANDSHAKE_FRAME_BYTES_MAX + FRAME_HEADER_BYTES_MAX + RECORD_OVERHEAD;

const _: () = assert!(
    2 * KEPT_BYTES_MAX < HANDSHAKE_MEMORY_BYTES_MAX,
    "certificates count twice; so does a Hello, when another one comes behind it"
);

impl TlsLink {
    /// How much may be read now.
    pub(super) fn read_room(&mut self) -> io::Result<usize> {
        if self.is_known || self.side == Side::Client {
            return Ok(self.read_bytes);
        }
        match KEPT_BYTES_MAX.saturating_sub(self.partial.len()) {
            0 => Err(self.fail(TlsFailure::TooLong { bytes_max: KEPT_BYTES_MAX })),
            room => Ok(room),
        }
    }

    /// So much has come, and counts if it belongs to the handshake.
    pub(super) fn charge_handshake(&mut self, count: usize) -> io::Result<()> {
        if !self.is_shaking_hands() {
            return Ok(());
        }
        let Some(left) = self.handshake_bytes.checked_sub(count) else {
            let bytes_max = HANDSHAKE_MEMORY_BYTES_MAX;
            return Err(self.fail(TlsFailure::TooLong { bytes_max }));
        };
        self.handshake_bytes = left;
        Ok(())
    }
}
