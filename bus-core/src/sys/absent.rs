//! What to say of that which this system does not have.
//!
//! One kind of error, so that callers who can do without know it.

use std::io;

/// The error for something that this system does not have.
pub fn not_available(what: &str) -> io::Error {
    let text = format!("{what}: not available on {}", std::env::consts::OS);
    io::Error::new(io::ErrorKind::Unsupported, text)
}
