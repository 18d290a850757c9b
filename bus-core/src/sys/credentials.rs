//! A local peer, as the kernel names it.
//!
//! What a peer says of itself never stands here.

/// A local peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Its process; none if the kernel could not tell.
    pub pid: Option<u32>,
    /// Its user. On Windows, which numbers users otherwise: 0 for the system itself, else the last part of this
    /// user's identifier, since no other one gets as far as this.
    pub uid: u32,
    /// Its group. On Windows the same number as the user's.
    pub gid: u32,
    /// Its supplementary groups.
    pub groups: Vec<u32>,
}
