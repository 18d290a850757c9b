//! Which topics a link bears, and what they are called on its two sides.
//!
//! Invariant: a near name that the route bears and the far name that it becomes differ by their
//! prefixes only.

use crate::error::{ErrorKind, Failure};
use crate::name::{Name, Pattern, RESERVED};
use crate::router::Interest;

/// Topics `near_prefix.X` here that are `far_prefix.X` there, for every `X` that the pattern
/// matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    near_prefix: String,
    far_prefix: String,
    near: Pattern,
    far: Pattern,
}

impl Route {
    /// A route for what matches the pattern behind these prefixes, which may be empty.
    ///
    /// # Errors
    /// When a prefix is no name, or something becomes too long, or belongs to the broker.
    pub fn new(pattern: &Pattern, near_prefix: &str, far_prefix: &str) -> Result<Route, Failure> {
        let with = |prefix: &str| -> Result<(String, Pattern), Failure> {
            let reserved = |text: &str| text.split('.').next() == Some(RESERVED);
            if reserved(prefix) || reserved(pattern.as_str()) {
                let text =
                    format!("`{RESERVED}.` belongs to each broker itself: it is not bridged");
                return Err(Failure::new(ErrorKind::InvalidArgument, text));
            }
            if prefix.is_empty() {
                return Ok((String::new(), pattern.clone()));
            }
            Name::new(prefix)?;
            Ok((format!("{prefix}."), Pattern::new(&format!("{prefix}.{pattern}"))?))
        };
        let ((near_prefix, near), (far_prefix, far)) = (with(near_prefix)?, with(far_prefix)?);
        Ok(Route { near_prefix, far_prefix, near, far })
    }

    /// What it bears, as named here.
    pub fn near(&self) -> &Pattern {
        &self.near
    }

    /// What it bears, as named there.
    pub fn far(&self) -> &Pattern {
        &self.far
    }

    /// What a topic here is called there.
    ///
    /// # Errors
    /// When it is none of the route's, or its name there would be too long.
    pub fn to_far(&self, near: &Name) -> Result<Name, Failure> {
        match near.as_str().strip_prefix(&self.near_prefix) {
            Some(rest) if self.near.matches(near) => {
                Ok(Name::new(&format!("{}{rest}", self.far_prefix))?)
            }
            _ => {
                let text = format!("topic `{near}` is not on the route `{}`", self.near);
                Err(Failure::new(ErrorKind::InvalidArgument, text))
            }
        }
    }

    /// What somebody there wants of what the route bears, as named here.
    pub fn to_near(&self, interest: &Interest) -> Option<Interest> {
        let common = interest.pattern.intersection(&self.far)?;
        let rest = common.as_str().strip_prefix(&self.far_prefix)?;
        let pattern = Pattern::new(&format!("{}{rest}", self.near_prefix)).ok()?;
        Some(Interest { pattern, path: interest.path.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).expect("a pattern")
    }

    #[test]
    fn names_and_wishes_change_their_prefixes() {
        let route = Route::new(&pattern("*.state"), "plant.a", "north").expect("a route");
        let far = |text: &str| route.to_far(&Name::new(text).expect("a name"));
        assert_eq!(far("plant.a.pump.state").expect("a name").as_str(), "north.pump.state");
        assert!(far("plant.b.pump.state").is_err() && far("plant.a.state").is_err());
        let near = |text: &str| {
            let interest = Interest { pattern: pattern(text), path: vec![7] };
            route.to_near(&interest).map(|interest| interest.pattern.as_str().to_owned())
        };
        assert_eq!(near(">").as_deref(), Some("plant.a.*.state"));
        assert_eq!(near("*.pump.*").as_deref(), Some("plant.a.pump.state"));
        assert_eq!(near("north.>").as_deref(), Some("plant.a.*.state"));
        assert_eq!(near("south.>"), None);
    }

    #[test]
    fn what_cannot_be_bridged_is_refused() {
        for (text, near, far) in [("$bus.>", "", ""), (">", "$bus", ""), (">", "a..b", "")] {
            assert!(Route::new(&pattern(text), near, far).is_err(), "{text} {near} {far}");
        }
        let deep = ["a"; 16].join(".");
        assert!(Route::new(&pattern(">"), &deep, "").is_err());
        let route = Route::new(&pattern(">"), "", "b").expect("a route");
        assert!(route.to_far(&Name::new(&deep).expect("a name")).is_err());
    }
}
