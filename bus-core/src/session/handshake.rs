//! The first exchange on a connection: Hello, then Welcome or a refusal.
//!
//! Pure: the broker's side decides over a Hello with what it knows of its sessions; tokens
//! and epochs are given to it. A session is resumed only within one epoch, by the holder of
//! its token, of the same user.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{ErrorKind, Failure};
use crate::limits::{CLIENT_NAME_BYTES_MAX, GRACE_MAX};
use crate::token::Token;

/// The protocol version of this code, and the oldest that it speaks.
pub const VERSION: u32 = 1;

/// What a client opens with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Oldest protocol version that it speaks.
    pub version_min: u32,
    /// Newest protocol version that it speaks.
    pub version_max: u32,
    /// Its name, for people.
    pub name: String,
    /// How long its session shall outlive its connection.
    pub grace: Duration,
    /// The session that it had before.
    pub resume: Option<Resume>,
    /// Bytes of its lane, whose descriptors come along; 0 if it has none.
    pub lane_bytes: u64,
    /// It rings the bell that comes with the broker's lane. Its own may come with this.
    pub rings: bool,
    /// Shows which user it is; none if it does not say.
    pub credential: Option<Token>,
}

/// A session to take up again.
#[derive(Clone, PartialEq, Eq)]
pub struct Resume {
    /// The epoch in which it began.
    pub epoch: u64,
    /// Its number.
    pub session: u64,
    /// Its secret.
    pub token: Bytes,
    /// Number of the last sequenced frame that the client has.
    pub received: u64,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The protocol version to speak.
    pub version: u32,
    /// The broker's epoch: another one for each start.
    pub epoch: u64,
    /// The session's number.
    pub session: u64,
    /// The session's secret.
    pub token: Bytes,
    /// Whether the offered session goes on.
    pub resumed: bool,
    /// Number of the last sequenced frame that the broker has.
    pub received: u64,
    /// How long the session will outlive its connection.
    pub grace: Duration,
    /// Limits that the client must keep to.
    pub limits: SessionLimits,
    /// The broker's name, for people.
    pub broker: String,
    /// The broker's process.
    pub pid: u32,
    /// Why an offered session was not resumed.
    pub not_resumed: String,
    /// Bytes of the broker's lane, whose descriptors come along; 0 if frames go on over the
    /// socket.
    pub lane_bytes: u64,
    /// Why the client's lane is not used.
    pub no_lanes: String,
    /// It rings the bell that came with the client's lane.
    pub rings: bool,
}

/// Limits that a broker tells its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Largest payload.
    pub message_bytes: u64,
    /// Bytes under way on a queue handle or publisher.
    pub window_bytes: u64,
    /// Larger payloads are offered first.
    pub inline_bytes: u64,
    /// Open handles.
    pub channels: u32,
    /// Offers that wait.
    pub offers: u32,
}

impl Default for SessionLimits {
    fn default() -> Self {
        SessionLimits {
            message_bytes: crate::limits::MESSAGE_BYTES_MAX as u64,
            window_bytes: crate::limits::WINDOW_BYTES_DEFAULT,
            inline_bytes: crate::limits::INLINE_BYTES_MAX as u64,
            channels: crate::limits::CHANNELS_MAX,
            offers: crate::limits::OFFERS_MAX,
        }
    }
}

impl fmt::Debug for Resume {
    /// The secret is not shown.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Resume { epoch, session, received, .. } = self;
        let mut shown = out.debug_struct("Resume");
        shown.field("epoch", epoch).field("session", session).field("received", received);
        shown.finish_non_exhaustive()
    }
}

impl Hello {
    /// The version to speak with this client.
    ///
    /// # Errors
    /// When there is none in common, or the client's name is malformed.
    pub fn agree(&self) -> Result<u32, Failure> {
        if self.version_min > VERSION || self.version_max < VERSION {
            return Err(Failure::new(
                ErrorKind::VersionMismatch,
                format!(
                    "the client speaks protocol versions {} to {}, this broker speaks {VERSION}: update the older one",
                    self.version_min, self.version_max
                ),
            ));
        }
        if self.name.len() > CLIENT_NAME_BYTES_MAX || self.name.chars().any(char::is_control) {
            return Err(Failure::new(
                ErrorKind::InvalidArgument,
                format!(
                    "a client's name has at most {CLIENT_NAME_BYTES_MAX} bytes and no control characters"
                ),
            ));
        }
        Ok(VERSION)
    }

    /// The grace that this client is granted.
    pub fn grace_within(&self, limit: Duration) -> Duration {
        self.grace.min(limit).min(GRACE_MAX)
    }
}

/// Compares secrets in a time that does not depend on where they differ.
pub fn same_token(given: &[u8], kept: &[u8]) -> bool {
    given.len() == kept.len() && given.iter().zip(kept).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}
