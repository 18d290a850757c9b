//! A function fits onto one screen: at most 60 lines, from its signature to its closing brace.
//!
//! Methods, trait defaults and functions inside functions count, each for itself. Macro bodies
//! (a property test, for one) are not parsed as Rust, so there a function is found by its shape.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::Violation;

const FUNCTION_LINES_MAX: usize = 60;

pub fn functions_are_short(path: &str, text: &str) -> Vec<Violation> {
    if !path.ends_with(".rs") {
        return Vec::new();
    }
    let file = match syn::parse_file(text) {
        Ok(file) => file,
        Err(error) => {
            let line = error.span().start().line;
            return vec![Violation::new(path, line, format!("is not valid Rust: {error}"))];
        }
    };
    let mut long = LongFunctions { path, found: Vec::new() };
    long.visit_file(&file);
    long.found
}

struct LongFunctions<'a> {
    path: &'a str,
    found: Vec<Violation>,
}

impl LongFunctions<'_> {
    fn measure(&mut self, name: &str, first_line: usize, last_line: usize) {
        let lines = last_line - first_line + 1;
        if lines > FUNCTION_LINES_MAX {
            let message =
                format!("`{name}` has {lines} lines; at most {FUNCTION_LINES_MAX} are allowed");
            self.found.push(Violation::new(self.path, first_line, message));
        }
    }

    fn measure_parsed(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let first_line = signature.fn_token.span.start().line;
        let last_line = body.brace_token.span.close().end().line;
        self.measure(&signature.ident.to_string(), first_line, last_line);
    }

    /// Inside a macro: `fn`, a name, then everything up to the first braces at the same depth.
    fn measure_tokens(&mut self, tokens: TokenStream) {
        let mut open: Option<(String, usize)> = None;
        let mut after_fn = None;
        for token in tokens {
            let fn_line = after_fn.take();
            match &token {
                TokenTree::Ident(word) if word == "fn" => after_fn = Some(word.span().start().line),
                TokenTree::Ident(name) => {
                    open = fn_line.map(|line| (name.to_string(), line)).or(open);
                }
                TokenTree::Punct(mark) if mark.as_char() == ';' => open = None,
                TokenTree::Group(group) => {
                    if group.delimiter() == Delimiter::Brace
                        && let Some((name, first_line)) = open.take()
                    {
                        self.measure(&name, first_line, group.span_close().end().line);
                    }
                    self.measure_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for LongFunctions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure_parsed(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure_parsed(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure_parsed(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_macro(&mut self, macro_call: &'ast syn::Macro) {
        self.measure_tokens(macro_call.tokens.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::{FUNCTION_LINES_MAX, functions_are_short};

    fn caught(text: &str) -> Vec<usize> {
        crate::lines_caught(functions_are_short, "a/src/b.rs", text)
    }

    /// A function of this many lines, its signature and closing brace among them.
    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2))
    }

    #[test]
    fn long_function_is_caught_at_its_signature() {
        assert!(caught(&function(FUNCTION_LINES_MAX)).is_empty());
        let attributes = "/// Docs.\n#[inline]\npub(crate) async ";
        assert_eq!(caught(&(attributes.to_owned() + &function(61))), [3]);
        let violation = &functions_are_short("a/src/b.rs", &function(61))[0];
        assert!(violation.message.contains("`f` has 61 lines"), "{violation}");
    }

    #[test]
    fn long_function_is_caught_wherever_it_stands() {
        let long = function(61);
        for around in ["impl S {\n*}", "trait T {\n*}", "mod m {\n*}", "const C: () = {\n*};"] {
            assert_eq!(caught(&around.replace('*', &long)), [2], "{around}");
        }
        assert!(caught("trait T {\n    fn f();\n}\n").is_empty());
    }

    #[test]
    fn nested_function_counts_for_itself_and_for_its_parent() {
        assert_eq!(caught(&format!("fn outer() {{\n{}}}", function(61))), [1, 2]);
        assert_eq!(caught(&format!("fn outer() {{\n{}}}", function(59))), [1]);
        assert!(caught(&format!("fn outer() {{\n{}}}", function(58))).is_empty());
    }

    #[test]
    fn long_function_inside_a_macro_is_caught() {
        let long = function(61).replace("f()", "f(seed in 0..9u8) -> Result<(), String>");
        assert_eq!(caught(&format!("proptest! {{\n#[test]\n{long}}}")), [3]);
        let short = function(60);
        assert!(caught(&format!("proptest! {{\n{short}{short}}}")).is_empty());
    }

    #[test]
    fn invalid_rust_is_a_violation_and_no_panic() {
        assert_eq!(caught("fn f( {\n"), [1]);
        assert!(functions_are_short("notes.md", "fn f( {").is_empty());
    }
}
