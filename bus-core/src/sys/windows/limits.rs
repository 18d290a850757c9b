//! Limits that the operating system sets for this process: Windows has none for sockets and pipes.
//!
//! `None` is said of each.

use std::error::Error;
use std::io;

/// `ERROR_TOO_MANY_OPEN_FILES`.
const TOO_MANY_OPEN_FILES: i32 = 4;

/// `WSAEMFILE`.
const NO_MORE_SOCKETS: i32 = 10024;

/// The number of files that may be open, after it was raised; `None` means that there is no limit.
pub fn raise_file_limit() -> Option<u64> {
    None
}

/// The number of files that may be open now; `None` means that there is no limit.
pub fn file_limit() -> Option<u64> {
    None
}

/// The number of files that are open; `None` where the system does not tell.
pub fn open_files() -> Option<u64> {
    None
}

/// Whether something went wrong because this process, or the whole system, may open no more files.
pub fn is_out_of_files(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(one) = next {
        let code = one.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if code.is_some_and(|code| [TOO_MANY_OPEN_FILES, NO_MORE_SOCKETS].contains(&code)) {
            return true;
        }
        next = one.source();
    }
    false
}
