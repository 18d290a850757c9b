//! Sessions of the hub: how they begin, go on over a new connection, and end.
//!
//! A session is resumed only by the holder of its token, of the same user, within the epoch.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bus_core::router::{Identity, Output, SessionEnd, SessionId};
use bus_core::session::{Hello, ServerSession, SessionLimits, Welcome, same_token};
use bus_core::transport::{Link, Transport, frame_bytes};
use bus_core::{Decoder, ErrorKind, Failure, Header, Kind, control};
use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::info;

use crate::hub::Hub;
use crate::lanes::Lanes;
use crate::log_bound::LogBound;
use crate::registry::{ClientInfo, Counters};
use crate::slot::{Guest, Line, Slot, slot_of};
use crate::system::SystemEvent;
use crate::users::Identified;

/// How a connection goes on.
pub(crate) struct Attached {
    pub session: SessionId,
    pub line: u64,
}

impl Hub {
    /// Gives a connection its session: the one that it resumes, or a new one.
    pub fn attach(
        &mut self,
        hello: &Hello,
        who: Identified,
        mut link: Box<dyn Link>,
        decoder: Decoder,
        token: Bytes,
        lanes: Lanes,
    ) -> Result<Attached, Failure> {
        let version = hello.agree()?;
        let grace = hello.grace_within(self.config.grace_max);
        let Identified { identity, shown } = who;
        let resumed = self.find_resumed(hello, &identity)?;
        let was_resumed = resumed.is_ok();
        let (session, not_resumed) = match resumed {
            Ok(session) => (self.rewind(session, hello)?, String::new()),
            Err(reason) => (self.open_slot(identity, grace, token)?, reason),
        };
        self.next_line += 1;
        let number = self.next_line;
        let Some(slot) = slot_of(&mut self.slots, session) else {
            return Err(Failure::new(ErrorKind::Other, "the session vanished"));
        };
        slot.away = None;
        slot.guest.shown = shown;
        if let Some(old) = slot.line.take().and_then(|mut old| old.waker.take()) {
            old.wake();
        }
        let welcome = Welcome {
            version,
            epoch: self.epoch,
            session: session.serial(),
            token: slot.token.clone(),
            resumed: was_resumed,
            received: slot.state.inbound.received(),
            grace,
            limits: SessionLimits::default(),
            broker: self.config.name.clone(),
            pid: std::process::id(),
            not_resumed,
            lane_bytes: lanes.bytes(),
            no_lanes: lanes.refusal(),
            rings: lanes.rings(),
        };
        let header = Header::new(Kind::Welcome, 0, 0);
        let welcome = frame_bytes(header, &control::encode_welcome(&welcome));
        let no_lanes = self.note_refusal(session, lanes.refusal());
        let prefix = lanes.welcome(&mut link, welcome);
        let counters = self.register(session, &*link, no_lanes);
        let Some(slot) = slot_of(&mut self.slots, session) else {
            return Err(Failure::new(ErrorKind::Other, "the session vanished"));
        };
        slot.line = Some(Line::new(link, decoder, number, counters, prefix));
        if was_resumed {
            self.router.resume(self.now(), session);
            self.dispatch();
        }
        Ok(Attached { session, line: number })
    }

    /// Whether one more client of this user may have lanes, or why not.
    pub fn may_have_lanes(&self, identity: &Identity) -> Result<(), String> {
        if !self.config.shared_memory {
            return Err("the broker is told to use no shared memory".into());
        }
        if identity.sender.pid.is_none() {
            // Nobody could tell whether it still lives: a child of it may hold its socket.
            return Err("the system does not tell which process this client is: it is in \
                        another namespace, as in a container"
                .into());
        }
        let uid = identity.sender.uid;
        let own = |slot: &&Slot| {
            self.router.identity(slot.id).is_some_and(|other| other.sender.uid == uid)
        };
        let own = self.on_lanes().filter(own).count();
        let count = self.on_lanes().count();
        if count >= self.config.lanes_max {
            return Err(format!("the broker has {count} clients on lanes, which is the limit"));
        }
        match own < self.config.lanes_per_user_max || identity.admin {
            true => Ok(()),
            false => Err(format!("this user has {own} clients on lanes, which is the limit")),
        }
    }

    /// Counts and tells why a client that has asked for lanes has none, if that is so.
    fn note_refusal(&mut self, session: SessionId, reason: String) -> String {
        if !reason.is_empty() {
            info!(session = session.serial(), reason, "no shared memory");
            self.lanes_refused += 1;
            self.lanes_refusal.clone_from(&reason);
        }
        reason
    }

    fn on_lanes(&self) -> impl Iterator<Item = &Slot> {
        let transport = |slot: &Slot| slot.line.as_ref().map(|line| line.link.transport());
        let slots = self.slots.iter().flatten();
        slots.filter(move |slot| transport(slot) == Some(Transport::SharedMemory))
    }

    /// How many clients are on lanes.
    pub fn lanes_count(&self) -> u64 {
        self.on_lanes().count() as u64
    }

    /// Over which transport a session is connected, for people.
    pub fn transport(&self, session: SessionId) -> String {
        let slot = self.slots.get(session.index()).and_then(Option::as_ref);
        let line = slot.and_then(|slot| slot.line.as_ref());
        line.map_or_else(String::new, |line| line.link.transport().to_string())
    }

    /// Takes a connection off the registry.
    fn unregister(&mut self, session: SessionId) {
        if let Some(info) = self.registry.remove(session.serial()) {
            self.tell(SystemEvent::Disconnected(info));
        }
    }

    /// Goes back to the first frame that the client does not have.
    fn rewind(&mut self, session: SessionId, hello: &Hello) -> Result<SessionId, Failure> {
        let received = hello.resume.as_ref().map_or(0, |resume| resume.received);
        let slot = slot_of(&mut self.slots, session);
        match slot.is_some_and(|slot| slot.state.outbound.rewind(received)) {
            true => Ok(session),
            false => Err(cannot_go_on(session, received)),
        }
    }

    /// Begins a session.
    fn open_slot(
        &mut self,
        identity: Identity,
        grace: Duration,
        token: Bytes,
    ) -> Result<SessionId, Failure> {
        let session = self.router.open_session(self.now(), identity, grace)?;
        let index = session.index();
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        let state = ServerSession::default();
        self.slots[index] = Some(Slot {
            id: session,
            state,
            token,
            line: None,
            dirty: false,
            ending: false,
            away: None,
            guest: Box::new(Guest { shown: None, bound: LogBound::of_one() }),
        });
        Ok(session)
    }

    /// Enters a connection into the registry.
    fn register(&mut self, session: SessionId, link: &dyn Link, no_lanes: String) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        let sender = self.router.identity(session).map(|found| found.sender.clone());
        let info = ClientInfo {
            sender: sender.unwrap_or_default(),
            address: link.peer().address.clone(),
            transport: link.transport(),
            no_lanes,
            counters: counters.clone(),
        };
        if self.router.identity(session).is_some_and(|found| !found.system) {
            self.tell(SystemEvent::Connected(info.clone()));
            self.registry.insert(session.serial(), info);
        }
        counters
    }

    /// The session that a Hello resumes, or why it cannot; an attempt on somebody else's
    /// session is refused.
    fn find_resumed(
        &self,
        hello: &Hello,
        identity: &Identity,
    ) -> Result<Result<SessionId, String>, Failure> {
        let Some(resume) = &hello.resume else { return Ok(Err(String::new())) };
        if resume.epoch != self.epoch {
            return Ok(Err("the broker has been restarted".into()));
        }
        let slot = self.slots.iter().flatten().find(|slot| slot.id.serial() == resume.session);
        let Some(slot) = slot.filter(|slot| !slot.ending) else {
            return Ok(Err("the session's grace has passed".into()));
        };
        let same_user = self.router.identity(slot.id).is_some_and(|old| old.is_same_user(identity));
        if !same_user || !same_token(&resume.token, &slot.token) {
            return Err(Failure::new(
                ErrorKind::SessionDenied,
                format!(
                    "session {} does not belong to this client: connect without resuming",
                    resume.session
                ),
            ));
        }
        Ok(Ok(slot.id))
    }

    /// Whether a peer may connect, before anything is made for it.
    pub fn check_hello(&self, hello: &Hello, identity: &Identity) -> Result<(), Failure> {
        hello.agree()?;
        if self.ending {
            return Err(Failure::new(ErrorKind::ShuttingDown, "the broker is shutting down"));
        }
        let Ok(session) = self.find_resumed(hello, identity)? else {
            return self.router.check_session(identity);
        };
        let received = hello.resume.as_ref().map_or(0, |resume| resume.received);
        let slot = self.slots.get(session.index()).and_then(Option::as_ref);
        match slot.is_some_and(|slot| slot.state.outbound.can_rewind(received)) {
            true => Ok(()),
            false => Err(cannot_go_on(session, received)),
        }
    }

    /// A connection has ended. Its session is away, or over if `gone`. While it is away, what
    /// is given lives: until it is resumed or over.
    pub fn detach(
        &mut self,
        session: SessionId,
        line: u64,
        gone: bool,
    ) -> Option<oneshot::Receiver<()>> {
        let now = self.now();
        self.note_gone(session);
        let slot = slot_of(&mut self.slots, session)?;
        if slot.line.as_ref().is_none_or(|own| own.number != line) {
            return None;
        }
        let (stays, away) = oneshot::channel();
        slot.away = Some(stays);
        slot.line = None;
        let ending = slot.ending;
        self.unregister(session);
        if gone || ending {
            self.router.close_session(now, session, SessionEnd::Lost);
        } else {
            self.router.suspend(now, session);
        }
        if !self.router.has_session(session) {
            self.forget(session);
        }
        self.dispatch();
        Some(away)
    }

    /// The process of a session that is away is gone: nobody will resume it.
    pub fn close_if_away(&mut self, session: SessionId) {
        let away = slot_of(&mut self.slots, session).is_some_and(|slot| slot.line.is_none());
        if away {
            self.router.close_session(self.now(), session, SessionEnd::Lost);
            self.forget(session);
            self.dispatch();
        }
    }

    pub(crate) fn forget(&mut self, session: SessionId) {
        if slot_of(&mut self.slots, session).is_some() {
            self.note_gone(session);
            let slot = self.slots[session.index()].take();
            self.unregister(session);
            // Its task has nothing more to do, and is to find that out.
            if let Some(waker) = slot.and_then(|slot| slot.line).and_then(|line| line.waker) {
                waker.wake();
            }
        }
    }

    /// Tells every client that the broker is going, and how many bytes are still to be written.
    pub fn announce_end(&mut self) {
        self.ending = true;
        let failure = Failure::new(ErrorKind::ShuttingDown, "the broker is shutting down");
        for slot in self.slots.iter_mut().flatten() {
            slot.state.output(Output::Expired { failure: failure.clone() });
            slot.ending = true;
            if let Some(waker) = slot.line.as_ref().and_then(|line| line.waker.as_ref()) {
                Waker::wake_by_ref(waker);
            }
        }
    }
}

fn cannot_go_on(session: SessionId, received: u64) -> Failure {
    let text = format!("session {} cannot go on at frame {received}", session.serial());
    Failure::new(ErrorKind::SessionDenied, text)
}
