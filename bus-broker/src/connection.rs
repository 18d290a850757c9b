//! The life of one connection: handshake, driving, end.
//!
//! Until the handshake is done a peer costs at most 16 KiB and two seconds. After it, the
//! connection's task only wakes up to let the hub drive it. Connections that end badly are charged
//! to where they come from, whose next ones wait.

use std::future::poll_fn;
use std::time::Duration;

use bus_core::router::{Identity, SessionId};
use bus_core::session::Hello;
use bus_core::sys::process_ended;
use bus_core::transport::{Link, LinkError, is_tls, next_frame, not_clear, write_frame};
use bus_core::{
    Decoder, ErrorKind, Failure, HANDSHAKE_FRAME_BYTES_MAX, HANDSHAKE_TIMEOUT, Header, Kind,
    control,
};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::handshakes::{Account, Handshake};
use crate::hub::SharedHub;
use crate::lanes::Lanes;
use crate::membership::Attached;
use crate::users::{Identified, by_the_kernel};

/// A connection that ends sooner than this, and without a goodbye, has ended badly.
const SHORT: Duration = Duration::from_secs(1);

/// Room for what comes before its turn: whether anything does is to be found out.
const EARLY_BYTES: usize = 1024;

/// Serves a connection until it ends.
pub(crate) async fn serve(hub: SharedHub, mut link: Box<dyn Link>, handshake: Handshake) {
    let account = handshake.account();
    let mut decoder = Decoder::for_handshake();
    let hello = match shake_hands(&mut *link, &mut decoder, handshake).await {
        Ok(hello) => hello,
        Err(failure) => {
            // Whoever had to make room for others has done nothing bad.
            if failure.kind() != ErrorKind::QuotaExceeded {
                account.charge_bad(hub.borrow().now());
            }
            if failure.kind() == ErrorKind::Disconnected {
                // It is gone: there is nobody to be told, and nothing that an operator could do.
                return debug!(peer = %link.peer().address, %failure, "handshake failed");
            }
            hub.borrow_mut().note_failed(link.peer(), &failure);
            return refuse(&mut *link, &failure).await;
        }
    };
    let peer = link.peer();
    let who = hello.agree().and_then(|_| hub.borrow().config.users.identify(peer, &hello));
    match who {
        Ok(who) => run(hub, link, decoder, hello, who, Some(&account)).await,
        Err(failure) => {
            account.charge_bad(hub.borrow().now());
            let name = if failure.kind() == ErrorKind::Unauthenticated { &hello.name } else { "" };
            hub.borrow_mut().note_refused(link.peer(), name, &failure);
            refuse(&mut *link, &failure).await;
        }
    }
}

/// Serves the connection of the broker's own client.
pub(crate) async fn serve_own(hub: SharedHub, link: Box<dyn Link>) {
    serve_inside(hub, link, |identity| Identity { system: true, ..identity }).await;
}

/// Serves the connection of a bridge that runs here: an administrator's.
pub(crate) async fn serve_bridge(hub: SharedHub, link: Box<dyn Link>) {
    serve_inside(hub, link, |identity| Identity { admin: true, ..identity }).await;
}

async fn serve_inside(
    hub: SharedHub,
    mut link: Box<dyn Link>,
    promote: impl FnOnce(Identity) -> Identity,
) {
    let mut decoder = Decoder::for_handshake();
    match read_hello(&mut *link, &mut decoder).await {
        Ok(hello) => {
            let identity = promote(by_the_kernel(link.peer(), &hello.name));
            let who = Identified { identity, shown: None };
            run(hub, link, decoder, hello, who, None).await;
        }
        Err(error) => warn!(%error, "a client of the broker's own does not say hello"),
    }
}

/// Reads the Hello, for as long as the handshake may take, and waits for its turn.
async fn shake_hands(
    link: &mut dyn Link,
    decoder: &mut Decoder,
    mut handshake: Handshake,
) -> Result<Hello, Failure> {
    let turn = Instant::now() + handshake.wait();
    let heard = async {
        let hello = read_hello(link, decoder).await?;
        stays_until(link, decoder, turn).await?;
        Ok(hello)
    };
    let heard = tokio::select! {
        biased;
        result = heard => result,
        () = handshake.evicted() => return Err(Failure::new(
            ErrorKind::QuotaExceeded,
            "too many others were connecting: connect again",
        )),
        () = sleep(HANDSHAKE_TIMEOUT) => return Err(too_late()),
    };
    heard.map_err(|error| match error {
        LinkError::Frame(_) if is_tls(decoder.buffer()) => not_clear(),
        LinkError::Frame(error) => Failure::from(error),
        LinkError::Ended => Failure::new(ErrorKind::Disconnected, error.to_string()),
        LinkError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Failure::new(ErrorKind::Disconnected, error.to_string())
        }
        LinkError::Io(error) => Failure::new(ErrorKind::Io, error.to_string()),
    })
}

/// What is told to somebody who has not said who he is in time.
pub(crate) fn too_late() -> Failure {
    let reason = format!("no whole Hello within {HANDSHAKE_TIMEOUT:?}");
    Failure::new(ErrorKind::TimedOut, reason)
}

/// Waits, unless the peer goes away meanwhile: then nothing need be made for it.
async fn stays_until(
    link: &mut dyn Link,
    decoder: &mut Decoder,
    time: Instant,
) -> Result<(), LinkError> {
    if time <= Instant::now() {
        return Ok(());
    }
    let gone = async {
        loop {
            poll_fn(|cx| link.poll_readable(cx)).await?;
            let buffer = decoder.buffer();
            if buffer.len() == buffer.capacity() {
                if buffer.len() >= HANDSHAKE_FRAME_BYTES_MAX {
                    // It has said more than is kept for it now; the rest stays where it is.
                    std::future::pending::<()>().await;
                }
                buffer.reserve(EARLY_BYTES);
            }
            match link.try_read(buffer) {
                Ok(0) => return Err(LinkError::Ended),
                // It says more, and is not asked for that yet.
                Ok(_) => std::future::pending().await,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    };
    tokio::select! {
        biased;
        result = gone => result,
        () = sleep_until(time) => Ok(()),
    }
}

/// Serves a peer that has said who it is. What it does badly is charged to its account.
async fn run(
    hub: SharedHub,
    mut link: Box<dyn Link>,
    mut decoder: Decoder,
    hello: Hello,
    who: Identified,
    account: Option<&Account>,
) {
    let began = hub.borrow().now();
    let charge_bad = || account.into_iter().for_each(|it| it.charge_bad(hub.borrow().now()));
    let peer = link.peer().clone();
    let (system, sender) = (who.identity.system, who.identity.sender.clone());
    decoder.establish();
    link.establish();
    let refusal = hub.borrow().check_hello(&hello, &who.identity).err();
    if let Some(failure) = refusal {
        charge_bad();
        hub.borrow_mut().note_refused(&peer, &sender.to_string(), &failure);
        return refuse(&mut *link, &failure).await;
    }
    let mut token = [0u8; 16];
    if let Err(error) = getrandom::fill(&mut token) {
        let failure =
            Failure::new(ErrorKind::Other, format!("the broker has no randomness: {error}"));
        return refuse(&mut *link, &failure).await;
    }
    let token = Bytes::copy_from_slice(&token);
    let allowed = hub.borrow().may_have_lanes(&who.identity);
    let lanes = Lanes::agree(&mut *link, &hello, allowed);
    if matches!(lanes, Lanes::Distrusted(_)) {
        charge_bad();
    }
    let attached = hub.borrow_mut().attach(&hello, who, link, decoder, token, lanes);
    let Attached { session, line } = match attached {
        Ok(attached) => attached,
        Err(failure) => {
            return hub.borrow_mut().note_refused(&peer, &sender.to_string(), &failure);
        }
    };
    if !system {
        let transport = hub.borrow().transport(session);
        info!(client = %sender, session = session.serial(), %transport, "connected");
    }
    // Frames may have come together with the Hello; nothing else would look at them.
    let early = hub.borrow_mut().take_early(session);
    let reason = match early {
        Ok(()) => poll_fn(|cx| hub.borrow_mut().drive(session, line, cx)).await,
        Err(reason) => reason,
    };
    if reason.is_some() && hub.borrow().now().since(began) < SHORT {
        charge_bad();
    }
    if let (false, Some(reason)) = (system, &reason) {
        info!(client = %sender, session = session.serial(), reason, "disconnected");
    }
    let away = hub.borrow_mut().detach(session, line, false);
    if let (Some(pid), Some(away)) = (sender.pid, away) {
        watch(hub, session, pid, away).await;
    }
}

/// While the session is away: ends it as soon as its process is known to be gone. The process
/// costs a descriptor, so that nobody is watched for longer.
async fn watch(hub: SharedHub, session: SessionId, pid: u32, away: oneshot::Receiver<()>) {
    if pid == std::process::id() {
        return;
    }
    tokio::select! {
        biased;
        // Its other end is never used, only dropped.
        _ = away => {}
        ended = process_ended(pid) => if ended.is_ok() {
            debug!(session = session.serial(), pid, "the client's process has ended");
            hub.borrow_mut().close_if_away(session);
        }
    }
}

async fn read_hello(link: &mut dyn Link, decoder: &mut Decoder) -> Result<Hello, LinkError> {
    let frame = next_frame(link, decoder).await?;
    match frame.header.kind {
        Kind::Hello => Ok(control::decode_hello(&frame.body)?),
        kind => Err(LinkError::Frame(bus_core::FrameError::Unexpected(kind))),
    }
}

/// Tells a peer why it may not connect, if it still listens.
async fn refuse(link: &mut dyn Link, failure: &Failure) {
    let body = control::encode_failure(failure);
    let told = write_frame(link, Header::new(Kind::Refuse, 0, 0), &body);
    // It is of no use to know that a peer that is sent away did not listen.
    let _ = timeout(Duration::from_millis(200), told).await;
}

mod guesses;
mod leftover;

#[cfg(test)]
pub(crate) mod tests {
    use bus_core::HANDSHAKE_MEMORY_BYTES_MAX;
    use bus_core::session::VERSION;
    use bus_core::transport::{frame_bytes, mem_pair};

    use super::*;

    const TURN: Duration = Duration::from_millis(700);

    pub(crate) fn hello(name: &str) -> Hello {
        Hello {
            version_min: VERSION,
            version_max: VERSION,
            name: name.into(),
            grace: Duration::ZERO,
            resume: None,
            lane_bytes: 0,
            rings: false,
            credential: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_his_turn_is_heard_then_and_not_before() {
        let (mut near, mut far) = mem_pair();
        let (mut decoder, began) = (Decoder::for_handshake(), Instant::now());
        // What he says meanwhile is kept.
        write_frame(&mut *far, Header::new(Kind::Ping, 0, 1), &[]).await.expect("there is room");
        let stays = stays_until(&mut *near, &mut decoder, began + TURN).await;
        assert!(stays.is_ok() && began.elapsed() >= TURN, "{stays:?}");
        let frame = decoder.next_frame().expect("a good frame");
        assert_eq!(frame.map(|frame| frame.header.kind), Some(Kind::Ping));
    }

    #[tokio::test(start_paused = true)]
    async fn before_its_turn_a_peer_costs_no_more_memory_than_the_limit() {
        let hello = control::encode_hello(&hello("long"));
        let hello = frame_bytes(Header::new(Kind::Hello, 0, 0), &hello);
        for more in [0, 1, 4000, 4096, 8192, 60_000] {
            let (mut near, mut far) = mem_pair();
            let mut decoder = Decoder::for_handshake();
            let bytes = Bytes::from([&hello[..], &vec![0; more]].concat());
            far.try_write(&[bytes]).expect("there is room");
            read_hello(&mut *near, &mut decoder).await.expect("a Hello");
            let turn = Instant::now() + TURN;
            stays_until(&mut *near, &mut decoder, turn).await.expect("it stays");
            let kept = decoder.buffer().capacity();
            assert!(kept <= HANDSHAKE_MEMORY_BYTES_MAX, "{kept} bytes are kept for {more} more");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_frame_costs_no_more_memory_than_the_limit() {
        let (mut near, mut far) = mem_pair();
        let mut decoder = Decoder::for_handshake();
        let body = vec![0; HANDSHAKE_FRAME_BYTES_MAX];
        let frame = frame_bytes(Header::new(Kind::Hello, 0, 0), &body);
        for at in 0..frame.len() - 1 {
            far.try_write(&[frame.slice(at..at + 1)]).expect("there is room");
            let read = timeout(Duration::from_millis(1), read_hello(&mut *near, &mut decoder));
            assert!(read.await.is_err(), "it is not whole");
        }
        let kept = decoder.buffer().capacity();
        assert!(kept <= HANDSHAKE_MEMORY_BYTES_MAX, "{kept} bytes are kept");
        // One byte more in a frame is too many.
        let (mut near, mut far) = mem_pair();
        let body = vec![0; HANDSHAKE_FRAME_BYTES_MAX + 1];
        far.try_write(&[frame_bytes(Header::new(Kind::Hello, 0, 0), &body)]).expect("room");
        let read = read_hello(&mut *near, &mut Decoder::for_handshake()).await;
        assert!(matches!(read, Err(LinkError::Frame(_))), "{read:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_made_for_one_who_goes_away_while_he_waits() {
        let (mut near, far) = mem_pair();
        let (mut decoder, began) = (Decoder::for_handshake(), Instant::now());
        let going = async {
            sleep(TURN / 7).await;
            drop(far);
        };
        let staying = stays_until(&mut *near, &mut decoder, began + TURN);
        let (stays, ()) = tokio::join!(staying, going);
        assert!(matches!(stays, Err(LinkError::Ended)), "{stays:?}");
        assert!(began.elapsed() < TURN, "he has been waited for");
    }
}
