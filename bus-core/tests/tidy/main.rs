//! The rules of the house, as an ordinary test over every file of the repository.
//!
//! Each rule is a function from one file's path and text to the places that break it, so that a
//! test beside it can plant a violation and see it caught. A rule says nothing about files that
//! it does not concern. What is generated is exempt from all of them.

mod atomics;
mod functions;
mod module_docs;
mod panics;
mod rooms;
mod size;
mod tokens;
mod tree;
mod words;

use std::fmt;

/// Looks at one file: its path from the root of the repository (with `/`), and its text.
type Rule = fn(path: &str, text: &str) -> Vec<Violation>;

const RULES: &[Rule] = &[
    size::file_is_short,
    functions::functions_are_short,
    module_docs::file_opens_with_module_docs,
    rooms::unsafe_stays_in_its_rooms,
    rooms::generated_types_stay_in_frame,
    rooms::tokio_stays_in_its_rooms,
    atomics::atomics_come_from_sync,
    panics::unwrap_is_explained,
    words::no_word_from_outside,
];

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

#[test]
fn repository_is_tidy() {
    let files = tree::files();
    let rust_files = files.iter().filter(|file| file.path.ends_with(".rs")).count();
    assert!(rust_files > 10, "found only {rust_files} Rust files: the walk has lost its way");
    let mut violations: Vec<String> = Vec::new();
    for file in &files {
        for rule in RULES {
            violations.extend(rule(&file.path, &file.text).iter().map(Violation::to_string));
        }
    }
    let count = violations.len();
    assert!(violations.is_empty(), "{count} places to tidy:\n{}", violations.join("\n"));
}

#[test]
fn violation_reads_as_file_line_message() {
    let violation = Violation::new("a/b.rs", 7, "is wrong");
    assert_eq!(violation.to_string(), "a/b.rs:7: is wrong");
}

/// Runs a rule on a planted text and returns the lines that it complains about.
fn lines_caught(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    rule(path, text).iter().map(|violation| violation.line).collect()
}
