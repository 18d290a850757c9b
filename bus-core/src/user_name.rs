//! Names of users that a broker's configuration defines.
//!
//! Parsed once; after that every value is well formed. Such a name is no claim of a client: it
//! stands for credentials that the broker has verified.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{ErrorKind, Failure};
use crate::limits::USER_NAME_BYTES_MAX;

/// The name of whoever has shown no credentials; no user can bear it.
pub const ANONYMOUS: &str = "anonymous";

/// The name of a user: letters, digits, `-`, `_`, `.` and `@`, at most 64.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Arc<str>);

/// Why a text is not the name of a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the name of a user: {reason}")]
pub struct InvalidUserName {
    text: String,
    reason: String,
}

impl UserName {
    /// Parses a name.
    ///
    /// # Errors
    /// When it is empty, too long, reserved, or has a character that names of users have not.
    pub fn new(text: &str) -> Result<UserName, InvalidUserName> {
        let wrong = |reason: String| {
            let shown = text.chars().take(USER_NAME_BYTES_MAX).collect();
            Err(InvalidUserName { text: shown, reason })
        };
        if text.is_empty() {
            return wrong("it is empty".into());
        }
        if text.len() > USER_NAME_BYTES_MAX {
            return wrong(format!("it is longer than {USER_NAME_BYTES_MAX} bytes"));
        }
        if text == ANONYMOUS {
            return wrong("that is whoever shows no credentials".into());
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        match text.chars().find(|c| !allowed(*c)) {
            Some(bad) => wrong(format!(
                "the character {bad:?} is not allowed; use letters, digits, `-`, `_`, `.` and `@`"
            )),
            None => Ok(UserName(text.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = InvalidUserName;
    fn from_str(text: &str) -> Result<UserName, InvalidUserName> {
        UserName::new(text)
    }
}

impl Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}`", self.0)
    }
}

impl From<InvalidUserName> for Failure {
    fn from(error: InvalidUserName) -> Failure {
        Failure::new(ErrorKind::InvalidArgument, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users_are_checked() {
        for good in ["alice", "a.b", "bridge-7@site_2"] {
            assert!(UserName::new(good).is_ok(), "{good} was refused");
        }
        for bad in ["", "anonymous", "*", "uid:7", "a b", "ä", "a\n", &"a".repeat(65)] {
            assert!(UserName::new(bad).is_err(), "{bad} was taken");
        }
    }
}
