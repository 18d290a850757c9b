//! What comes in the clear where TLS is expected, and TLS where it is not.
//!
//! Whoever mistakes one port for the other is told so in his own language: a refusal is the one
//! thing that a listener with TLS sends in the clear, and nothing follows it.

use crate::error::{ErrorKind, Failure};

/// What the first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// They are too few to tell.
    Unclear,
    /// Records of TLS.
    Tls,
    /// Anything else.
    Other,
}

/// Content type, and version: alerts and handshakes come first, and TLS is 3.1 and more. A third byte
/// of 0 would be a frame of a handshake, which is never so long that it is another.
pub(super) fn opening(bytes: &[u8]) -> Opening {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    match bytes {
        [] => Opening::Unclear,
        [ALERT | HANDSHAKE] => Opening::Unclear,
        [ALERT | HANDSHAKE, 3] => Opening::Unclear,
        [ALERT | HANDSHAKE, 3, 1..=4, ..] => Opening::Tls,
        _ => Opening::Other,
    }
}

/// Whether somebody speaks TLS where nobody expects it.
pub fn is_tls(bytes: &[u8]) -> bool {
    opening(bytes) == Opening::Tls
}

/// What is to be told about that.
pub fn not_clear() -> Failure {
    let reason = "the client speaks TLS, and this listener does not: it should use tcp://";
    Failure::new(ErrorKind::Protocol, reason)
}

/// What a client is told that does not speak TLS where that is expected.
pub(super) fn not_tls() -> Failure {
    Failure::new(ErrorKind::Protocol, "this port speaks TLS: use tls://")
}

/// What somebody is told who speaks TLS, and does not begin as a client does.
pub(super) fn no_client_hello() -> Failure {
    Failure::new(ErrorKind::Protocol, "a client begins TLS with a ClientHello, and this is none")
}

/// The same for whoever does not speak TLS, as a frame.
#[cfg(feature = "tls")]
pub(super) fn refusal() -> bytes::Bytes {
    use crate::frame::{Header, Kind, control};
    super::frame_bytes(Header::new(Kind::Refuse, 0, 0), &control::encode_failure(&not_tls()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Header, Kind};

    #[test]
    fn first_bytes_tell_what_follows() {
        let check = |bytes: &[u8], expected| assert_eq!(opening(bytes), expected, "{bytes:?}");
        check(&[], Opening::Unclear);
        check(&[22], Opening::Unclear);
        check(&[22, 3], Opening::Unclear);
        check(&[22, 3, 1, 2, 0, 1], Opening::Tls);
        check(&[21, 3, 3], Opening::Tls);
        check(b"GET / HTTP/1.1", Opening::Other);
        check(&[22, 0, 0, 0, 1], Opening::Other);
        check(&[0], Opening::Other);
    }

    #[test]
    fn no_frame_of_a_handshake_is_taken_for_tls() {
        for length in 0..=crate::limits::HANDSHAKE_FRAME_BYTES_MAX {
            let mut bytes = bytes::BytesMut::new();
            Header::new(Kind::Hello, 0, 0).encode(length, &mut bytes);
            assert_eq!(opening(&bytes), Opening::Other, "a Hello of {length} bytes");
        }
    }
}
