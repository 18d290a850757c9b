//! Whether this process made something itself, or is a child that fork has made since.
//!
//! By the number of the process: these systems have no page that is wiped in a child, or no fork at all.

use std::process;

/// The process in which it was made.
#[derive(Debug)]
pub struct Birth(u32);

impl Birth {
    /// This process.
    pub fn here() -> Birth {
        Birth(process::id())
    }

    /// Whether this process is a child of that one, made by fork since.
    pub fn is_elsewhere(&self) -> bool {
        self.0 != process::id()
    }
}
