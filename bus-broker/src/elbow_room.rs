//! Whether a broker may open as many files as it needs for anybody to be served.
//!
//! Asked once, when it listens and nobody is accepted yet. It changes no limit: a library has no right to. Invariant: a broker
//! that says that it listens has room for clients.

use std::io;

use bus_core::BusUrl;
use bus_core::sys::{file_limit, is_out_of_files, open_files};
use tracing::warn;

use crate::config::BrokerConfig;
use crate::start_error::StartError;

/// Files of one client on lanes: its socket, its process, and a bell of either side.
const PER_CLIENT: u64 = 4;
/// What must be free when a broker begins: as many as the handshake of one client on lanes takes for a moment,
/// and those of another one.
const FREE_MIN: u64 = 12 + PER_CLIENT;
/// The same where nobody comes over lanes: one client's socket, and its process.
const FREE_MIN_WITHOUT_LANES: u64 = 2;
/// Below that it is said how few clients there is room for.
const FREE_FEW: u64 = 64 * PER_CLIENT;

/// Looks how many files may still be opened.
///
/// # Errors
/// When they are too few for anybody to be served.
pub(crate) fn check(config: &BrokerConfig) -> Result<(), StartError> {
    let (Some(limit), Some(own)) = (file_limit(), open_files()) else { return Ok(()) };
    if config.listen.is_empty() {
        // Whoever is in the same process needs none.
        return Ok(());
    }
    let is_local = |url: &BusUrl| matches!(url, BusUrl::Local(_) | BusUrl::Unix(_));
    let has_lanes = config.shared_memory && config.listen.iter().any(is_local);
    judge(limit, own, if has_lanes { FREE_MIN } else { FREE_MIN_WITHOUT_LANES })
}

/// What a system error means that has ended the start.
pub(crate) fn of(error: io::Error) -> StartError {
    match (is_out_of_files(&error), file_limit()) {
        // How many it would have needed beyond that is not known.
        (true, Some(limit)) => {
            StartError::Descriptors { limit, own: limit + 1, needed: limit + 1 + FREE_MIN }
        }
        _ => StartError::System(error),
    }
}

fn judge(limit: u64, own: u64, least: u64) -> Result<(), StartError> {
    let free = limit.saturating_sub(own);
    if free < least {
        return Err(StartError::Descriptors { limit, own, needed: own + least });
    }
    if free < FREE_FEW {
        let clients = free / PER_CLIENT;
        warn!(
            limit,
            own,
            clients,
            "few files may be open: so many clients can be served (ulimit -n, LimitNOFILE=)"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_below_what_one_client_needs_is_refused_and_says_which_would_do() {
        let refused = judge(16, 16, FREE_MIN).expect_err("nobody could connect");
        let StartError::Descriptors { needed, .. } = &refused else { panic!("{refused}") };
        assert!(judge(*needed, 16, FREE_MIN).is_ok() && judge(needed - 1, 16, FREE_MIN).is_err());
        assert!(judge(18, 16, FREE_MIN_WITHOUT_LANES).is_ok());
        let told = refused.to_string();
        assert!(told.contains("16 files") && told.contains(&needed.to_string()), "{told}");
        assert!(judge(1024, 16, FREE_MIN).is_ok());
    }

    #[test]
    fn an_error_for_want_of_files_is_told_as_that() {
        let error = io::Error::from(rustix::io::Errno::MFILE);
        assert!(matches!(of(error), StartError::Descriptors { .. }));
        assert!(matches!(of(io::Error::other("else")), StartError::System(_)));
    }
}
