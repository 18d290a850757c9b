//! For whom this process acts.
//!
//! Asked of the kernel each time: a process may change it.

/// The user for whom this process acts.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The group for which this process acts.
pub fn effective_gid() -> u32 {
    rustix::process::getegid().as_raw()
}
