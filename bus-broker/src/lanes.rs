//! Lanes for a client of this machine: agreed on in the handshake, or refused with a reason.

use std::os::fd::{AsFd, OwnedFd};

use bus_core::session::Hello;
use bus_core::shm::{LANE_BYTES_DEFAULT, LaneOffer, PeerLanes};
use bus_core::transport::Link;
use bytes::Bytes;
use tracing::{debug, warn};

/// Clients on lanes at a time: each costs about a quarter of a megabyte on either side. Those beyond it
/// go over their sockets.
pub(crate) const LANES_MAX: usize = 1024;

/// Of one user (root and the broker's own aside), so that nobody takes all of them.
pub(crate) const LANES_PER_USER_MAX: usize = 768;

/// What the handshake has come to.
pub(crate) enum Lanes {
    /// Both sides have verified the other's memory: the link is exchanged.
    Agreed { link: Box<dyn Link>, descriptors: [OwnedFd; LaneOffer::DESCRIPTORS] },
    /// The client goes on over its socket; why, if it had offered lanes.
    Refused(String),
    /// As above: what it has handed over is not to be trusted.
    Distrusted(String),
}

impl Lanes {
    /// Takes up what a client has offered with its Hello.
    pub fn agree(link: &mut dyn Link, hello: &Hello, allowed: Result<(), String>) -> Lanes {
        let Some(carrier) = link.carrier() else { return Lanes::Refused(String::new()) };
        let theirs = carrier.take_descriptors();
        if hello.lane_bytes == 0 {
            return Lanes::Refused(String::new());
        }
        if let Err(reason) = allowed {
            return Lanes::Refused(reason);
        }
        let [lane, cursor] = &theirs[..] else {
            return Lanes::Distrusted(format!("{} descriptors came along, not 2", theirs.len()));
        };
        // First theirs: nothing is made for a client whose memory is refused.
        let capacity = usize::try_from(hello.lane_bytes).unwrap_or(usize::MAX);
        let theirs = match PeerLanes::verify(lane.as_fd(), cursor.as_fd(), capacity) {
            Ok(theirs) => theirs,
            Err(error) => {
                warn!(%error, "a client's lanes are not used");
                return Lanes::Distrusted(error.to_string());
            }
        };
        let agreed = || -> Result<_, Box<dyn std::error::Error>> {
            let offer = LaneOffer::new(LANE_BYTES_DEFAULT)?;
            let [own_lane, own_cursor] = offer.descriptors();
            let descriptors = [own_lane.try_clone_to_owned()?, own_cursor.try_clone_to_owned()?];
            let (outgoing, incoming) = offer.join_verified(theirs);
            Ok(Lanes::Agreed { link: carrier.upgrade(outgoing, incoming)?, descriptors })
        };
        agreed().unwrap_or_else(|error| {
            warn!(%error, "a client's lanes are not used");
            Lanes::Refused(error.to_string())
        })
    }

    /// Bytes of the broker's lane.
    pub fn bytes(&self) -> u64 {
        match self {
            Lanes::Agreed { .. } => LANE_BYTES_DEFAULT as u64,
            Lanes::Refused(_) | Lanes::Distrusted(_) => 0,
        }
    }

    /// Why there are none.
    pub fn refusal(&self) -> String {
        match self {
            Lanes::Agreed { .. } => String::new(),
            Lanes::Refused(reason) | Lanes::Distrusted(reason) => reason.clone(),
        }
    }

    /// Says Welcome over the socket, with the broker's descriptors, and exchanges the link.
    /// What is left to be written over the link, if that stays what it is.
    pub fn welcome(self, link: &mut Box<dyn Link>, welcome: Bytes) -> Bytes {
        let Lanes::Agreed { link: lanes, descriptors } = self else { return welcome };
        let own = descriptors.each_ref().map(OwnedFd::as_fd);
        if let Some(Err(error)) = link.carrier().map(|old| old.write_with(&welcome, &own)) {
            // The client is gone, or will give up: the new link finds that out.
            debug!(%error, "a client does not take its Welcome");
        }
        *link = lanes;
        Bytes::new()
    }
}
