//! Which flag was meant by one that is not there.
//!
//! The parser's own guess is by letters in common, and prefers long flags: `--ot` would be `--remote-key`.
//! Here it is the one that was begun with, else the one to which the fewest keystrokes lead, if these are few.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// Puts what was meant into an error about an unknown flag; these are the words of the command line.
pub fn improve(mut error: Error, root: Command, words: impl Iterator<Item = String>) -> Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let Some(given) = given.strip_prefix("--").map(str::to_owned) else { return error };
    let mut command = verb(root, words);
    match nearest(&given, &command) {
        Some(near) => {
            let near = ContextValue::String(format!("--{near}"));
            error.insert(ContextKind::SuggestedArg, near);
        }
        None => drop(error.remove(ContextKind::SuggestedArg)),
    }
    // The parser shows its own guess there.
    error.insert(ContextKind::Usage, ContextValue::StyledStr(command.render_usage()));
    error
}

/// The verb that was called, with the flags that all verbs have.
fn verb(mut root: Command, words: impl Iterator<Item = String>) -> Command {
    root.build();
    words.fold(root, |command, word| command.find_subcommand(&word).cloned().unwrap_or(command))
}

fn nearest(given: &str, command: &Command) -> Option<String> {
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let flags: Vec<&str> = shown.filter_map(|argument| argument.get_long()).collect();
    let begun = flags.iter().filter(|flag| flag.starts_with(given));
    if let Some(flag) = begun.min_by_key(|flag| flag.len()) {
        return Some((*flag).to_owned());
    }
    let flags = flags.into_iter();
    let near = flags.map(|flag| (strsim::damerau_levenshtein(given, flag), flag)).min()?;
    (near.0 <= 1 + given.len() / 3).then(|| near.1.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    /// What is said of a flag of a verb.
    fn said(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let error = Cli::command().try_get_matches_from(&words).expect_err("there is no such flag");
        improve(error, Cli::command(), words.into_iter()).to_string()
    }

    #[test]
    fn a_mistyped_flag_is_the_one_that_is_nearest() {
        for (typed, meant) in [
            ("--ot", "'--out'"),
            ("--inn", "'--in'"),
            ("--spol", "'--spool'"),
            ("--remote-autority", "'--remote-authority'"),
            ("--remote-token", "'--remote-token-file'"),
            ("--tls-c", "'--tls-ca'"),
        ] {
            let said = said(&format!("bus bridge add b tcp://h:1 {typed} x"));
            assert!(said.contains(meant), "{typed}: {said}");
            assert!(said.contains("Usage: bus bridge add [OPTIONS] <NAME> <URL>"), "{said}");
        }
        assert!(said("bus pub --tipe 1").contains("'--type'"));
        // Where a selector may stand, a flag is still a flag.
        assert!(said("bus sub a.> --slector 3").contains("'--selector'"));
        assert!(said("bus recv jobs --folow").contains("'--follow'"));
        let said = said("bus bridge add b tcp://h:1 --authority-of-the-other x");
        assert!(!said.contains("similar"), "{said}");
    }
}
