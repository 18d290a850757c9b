//! The life of one connection: handshake, driving, end.
//!
//! Until the handshake is done a peer costs at most 16 KiB and two seconds. After it, the
//! connection's task only wakes up to let the hub drive it.

use std::future::poll_fn;
use std::time::Duration;

use bus_core::router::{Identity, SessionId};
use bus_core::session::Hello;
use bus_core::sys::{effective_uid, process_ended};
use bus_core::transport::{Link, LinkError, Peer, next_frame, write_frame};
use bus_core::{Decoder, ErrorKind, Failure, HANDSHAKE_TIMEOUT, Header, Kind, Sender, control};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::handshakes::Handshake;
use crate::hub::SharedHub;
use crate::lanes::Lanes;
use crate::membership::Attached;

/// Serves a connection until it ends.
pub(crate) async fn serve(hub: SharedHub, mut link: Box<dyn Link>, handshake: Handshake) {
    let mut decoder = Decoder::for_handshake();
    let hello = match shake_hands(&mut *link, &mut decoder, handshake).await {
        Ok(hello) => hello,
        Err(failure) => {
            info!(peer = %link.peer().address, %failure, "handshake failed");
            return refuse(&mut *link, &failure).await;
        }
    };
    let identity = identify(link.peer(), &hello);
    run(hub, link, decoder, hello, identity).await;
}

/// Serves the connection of the broker's own client.
pub(crate) async fn serve_own(hub: SharedHub, mut link: Box<dyn Link>) {
    let mut decoder = Decoder::for_handshake();
    match read_hello(&mut *link, &mut decoder).await {
        Ok(hello) => {
            let identity = Identity { system: true, ..identify(link.peer(), &hello) };
            run(hub, link, decoder, hello, identity).await;
        }
        Err(error) => warn!(%error, "the broker's own client does not say hello"),
    }
}

/// Reads the Hello, for as long as the handshake may take.
async fn shake_hands(
    link: &mut dyn Link,
    decoder: &mut Decoder,
    mut handshake: Handshake,
) -> Result<Hello, Failure> {
    tokio::select! {
        biased;
        result = read_hello(link, decoder) => result.map_err(|error| match error {
            LinkError::Frame(error) => Failure::from(error),
            other => Failure::new(ErrorKind::Disconnected, other.to_string()),
        }),
        () = handshake.evicted() => Err(Failure::new(
            ErrorKind::QuotaExceeded,
            "too many others were connecting: connect again",
        )),
        () = sleep(HANDSHAKE_TIMEOUT) => Err(Failure::new(
            ErrorKind::TimedOut,
            format!("no whole Hello within {HANDSHAKE_TIMEOUT:?}"),
        )),
    }
}

/// Serves a peer that has said who it is.
async fn run(
    hub: SharedHub,
    mut link: Box<dyn Link>,
    mut decoder: Decoder,
    hello: Hello,
    identity: Identity,
) {
    let peer = link.peer().clone();
    let (system, sender) = (identity.system, identity.sender.clone());
    decoder.establish();
    let refusal = hub.borrow().check_hello(&hello, &identity).err();
    if let Some(failure) = refusal {
        warn!(peer = %peer.address, client = %sender, %failure, "refused");
        return refuse(&mut *link, &failure).await;
    }
    let mut token = [0u8; 16];
    if let Err(error) = getrandom::fill(&mut token) {
        let failure =
            Failure::new(ErrorKind::Other, format!("the broker has no randomness: {error}"));
        return refuse(&mut *link, &failure).await;
    }
    let token = Bytes::copy_from_slice(&token);
    let allowed = hub.borrow().may_have_lanes(&identity);
    let lanes = Lanes::agree(&mut *link, &hello, allowed);
    let attached = hub.borrow_mut().attach(&hello, identity, link, decoder, token, lanes);
    let Attached { session, line } = match attached {
        Ok(attached) => attached,
        Err(failure) => return warn!(peer = %peer.address, client = %sender, %failure, "refused"),
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

/// Who the peer is, by the kernel's word; the name alone is its own.
fn identify(peer: &Peer, hello: &Hello) -> Identity {
    let name = hello.name.clone();
    match &peer.credentials {
        None => Identity { sender: Sender { name, ..Sender::default() }, ..Identity::default() },
        Some(found) => Identity {
            sender: Sender {
                session: 0,
                name,
                pid: found.pid,
                uid: Some(found.uid),
                gid: Some(found.gid),
            },
            groups: found.groups.clone(),
            admin: found.uid == 0 || found.uid == effective_uid(),
            system: false,
        },
    }
}
