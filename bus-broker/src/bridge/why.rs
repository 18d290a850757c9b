//! Why a session at a broker has no connection, and whether that is the broker's will.

use bus_core::{ErrorKind, Failure};

/// Why there is no connection.
#[derive(Debug, Default)]
pub(super) struct Why {
    pub text: String,
    /// The broker is there, and will not have this bridge as it is.
    pub refused: bool,
}

impl Why {
    pub fn lost(text: impl Into<String>) -> Why {
        Why { text: text.into(), refused: false }
    }
}

impl From<&Failure> for Why {
    fn from(failure: &Failure) -> Why {
        Why { text: failure.to_string(), refused: is_refusal(failure.kind()) }
    }
}

/// Whether somebody has to change something before the broker takes this bridge.
pub(super) fn is_refusal(kind: ErrorKind) -> bool {
    use ErrorKind::{PermissionDenied, Unauthenticated, Untrusted, VersionMismatch};
    matches!(kind, PermissionDenied | Unauthenticated | Untrusted | VersionMismatch)
}
