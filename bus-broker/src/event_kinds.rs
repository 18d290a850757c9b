//! What is told on `$bus.events`: the kinds of events and their states, with what each of them means.
//!
//! For people who read them or write programs that do. Invariant: nothing is told whose kind, or whose state, does not stand
//! here (`SystemEvent::kind`, and an assertion where a bridge tells).

/// A kind of event: its word, what it means, and the words that its `state` may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventKind {
    /// What stands in `event`.
    pub word: &'static str,
    /// What has happened.
    pub meaning: &'static str,
    /// What may stand in `state`, with what that means; empty where there is no such key.
    pub states: &'static [(&'static str, &'static str)],
}

/// All of them.
pub const EVENT_KINDS: [EventKind; 4] = [
    EventKind { word: CONNECTED, meaning: "a client has connected", states: &[] },
    EventKind { word: DISCONNECTED, meaning: "a client's connection has ended", states: &[] },
    EventKind {
        word: BRIDGE,
        meaning: "a direction of a bridge stands otherwise than before, or has something to tell",
        states: &[
            ("connecting", "it has no connection, and tries to have one"),
            ("connected", "it carries"),
            ("refused", "the other broker lets nothing of it cross"),
            ("paused", "an operator has stopped it for a while"),
            ("changed", "it carries something else from now on"),
            ("ended", "it is gone, and what became of what waited in it"),
            ("trouble", "something does not cross"),
            ("allowed", "something crosses now that did not"),
            ("loop", "what it brings comes from where it goes"),
            ("no loop", "that is over"),
        ],
    },
    EventKind {
        word: RELOAD,
        meaning: "the configuration was read again",
        states: &[("done", "it counts"), ("refused", "nothing of it does, for this reason")],
    },
];

pub(crate) const CONNECTED: &str = "connected";
pub(crate) const DISCONNECTED: &str = "disconnected";
pub(crate) const BRIDGE: &str = "bridge";
pub(crate) const RELOAD: &str = "reload";

/// Whether that may be told.
pub(crate) fn is_listed(kind: &str, state: &str) -> bool {
    let has = |one: &EventKind| one.states.iter().any(|(word, _)| *word == state);
    EVENT_KINDS.iter().any(|one| one.word == kind && has(one))
}
