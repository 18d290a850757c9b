//! Names of groups that share a subscription.
//!
//! Parsed once; after that every value is one token. Not the name of an object: a group is found
//! by its pattern and this.

use std::fmt;
use std::str::FromStr;

use crate::error::{ErrorKind, Failure};
use crate::name::{InvalidName, Name};

/// The name of a group: one token of letters, digits, `-` and `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(Name);

/// Why a text is not the name of a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGroupName {
    /// It is not even a name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// It has dots.
    #[error("`{0}` is not the name of a group: it must be one token, without dots")]
    Tokens(Name),
}

impl GroupName {
    /// Parses a name.
    ///
    /// # Errors
    /// When it is empty, too long, has dots, or a character that names have not.
    pub fn new(text: &str) -> Result<GroupName, InvalidGroupName> {
        let name = Name::new(text)?;
        match text.contains('.') {
            true => Err(InvalidGroupName::Tokens(name)),
            false => Ok(GroupName(name)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for GroupName {
    type Err = InvalidGroupName;
    fn from_str(text: &str) -> Result<GroupName, InvalidGroupName> {
        GroupName::new(text)
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl From<InvalidGroupName> for Failure {
    fn from(error: InvalidGroupName) -> Failure {
        Failure::new(ErrorKind::InvalidName, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_groups_are_one_token() {
        for good in ["workers", "a-1", "B_2"] {
            assert!(GroupName::new(good).is_ok(), "{good} was refused");
        }
        for bad in ["", "a.b", "*", ">", "a b", "$bus", &"a".repeat(256)] {
            assert!(GroupName::new(bad).is_err(), "{bad} was taken");
        }
    }
}
