//! Which context is used, if any: the order of flags, variables, the context in use and the default.
//!
//! Pure. Invariant: where the URL comes from elsewhere no context is chosen, so that its credentials
//! cannot go to another broker.

use crate::exit::Problem;

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Given {
    /// It is not given.
    #[default]
    Nowhere,
    /// Its variable.
    Environment,
    /// Its flag.
    Flag,
}

/// Which context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The URL is given, or nothing is: none.
    None,
    /// This one; `first` if it goes before the environment.
    Context {
        /// Its name.
        name: String,
        /// It was named on the command line.
        first: bool,
    },
}

/// Chooses. An empty name is none.
pub fn choose(
    url: Given,
    named: (Given, Option<&str>),
    selected: Option<String>,
) -> Result<Choice, Problem> {
    let (given, name) = named;
    let this = |first| match name {
        Some(name) if !name.is_empty() => Choice::Context { name: name.to_owned(), first },
        _ => Choice::None,
    };
    Ok(match (url, given) {
        (Given::Flag, Given::Flag) => {
            return Err(Problem::usage(
                "--url and --context both say which broker: give one of them",
            ));
        }
        (Given::Flag, _) => Choice::None,
        (_, Given::Flag) => this(true),
        (Given::Environment, _) => Choice::None,
        (_, Given::Environment) => this(false),
        _ => selected.map_or(Choice::None, |name| Choice::Context { name, first: false }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_before_variables_and_these_before_the_context_in_use() {
        use Given::{Environment, Flag, Nowhere};
        let chosen = |url, given, name: &str, selected: Option<&str>| match choose(
            url,
            (given, Some(name)),
            selected.map(str::to_owned),
        ) {
            Ok(Choice::Context { name, first }) => format!("{name} {first}"),
            Ok(Choice::None) => "none".into(),
            Err(_) => "refused".into(),
        };
        assert_eq!(chosen(Flag, Flag, "a", Some("s")), "refused");
        assert_eq!(chosen(Flag, Environment, "a", Some("s")), "none");
        assert_eq!(chosen(Environment, Flag, "a", Some("s")), "a true");
        assert_eq!(chosen(Environment, Environment, "a", Some("s")), "none");
        assert_eq!(chosen(Environment, Nowhere, "", Some("s")), "none");
        assert_eq!(chosen(Nowhere, Environment, "a", Some("s")), "a false");
        assert_eq!(chosen(Nowhere, Environment, "", Some("s")), "none", "an empty variable");
        assert_eq!(chosen(Nowhere, Nowhere, "", Some("s")), "s false");
        assert_eq!(chosen(Nowhere, Nowhere, "", None), "none");
    }
}
