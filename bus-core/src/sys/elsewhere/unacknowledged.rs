//! What the other side's system has not taken yet: only Linux tells that of any socket.
//!
//! The heartbeat then goes by what is heard alone.

use std::io;

use super::not_available;

/// Bytes that were written and are not acknowledged by the other side's system.
///
/// # Errors
/// `Unsupported`.
pub fn unacknowledged<S>(_socket: S) -> io::Result<u64> {
    Err(not_available("how far TCP has come"))
}
