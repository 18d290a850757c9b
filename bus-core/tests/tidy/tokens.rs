//! A Rust file as a flat list of tokens with their places.
//!
//! Rules that look for a word need no syntax tree, and a tree does not reach into macro bodies.
//! Comments and the text of literals are not among the words, so neither can trip a rule.

use proc_macro2::{Delimiter, LineColumn, Spacing, TokenStream, TokenTree};

/// One word, mark, literal, or one half of a pair of brackets.
#[derive(Debug)]
pub struct Token {
    /// As written; `::` and `=>` are one token, a literal is an empty text.
    pub text: String,
    pub start: LineColumn,
    pub end: LineColumn,
    /// How many brackets are open around it; both halves of a pair have the outer depth.
    pub depth: usize,
}

/// All tokens in order. A text that is no Rust gives none: the rule on functions reports it.
pub fn tokens_of(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    if let Ok(stream) = text.parse() {
        flatten(stream, 0, &mut tokens);
    }
    tokens
}

/// The lines on which this word stands as an identifier, each once.
pub fn lines_with_word(text: &str, word: &str) -> Vec<usize> {
    let tokens = tokens_of(text);
    let mut lines: Vec<usize> =
        tokens.iter().filter(|token| token.text == word).map(|token| token.start.line).collect();
    lines.dedup();
    lines
}

fn flatten(stream: TokenStream, depth: usize, tokens: &mut Vec<Token>) {
    let mut joined = false;
    for tree in stream {
        let span = tree.span();
        let (start, end) = (span.start(), span.end());
        let was_joined = std::mem::take(&mut joined);
        let text = match tree {
            TokenTree::Group(group) => {
                let (open, close) = brackets(group.delimiter());
                let (first, last) = (group.span_open(), group.span_close());
                let bracket =
                    |text: &str, start, end| Token { text: text.into(), start, end, depth };
                tokens.push(bracket(open, first.start(), first.end()));
                flatten(group.stream(), depth + 1, tokens);
                tokens.push(bracket(close, last.start(), last.end()));
                continue;
            }
            TokenTree::Ident(word) => word.to_string().trim_start_matches("r#").to_owned(),
            TokenTree::Literal(_) => String::new(),
            TokenTree::Punct(mark) => {
                joined = mark.spacing() == Spacing::Joint;
                if was_joined && completes_pair(tokens, mark.as_char()) {
                    joined = false;
                    continue;
                }
                mark.as_char().to_string()
            }
        };
        tokens.push(Token { text, start, end, depth });
    }
}

/// Appends the mark to the one before it if the two are `::` or `=>`.
fn completes_pair(tokens: &mut [Token], mark: char) -> bool {
    let Some(before) = tokens.last_mut() else { return false };
    let pair = matches!((before.text.as_str(), mark), (":", ':') | ("=", '>'));
    if pair {
        before.text.push(mark);
        before.end.column += 1;
    }
    pair
}

fn brackets(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

#[test]
fn tokens_are_words_marks_and_brackets_in_order() {
    let tokens = tokens_of("use a::{b, r#c};\nmatch x { _ => \"d e\" }");
    let texts: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    let first_line = ["use", "a", "::", "{", "b", ",", "c", "}", ";"];
    assert_eq!(texts[..9], first_line);
    assert_eq!(texts[9..], ["match", "x", "{", "_", "=>", "", "}"]);
    assert_eq!((tokens[3].depth, tokens[4].depth, tokens[7].depth), (0, 1, 0));
    assert_eq!((tokens[9].start.line, tokens[9].start.column), (2, 0));
}

#[test]
fn words_in_comments_and_literals_are_not_words() {
    let text = "// needle\n/// needle\nfn f() { g(\"needle\"); }\nm!(needle);\n";
    assert_eq!(lines_with_word(text, "needle"), [4]);
}
