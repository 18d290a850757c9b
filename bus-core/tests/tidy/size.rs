//! A file fits into one sitting: at most 400 lines. Tests are no exception; they move into a
//! file of their own.

use crate::Violation;

const FILE_LINES_MAX: usize = 400;

pub fn file_is_short(path: &str, text: &str) -> Vec<Violation> {
    let lines = text.lines().count();
    if !path.ends_with(".rs") || lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    let message = format!("the file has {lines} lines; at most {FILE_LINES_MAX} are allowed");
    vec![Violation::new(path, FILE_LINES_MAX + 1, message)]
}

#[test]
fn long_file_is_caught() {
    let at_most = "\n".repeat(FILE_LINES_MAX);
    assert!(file_is_short("a/src/b.rs", &at_most).is_empty());
    let longer = at_most + "// one more";
    assert_eq!(crate::lines_caught(file_is_short, "a/src/b.rs", &longer), [401]);
    assert!(file_is_short("a/schema.proto", &longer).is_empty());
}
