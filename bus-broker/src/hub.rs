//! The broker's one thread of state: the router, and the sessions that it speaks to.
//!
//! Connections call in with what they have read; effects become frames of other sessions, and
//! those are written at once by whoever caused them. Nothing here waits.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bus_core::router::{Answer, BrokerInfo, Command, Effect, Identity, Output, Router, SessionId};
use bus_core::session::{Action, Hello, ServerSession, SessionLimits, Welcome, same_token};
use bus_core::transport::{Link, frame_bytes};
use bus_core::{Decoder, ErrorKind, Failure, Header, Kind, Time, control};
use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::config::BrokerConfig;
use crate::registry::{ClientInfo, Counters, Registry};
use crate::slot::{Line, Slot};

/// Batches that a connection may read before others have their turn.
const BATCHES_MAX: usize = 4;
/// Bytes that may be kept for a session, unsent or unconfirmed.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// The hub, shared by the tasks of the broker's thread.
pub(crate) type SharedHub = Rc<RefCell<Hub>>;

/// Router and sessions.
pub(crate) struct Hub {
    pub config: BrokerConfig,
    pub registry: Registry,
    pub listeners: Vec<String>,
    router: Router,
    slots: Vec<Option<Slot>>,
    started: Instant,
    epoch: u64,
    next_line: u64,
    effects: Vec<Effect>,
    dirty: Vec<usize>,
    slices: Vec<Bytes>,
    scratch: BytesMut,
    /// When the timer task looks next; it is told of anything earlier.
    armed: Option<Time>,
    /// No new sessions.
    ending: bool,
    pub timer: Rc<Notify>,
}

/// How a connection goes on.
pub(crate) struct Attached {
    pub session: SessionId,
    pub line: u64,
}

impl Hub {
    pub fn new(config: BrokerConfig, registry: Registry, epoch: u64) -> Hub {
        Hub {
            router: Router::new(config.router.clone()),
            config,
            registry,
            listeners: Vec::new(),
            slots: Vec::new(),
            started: Instant::now(),
            epoch,
            next_line: 0,
            effects: Vec::new(),
            dirty: Vec::new(),
            slices: Vec::new(),
            scratch: BytesMut::new(),
            armed: None,
            ending: false,
            timer: Rc::new(Notify::new()),
        }
    }

    /// The time on the router's clock.
    pub fn now(&self) -> Time {
        Time::ZERO.after(self.started.elapsed())
    }

    /// The moment of the runtime's clock at which that time has come.
    pub fn instant(&self, time: Time) -> Instant {
        self.started + time.since(Time::ZERO)
    }

    /// Gives a connection its session: the one that it resumes, or a new one.
    pub fn attach(
        &mut self,
        hello: &Hello,
        identity: Identity,
        link: Box<dyn Link>,
        decoder: Decoder,
        token: Bytes,
    ) -> Result<Attached, Failure> {
        let version = hello.agree()?;
        let grace = hello.grace_within(self.config.grace_max);
        let resumed = self.find_resumed(hello, &identity)?;
        if let (Ok(session), Some(resume)) = (&resumed, &hello.resume)
            && let Some(slot) = slot_of(&mut self.slots, *session)
            && !slot.state.outbound.rewind(resume.received)
        {
            let text =
                format!("session {} cannot go on at frame {}", resume.session, resume.received);
            return Err(Failure::new(ErrorKind::SessionDenied, text));
        }
        let was_resumed = resumed.is_ok();
        let (index, session, not_resumed) = match resumed {
            Ok(session) => (session.index(), session, String::new()),
            Err(reason) => {
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
                });
                (index, session, reason)
            }
        };
        self.next_line += 1;
        let line = self.next_line;
        let counters = Arc::new(Counters::default());
        let info = ClientInfo {
            sender: self
                .router
                .identity(session)
                .map(|found| found.sender.clone())
                .unwrap_or_default(),
            address: link.peer().address.clone(),
            transport: link.transport(),
            counters: counters.clone(),
        };
        self.registry.insert(session.serial(), info);
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return Err(Failure::new(ErrorKind::Other, "the session vanished"));
        };
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
        };
        let prefix =
            frame_bytes(Header::new(Kind::Welcome, 0, 0), &control::encode_welcome(&welcome));
        slot.line = Some(Line {
            link,
            decoder,
            waker: None,
            number: line,
            counters,
            blocked: false,
            prefix,
        });
        if was_resumed {
            self.router.resume(self.now(), session);
            self.dispatch();
        }
        Ok(Attached { session, line })
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
        let same_user =
            self.router.identity(slot.id).is_some_and(|old| old.sender.uid == identity.sender.uid);
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
        if let Err(_new) = self.find_resumed(hello, identity)? {
            self.router.check_session(identity)?;
        }
        Ok(())
    }

    /// Drives one connection: reads, routes, writes. Ready when it has ended: with the reason,
    /// or with `None` if it said goodbye or was replaced.
    pub fn drive(
        &mut self,
        session: SessionId,
        line: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<String>> {
        for _ in 0..BATCHES_MAX {
            let Some(slot) = slot_of(&mut self.slots, session) else { return Poll::Ready(None) };
            let Some(own) = slot.line.as_mut().filter(|own| own.number == line) else {
                return Poll::Ready(None);
            };
            match &own.waker {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                _ => own.waker = Some(cx.waker().clone()),
            }
            let filled = own.poll_fill(cx, &mut self.scratch);
            let ended = match filled {
                Poll::Pending => return self.drive_output(session, cx),
                Poll::Ready(Ok(true)) => self.take_frames(session),
                Poll::Ready(Ok(false)) => Err(Some("the client closed the connection".into())),
                Poll::Ready(Err(error)) => Err(Some(format!("reading failed: {error}"))),
            };
            self.dispatch();
            if let Err(reason) = ended {
                return Poll::Ready(reason);
            }
        }
        cx.waker().wake_by_ref();
        self.drive_output(session, cx)
    }

    /// Writes what is left for a session, and asks to be woken when more can be written.
    fn drive_output(&mut self, session: SessionId, cx: &mut Context<'_>) -> Poll<Option<String>> {
        loop {
            let Some(slot) = slot_of(&mut self.slots, session) else { return Poll::Ready(None) };
            if let Err(error) = slot.flush(&mut self.slices) {
                return Poll::Ready(Some(format!("writing failed: {error}")));
            }
            let done = !slot.state.outbound.has_unsent()
                && slot.line.as_ref().is_none_or(|line| line.prefix.is_empty());
            if done && slot.ending {
                return Poll::Ready(None);
            }
            let Some(line) = &mut slot.line else { return Poll::Ready(None) };
            if done {
                return Poll::Pending;
            }
            match line.link.poll_writable(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Some(format!("writing failed: {error}")));
                }
            }
        }
    }

    /// Takes the frames that a connection has read.
    fn take_frames(&mut self, session: SessionId) -> Result<(), Option<String>> {
        let now = self.now();
        let Some(slot) = slot_of(&mut self.slots, session) else { return Err(None) };
        let Slot { state, line: Some(line), .. } = slot else { return Err(None) };
        let broken = |error: &dyn std::fmt::Display| {
            Err(Some(format!("the client broke the protocol: {error}")))
        };
        let mut result = Ok(());
        loop {
            let frame = match line.decoder.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    result = broken(&error);
                    break;
                }
            };
            match state.frame(frame) {
                Ok(Action::Command(Command::Broker { request })) => {
                    let info = BrokerInfo {
                        name: self.config.name.clone(),
                        version: env!("CARGO_PKG_VERSION").into(),
                        pid: std::process::id(),
                        epoch: self.epoch,
                        uptime: now.since(Time::ZERO),
                        listeners: self.listeners.clone(),
                        ..self.router.broker_info()
                    };
                    state.reply(request, &Ok(Answer::Broker(Box::new(info))));
                }
                Ok(Action::Command(command)) => self.router.handle(now, session, command),
                Ok(Action::Refused | Action::Nothing) => {}
                Ok(Action::Goodbye) => {
                    result = Err(None);
                    break;
                }
                Err(error) => {
                    result = broken(&error);
                    break;
                }
            }
        }
        line.counters.frames_in.store(state.inbound.received(), Ordering::Relaxed);
        line.give_back(&mut self.scratch);
        if result == Err(None) {
            self.router.close_session(now, session);
            self.forget(session);
        }
        result
    }

    /// Turns effects into frames, and writes them.
    pub fn dispatch(&mut self) {
        if self.router.has_effects() {
            let mut effects = std::mem::take(&mut self.effects);
            effects = self.router.take_effects(effects);
            for effect in effects.drain(..) {
                self.output(effect);
            }
            self.effects = effects;
        }
        while let Some(index) = self.dirty.pop() {
            let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else { continue };
            slot.dirty = false;
            let flushed = slot.flush(&mut self.slices);
            let kept = slot.state.outbound.kept_bytes();
            let Some(line) = &mut slot.line else { continue };
            // The connection's own task deals with what is wrong, and with what would block.
            if (flushed.is_err() || line.blocked || slot.ending || kept > KEPT_BYTES_MAX)
                && let Some(waker) = &line.waker
            {
                slot.ending |= kept > KEPT_BYTES_MAX;
                waker.wake_by_ref();
            }
        }
        let next = self.router.next_deadline();
        if next.is_some() && self.armed.is_none_or(|armed| next < Some(armed)) {
            self.armed = next;
            self.timer.notify_one();
        }
    }

    fn output(&mut self, effect: Effect) {
        let Effect { session, mut output } = effect;
        if let Output::Reply { result: Ok(Answer::Listing(listing)), .. } = &mut output {
            for client in &mut listing.clients {
                if let Some(info) = self.registry.get(client.sender.session) {
                    client.transport = info.transport.to_string();
                    (client.bytes_in, client.bytes_out) = info.bytes();
                    (client.frames_in, client.frames_out) = info.frames();
                }
            }
        }
        let expired = matches!(output, Output::Expired { .. });
        let Some(slot) = slot_of(&mut self.slots, session) else { return };
        slot.state.output(output);
        slot.ending |= expired;
        if !std::mem::replace(&mut slot.dirty, true) {
            self.dirty.push(session.index());
        }
        if expired && slot.line.is_none() {
            self.forget(session);
        }
    }

    /// A connection has ended. Its session is away, or over if `gone`.
    pub fn detach(&mut self, session: SessionId, line: u64, gone: bool) {
        let now = self.now();
        let Some(slot) = slot_of(&mut self.slots, session) else { return };
        if slot.line.as_ref().is_none_or(|own| own.number != line) {
            return;
        }
        slot.line = None;
        self.registry.remove(session.serial());
        if gone || slot.ending {
            self.router.close_session(now, session);
        } else {
            self.router.suspend(now, session);
        }
        if !self.router.has_session(session) {
            self.forget(session);
        }
        self.dispatch();
    }

    /// The process of a session that is away is gone: nobody will resume it.
    pub fn close_if_away(&mut self, session: SessionId) {
        let away = slot_of(&mut self.slots, session).is_some_and(|slot| slot.line.is_none());
        if away {
            self.router.close_session(self.now(), session);
            self.forget(session);
            self.dispatch();
        }
    }

    fn forget(&mut self, session: SessionId) {
        if slot_of(&mut self.slots, session).is_some() {
            self.slots[session.index()] = None;
            self.registry.remove(session.serial());
        }
    }

    /// Does what is due, and says when to look next.
    pub fn advance(&mut self) -> Option<Time> {
        self.router.advance(self.now());
        // Whoever asks is told of what there is now, and need not be woken for it.
        self.armed = self.router.next_deadline();
        self.dispatch();
        self.armed = self.router.next_deadline();
        self.armed
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

    /// Connected sessions, and bytes not yet written to them.
    pub fn unsent(&self) -> (usize, usize) {
        let connected = self.slots.iter().flatten().filter(|slot| slot.line.is_some());
        connected.fold((0, 0), |(count, bytes), slot| {
            (count + 1, bytes + slot.state.outbound.unsent_bytes())
        })
    }

    /// Messages in queues.
    pub fn messages(&self) -> u64 {
        self.router.broker_info().messages
    }

    /// How long a session without a connection may still be resumed.
    pub fn grace_max(&self) -> Duration {
        self.config.grace_max
    }
}

fn slot_of(slots: &mut [Option<Slot>], session: SessionId) -> Option<&mut Slot> {
    slots.get_mut(session.index())?.as_mut().filter(|slot| slot.id == session)
}
