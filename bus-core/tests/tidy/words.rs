//! The project stands alone: no file mentions one author's folders, notes or download hosts.
//!
//! The words are put together here from halves, so that this file does not catch itself.

use crate::Violation;

/// Matched in lower case, wherever they stand.
const FORBIDDEN: &[&str] = &[
    concat!("shared/", "design"),
    concat!("shared/", "style"),
    concat!("shared/", "peers"),
    concat!("shared/", "roadmap"),
    concat!("crates", ".io"),
    concat!("index.", "crates"),
    concat!("pypi", ".org"),
    concat!("npmjs", ".org"),
    concat!("proxy.", "golang.org"),
];

/// Absolute folders; only where the path begins, so that `a/root/b` is let be.
const FORBIDDEN_ROOTS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Followed by a number: a reference to somebody's list of tasks.
const FORBIDDEN_COUNTED: &[&str] =
    &[concat!("iss", "ue "), concat!("iss", "ue #"), concat!("iss", "ues/")];

pub fn no_word_from_outside(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(word) = forbidden_in(&line.to_lowercase()) {
            let message = format!("mentions `{word}`, which does not belong to the project");
            violations.push(Violation::new(path, index + 1, message));
        }
    }
    violations
}

fn forbidden_in(line: &str) -> Option<&'static str> {
    let anywhere = |word: &&&str| line.contains(**word);
    let at_beginning = |word: &&&str| {
        line.match_indices(**word).any(|(at, _)| !line[..at].ends_with(continues_a_path))
    };
    let counted = |word: &&&str| {
        let mut places = line.match_indices(**word);
        places
            .any(|(at, _)| line[at + word.len()..].starts_with(|next: char| next.is_ascii_digit()))
    };
    let found = FORBIDDEN.iter().find(anywhere);
    let found = found.or_else(|| FORBIDDEN_ROOTS.iter().find(at_beginning));
    found.or_else(|| FORBIDDEN_COUNTED.iter().find(counted)).copied()
}

fn continues_a_path(before: char) -> bool {
    before.is_alphanumeric() || matches!(before, '.' | '_' | '-' | '~' | '}')
}

#[test]
fn word_from_outside_is_caught() {
    let planted: Vec<String> = [FORBIDDEN, FORBIDDEN_ROOTS]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .chain(FORBIDDEN_COUNTED.iter().map(|word| format!("{word}12")))
        .collect();
    for word in planted {
        for text in [format!("a line\nsee {word}x"), format!("\n({})", word.to_uppercase())] {
            for path in ["README.md", "a/src/b.rs", ".ci/run"] {
                assert_eq!(crate::lines_caught(no_word_from_outside, path, &text), [2], "{text}");
            }
        }
    }
}

#[test]
fn ordinary_words_are_let_be() {
    let text =
        "network/home/a, $TOP/root/, issues a receipt, this issue is 2 days old, ${root}/root/";
    assert_eq!(no_word_from_outside("README.md", text), []);
}
