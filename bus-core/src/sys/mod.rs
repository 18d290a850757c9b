//! What differs between operating systems, and the only room beside `shm` with unsafe code.
//!
//! Thin and without policy: it asks the kernel who a peer is, whether this process is still the one that it was,
//! and how many files may be open, and takes what whoever started the process has left for it.
//!
//! The files of this folder are written for Linux, or for all systems of Unix's family. What takes the place of one
//! elsewhere bears the same names, and stands in `elsewhere`, or in `windows`. What a system does not have is a type
//! of which there is no value, or an error of the kind `Unsupported`.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "some of it is for Linux alone"))]

mod absent;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere/accepting.rs")]
mod accepting;
mod aside;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere/birth.rs")]
mod birth;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere/bound.rs")]
mod bound;
#[cfg_attr(windows, path = "windows/children.rs")]
mod children;
#[cfg_attr(windows, path = "windows/clock.rs")]
mod clock;
mod credentials;
#[cfg_attr(windows, path = "windows/descriptors.rs")]
mod descriptors;
#[cfg_attr(windows, path = "windows/files.rs")]
mod files;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere/inheritance.rs")]
mod inheritance;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere/inherited.rs")]
mod inherited;
#[cfg_attr(windows, path = "windows/limits.rs")]
mod limits;
mod listening;
#[cfg(not(target_os = "linux"))]
#[cfg_attr(windows, path = "windows/local_stream.rs")]
#[cfg_attr(not(windows), path = "elsewhere/local_stream.rs")]
mod local_stream;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere/notify.rs")]
mod notify;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere/peer.rs")]
mod peer;
#[cfg(windows)]
#[path = "windows/pipe.rs"]
mod pipe;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere/priority.rs")]
mod priority;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere/retransmission.rs")]
mod retransmission;
#[cfg(feature = "signals")]
#[cfg_attr(windows, path = "windows/signals.rs")]
mod signals;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere/unacknowledged.rs")]
mod unacknowledged;
#[cfg_attr(windows, path = "windows/user.rs")]
mod user;
#[cfg(target_os = "linux")]
mod watch;

pub use absent::not_available;
pub use accepting::{Accepting, accept, will_say_no_more};
pub use aside::aside;
pub use birth::Birth;
pub use bound::listening_address;
pub use children::{ask_to_end, end_with_parent, kill_group, shell};
pub use clock::monotonic_clock;
pub use credentials::Credentials;
pub use descriptors::{AsFd, BorrowedFd, OwnedFd};
pub use files::{file_mode, folder_mode, owner_and_mode};
pub use inheritance::SocketFile;
pub use inherited::{Inherited, take_inherited, take_words};
pub use limits::{file_limit, is_out_of_files, open_files, raise_file_limit};
pub use listening::Listening;
#[cfg(not(target_os = "linux"))]
pub(crate) use local_stream::{LocalStream, local_stream, poll_written};
pub use notify::Notify;
pub use peer::{peer_groups, process_ended};
#[cfg(target_os = "linux")]
pub use peer::{peer_process, sees_our_processes};
#[cfg(windows)]
pub(crate) use pipe::{PipeListener, connect_pipe, credentials};
pub use priority::give_way;
pub use retransmission::bound_retransmission;
#[cfg(feature = "signals")]
pub use signals::{Ending, HangUp};
pub use unacknowledged::unacknowledged;
pub use user::{effective_gid, effective_uid};
#[cfg(target_os = "linux")]
pub use watch::{Passed, read_into, read_with_descriptors, watch};
