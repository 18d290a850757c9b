//! The broker's one thread of state: the router, and the sessions that it speaks to.
//!
//! Connections call in with what they have read; effects become frames of other sessions, and
//! those are written at once by whoever caused them. Nothing here waits.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bus_core::router::{
    Answer, BrokerInfo, Effect, Output, RequestId, Router, RouterConfig, SessionEnd, SessionId,
};
use bus_core::{Buffers, KEPT_BYTES_MAX, Time};
use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use crate::config::BrokerConfig;
use crate::log_bound::LogBound;
use crate::owed::Owed;
use crate::registry::Registry;
use crate::slot::{Slot, line_of, slot_of, unread};
use crate::system::SystemEvent;
use crate::vigil::Vigil;

/// Batches that a connection may read before others have their turn.
const BATCHES_MAX: usize = 1;

/// The hub, shared by the tasks of the broker's thread.
pub(crate) type SharedHub = Rc<RefCell<Hub>>;

/// What all connections read long frames into, those of bridges too: together they remember so much as one.
pub(crate) type SharedBuffers = Rc<RefCell<Buffers>>;

/// Router and sessions.
pub(crate) struct Hub {
    pub config: BrokerConfig,
    pub registry: Registry,
    pub listeners: Vec<String>,
    pub(crate) router: Router,
    pub(crate) slots: Vec<Option<Slot>>,
    started: Instant,
    pub(crate) epoch: u64,
    pub(crate) next_line: u64,
    /// Those that are not carried out yet, the next one last.
    effects: Vec<Effect>,
    pub(crate) dirty: Vec<usize>,
    pub(crate) owed: Owed,
    slices: Vec<Bytes>,
    pub(crate) buffers: SharedBuffers,
    /// When the timer task looks next; it is told of anything earlier.
    armed: Option<Time>,
    /// No new sessions.
    pub(crate) ending: bool,
    pub timer: Rc<Notify>,
    pub(crate) vigil: Vigil,
    /// A task was woken: the thread must not stay at its lanes.
    pub(crate) has_woken: bool,
    events: mpsc::Sender<SystemEvent>,
    /// Connections that were refused lanes, and why the last one was.
    pub lanes_refused: u64,
    pub lanes_refusal: String,
    /// Events that the broker's own client was too slow for.
    pub events_left_out: u64,
    /// Of what everybody is refused.
    pub(crate) bound: LogBound,
}

impl Hub {
    pub fn new(
        config: BrokerConfig,
        registry: Registry,
        epoch: u64,
        events: mpsc::Sender<SystemEvent>,
    ) -> Hub {
        let vigil = Vigil::new(config.waiting);
        let mut router = Router::new(RouterConfig { epoch, ..config.router.clone() });
        router.set_policy(Time::ZERO, config.policy.clone());
        Hub {
            router,
            config,
            registry,
            listeners: Vec::new(),
            slots: Vec::new(),
            started: Instant::now(),
            epoch,
            next_line: 0,
            effects: Vec::new(),
            dirty: Vec::new(),
            owed: Owed::default(),
            slices: Vec::new(),
            buffers: SharedBuffers::default(),
            armed: None,
            ending: false,
            timer: Rc::new(Notify::new()),
            vigil,
            has_woken: false,
            events,
            lanes_refused: 0,
            lanes_refusal: String::new(),
            events_left_out: 0,
            bound: LogBound::of_broker(),
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
            if let Some(reason) = own.ended.take() {
                return Poll::Ready(reason);
            }
            if own.poll_pause(cx).is_pending() {
                return self.drive_output(session, cx);
            }
            let filled = match std::mem::take(&mut own.more) {
                true => Poll::Ready(Ok(true)),
                false => own.poll_fill(cx, &mut self.buffers.borrow_mut()),
            };
            let Poll::Ready(filled) = filled else { return self.drive_output(session, cx) };
            if let Err(reason) = self.take_filled(session, filled) {
                return Poll::Ready(reason);
            }
        }
        // Mostly there was no more: then it need not have another turn to find that out.
        let line = line_of(&mut self.slots, session);
        let done = line.is_some_and(|line| !line.more && line.link.poll_readable(cx).is_pending());
        if !done {
            cx.waker().wake_by_ref();
        }
        self.drive_output(session, cx)
    }

    /// Takes what a connection has read, and writes what that brings about. Fails as
    /// [`Hub::drive`] ends.
    fn take_filled(
        &mut self,
        session: SessionId,
        filled: io::Result<bool>,
    ) -> Result<(), Option<String>> {
        let taken = match filled {
            Ok(true) => {
                if let Some(line) = line_of(&mut self.slots, session)
                    && line.link.direct().is_some()
                {
                    self.vigil.found(session, line.decoder.pending());
                }
                self.take_frames(session)
            }
            Ok(false) => Err(Some("the client closed the connection".into())),
            Err(error) => Err(Some(format!("reading failed: {error}"))),
        };
        // Answers that are no effects, as that to a ping, go out with them.
        if let Some(slot) = slot_of(&mut self.slots, session)
            && slot.state.wants_write()
            && !std::mem::replace(&mut slot.dirty, true)
        {
            self.dirty.push(session.index());
        }
        self.dispatch();
        taken
    }

    /// Reads what is in a session's lane, and takes it, without its task: that is woken for
    /// what else there is to do.
    pub(crate) fn take_turn(&mut self, session: SessionId) {
        let Some(line) = line_of(&mut self.slots, session) else { return };
        let filled = match line.more || line.ended.is_some() || line.is_paused() {
            true => None,
            false => line.try_fill(&mut self.buffers.borrow_mut()).transpose(),
        };
        let taken = filled.map_or(Ok(()), |filled| self.take_filled(session, filled));
        self.has_woken |= taken.is_err();
        let Some(line) = line_of(&mut self.slots, session) else { return };
        if let Err(reason) = taken {
            line.ended = Some(reason);
        }
        if let (true, Some(waker)) = (line.more || line.ended.is_some(), &line.waker) {
            self.has_woken = true;
            waker.wake_by_ref();
        }
    }

    /// Ends a session's connection, whose turn has failed.
    pub(crate) fn give_up(&mut self, session: SessionId) {
        self.has_woken = true;
        let Some(line) = line_of(&mut self.slots, session) else { return };
        line.ended = Some(Some("the broker has made a mistake with what it sent".into()));
        if let Some(waker) = &line.waker {
            waker.wake_by_ref();
        }
    }

    /// Writes what is left for a session, and asks to be woken when more can be written.
    fn drive_output(&mut self, session: SessionId, cx: &mut Context<'_>) -> Poll<Option<String>> {
        if let Poll::Ready(reason) = self.poll_pulse(session, cx) {
            return Poll::Ready(Some(reason));
        }
        loop {
            let Some(slot) = slot_of(&mut self.slots, session) else { return Poll::Ready(None) };
            if let Err(error) = slot.flush(&mut self.slices) {
                return Poll::Ready(Some(format!("writing failed: {error}")));
            }
            if slot.state.outbound.kept_bytes() > KEPT_BYTES_MAX {
                slot.ending = true;
                return Poll::Ready(Some(unread()));
            }
            let unsent = slot.state.outbound.unsent_bytes();
            if self.router.note_unwritten(session, unsent) {
                self.router.relieve(self.now(), session);
                self.dispatch();
                continue;
            }
            let done = !slot.state.outbound.has_unsent()
                && slot.line.as_ref().is_none_or(|line| line.prefix.is_empty());
            let Some(line) = &mut slot.line else { return Poll::Ready(None) };
            if done && slot.ending {
                // What a link still holds would be lost with it.
                return line.link.poll_flush(cx).map(|_| None);
            }
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

    /// Takes the frames that were read with the handshake. Fails as [`Hub::drive`] ends.
    pub fn take_early(&mut self, session: SessionId) -> Result<(), Option<String>> {
        let taken = self.take_frames(session);
        self.dispatch();
        taken
    }

    /// Tells a session about the broker, after everything that it sent before.
    pub(crate) fn answer_info(&mut self, session: SessionId, request: RequestId) {
        let result = Ok(Answer::Broker(Box::new(self.info())));
        self.output(Effect { session, output: Output::Reply { request, result } });
    }

    /// About the broker.
    pub fn info(&self) -> BrokerInfo {
        BrokerInfo {
            name: self.config.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            epoch: self.epoch,
            uptime: self.started.elapsed(),
            listeners: self.listeners.clone(),
            lanes: self.lanes_count(),
            lanes_refused: self.lanes_refused,
            lanes_refusal: self.lanes_refusal.clone(),
            ..self.router.broker_info()
        }
    }

    /// Tells the broker's own client, if it keeps up.
    pub fn tell(&mut self, event: SystemEvent) {
        self.has_woken = true;
        if self.events.try_send(event).is_err() {
            self.events_left_out += 1;
        }
    }

    /// Turns effects into frames, and writes them; what that makes possible as well.
    pub fn dispatch(&mut self) {
        loop {
            // One that panics takes none of the others along: what it leaves comes first.
            if self.effects.is_empty() {
                let spent = std::mem::take(&mut self.effects);
                self.effects = self.router.take_effects(spent);
                self.effects.reverse();
            }
            while let Some(effect) = self.effects.pop() {
                self.output(effect);
            }
            self.flush_dirty();
            if self.router.effect_count() == 0 {
                break;
            }
        }
        let next = self.next_deadline();
        if next.is_some() && self.armed.is_none_or(|armed| next < Some(armed)) {
            self.armed = next;
            self.has_woken = true;
            self.timer.notify_one();
        }
    }

    /// Writes to all sessions that have new output.
    fn flush_dirty(&mut self) {
        while let Some(index) = self.dirty.pop() {
            let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else { continue };
            slot.dirty = false;
            let flushed = slot.flush(&mut self.slices);
            let (session, outbound) = (slot.id, &slot.state.outbound);
            let overrun = outbound.kept_bytes() > KEPT_BYTES_MAX;
            let relieved = self.router.note_unwritten(session, outbound.unsent_bytes());
            match &mut slot.line {
                // The connection's own task deals with what is wrong, and what would block.
                Some(line) if flushed.is_err() || line.blocked || slot.ending || overrun => {
                    self.has_woken = true;
                    if let Some(waker) = &line.waker {
                        waker.wake_by_ref();
                    }
                }
                None if overrun => {
                    self.router.close_session(self.now(), session, SessionEnd::Lost);
                    self.forget(session);
                }
                _ if relieved => self.router.relieve(self.now(), session),
                _ => {}
            }
        }
    }

    fn output(&mut self, effect: Effect) {
        let Effect { session, mut output } = effect;
        if let Output::Reply { result: Ok(Answer::Listing(listing)), .. } = &mut output {
            for client in &mut listing.clients {
                if let Some(info) = self.registry.get(client.sender.session) {
                    client.transport = info.transport.to_string();
                    client.no_lanes.clone_from(&info.no_lanes);
                    (client.bytes_in, client.bytes_out) = info.bytes();
                    (client.frames_in, client.frames_out) = info.frames();
                }
            }
        }
        self.note_denied(session, &output);
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

    /// Does what is due, and says when to look next.
    pub fn advance(&mut self) -> Option<Time> {
        self.router.advance(self.now());
        self.confirm_aged();
        // Whoever asks is told of what there is now, and need not be woken for it.
        self.armed = self.next_deadline();
        self.dispatch();
        self.armed = self.next_deadline();
        self.armed
    }

    /// Connected sessions beside the broker's own, and bytes not yet written to them.
    pub fn unsent(&self) -> (usize, usize) {
        let is_client = |slot: &&Slot| {
            let identity = self.router.identity(slot.id);
            slot.line.is_some() && identity.is_none_or(|found| !found.system)
        };
        let connected = self.slots.iter().flatten().filter(is_client);
        connected.fold((0, 0), |(count, bytes), slot| {
            (count + 1, bytes + slot.state.outbound.unsent_bytes())
        })
    }

    /// Messages in queues.
    pub fn messages(&self) -> u64 {
        self.router.broker_info().messages
    }
}
