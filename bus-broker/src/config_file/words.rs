//! Words for what is wrong with a file: values, places of keys, and near names.
//!
//! Nothing here judges; it only says things.

use toml::de::DeValue;

use super::bridge::BRIDGE_KEYS;
use super::users::USER_KEYS;
use super::{DEFAULTS_KEYS, LIMITS_KEYS, TOP_KEYS, tls};

/// A value in words, for the sentence that refuses it.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    let shortened = |text: &str| text.chars().take(40).collect::<String>();
    match value {
        DeValue::String(text) => format!("the string \"{}\"", shortened(text)),
        DeValue::Integer(number) => format!("the integer {}", shortened(&number.to_string())),
        DeValue::Float(number) => format!("the number {}", shortened(number.as_str())),
        DeValue::Boolean(value) => format!("the boolean {value}"),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "an array".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// Where a key stands, as a phrase.
pub(super) fn home(key: &str) -> &'static str {
    if DEFAULTS_KEYS.contains(&key) {
        "under [defaults]"
    } else if LIMITS_KEYS.contains(&key) {
        "under [limits]"
    } else if TOP_KEYS.contains(&key) {
        "at the top of the file, before any [section]"
    } else if tls::KEYS.contains(&key) && USER_KEYS.contains(&key) {
        "under [tls], or under a [[user]]"
    } else if tls::KEYS.contains(&key) {
        "under [tls]"
    } else if USER_KEYS.contains(&key) {
        "under a [[user]]"
    } else if BRIDGE_KEYS.contains(&key) {
        "under a [[bridge]]"
    } else {
        "under an [[allow]]"
    }
}

/// The known key that is nearest to this one, if it is near.
pub(super) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |other: &&&str| strsim::damerau_levenshtein(key, other);
    let near = known.iter().min_by_key(distance)?;
    (distance(&near) <= 1 + key.len() / 3).then_some(near)
}
