//! What a peer sends cannot panic: `unwrap` and `expect` in the libraries' own code need a
//! comment that shows why they hold.
//!
//! The comment stands at the end of the same line or on the line before. Where a call chain is
//! broken over several lines, it may also stand at the line where the chain begins. Test code is
//! what stands under `#[test]` or `#[cfg(test)]`, in a file `tests.rs` or in a folder `tests`.

use std::collections::BTreeMap;

use crate::Violation;
use crate::tokens::{Token, tokens_of};

const ROOMS: &[&str] = &["bus-core/src/", "bus-client/src/", "bus-broker/src/"];

pub fn unwrap_is_explained(path: &str, text: &str) -> Vec<Violation> {
    let concerned = path.ends_with(".rs") && ROOMS.iter().any(|room| path.starts_with(room));
    let is_tests = path.ends_with("/tests.rs") || path.contains("/tests/");
    if !concerned || is_tests || !(text.contains("unwrap") || text.contains("expect")) {
        return Vec::new();
    }
    let tokens = tokens_of(text);
    let comments = Comments::new(text, &tokens);
    let mut violations = Vec::new();
    let mut next = 0;
    while next < tokens.len() {
        if let Some(after) = end_of_test_item(&tokens, next) {
            next = after;
            continue;
        }
        let token = &tokens[next];
        if is_unwrap(&tokens, next) && !comments.explain(token.start.line) {
            let word = &token.text;
            let message = format!("`{word}` without a comment that shows why it cannot fail");
            violations.push(Violation::new(path, token.start.line, message));
        }
        next += 1;
    }
    violations
}

/// `.unwrap()`, `.expect(..)`, and the same as a path (`Option::unwrap`).
fn is_unwrap(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map_or("", |before| tokens[before].text.as_str());
    let after = tokens.get(at + 1).map_or("", |after| after.text.as_str());
    matches!(tokens[at].text.as_str(), "unwrap" | "expect")
        && (before == "::" || (before == "." && after == "("))
}

/// If an attribute that marks test code begins here: the index after the item it stands on.
fn end_of_test_item(tokens: &[Token], at: usize) -> Option<usize> {
    let depth = tokens[at].depth;
    let inner = tokens.get(at + 1).is_some_and(|token| token.text == "!");
    let open = if inner { at + 2 } else { at + 1 };
    if tokens[at].text != "#" || tokens.get(open)?.text != "[" {
        return None;
    }
    let attribute = &tokens[open + 1..];
    let close = attribute.iter().position(|token| token.text == "]" && token.depth == depth)?;
    if !marks_test(&attribute[..close]) {
        return None;
    }
    let rest = open + 1 + close;
    let ends = |token: &Token| {
        let closes_item =
            !inner && token.depth == depth && matches!(token.text.as_str(), ";" | "}");
        closes_item || token.depth < depth
    };
    let length = tokens[rest..].iter().position(ends);
    Some(length.map_or(tokens.len(), |length| rest + length + 1))
}

/// `test`, `tokio::test(..)`, `cfg(test)`, `cfg(all(test, ..))`; not `cfg(any(test, ..))`.
fn marks_test(attribute: &[Token]) -> bool {
    let words: Vec<&str> = attribute.iter().map(|token| token.text.as_str()).collect();
    match words.as_slice() {
        ["cfg", "(", "test", ")"] | ["cfg", "(", "all", "(", "test", ..] => true,
        ["cfg", ..] => false,
        words => {
            words.split(|word| *word == "(").next().is_some_and(|path| path.ends_with(&["test"]))
        }
    }
}

/// Which lines hold a comment, and which only continue a call chain.
struct Comments<'a> {
    lines: Vec<&'a str>,
    /// For each line with code the column, counted in characters, after its last token.
    code_end: BTreeMap<usize, usize>,
}

impl<'a> Comments<'a> {
    fn new(text: &'a str, tokens: &[Token]) -> Self {
        let mut code_end = BTreeMap::new();
        for token in tokens {
            // What looks like a comment inside a literal of several lines is none.
            code_end.extend((token.start.line..token.end.line).map(|line| (line, usize::MAX)));
            let column: &mut usize = code_end.entry(token.end.line).or_default();
            *column = token.end.column.max(*column);
        }
        Self { lines: text.lines().collect(), code_end }
    }

    /// Whether a comment explains the call on this line (the first is 1).
    fn explain(&self, mut line: usize) -> bool {
        loop {
            if self.has_comment(line) || self.has_comment(line - 1) {
                return true;
            }
            if line == 1 || !self.line(line).trim_start().starts_with('.') {
                return false;
            }
            line -= 1;
        }
    }

    fn has_comment(&self, line: usize) -> bool {
        let code_end = self.code_end.get(&line).copied().unwrap_or(0);
        let after_code: String = self.line(line).chars().skip(code_end).collect();
        after_code.contains("//") || after_code.contains("/*")
    }

    fn line(&self, line: usize) -> &str {
        line.checked_sub(1).and_then(|index| self.lines.get(index)).copied().unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::unwrap_is_explained;
    use crate::lines_caught;

    fn caught(text: &str) -> Vec<usize> {
        lines_caught(unwrap_is_explained, "bus-core/src/a.rs", text)
    }

    #[test]
    fn unexplained_unwrap_is_caught() {
        assert_eq!(caught("fn f() {\n    g().unwrap();\n}\n"), [2]);
        assert_eq!(caught("fn f() {\n    g()\n        .h()\n        .expect(\"ever\");\n}\n"), [4]);
        assert_eq!(caught("fn f() { g(\"http://\").unwrap(); }"), [1]);
        assert_eq!(caught("fn f() { m!(g().unwrap()); }"), [1]);
        assert_eq!(caught("fn f() { g().map(Option::unwrap); }"), [1]);
        assert_eq!(caught("/// Docs explain nothing.\nfn f() { g().unwrap() }"), [2]);
        assert_eq!(caught("const A: &str = \"\n//\n\"; fn f() { g().unwrap() }"), [3]);
        assert_eq!(caught("#[cfg(any(test, x))]\nfn f() { g().unwrap() }"), [2]);
    }

    #[test]
    fn explained_unwrap_is_let_be() {
        assert!(caught("fn f() { g().unwrap(); // Set just above.\n}").is_empty());
        assert!(caught("fn f() {\n    // Set just above.\n    g().unwrap();\n}").is_empty());
        assert!(caught("fn f() {\n// Set.\ng()\n.h() // e\u{301}\n.expect(\"it\");\n}").is_empty());
        assert!(
            caught("fn f() {\n    // Set.\n    g()\n        .h()\n        .unwrap();\n}")
                .is_empty()
        );
        assert!(caught("fn f() { g().unwrap_or_default(); expect(3); }").is_empty());
        assert!(caught("/// x.unwrap()\nfn f() { g(\"x.unwrap()\") }").is_empty());
    }

    #[test]
    fn test_code_may_unwrap() {
        let unwraps = "fn f() { g().unwrap(); }";
        for mark in ["#[test]", "#[cfg(test)]", "#[tokio::test(start_paused = true)]"] {
            assert!(caught(&format!("{mark}\n#[ignore]\n{unwraps}")).is_empty(), "{mark}");
            assert_eq!(caught(&format!("{mark}\n{unwraps}\n{unwraps}")), [3], "{mark}");
        }
        assert!(caught(&format!("#[cfg(test)]\nmod tests {{ {unwraps} {unwraps} }}")).is_empty());
        assert!(caught(&format!("#![cfg(test)]\n{unwraps}\n{unwraps}")).is_empty());
        assert_eq!(caught(&format!("#[cfg(test)]\nmod tests;\n{unwraps}")), [3]);
        for path in ["bus-core/src/a/tests.rs", "bus-core/tests/a.rs", "examples/a.rs"] {
            assert!(unwrap_is_explained(path, unwraps).is_empty(), "{path}");
        }
        assert_eq!(lines_caught(unwrap_is_explained, "bus-broker/src/a.rs", unwraps), [1]);
    }
}
