//! Lanes in shared memory, as a client asks for them in its handshake.

use bus_core::BusUrl;
use bus_core::session::{Hello, Welcome};
use bus_core::shm::{LANE_BYTES_DEFAULT, LaneOffer};
use bus_core::sys::{AsFd, OwnedFd, file_limit};
use bus_core::transport::{
    Bells, Link, LinkError, could_stop_us, frame_bytes, is_same_user, make_bell, take_bell,
    write_frame,
};
use bus_core::{ErrorKind, Header, Kind, control};

use crate::error::Error;

/// How much a client wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The socket alone; why.
    Never(&'static str),
    /// If they can be had.
    Maybe,
    /// Or no connection at all.
    Must,
}

impl Wish {
    /// What a URL says of it.
    pub fn of(url: &BusUrl, allowed: bool) -> Wish {
        match url {
            BusUrl::Shm(_) => Wish::Must,
            BusUrl::Local(_) if allowed => Wish::Maybe,
            BusUrl::Local(_) => Wish::Never("this client is told to use no shared memory"),
            _ => Wish::Never("the URL asks for it"),
        }
    }
}

/// What this side has offered.
pub(crate) enum Asked {
    Offered {
        lane: LaneOffer,
        /// It goes only to a broker that may write to it: one of the same user.
        bell: Option<OwnedFd>,
    },
    /// It has not; why.
    Nothing(String),
}

/// Says Hello, and offers lanes with it if they are wished for.
pub(crate) async fn say_hello(
    link: &mut dyn Link,
    hello: &Hello,
    wish: Wish,
) -> Result<Asked, LinkError> {
    let asked = match (wish, link.carrier().is_some()) {
        (Wish::Never(reason), _) => Asked::Nothing(reason.into()),
        (_, false) => Asked::Nothing(match LaneOffer::supported() {
            Ok(()) => "only a local socket can hand over shared memory".into(),
            Err(error) => error.to_string(),
        }),
        _ => match LaneOffer::new(LANE_BYTES_DEFAULT) {
            Ok(lane) => {
                let bell = match is_same_user(link.peer()) {
                    true => make_bell().ok(),
                    false => None,
                };
                Asked::Offered { lane, bell }
            }
            Err(error) => Asked::Nothing(error.to_string()),
        },
    };
    let header = Header::new(Kind::Hello, 0, 0);
    match (&asked, link.carrier()) {
        (Asked::Offered { lane, bell }, Some(carrier)) => {
            let lane_bytes = LANE_BYTES_DEFAULT as u64;
            let hello = Hello { lane_bytes, rings: true, ..hello.clone() };
            let bytes = frame_bytes(header, &control::encode_hello(&hello));
            let mut descriptors = lane.descriptors().to_vec();
            descriptors.extend(bell.as_ref().map(AsFd::as_fd));
            carrier.write_with(&bytes, &descriptors)?;
        }
        _ => write_frame(link, header, &control::encode_hello(hello)).await?,
    }
    Ok(asked)
}

/// Exchanges the link, if the broker has agreed. Gives the reason if it has not.
///
/// # Errors
/// `Io` when what the broker has handed over is not to be used.
pub(crate) fn take_up(
    link: &mut Box<dyn Link>,
    asked: Asked,
    welcome: &Welcome,
) -> Result<String, Error> {
    let trusted = could_stop_us(link.peer());
    let theirs = link.carrier().map_or(Some(Vec::new()), |carrier| carrier.take_descriptors());
    let (offer, bell) = match asked {
        Asked::Nothing(reason) => return Ok(reason),
        Asked::Offered { .. } if welcome.lane_bytes == 0 => return Ok(welcome.no_lanes.clone()),
        Asked::Offered { lane, bell } => (lane, bell),
    };
    let failed = |text: String| {
        Error::new(ErrorKind::Io, format!("the broker's shared memory is not used: {text}"))
    };
    let Some(mut theirs) = theirs else {
        let limit = file_limit().map_or("no more".into(), |limit| limit.to_string());
        return Err(failed(format!("{limit} files may be open in this process, and are")));
    };
    // Whose bell is rung could make this process wait: only who could stop it as well.
    let rung = match theirs.len() > LaneOffer::DESCRIPTORS {
        true => theirs.pop().filter(|_| trusted).and_then(take_bell),
        false => None,
    };
    let bells = Bells { own: bell.filter(|_| welcome.rings), theirs: rung };
    let [lane, cursor] = &theirs[..] else {
        return Err(failed(format!("{} descriptors came along, not 2", theirs.len())));
    };
    let capacity =
        usize::try_from(welcome.lane_bytes).map_err(|error| failed(error.to_string()))?;
    let joined = offer.join(lane.as_fd(), cursor.as_fd(), capacity);
    let (outgoing, incoming) = joined.map_err(|error| failed(error.to_string()))?;
    if let Some(carrier) = link.carrier() {
        let lanes = carrier.upgrade(outgoing, incoming, bells);
        *link = lanes.map_err(|error| failed(error.to_string()))?;
    }
    Ok("it is the fastest there is".into())
}
