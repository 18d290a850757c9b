//! Words of somebody else's program, before people see them or others are told.

/// At most so many bytes of a text, in which no terminal finds anything to obey.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    let mut cut = String::new();
    for letter in text.chars().map(|it| if it.is_control() { '?' } else { it }) {
        if cut.len() + letter.len_utf8() > bytes_max {
            break;
        }
        cut.push(letter);
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn words_of_others_are_cut_and_bear_no_control_characters() {
        assert_eq!(cut("plain words", 255), "plain words");
        assert_eq!(cut("\u{1b}[2Jred\n", 255), "?[2Jred?");
        assert_eq!(cut("äöü", 5), "äö");
        assert_eq!(cut("äöü", 0), "");
    }
}
