//! What differs between operating systems, and the only room beside `shm` with unsafe code.
//!
//! Thin and without policy: it asks the kernel who a peer is, whether this process is still the one
//! that it was, and how many files may be open.

mod birth;
mod inheritance;
mod limits;
mod peer;
mod retransmission;
mod unacknowledged;
mod watch;

pub use birth::Birth;
pub use inheritance::SocketFile;
pub use limits::{file_limit, raise_file_limit};
pub use peer::{
    Credentials, effective_uid, peer_groups, peer_process, process_ended, sees_our_processes,
};
pub use retransmission::bound_retransmission;
pub use unacknowledged::unacknowledged;
pub use watch::{read_into, read_with_descriptors, watch};
