//! Who may do what with a file: owner and mode.
//!
//! Set when a file is made, so that it is never open to others for a moment.

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};

/// Folders that are made so have this mode.
pub fn folder_mode(builder: &mut DirBuilder, mode: u32) -> &mut DirBuilder {
    builder.mode(mode)
}

/// Files that are made so have this mode.
pub fn file_mode(options: &mut OpenOptions, mode: u32) -> &mut OpenOptions {
    options.mode(mode)
}

/// Owner and mode; none where files have lists of rights instead.
pub fn owner_and_mode(found: &Metadata) -> Option<(u32, u32)> {
    Some((found.uid(), found.mode()))
}
