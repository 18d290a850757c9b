//! How one value travels: a trait, the basic values, and a table for records and one for
//! numbered choices.
//!
//! A table is read in both directions, so that the two cannot disagree. Nothing here knows a
//! limit (see `bounds`); a value is refused only if the domain has none that is like it.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{ErrorKind, Failure};
use crate::group_name::GroupName;
use crate::message_type::MessageType;
use crate::name::{Name, Pattern};
use crate::router::{AdminAction, Lifetime, ObjectKind, OpenMode, SlowPolicy};
use crate::token::Token;
use crate::user_name::UserName;

/// A domain value that travels as a `W`.
pub(super) trait Convert<W>: Sized {
    /// The form in which it travels.
    fn to_wire(&self) -> W;

    /// The value that was sent in this field.
    fn from_wire(given: W, field: &str) -> Result<Self, Failure>;
}

/// Says of a field what it is and what it may be.
pub(super) fn refuse(
    kind: ErrorKind,
    field: &str,
    given: impl Display,
    allowed: impl Display,
) -> Failure {
    Failure::new(kind, format!("{} is {given}, allowed are {allowed}", plain(field)))
}

/// Adds the field's name to a failure that knows only the value.
fn in_field<T>(field: &str, result: Result<T, impl Into<Failure>>) -> Result<T, Failure> {
    result.map_err(|error| {
        let failure: Failure = error.into();
        Failure::new(failure.kind(), format!("{}: {}", plain(field), failure.text()))
    })
}

/// A field as the schema spells it: Rust has to escape some.
fn plain(field: &str) -> &str {
    field.trim_start_matches("r#")
}

/// Structs whose fields travel in fields of the same name, or behind `;` of another one.
macro_rules! record {
    ($($domain:ident as $wire:ident { $($same:ident),* $(; $field:ident: $other:ident)* })*) => {$(
        impl Convert<v1::$wire> for $domain {
            fn to_wire(&self) -> v1::$wire {
                v1::$wire {
                    $($same: self.$same.to_wire(),)*
                    $($other: self.$field.to_wire(),)*
                }
            }

            fn from_wire(given: v1::$wire, _: &str) -> Result<Self, Failure> {
                Ok($domain {
                    $($same: Convert::from_wire(given.$same, stringify!($same))?,)*
                    $($field: Convert::from_wire(given.$other, stringify!($other))?,)*
                })
            }
        }
    )*};
}

/// Records without which a message makes no sense.
macro_rules! required {
    ($($domain:ident as $wire:ident)*) => {$(
        impl Convert<Option<v1::$wire>> for $domain {
            fn to_wire(&self) -> Option<v1::$wire> {
                Some(self.to_wire())
            }

            fn from_wire(given: Option<v1::$wire>, field: &str) -> Result<Self, Failure> {
                let given = given.ok_or_else(|| super::convert::missing(field))?;
                Convert::from_wire(given, field)
            }
        }
    )*};
}

/// Records that have their default value where they are left out.
macro_rules! defaulted {
    ($($domain:ident as $wire:ident)*) => {$(
        impl Convert<Option<v1::$wire>> for $domain {
            fn to_wire(&self) -> Option<v1::$wire> {
                Some(self.to_wire())
            }

            fn from_wire(given: Option<v1::$wire>, field: &str) -> Result<Self, Failure> {
                given.map_or_else(|| Ok($domain::default()), |it| Convert::from_wire(it, field))
            }
        }
    )*};
}

pub(super) use {defaulted, record, required};

pub(super) fn missing(field: &str) -> Failure {
    Failure::new(ErrorKind::InvalidArgument, format!("{} is missing", plain(field)))
}

/// Choices that travel as a number.
macro_rules! numbered {
    ($($domain:ident { $($variant:ident = $number:literal),* })*) => {$(
        impl Convert<u32> for $domain {
            fn to_wire(&self) -> u32 {
                match self { $($domain::$variant => $number,)* }
            }

            fn from_wire(given: u32, field: &str) -> Result<Self, Failure> {
                match given {
                    $($number => Ok($domain::$variant),)*
                    _ => Err(unknown(field, given, &[$($number),*])),
                }
            }
        }
    )*};
}

numbered! {
    OpenMode { Open = 0, OpenOrCreate = 1, Create = 2 }
    Lifetime { Volatile = 0, Session = 1, LastHolder = 2, Durable = 3 }
    SlowPolicy { Auto = 0, Hold = 1, DropOldest = 2, End = 3 }
    ObjectKind { Queue = 0, Topic = 1, Service = 2, Client = 3, Subscription = 4 }
    AdminAction { Remove = 0, Retire = 1, Purge = 2 }
}

/// A number that has no meaning yet: its sender may be newer.
fn unknown(field: &str, given: u32, known: &[u32]) -> Failure {
    let known: Vec<String> = known.iter().map(u32::to_string).collect();
    refuse(ErrorKind::Unsupported, field, given, format!("{} in this version", known.join(", ")))
}

/// Values that travel as they are.
macro_rules! unchanged {
    ($($value:ident)*) => {$(
        impl Convert<$value> for $value {
            fn to_wire(&self) -> $value {
                self.clone()
            }

            fn from_wire(given: $value, _: &str) -> Result<Self, Failure> {
                Ok(given)
            }
        }
    )*};
}

unchanged! { bool u32 u64 String Bytes }

/// Whole milliseconds. What is less than one counts as one, so that nothing becomes nothing.
impl Convert<u64> for Duration {
    fn to_wire(&self) -> u64 {
        u64::try_from(self.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    fn from_wire(given: u64, _: &str) -> Result<Self, Failure> {
        Ok(Duration::from_millis(given))
    }
}

impl Convert<u64> for MessageType {
    fn to_wire(&self) -> u64 {
        self.get()
    }

    fn from_wire(given: u64, field: &str) -> Result<Self, Failure> {
        in_field(field, MessageType::try_from(given))
    }
}

impl Convert<String> for Name {
    fn to_wire(&self) -> String {
        self.as_str().to_owned()
    }

    fn from_wire(given: String, field: &str) -> Result<Self, Failure> {
        in_field(field, Name::new(&given))
    }
}

impl Convert<String> for GroupName {
    fn to_wire(&self) -> String {
        self.as_str().to_owned()
    }

    fn from_wire(given: String, field: &str) -> Result<Self, Failure> {
        in_field(field, GroupName::new(&given))
    }
}

impl Convert<String> for UserName {
    fn to_wire(&self) -> String {
        self.as_str().to_owned()
    }

    fn from_wire(given: String, field: &str) -> Result<Self, Failure> {
        in_field(field, UserName::new(&given))
    }
}

impl Convert<String> for Token {
    fn to_wire(&self) -> String {
        self.secret().to_owned()
    }

    fn from_wire(given: String, field: &str) -> Result<Self, Failure> {
        in_field(field, Token::new(&given))
    }
}

impl Convert<String> for Pattern {
    fn to_wire(&self) -> String {
        self.as_str().to_owned()
    }

    fn from_wire(given: String, field: &str) -> Result<Self, Failure> {
        in_field(field, Pattern::new(&given))
    }
}

/// No text is as good as none.
impl<T: Convert<String>> Convert<String> for Option<T> {
    fn to_wire(&self) -> String {
        self.as_ref().map_or_else(String::new, T::to_wire)
    }

    fn from_wire(given: String, field: &str) -> Result<Self, Failure> {
        (!given.is_empty()).then(|| T::from_wire(given, field)).transpose()
    }
}

impl Convert<String> for Arc<str> {
    fn to_wire(&self) -> String {
        self.to_string()
    }

    fn from_wire(given: String, _: &str) -> Result<Self, Failure> {
        Ok(given.into())
    }
}

impl<T: Convert<W>, W> Convert<W> for Arc<T> {
    fn to_wire(&self) -> W {
        T::to_wire(self)
    }

    fn from_wire(given: W, field: &str) -> Result<Self, Failure> {
        T::from_wire(given, field).map(Arc::new)
    }
}

/// Process numbers: there is no process 0.
impl Convert<u32> for Option<u32> {
    fn to_wire(&self) -> u32 {
        self.unwrap_or(0)
    }

    fn from_wire(given: u32, _: &str) -> Result<Self, Failure> {
        Ok((given != 0).then_some(given))
    }
}

/// Whether a last message is kept travels as how many are.
impl Convert<u32> for bool {
    fn to_wire(&self) -> u32 {
        u32::from(*self)
    }

    fn from_wire(given: u32, field: &str) -> Result<Self, Failure> {
        match given {
            0 | 1 => Ok(given == 1),
            _ => Err(unknown(field, given, &[0, 1])),
        }
    }
}

/// All permission bits.
const MODE_BITS: u16 = 0o777;
/// Set beside the bits where a mode may be left out, for 0 is a mode too.
const MODE_GIVEN: u16 = 0o1000;

/// A mode where there is always one.
impl Convert<u32> for u16 {
    fn to_wire(&self) -> u32 {
        u32::from(*self)
    }

    fn from_wire(given: u32, field: &str) -> Result<Self, Failure> {
        let mode = u16::try_from(given).ok().filter(|mode| *mode <= MODE_BITS);
        mode.ok_or_else(|| bad_mode(field, given))
    }
}

/// A mode that may be left to the broker.
impl Convert<u32> for Option<u16> {
    fn to_wire(&self) -> u32 {
        self.map_or(0, |mode| u32::from(mode | MODE_GIVEN))
    }

    fn from_wire(given: u32, field: &str) -> Result<Self, Failure> {
        if given == 0 {
            return Ok(None);
        }
        let bits = u16::try_from(given).ok().and_then(|mode| mode.checked_sub(MODE_GIVEN));
        let mode = bits.filter(|mode| *mode <= MODE_BITS);
        mode.map(Some).ok_or_else(|| bad_mode(field, given))
    }
}

fn bad_mode(field: &str, given: u32) -> Failure {
    refuse(
        ErrorKind::InvalidArgument,
        field,
        format!("{given:#o}"),
        "0 to 0o777 (in the options of what is created 0o1000 is added, and 0 leaves it open)",
    )
}

impl<T: Convert<W>, W> Convert<Option<W>> for Option<T> {
    fn to_wire(&self) -> Option<W> {
        self.as_ref().map(T::to_wire)
    }

    fn from_wire(given: Option<W>, field: &str) -> Result<Self, Failure> {
        given.map(|it| T::from_wire(it, field)).transpose()
    }
}

impl<T: Convert<W>, W> Convert<Vec<W>> for Vec<T> {
    fn to_wire(&self) -> Vec<W> {
        self.iter().map(T::to_wire).collect()
    }

    fn from_wire(given: Vec<W>, field: &str) -> Result<Self, Failure> {
        given.into_iter().map(|it| T::from_wire(it, field)).collect()
    }
}
