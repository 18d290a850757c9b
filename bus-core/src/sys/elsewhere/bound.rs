//! Where a socket listens that was handed over: none is, on systems without a service manager that does so.
//!
//! It is refused, and the reason said.

use super::{Listening, OwnedFd, not_available};

/// Where a socket listens.
///
/// # Errors
/// That none can be handed over here.
pub fn listening_address(_socket: &OwnedFd) -> Result<Listening, String> {
    Err(not_available("a socket that was handed over").to_string())
}
