//! What can go wrong, as the other side is told.
//!
//! A [`Failure`] has a kind for programs and a sentence for people. The sentence names what
//! was tried, on what, which limit was met and what to do. Kinds have fixed numbers, which
//! travel in control frames.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $word:literal, $retry:literal;)*) => {
        /// What kind of failure it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ErrorKind { $($(#[$doc])* $name,)* }

        impl ErrorKind {
            /// Every kind there is.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            /// The number by which it travels.
            pub const fn code(self) -> u32 {
                match self { $(ErrorKind::$name => $code,)* }
            }

            /// The kind with this number; one from a newer peer is [`ErrorKind::Other`].
            pub const fn from_code(code: u32) -> ErrorKind {
                match code { $($code => ErrorKind::$name,)* _ => ErrorKind::Other }
            }

            /// A word for scripts and logs.
            pub const fn word(self) -> &'static str {
                match self { $(ErrorKind::$name => $word,)* }
            }

            /// Whether the same call may succeed later, with nothing changed by the caller.
            pub const fn is_retryable(self) -> bool {
                match self { $(ErrorKind::$name => $retry,)* }
            }
        }
    };
}

kinds! {
    /// A kind that this version does not know.
    Other = 1, "other", false;
    /// A name or pattern is not well formed.
    InvalidName = 2, "invalid-name", false;
    /// A message type is 0 or above 2^63-1.
    InvalidType = 3, "invalid-type", false;
    /// Another argument is out of its range.
    InvalidArgument = 4, "invalid-argument", false;
    /// A URL is not well formed, or its scheme is unknown.
    InvalidUrl = 5, "invalid-url", false;
    /// There is nothing of that name.
    NotFound = 6, "not-found", false;
    /// There is already something of that name.
    AlreadyExists = 7, "already-exists", false;
    /// The peer's user has not the right.
    PermissionDenied = 8, "permission-denied", false;
    /// The queue has no room.
    QueueFull = 9, "queue-full", true;
    /// The queue has nothing that matches.
    Empty = 10, "empty", true;
    /// The message is longer than somebody allows.
    TooBig = 11, "too-big", false;
    /// A quota of the session or user is used up.
    QuotaExceeded = 12, "quota-exceeded", true;
    /// The deadline passed.
    TimedOut = 13, "timed-out", true;
    /// The queue, topic or service was removed.
    Removed = 14, "removed", false;
    /// The lease had ended before.
    StaleLease = 15, "stale-lease", false;
    /// Nobody serves that name.
    Unreachable = 16, "unreachable", true;
    /// No broker could be reached.
    NoBroker = 17, "no-broker", true;
    /// The connection was lost.
    Disconnected = 18, "disconnected", true;
    /// Whether it was done is not known: the broker was lost before it answered.
    OutcomeUnknown = 19, "outcome-unknown", false;
    /// The subscriber did not keep up.
    TooSlow = 20, "too-slow", false;
    /// A message type is registered under another name, or a name under another type.
    TypeClash = 21, "type-clash", false;
    /// Not built in this version.
    Unsupported = 22, "unsupported", false;
    /// The peer broke the protocol.
    Protocol = 23, "protocol", false;
    /// No common protocol version.
    VersionMismatch = 24, "version-mismatch", false;
    /// The session is not the peer's to resume.
    SessionDenied = 25, "session-denied", false;
    /// The handle or client was closed.
    Closed = 26, "closed", false;
    /// The broker is shutting down.
    ShuttingDown = 27, "shutting-down", true;
    /// The operating system refused something.
    Io = 28, "io", false;
    /// A payload is not what its type says.
    Decode = 29, "decode", false;
    /// A configuration is wrong.
    Config = 30, "config", false;
    /// The server of a request failed or rejected it.
    ServiceFailed = 31, "service-failed", false;
    /// The send was taken back before the broker accepted it.
    Withdrawn = 32, "withdrawn", true;
    /// One side does not accept the other's certificate.
    Untrusted = 33, "untrusted", false;
    /// The broker does not know the peer's credentials, or does not accept them any more.
    Unauthenticated = 34, "unauthenticated", false;
    /// A secret would travel where others can read it.
    Insecure = 35, "insecure", false;
    /// It has been here already: the bridges between brokers form a loop.
    Loop = 36, "loop", false;
    /// The process was forked after the client had connected: the connection is its parent's.
    Forked = 37, "forked", false;
}

/// A failure as it travels: its kind, and a sentence that says what and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: ErrorKind,
    text: String,
}

impl Failure {
    /// A failure of this kind, told in one sentence.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Failure {
        Failure { kind, text: text.into() }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_its_number() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_code(kind.code()), *kind);
        }
        assert_eq!(ErrorKind::from_code(9999), ErrorKind::Other);
    }
}
