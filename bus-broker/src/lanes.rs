//! Lanes for a client of this machine: agreed on in the handshake, or refused with a reason.

use bus_core::session::Hello;
use bus_core::shm::{LANE_BYTES_DEFAULT, LaneOffer, PeerLanes};
use bus_core::sys::{AsFd, OwnedFd, file_limit, is_out_of_files};
use bus_core::transport::{Bells, Link, could_stop_us, make_bell, take_bell};
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
    Agreed {
        link: Box<dyn Link>,
        descriptors: Vec<OwnedFd>,
        /// The broker has a bell of the client's.
        rings: bool,
    },
    /// The client goes on over its socket; why, if it had offered lanes.
    Refused(String),
    /// As above: what it has handed over is not to be trusted.
    Distrusted(String),
}

impl Lanes {
    /// Takes up what a client has offered with its Hello.
    pub fn agree(link: &mut dyn Link, hello: &Hello, allowed: Result<(), String>) -> Lanes {
        let trusted = could_stop_us(link.peer());
        let Some(carrier) = link.carrier() else { return Lanes::Refused(String::new()) };
        let theirs = carrier.take_descriptors();
        if hello.lane_bytes == 0 {
            return Lanes::Refused(String::new());
        }
        if let Err(reason) = allowed {
            return Lanes::Refused(reason);
        }
        let Some(mut theirs) = theirs else { return Lanes::Refused(no_descriptors()) };
        // Nobody of another user makes the broker write to what is his.
        let bell = match hello.rings && theirs.len() > LaneOffer::DESCRIPTORS {
            true => theirs.pop().filter(|_| trusted).and_then(take_bell),
            false => None,
        };
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
            let clones = offer.descriptors().map(|own| own.try_clone_to_owned());
            let mut descriptors = clones.into_iter().collect::<Result<Vec<_>, _>>()?;
            // The broker neither writes to it nor reads it, so whose user has it does not matter.
            let own = match hello.rings {
                true => make_bell().ok(),
                false => None,
            };
            descriptors.extend(own.as_ref().map(OwnedFd::try_clone).transpose()?);
            let (outgoing, incoming) = offer.join_verified(theirs);
            let (rings, bells) = (bell.is_some(), Bells { own, theirs: bell });
            Ok(Lanes::Agreed {
                link: carrier.upgrade(outgoing, incoming, bells)?,
                descriptors,
                rings,
            })
        };
        agreed().unwrap_or_else(|error| {
            let reason = match is_out_of_files(&*error) {
                true => no_descriptors(),
                false => error.to_string(),
            };
            Lanes::Refused(reason)
        })
    }

    /// Bytes of the broker's lane.
    pub fn bytes(&self) -> u64 {
        match self {
            Lanes::Agreed { .. } => LANE_BYTES_DEFAULT as u64,
            Lanes::Refused(_) | Lanes::Distrusted(_) => 0,
        }
    }

    /// Whether the broker rings a bell of the client's.
    pub fn rings(&self) -> bool {
        matches!(self, Lanes::Agreed { rings: true, .. })
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
        let Lanes::Agreed { link: lanes, descriptors, .. } = self else { return welcome };
        let own: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
        if let Some(Err(error)) = link.carrier().map(|old| old.write_with(&welcome, &own)) {
            // The client is gone, or will give up: the new link finds that out.
            debug!(%error, "a client does not take its Welcome");
        }
        *link = lanes;
        Bytes::new()
    }
}

/// Why there are no lanes where the broker may open no more files. It has them for connections first.
fn no_descriptors() -> String {
    let limit = file_limit().map_or("no more".into(), |limit| limit.to_string());
    format!(
        "the broker has no descriptors left for it: {limit} files may be open there; raise its limit (ulimit -n, LimitNOFILE=)"
    )
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use bus_core::transport::{LocalListener, connect_local};
    use bytes::BytesMut;

    use super::*;

    fn hello(rings: bool) -> Hello {
        Hello {
            version_min: 1,
            version_max: 1,
            name: "a client".into(),
            grace: Duration::ZERO,
            resume: None,
            lane_bytes: LANE_BYTES_DEFAULT as u64,
            rings,
            credential: None,
        }
    }

    /// What comes of a Hello with a good pair of lanes, and this beside it.
    async fn offered(rings: bool, third: OwnedFd) -> Lanes {
        let home = tempfile::tempdir().expect("a folder");
        let listener = LocalListener::bind(&home.path().join("socket")).expect("a socket");
        let (near, far) = tokio::join!(connect_local(listener.path()), listener.accept());
        let (mut near, mut far) = (near.expect("connects"), far.expect("accepts"));
        let offer = LaneOffer::new(LANE_BYTES_DEFAULT).expect("memory");
        let [lane, cursor] = offer.descriptors();
        let carrier = near.carrier().expect("a local socket");
        carrier.write_with(b"hello", &[lane, cursor, third.as_fd()]).expect("it goes");
        poll_fn(|cx| far.poll_readable(cx)).await.expect("it came");
        far.try_read(&mut BytesMut::with_capacity(100)).expect("it came");
        Lanes::agree(&mut *far, &hello(rings), Ok(()))
    }

    #[tokio::test]
    async fn only_a_bell_is_rung_and_lanes_are_had_without_one() {
        let good = offered(true, make_bell().expect("an eventfd")).await;
        assert!(good.rings() && good.bytes() > 0);
        let (socket, _other) = UnixStream::pair().expect("sockets");
        let bad = offered(true, socket.into()).await;
        assert!(!bad.rings() && bad.bytes() > 0);
        assert!(matches!(&bad, Lanes::Agreed { descriptors, .. } if descriptors.len() == 3));
    }

    #[tokio::test]
    async fn descriptor_that_was_not_agreed_on_costs_the_lanes() {
        let refused = offered(false, make_bell().expect("an eventfd")).await;
        assert!(refused.refusal().starts_with("3 descriptors"), "{}", refused.refusal());
    }
}
