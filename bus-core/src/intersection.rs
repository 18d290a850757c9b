//! What two patterns have in common.
//!
//! Not how a pattern matches a name, which is told beside it. Invariant: a name matches the
//! intersection exactly if it matches both patterns; it is always one pattern, or none.

use crate::limits::{NAME_BYTES_MAX, NAME_TOKENS_MAX};
use crate::name::{Pattern, RESERVED};

impl Pattern {
    /// The pattern of all names that match both; `None` if there can be none.
    pub fn intersection(&self, other: &Pattern) -> Option<Pattern> {
        let mut common: Vec<&str> = Vec::new();
        // What is longer than a name may be is matched by none.
        let meet = self.meet(other, |token| common.push(token));
        meet.then(|| Pattern::new(&common.join(".")).ok()).flatten()
    }

    /// Whether there may be names that match both.
    pub(crate) fn overlaps(&self, other: &Pattern) -> bool {
        let (mut bytes, mut tokens) = (0, 0);
        let meet = self.meet(other, |token| {
            bytes += token.len() + usize::from(tokens > 0);
            tokens += 1;
        });
        meet && bytes <= NAME_BYTES_MAX && tokens <= NAME_TOKENS_MAX
    }

    /// Whether each of their tokens goes with the other's; `common` is told what both allow.
    fn meet<'a>(&'a self, other: &'a Pattern, mut common: impl FnMut(&'a str)) -> bool {
        // A wildcard in the first place does not reach the broker's own names.
        let reserved = |pattern: &Pattern| pattern.as_str().split('.').next() == Some(RESERVED);
        if reserved(self) != reserved(other) {
            return false;
        }
        let (mut mine, mut its) = (self.as_str().split('.'), other.as_str().split('.'));
        loop {
            let token = match (mine.next(), its.next()) {
                (None, None) => return true,
                // The rest of the other, whatever it is: there is at least this token.
                (Some(">"), Some(token)) => {
                    common(token);
                    its.for_each(common);
                    return true;
                }
                (Some(token), Some(">")) => {
                    common(token);
                    mine.for_each(common);
                    return true;
                }
                (Some("*"), Some(token)) | (Some(token), Some("*")) => token,
                (Some(token), Some(same)) if token == same => token,
                _ => return false,
            };
            common(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::name::Name;

    /// Every text of one to `depth` of these tokens that can be parsed.
    fn all<T>(tokens: &[&str], depth: usize, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let mut texts = vec![String::new()];
        let mut found = Vec::new();
        for _ in 0..depth {
            let longer = texts.iter().flat_map(|text| {
                tokens.iter().map(move |token| match text.is_empty() {
                    true => (*token).to_owned(),
                    false => format!("{text}.{token}"),
                })
            });
            texts = longer.collect();
            found.extend(texts.iter().filter_map(|text| parse(text)));
        }
        found
    }

    #[test]
    fn intersection_matches_what_both_match() {
        let patterns = all(&["a", "b", "*", ">", RESERVED], 3, |text| Pattern::new(text).ok());
        // One token more than patterns have, and one more name than they speak of.
        let names = all(&["a", "b", "c", RESERVED], 4, |text| Name::new(text).ok());
        assert!(patterns.len() > 60 && names.len() > 150);
        let mut met = BTreeSet::new();
        for one in &patterns {
            for other in &patterns {
                let common = one.intersection(other);
                assert_eq!(common, other.intersection(one), "{one} and {other}");
                for name in &names {
                    let expected = one.matches(name) && other.matches(name);
                    let found = common.as_ref().is_some_and(|common| common.matches(name));
                    assert_eq!(found, expected, "{one} and {other} are {common:?}: {name}");
                }
                assert_eq!(one.overlaps(other), common.is_some(), "{one} and {other}");
                met.insert(common);
            }
        }
        assert!(met.contains(&None) && met.len() > 60);
    }

    #[test]
    fn what_no_name_can_match_is_none() {
        let (head, tail) = ("a".repeat(200), "b".repeat(200));
        let one = Pattern::new(&format!("{head}.*")).expect("a pattern");
        let other = Pattern::new(&format!("*.{tail}")).expect("a pattern");
        assert_eq!((one.intersection(&other), one.overlaps(&other)), (None, false));
    }
}
