//! What is said of a machine that is no Linux: which system it is, and what the bus does without on it.
//!
//! Nothing is tried: what is missing here is missing on all machines of this system.

use bus_core::shm::{LANE_BYTES_DEFAULT, LaneOffer};

use super::finding::Finding;
use super::judge;

/// All about this machine.
pub fn machine() -> Vec<Finding> {
    let lanes = LaneOffer::new(LANE_BYTES_DEFAULT).map(drop).map_err(|error| error.to_string());
    let on_socket =
        "lanes cannot be had: clients on this machine go over the socket, several times slower";
    vec![
        Finding::ok("system", std::env::consts::OS),
        judge::feature("sealed memory", lanes, on_socket),
        Finding::ok("other limits", "only those of Linux are looked at"),
    ]
}
