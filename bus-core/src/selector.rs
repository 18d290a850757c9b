//! Which types a receiver or subscriber takes.
//!
//! A closed type: every value is a legal selector. Its text form is what the `bus` command
//! takes: `any`, `5`, `<=5`, `!5`.

use std::fmt;
use std::str::FromStr;

use crate::error::{ErrorKind, Failure};
use crate::message_type::MessageType;

/// Which message types are taken, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The oldest message, of whatever type.
    #[default]
    Any,
    /// The oldest message of this type.
    Eq(MessageType),
    /// Of the lowest type present that is at most this one, the oldest message.
    Upto(MessageType),
    /// The oldest message of any other type.
    Except(MessageType),
}

impl Selector {
    /// Whether a message of this type is taken at all.
    pub fn matches(self, kind: MessageType) -> bool {
        match self {
            Selector::Any => true,
            Selector::Eq(wanted) => kind == wanted,
            Selector::Upto(limit) => kind <= limit,
            Selector::Except(unwanted) => kind != unwanted,
        }
    }

    /// Whether there may be a type that both take.
    pub(crate) fn overlaps(self, other: Selector) -> bool {
        match (self, other) {
            (Selector::Eq(kind), selector) | (selector, Selector::Eq(kind)) => {
                selector.matches(kind)
            }
            _ => true,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Any => out.write_str("any"),
            Selector::Eq(kind) => write!(out, "{kind}"),
            Selector::Upto(kind) => write!(out, "<={kind}"),
            Selector::Except(kind) => write!(out, "!{kind}"),
        }
    }
}

impl FromStr for Selector {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Selector, Failure> {
        let text = text.trim();
        if text == "any" {
            return Ok(Selector::Any);
        }
        let (form, number): (fn(MessageType) -> Selector, &str) =
            if let Some(rest) = text.strip_prefix("<=") {
                (Selector::Upto, rest)
            } else if let Some(rest) = text.strip_prefix('!') {
                (Selector::Except, rest)
            } else {
                (Selector::Eq, text)
            };
        number.parse().map(form).map_err(|_| {
            Failure::new(
                ErrorKind::InvalidArgument,
                format!("`{text}` is not a selector: write `any`, `5`, `<=5` or `!5` (types are 1 to 2^63-1)"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_agree() {
        for text in ["any", "5", "<=5", "!5", "9223372036854775807"] {
            let selector: Selector = text.parse().expect("a selector");
            assert_eq!(selector.to_string(), text);
        }
        for text in ["", "0", "<=0", "<5", ">=5", "-1", "5x", "9223372036854775808", "!any"] {
            assert!(text.parse::<Selector>().is_err(), "{text} was taken");
        }
    }
}
