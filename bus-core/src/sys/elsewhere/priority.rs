//! How urgent it is what a thread does: here only a whole process could be made less so.

/// Does nothing.
pub fn give_way() {}
