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
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::hub::SharedHub;
use crate::membership::Attached;

/// Serves a connection until it ends. `system` is the broker's own.
pub(crate) async fn serve(
    hub: SharedHub,
    mut link: Box<dyn Link>,
    system: bool,
    handshake: Option<OwnedSemaphorePermit>,
) {
    let peer = link.peer().clone();
    let mut decoder = Decoder::for_handshake();
    let hello = match timeout(HANDSHAKE_TIMEOUT, read_hello(&mut *link, &mut decoder)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(error)) => {
            debug!(peer = %peer.address, %error, "handshake failed");
            if let LinkError::Frame(error) = error {
                refuse(&mut *link, &Failure::from(error)).await;
            }
            return;
        }
        Err(_) => return debug!(peer = %peer.address, "handshake not finished in time"),
    };
    let (pid, transport) =
        (peer.credentials.as_ref().and_then(|credentials| credentials.pid), link.transport());
    let identity = identify(&peer, &hello, system);
    let sender = identity.sender.clone();
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
    let attached =
        hub.borrow_mut().attach(&hello, identity, link, decoder, Bytes::copy_from_slice(&token));
    drop(handshake);
    let Attached { session, line } = match attached {
        Ok(attached) => attached,
        Err(failure) => return warn!(peer = %peer.address, client = %sender, %failure, "refused"),
    };
    if !system {
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
    if let (Some(pid), Some(away)) = (pid, away) {
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
fn identify(peer: &Peer, hello: &Hello, system: bool) -> Identity {
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
            system,
        },
    }
}
