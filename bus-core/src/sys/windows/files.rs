//! Who may do what with a file: on Windows a list of rights, which it inherits from its folder.
//!
//! Nothing is set: in a user's own folders that list names him, the system, and administrators.

use std::fs::{DirBuilder, Metadata, OpenOptions};

/// Folders have what the folder around them has.
pub fn folder_mode(builder: &mut DirBuilder, _mode: u32) -> &mut DirBuilder {
    builder
}

/// Files have what the folder around them has.
pub fn file_mode(options: &mut OpenOptions, _mode: u32) -> &mut OpenOptions {
    options
}

/// Owner and mode; none where files have lists of rights instead.
pub fn owner_and_mode(_found: &Metadata) -> Option<(u32, u32)> {
    None
}
