//! The first two messages of a connection.
//!
//! What a Hello says is judged by the session (`Hello::agree`), not here.

use bus_proto::v1;
use bytes::Bytes;

use super::convert::{Convert, defaulted, record};
use super::{FrameError, Kind, accept, encode, parse};
use crate::error::Failure;
use crate::session::{Hello, Resume, SessionLimits, Welcome};

record! {
    Hello as Hello { version_min, version_max, name, resume, lane_bytes, rings, credential; grace: grace_ms }
    Resume as Resume { epoch, session, token, received }
    Welcome as Welcome {
        version, epoch, session, token, resumed, received, limits, broker, pid, not_resumed,
        lane_bytes, no_lanes, rings;
        grace: grace_ms
    }
    SessionLimits as Limits { message_bytes, window_bytes, inline_bytes, channels, offers }
}

defaulted! { SessionLimits as Limits }

/// The body of a Hello frame.
pub fn encode_hello(hello: &Hello) -> Bytes {
    encode(&hello.to_wire())
}

/// What a client opens with.
///
/// # Errors
/// When the body is malformed.
pub fn decode_hello(body: &[u8]) -> Result<Hello, FrameError> {
    accept(Kind::Hello, parse::<v1::Hello>(Kind::Hello, body)?, "hello")
}

/// The body of a Welcome frame.
pub fn encode_welcome(welcome: &Welcome) -> Bytes {
    encode(&welcome.to_wire())
}

/// What a broker answers.
///
/// # Errors
/// When the body is malformed.
pub fn decode_welcome(body: &[u8]) -> Result<Welcome, FrameError> {
    accept(Kind::Welcome, parse::<v1::Welcome>(Kind::Welcome, body)?, "welcome")
}
