//! Which route bears a topic, found by the topic's tokens.
//!
//! However many routes there are, a topic is looked up in as many steps as it has tokens; only wildcards in the
//! middle of patterns make it more. Invariant: what is found is what `Pattern::matches` would find first.

use std::collections::BTreeMap;

use crate::name::{Name, Pattern};

/// Routes by what they bear.
#[derive(Debug, Default)]
pub(super) struct Directory<'a> {
    /// The first one is where all begin.
    places: Vec<Place<'a>>,
}

/// Where patterns with the same tokens before it go on.
#[derive(Debug, Default)]
struct Place<'a> {
    tokens: BTreeMap<&'a str, usize>,
    /// Behind a `*`.
    any: Option<usize>,
    /// The route that bears all that goes on here.
    rest: Option<usize>,
    /// The route that bears what ends here.
    end: Option<usize>,
}

impl<'a> Directory<'a> {
    /// Of these routes, by number; of those that bear the same topic the first one counts.
    pub fn new(routes: impl Iterator<Item = (usize, &'a Pattern)>) -> Directory<'a> {
        let mut directory = Directory { places: vec![Place::default()] };
        routes.for_each(|(route, pattern)| directory.add(route, pattern));
        directory
    }

    fn add(&mut self, route: usize, pattern: &'a Pattern) {
        let (mut at, next) = (0, |place: &mut Vec<Place<'a>>| {
            place.push(Place::default());
            place.len() - 1
        });
        for token in pattern.as_str().split('.') {
            let known = match token {
                ">" => {
                    self.places[at].rest.get_or_insert(route);
                    return;
                }
                "*" => self.places[at].any,
                token => self.places[at].tokens.get(token).copied(),
            };
            let place = known.unwrap_or_else(|| next(&mut self.places));
            match token {
                "*" => self.places[at].any = Some(place),
                token => drop(self.places[at].tokens.insert(token, place)),
            }
            at = place;
        }
        self.places[at].end.get_or_insert(route);
    }

    /// The first route that bears it.
    pub fn find(&self, topic: &Name) -> Option<usize> {
        // Nothing that is the broker's own is bridged, so that no pattern means it.
        if topic.is_reserved() {
            return None;
        }
        let mut found: Option<usize> = None;
        let mut note = |route: Option<usize>| found = found.into_iter().chain(route).min();
        let (mut here, mut behind) = (vec![0], Vec::new());
        for token in topic.as_str().split('.') {
            for place in here.drain(..).map(|place: usize| &self.places[place]) {
                note(place.rest);
                behind.extend(place.tokens.get(token).copied().into_iter().chain(place.any));
            }
            std::mem::swap(&mut here, &mut behind);
        }
        here.into_iter().for_each(|place| note(self.places[place].end));
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_found_is_what_a_search_finds(
            patterns in prop::collection::vec("(a|b|\\*)(\\.(a|b|c|\\*)){0,3}(\\.>)?", 0..12),
            topics in prop::collection::vec("(a|b|c)(\\.(a|b|c)){0,4}", 1..20),
        ) {
            let patterns: Vec<Pattern> =
                patterns.iter().map(|text| Pattern::new(text).expect("a pattern")).collect();
            let directory = Directory::new(patterns.iter().enumerate());
            for topic in topics.iter().map(|text| Name::new(text).expect("a name")) {
                let searched = patterns.iter().position(|pattern| pattern.matches(&topic));
                prop_assert_eq!(directory.find(&topic), searched, "{} of {:?}", topic, patterns);
            }
        }
    }
}
