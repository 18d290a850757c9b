//! Every Rust file says in its first lines what it is, in a `//!` comment.

use crate::Violation;

pub fn file_opens_with_module_docs(path: &str, text: &str) -> Vec<Violation> {
    let opens_well = text
        .lines()
        .next()
        .is_some_and(|line| line.strip_prefix("//!").is_some_and(|words| !words.trim().is_empty()));
    if !path.ends_with(".rs") || opens_well {
        return Vec::new();
    }
    let message = "the file does not open with a `//!` comment that says what it is";
    vec![Violation::new(path, 1, message)]
}

#[test]
fn file_without_module_docs_is_caught() {
    let caught = |text| crate::lines_caught(file_opens_with_module_docs, "a/src/b.rs", text);
    assert!(caught("//! What it is.\n\nuse std::fmt;\n").is_empty());
    for planted in ["", "use std::fmt;\n", "// An ordinary comment.\n", "//!\n", "\n//! Late.\n"] {
        assert_eq!(caught(planted), [1], "{planted:?}");
    }
    assert!(file_opens_with_module_docs("README.md", "# Title").is_empty());
}
