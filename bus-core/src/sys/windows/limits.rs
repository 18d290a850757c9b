//! Limits that the operating system sets for this process: Windows has none for sockets and pipes.
//!
//! `None` is said of each.

/// The number of files that may be open, after it was raised; `None` means that there is no limit.
pub fn raise_file_limit() -> Option<u64> {
    None
}

/// The number of files that may be open now; `None` means that there is no limit.
pub fn file_limit() -> Option<u64> {
    None
}
