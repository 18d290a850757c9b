//! What differs between operating systems, and the only room beside `shm` with unsafe code.
//!
//! Thin and without policy: it asks the kernel who a peer is, whether this process is still the one that it was,
//! and how many files may be open, and takes what whoever started the process has left for it.

mod aside;
mod birth;
mod clock;
mod inheritance;
mod inherited;
mod limits;
mod peer;
mod retransmission;
mod unacknowledged;
mod watch;

pub use aside::aside;
pub use birth::Birth;
pub use clock::monotonic_clock;
pub use inheritance::SocketFile;
pub use inherited::{Inherited, take_inherited, take_words};
pub use limits::{file_limit, is_out_of_files, open_files, raise_file_limit};
pub use peer::{
    Credentials, effective_uid, peer_groups, peer_process, process_ended, sees_our_processes,
};
pub use retransmission::bound_retransmission;
pub use unacknowledged::unacknowledged;
pub use watch::{Passed, read_into, read_with_descriptors, watch};
