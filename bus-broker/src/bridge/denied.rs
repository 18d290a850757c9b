//! What the other broker does not let a bridge carry, for an operator.
//!
//! The reason is that broker's own; what it means for the bridge is said here.

use bus_core::bridge::Denied;
use serde_json::{Value, json};

/// Something that does not cross.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedStatus {
    /// Topics or services, as they are called here.
    pub pattern: String,
    /// Some of it crosses.
    pub in_part: bool,
    /// Which right is missing at which broker, and what to do there.
    pub reason: String,
}

impl DeniedStatus {
    pub(super) fn new(denied: &Denied, broker: &str) -> DeniedStatus {
        let pattern = denied.pattern.to_string();
        let how = if denied.in_part { "crosses only in part" } else { "does not cross" };
        let failure = &denied.failure;
        let reason = format!("`{pattern}` {how}: broker `{broker}` says: {failure}");
        DeniedStatus { pattern, in_part: denied.in_part, reason }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "pattern": self.pattern, "in_part": self.in_part, "reason": self.reason })
    }
}
