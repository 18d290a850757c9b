//! What is given up of what a link has kept: how many messages, and of which topics.
//!
//! For people: the first few topics are named, the rest are counted.

use std::collections::BTreeSet;
use std::fmt;

use crate::arena::Id;
use crate::name::Name;

use super::link::Link;
use super::source::Source;

/// Topics that are named.
const NAMED_MAX: usize = 5;

/// Messages that are given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    messages: u64,
    unknown: u64,
    topics: BTreeSet<Name>,
}

impl GivenUp {
    /// So many that were not sent.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// So many that were sent, and not confirmed: they may have arrived.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Whether nothing was kept.
    pub fn is_empty(&self) -> bool {
        self.messages + self.unknown == 0
    }

    /// The topics that they are of, as they are called at the near broker.
    pub fn topics(&self) -> impl Iterator<Item = &Name> {
        self.topics.iter()
    }

    pub(super) fn note(&mut self, topic: Name, messages: u64, unknown: u64) {
        if messages + unknown > 0 {
            self.messages += messages;
            self.unknown += unknown;
            self.topics.insert(topic);
        }
    }

    pub(super) fn add(&mut self, other: GivenUp) {
        self.messages += other.messages;
        self.unknown += other.unknown;
        self.topics.extend(other.topics);
    }
}

impl fmt::Display for GivenUp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted =
            |count| format!("{count} {}", if count == 1 { "message" } else { "messages" });
        match (self.messages, self.unknown) {
            (messages, 0) => out.write_str(&counted(messages))?,
            (0, unknown) => write!(out, "up to {}", counted(unknown))?,
            (messages, unknown) => write!(out, "{} to {}", messages, counted(messages + unknown))?,
        }
        for (index, topic) in self.topics.iter().take(NAMED_MAX).enumerate() {
            write!(out, "{}`{topic}`", if index == 0 { " of " } else { ", " })?;
        }
        match self.topics.len().saturating_sub(NAMED_MAX) {
            0 => Ok(()),
            more => write!(out, " and {more} more topics"),
        }
    }
}

impl Link {
    /// Forgets a source, and notes what was kept of it.
    pub(super) fn forget_with_name(&mut self, id: Id<Source>, given_up: &mut GivenUp) {
        let Some(topic) = self.sources.get(id).map(|source| source.key.2.clone()) else { return };
        // What was sent and not confirmed is still kept, and comes first.
        let sent = self.sources.get(id).map_or(0, Source::sent_and_kept);
        let kept = self.forget(id);
        let unknown = sent.min(kept);
        given_up.note(topic, kept - unknown, unknown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_topics_are_named_and_the_rest_are_counted() {
        let mut given_up = GivenUp::default();
        given_up.note(Name::new("none").expect("a name"), 0, 0);
        given_up.note(Name::new("t0").expect("a name"), 1, 0);
        let sent = |messages| {
            let mut sent = GivenUp::default();
            sent.note(Name::new("s").expect("a name"), messages, 2);
            sent.to_string()
        };
        assert_eq!(sent(0), "up to 2 messages of `s`");
        assert_eq!(sent(3), "3 to 5 messages of `s`");
        assert_eq!(given_up.to_string(), "1 message of `t0`");
        (0..7).for_each(|n| given_up.note(Name::new(&format!("t{n}")).expect("a name"), 2, 0));
        let said = "15 messages of `t0`, `t1`, `t2`, `t3`, `t4` and 2 more topics";
        assert_eq!(given_up.to_string(), said);
    }
}
