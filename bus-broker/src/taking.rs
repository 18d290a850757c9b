//! What a connection has read is taken: frames become commands, and the router carries them out.
//!
//! A turn is bounded by frames and by effects, so that nobody is kept waiting by whoever asks
//! the most; what is left stays in the decoder for the next turn. What may be answered with much is a turn's last.

use std::sync::atomic::Ordering;

use bus_core::router::{Channel, Command, Lease, RequestId, Router, SessionEnd, SessionId, Ticket};
use bus_core::session::{Action, ServerSession};
use bus_core::{Arrival, FrameError, KEPT_BYTES_MAX, Parcel, Time};

use crate::hub::Hub;
use crate::slot::{Line, Slot, slot_of, unread};

/// Frames of a connection that are taken before others have their turn. A parcel of what is published
/// is none; one of sends counts as the steps that it takes.
const FRAMES_MAX: usize = 128;
/// Effects after which they are turned into frames, although the batch goes on.
const EFFECTS_MAX: usize = 4096;

/// Acknowledgements from which on no more are taken together.
const ACKS_MAX: u32 = 4096;

/// What the decoder has given.
enum Taken {
    Frame(Action),
    /// It waits in `Line::rest`.
    Parcel,
    /// Acknowledgements that are held back.
    Held,
    /// Messages for a queue, and the ticket of the first.
    Sends(Channel, Ticket, Parcel),
    Nothing,
}

/// What was taken in this turn so far.
#[derive(Default)]
struct Turn {
    frames: usize,
    /// Those of them that are about nothing.
    idle: usize,
}

impl Hub {
    /// Takes the frames that a connection has read.
    pub fn take_frames(&mut self, session: SessionId) -> Result<(), Option<String>> {
        let mut turn = Turn::default();
        loop {
            let more = self.take_some(session, &mut turn)?;
            if !more {
                return Ok(());
            }
            self.dispatch();
            let slot = slot_of(&mut self.slots, session);
            // A parcel is published wholly: it counts as received.
            let whole = |slot: &Slot| slot.line.as_ref().is_none_or(|line| line.rest.is_none());
            let ends = |slot: &Slot| slot.state.outbound.kept_bytes() > KEPT_BYTES_MAX;
            if slot.is_none_or(|slot| whole(slot) && ends(slot)) {
                return Err(Some(unread()));
            }
        }
    }

    /// Takes frames until there is enough to be written. Whether some are left.
    fn take_some(&mut self, session: SessionId, turn: &mut Turn) -> Result<bool, Option<String>> {
        let now = self.now();
        let Some(slot) = slot_of(&mut self.slots, session) else { return Err(None) };
        let Slot { state, line: Some(line), .. } = slot else { return Err(None) };
        let (mut asked, mut acks) = (Vec::new(), Acks::default());
        let result = loop {
            if turn.frames >= FRAMES_MAX {
                line.more = true;
                // Nobody honest asks so often, and whoever does would keep the broker busy with nothing.
                line.pauses = turn.idle > FRAMES_MAX / 2;
                break Ok(false);
            }
            match publish_rest(&mut self.router, now, session, line) {
                Some(true) => break Ok(true),
                Some(false) => continue,
                None => {}
            }
            let mut taken = next(line, state);
            turn.frames += taken.as_ref().map_or(0, Taken::frames);
            let before = acks.before(&mut taken);
            let mut full =
                before.is_some_and(|acks| carry_out(&mut self.router, now, session, acks));
            match taken {
                Ok(Taken::Parcel | Taken::Held) => {}
                Ok(Taken::Sends(channel, first, parcel)) => {
                    turn.frames += self.router.send_parcel(now, session, channel, first, parcel);
                    full |= self.router.effect_count() > EFFECTS_MAX;
                }
                Ok(Taken::Nothing) => break Ok(false),
                Ok(Taken::Frame(Action::Command(Command::Broker { request }))) => {
                    asked.push(request);
                }
                Ok(Taken::Frame(Action::Command(command))) => {
                    full |= carry_out(&mut self.router, now, session, command);
                }
                Ok(Taken::Frame(Action::Refused | Action::Nothing)) => turn.idle += 1,
                Ok(Taken::Frame(Action::Goodbye)) => break Err(None),
                Err(error) => {
                    break Err(Some(format!("the client broke the protocol: {error}")));
                }
            }
            if full {
                break Ok(true);
            }
        };
        if let Some(command) = acks.take() {
            self.router.handle(now, session, command);
        }
        line.counters.frames_in.store(state.inbound.received(), Ordering::Relaxed);
        self.owed.note(session, state.inbound.note_time(now));
        line.decoder.give_back(&mut self.buffers.borrow_mut());
        self.answer(session, asked);
        if result == Err(None) {
            self.router.close_session(now, session, SessionEnd::Goodbye);
            self.forget(session);
        }
        result
    }

    /// Answers who asks about the broker, behind what was carried out before.
    fn answer(&mut self, session: SessionId, asked: Vec<RequestId>) {
        if !asked.is_empty() {
            self.dispatch();
        }
        for request in asked {
            self.answer_info(session, request);
        }
    }
}

/// Publishes what is left of a parcel, if anything is. Whether there is enough to be written.
fn publish_rest(
    router: &mut Router,
    now: Time,
    session: SessionId,
    line: &mut Line,
) -> Option<bool> {
    let (channel, parcel) = line.rest.take()?;
    let rest = router.publish_parcel(now, session, channel, parcel);
    line.rest = rest.map(|rest| (channel, rest));
    Some(line.rest.is_some() || router.effect_count() > EFFECTS_MAX)
}

/// Has the router carry out a command. Whether there is enough to be written.
fn carry_out(router: &mut Router, now: Time, session: SessionId, command: Command) -> bool {
    let long = is_long(&command);
    router.handle(now, session, command);
    long || router.effect_count() > EFFECTS_MAX
}

/// Whether the answer may be a million times as long as the question, or take as long to find.
fn is_long(command: &Command) -> bool {
    matches!(command, Command::Peek { .. } | Command::List { .. } | Command::Broker { .. })
}

impl Taken {
    /// How many frames it counts in its turn.
    fn frames(&self) -> usize {
        match self {
            Taken::Frame(Action::Command(command)) if is_long(command) => FRAMES_MAX,
            Taken::Frame(_) => 1,
            _ => 0,
        }
    }
}

/// Acknowledgements whose leases follow each other, carried out as one: what they give back can
/// then be filled as one.
#[derive(Default)]
struct Acks {
    first: Lease,
    count: u32,
}

impl Acks {
    /// Holds back what goes on with them. What must be carried out before `taken` is given.
    fn before(&mut self, taken: &mut Result<Taken, FrameError>) -> Option<Command> {
        let Ok(Taken::Frame(action)) = taken else { return self.take() };
        match *action {
            Action::Nothing => None,
            Action::Command(Command::Ack { first, count }) => {
                *taken = Ok(Taken::Held);
                let goes_on = self.first + u64::from(self.count) == first;
                if self.count > 0 && goes_on && self.count + count <= ACKS_MAX {
                    self.count += count;
                    return None;
                }
                let held = self.take();
                *self = Acks { first, count };
                held
            }
            _ => self.take(),
        }
    }

    fn take(&mut self) -> Option<Command> {
        let Acks { first, count } = std::mem::take(self);
        (count > 0).then_some(Command::Ack { first, count })
    }
}

fn next(line: &mut Line, state: &mut ServerSession) -> Result<Taken, FrameError> {
    Ok(match line.decoder.next_arrival()? {
        Some(Arrival::Frame(frame)) => Taken::Frame(state.frame(frame)?),
        Some(Arrival::Sends { channel, parcel }) => {
            Taken::Sends(channel, state.note_sends(&parcel), parcel)
        }
        Some(Arrival::Parcel { channel, parcel }) => {
            state.note_parcel(&parcel);
            line.rest = Some((channel, parcel));
            Taken::Parcel
        }
        None => Taken::Nothing,
    })
}

#[cfg(test)]
mod tests;
