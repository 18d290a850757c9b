//! Whether the applications of the clients do anything.

/// What applications do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Whatever the dice say.
    Busy,
    /// Nothing: only their connections work.
    Idle,
    /// They finish what they have begun.
    Finishing,
}
