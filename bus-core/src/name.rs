//! Names of queues, topics and services, and patterns over them.
//!
//! Both are parsed once; after that every value is well formed. Names compare as text.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{ErrorKind, Failure};
use crate::limits::{NAME_BYTES_MAX, NAME_TOKENS_MAX};

/// Names under this first token belong to the broker.
pub const RESERVED: &str = "$bus";

/// The name of a queue, topic or service: dot-separated tokens of letters, digits, `-`, `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// A name in which a token may be `*` (any one token) and the last may be `>` (all the rest).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Arc<str>);

/// Why a text is not a name or pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {reason}")]
pub struct InvalidName {
    text: String,
    what: &'static str,
    reason: String,
}

impl Name {
    /// Parses a name; `$bus.` names are well formed too.
    pub fn new(text: &str) -> Result<Name, InvalidName> {
        check(text, "name", false)?;
        Ok(Name(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it belongs to the broker itself.
    pub fn is_reserved(&self) -> bool {
        self.0.split('.').next() == Some(RESERVED)
    }
}

impl Pattern {
    /// Parses a pattern. Every name is one.
    pub fn new(text: &str) -> Result<Pattern, InvalidName> {
        check(text, "pattern", true)?;
        Ok(Pattern(text.into()))
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, if the pattern has no wildcard.
    pub fn as_name(&self) -> Option<Name> {
        let plain = !self.0.split('.').any(|token| token == "*" || token == ">");
        plain.then(|| Name(self.0.clone()))
    }

    /// Whether every name that the other pattern matches is matched by this one as well.
    pub fn contains(&self, other: &Pattern) -> bool {
        let reserved = |pattern: &Pattern| pattern.0.split('.').next() == Some(RESERVED);
        if reserved(other) != reserved(self) {
            return false;
        }
        let mut outer = self.0.split('.');
        let mut inner = other.0.split('.');
        loop {
            match (outer.next(), inner.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                // Any number of tokens is more than one.
                (Some("*"), Some(">")) => return false,
                (Some("*"), Some(_)) => {}
                (Some(token), Some(wanted)) if token == wanted => {}
                _ => return false,
            }
        }
    }

    /// Whether the name is one of those meant. A wildcard in the first place does not reach
    /// the broker's own names.
    pub fn matches(&self, name: &Name) -> bool {
        if &*self.0 == ">" {
            return !name.is_reserved();
        }
        let mut wanted = self.0.split('.');
        let mut given = name.0.split('.');
        if name.is_reserved() && self.0.split('.').next() != Some(RESERVED) {
            return false;
        }
        loop {
            match (wanted.next(), given.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(token), Some(other)) if token == other => {}
                _ => return false,
            }
        }
    }
}

fn check(text: &str, what: &'static str, wildcards: bool) -> Result<(), InvalidName> {
    let wrong = |reason: String| {
        let shown: String = text.chars().take(64).collect();
        Err(InvalidName { text: shown, what, reason })
    };
    if text.is_empty() {
        return wrong("it is empty".into());
    }
    if text.len() > NAME_BYTES_MAX {
        return wrong(format!("it has {} bytes, at most {NAME_BYTES_MAX} are allowed", text.len()));
    }
    let tokens = text.split('.').count();
    if tokens > NAME_TOKENS_MAX {
        return wrong(format!("it has {tokens} tokens, at most {NAME_TOKENS_MAX} are allowed"));
    }
    for (index, token) in text.split('.').enumerate() {
        if token.is_empty() {
            return wrong("a token between dots is empty".into());
        }
        let last = index + 1 == tokens;
        match token {
            RESERVED if index == 0 && tokens > 1 => continue,
            "*" if wildcards => continue,
            ">" if wildcards && last => continue,
            ">" if wildcards => return wrong("`>` may stand only at the end".into()),
            "*" | ">" => return wrong("wildcards are for subscriptions".into()),
            _ => {}
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if let Some(bad) = token.chars().find(|c| !allowed(*c)) {
            return wrong(format!(
                "the character {bad:?} is not allowed; use letters, digits, `-`, `_`, and dots between tokens"
            ));
        }
    }
    Ok(())
}

impl FromStr for Name {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Name, InvalidName> {
        Name::new(text)
    }
}

impl FromStr for Pattern {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Pattern, InvalidName> {
        Pattern::new(text)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}`", self.0)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}`", self.0)
    }
}

impl From<InvalidName> for Failure {
    fn from(error: InvalidName) -> Failure {
        Failure::new(ErrorKind::InvalidName, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "a.b", "job-1.x_2", "$bus.stat"] {
            assert!(Name::new(good).is_ok(), "{good} was refused");
        }
        let long = "a".repeat(256);
        let deep = vec!["a"; 17].join(".");
        for bad in [
            "", ".", "a.", ".a", "a..b", "a b", "a/b", "ä", "a.*", ">", "$bus", "$x.y", "a.$bus",
            &long, &deep,
        ] {
            assert!(Name::new(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn patterns_match() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let pattern = Pattern::new(pattern).expect("a pattern");
            let name = Name::new(name).expect("a name");
            assert_eq!(pattern.matches(&name), expected, "{pattern:?} on {name:?}");
        };
        check("a.b", "a.b", true);
        check("a.*", "a.b", true);
        check("a.*", "a.b.c", false);
        check("a.*", "a", false);
        check("a.>", "a.b.c", true);
        check("a.>", "a", false);
        check(">", "a.b", true);
        check("*.b", "a.b", true);
        check(">", "$bus.events", false);
        check("$bus.>", "$bus.events", true);
        check("*.events", "$bus.events", false);
        assert!(Pattern::new("a.>.b").is_err());
    }

    /// All sequences of these tokens that are names or patterns, up to this length.
    fn all<T>(tokens: &[&str], length: usize, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let mut texts = vec![String::new()];
        let mut all = Vec::new();
        for _ in 0..length {
            let longer = |text: &String| {
                let join = |token: &&str| {
                    if text.is_empty() { token.to_string() } else { format!("{text}.{token}") }
                };
                tokens.iter().map(join).collect::<Vec<_>>()
            };
            texts = texts.iter().flat_map(longer).collect();
            all.extend(texts.iter().filter_map(|text| parse(text)));
        }
        all
    }

    /// How often a rule disagrees with all names of up to four tokens, of which one is in no pattern.
    fn disagreements(contains: impl Fn(&Pattern, &Pattern) -> bool) -> usize {
        let names = all(&["$bus", "a", "b", "c"], 4, |text| Name::new(text).ok());
        let patterns = all(&["$bus", "a", "b", "*", ">"], 3, |text| Pattern::new(text).ok());
        let matched = |pattern: &Pattern| -> Vec<bool> {
            names.iter().map(|name| pattern.matches(name)).collect()
        };
        let matched: Vec<_> = patterns.iter().map(|pattern| (pattern, matched(pattern))).collect();
        let mut count = 0;
        for (outer, all) in &matched {
            for (inner, some) in &matched {
                let expected = all.iter().zip(some).all(|(all, some)| *all || !some);
                count += usize::from(contains(outer, inner) != expected);
            }
        }
        count
    }

    #[test]
    fn containment_is_what_all_names_say() {
        assert_eq!(disagreements(Pattern::contains), 0);
    }

    #[test]
    fn wrong_rules_of_containment_are_noticed() {
        // The inner one taken for a name: `*` would contain `>`, and `a.*` the one in `$bus`.
        let plain = |pattern: &Pattern| pattern.as_str().replace('*', "x").replace('>', "y");
        let as_name = |outer: &Pattern, inner: &Pattern| {
            Name::new(&plain(inner)).is_ok_and(|name| outer.matches(&name))
        };
        assert!(disagreements(as_name) > 0);
        assert!(disagreements(|outer, inner| inner.contains(outer)) > 0);
        let starts = |outer: &Pattern, inner: &Pattern| {
            inner.as_str().starts_with(outer.as_str().trim_end_matches(['>', '*']))
        };
        assert!(disagreements(starts) > 0);
    }
}
