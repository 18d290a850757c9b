//! What can be wrong with a file of messages.
//!
//! Offsets count from its first byte. `messages` are those that were whole before the fault: whoever
//! gave them on knows how far that came.

/// Why a file of messages cannot be read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It is something else.
    #[error("this is not a file of messages (it does not begin as one)")]
    Foreign,
    /// It was written by a later version.
    #[error("this file has version {found}, and this program knows version {known}")]
    Version {
        /// What stands in it.
        found: u16,
        /// What can be read.
        known: u16,
    },
    /// It ends before its end: whoever wrote it was stopped, or it was not copied wholly.
    #[error(
        "the file is cut off at byte {offset}; messages that are whole before that: {messages}"
    )]
    CutOff {
        /// How long it is.
        offset: u64,
        /// Messages before that.
        messages: u64,
    },
    /// Something in it was changed.
    #[error(
        "the file is damaged at byte {offset}: {what}; messages that are whole before that: {messages}"
    )]
    Damaged {
        /// Where the entry begins.
        offset: u64,
        /// Messages before it.
        messages: u64,
        /// What is wrong.
        what: String,
    },
    /// There is something behind its end.
    #[error("the file goes on behind its end at byte {offset}")]
    Trailing {
        /// Where it ends.
        offset: u64,
    },
    /// Something that is to be written is longer than a file may have it.
    #[error("{what} is longer than a file of messages may have it")]
    TooLong {
        /// What.
        what: &'static str,
    },
}
