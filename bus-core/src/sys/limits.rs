//! Limits that the operating system sets for this process.
//!
//! Only the soft limit is raised, to what the hard one allows.

use std::error::Error;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of files that may be open to the hard limit, and returns it.
/// `None` means that there is no limit.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// The number of files that are open; `None` where the system does not tell.
pub fn open_files() -> Option<u64> {
    match std::fs::read_dir("/proc/self/fd") {
        // The folder itself is open while it is read.
        Ok(all) => Some(u64::try_from(all.count()).unwrap_or(u64::MAX).saturating_sub(1)),
        Err(error) if is_out_of_files(&error) => file_limit(),
        Err(_) => None,
    }
}

/// Whether something went wrong because this process, or the whole system, may open no more files.
pub fn is_out_of_files(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(one) = next {
        let code = one.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if code.is_some_and(|code| {
            [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).contains(&code)
        }) {
            return true;
        }
        next = one.source();
    }
    false
}

/// The number of files that may be open now; `None` means that there is no limit.
pub fn file_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}
