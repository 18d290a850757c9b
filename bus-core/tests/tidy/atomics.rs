//! Atomics in the core come from its `sync.rs` and from nowhere else, so that a model checker
//! can take their place.

use crate::Violation;
use crate::tokens::{Token, tokens_of};

/// The crates whose atomics must be reached through `sync.rs`.
const SOURCES: &[&str] = &["std", "core", "loom"];

pub fn atomics_come_from_sync(path: &str, text: &str) -> Vec<Violation> {
    let concerned = path.starts_with("bus-core/src/") && path.ends_with(".rs");
    if !concerned || path.ends_with("/sync.rs") || !text.contains("atomic") {
        return Vec::new();
    }
    let tokens = tokens_of(text);
    let mut lines = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if SOURCES.contains(&token.text.as_str()) && !continues_a_path(&tokens[..index]) {
            lines.extend(line_of_path(&tokens[index + 1..], &["sync", "atomic"]));
        }
    }
    lines.dedup();
    let message = "atomics are taken from `crate::sync`, so that a model checker can replace them";
    lines.into_iter().map(|line| Violation::new(path, line, message)).collect()
}

/// The line of the last wanted segment, if the tokens after a path's beginning continue it with
/// these segments, directly (`::a::b`) or through use groups (`::{x, a::{y, b}}`).
fn line_of_path(rest: &[Token], wanted: &[&str]) -> Option<usize> {
    let (segment, remaining) = wanted.split_first()?;
    let [mark, next, ..] = rest else { return None };
    if mark.text != "::" {
        return None;
    }
    let found = |at: usize| {
        if remaining.is_empty() {
            Some(rest[at].start.line)
        } else {
            line_of_path(&rest[at + 1..], remaining)
        }
    };
    if next.text == *segment {
        return found(1);
    }
    if next.text != "{" {
        return None;
    }
    let close =
        rest.iter().skip(2).position(|token| token.text == "}" && token.depth == next.depth);
    let branches = 2..close? + 2;
    branches
        .filter(|at| rest[*at].depth == next.depth + 1 && rest[*at].text == *segment)
        .filter(|at| matches!(rest[*at - 1].text.as_str(), "{" | ","))
        .find_map(found)
}

/// Whether the tokens end in `name::`, so that what follows is no crate but a module of `name`.
fn continues_a_path(tokens: &[Token]) -> bool {
    let [.., before, mark] = tokens else { return false };
    let is_name = before.text.starts_with(|first: char| first.is_alphabetic() || first == '_');
    mark.text == "::" && is_name && !matches!(before.text.as_str(), "use" | "as" | "in" | "return")
}

#[cfg(test)]
mod tests {
    use super::atomics_come_from_sync;
    use crate::lines_caught;

    fn caught(text: &str) -> Vec<usize> {
        lines_caught(atomics_come_from_sync, "bus-core/src/shm/cursor.rs", text)
    }

    #[test]
    fn atomics_from_elsewhere_are_caught() {
        for planted in [
            "use std::sync::atomic::AtomicU64;",
            "use ::core::sync::atomic::{AtomicU64, Ordering};",
            "use std::sync::{Arc, atomic::AtomicU64};",
            "use std::{fmt, sync::{Arc, atomic}};",
            "fn f() { m!(loom::sync::atomic::fence(O)) }",
        ] {
            assert_eq!(caught(planted), [1], "{planted}");
        }
        let two = "use std::sync::atomic::AtomicU8;\n\nfn f() { core::sync::atomic::fence(O) }\n";
        assert_eq!(caught(two), [1, 3]);
    }

    #[test]
    fn own_atomics_and_other_places_are_let_be() {
        for fine in [
            "// std::sync::atomic\nuse crate::sync::atomic::AtomicU64;",
            "use std::sync::Arc; use crate::sync::AtomicU64; use crate::core::sync::atomic;",
            "use std::{sync::Arc, atomic};",
            "fn f() { let text = \"std::sync::atomic\"; }",
        ] {
            assert!(caught(fine).is_empty(), "{fine}");
        }
        let planted = "use std::sync::atomic::AtomicU64;";
        for path in ["bus-core/src/sync.rs", "bus-client/src/a.rs", "bus-core/tests/a.rs"] {
            assert!(atomics_come_from_sync(path, planted).is_empty(), "{path}");
        }
    }
}
