//! What a connection has read is taken: frames become commands, and the router carries them out.
//!
//! A turn is bounded by frames and by effects, so that nobody is kept waiting by whoever asks
//! the most; what is left stays in the decoder for the next turn.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bus_core::router::{Command, SessionEnd, SessionId};
use bus_core::session::{Action, ServerSession};
use bus_core::{Arrival, FrameError, KEPT_BYTES_MAX};
use tokio::time::sleep;

use crate::hub::{Hub, slot_of, unread};
use crate::slot::{Line, Slot};

/// Frames of a connection that are taken before others have their turn; a parcel is none.
const FRAMES_MAX: usize = 128;
/// When more than half of them are about nothing, as pings are, the connection is not heard for so
/// long: nobody honest asks so often, and whoever does would keep the broker busy with nothing.
const PAUSE: Duration = Duration::from_millis(1);
/// Effects after which they are turned into frames, although the batch goes on.
const EFFECTS_MAX: usize = 4096;

/// What the decoder has given.
enum Taken {
    Frame(Action),
    /// It waits in `Line::rest`.
    Parcel,
    Nothing,
}

impl Hub {
    /// Takes the frames that a connection has read.
    pub fn take_frames(&mut self, session: SessionId) -> Result<(), Option<String>> {
        loop {
            let more = self.take_some_frames(session)?;
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
    fn take_some_frames(&mut self, session: SessionId) -> Result<bool, Option<String>> {
        let now = self.now();
        let Some(slot) = slot_of(&mut self.slots, session) else { return Err(None) };
        let Slot { state, line: Some(line), .. } = slot else { return Err(None) };
        let (mut asked, mut frames, mut idle) = (Vec::new(), 0, 0);
        let result = loop {
            if frames == FRAMES_MAX {
                line.more = true;
                line.pause = (idle > FRAMES_MAX / 2).then(|| Box::pin(sleep(PAUSE)));
                break Ok(false);
            }
            if let Some((channel, parcel)) = line.rest.take() {
                let rest = self.router.publish_parcel(now, session, channel, parcel);
                line.rest = rest.map(|rest| (channel, rest));
                match line.rest.is_some() || self.router.effect_count() > EFFECTS_MAX {
                    true => break Ok(true),
                    false => continue,
                }
            }
            let taken = next(line, state);
            frames += usize::from(matches!(taken, Ok(Taken::Frame(_))));
            match taken {
                Ok(Taken::Parcel) => {}
                Ok(Taken::Nothing) => break Ok(false),
                Ok(Taken::Frame(Action::Command(Command::Broker { request }))) => {
                    asked.push(request);
                }
                Ok(Taken::Frame(Action::Command(command))) => {
                    // An answer may be a million times as long as its question.
                    let long = matches!(command, Command::Peek { .. } | Command::List { .. });
                    self.router.handle(now, session, command);
                    if long || self.router.effect_count() > EFFECTS_MAX {
                        break Ok(true);
                    }
                }
                Ok(Taken::Frame(Action::Refused | Action::Nothing)) => idle += 1,
                Ok(Taken::Frame(Action::Goodbye)) => break Err(None),
                Err(error) => {
                    break Err(Some(format!("the client broke the protocol: {error}")));
                }
            }
        };
        line.counters.frames_in.store(state.inbound.received(), Ordering::Relaxed);
        line.give_back(&mut self.scratch);
        if !asked.is_empty() {
            self.dispatch();
        }
        for request in asked {
            self.answer_info(session, request);
        }
        if result == Err(None) {
            self.router.close_session(now, session, SessionEnd::Goodbye);
            self.forget(session);
        }
        result
    }
}

fn next(line: &mut Line, state: &mut ServerSession) -> Result<Taken, FrameError> {
    Ok(match line.decoder.next_arrival()? {
        Some(Arrival::Frame(frame)) => Taken::Frame(state.frame(frame)?),
        Some(Arrival::Parcel { channel, parcel }) => {
            state.note_parcel(&parcel);
            line.rest = Some((channel, parcel));
            Taken::Parcel
        }
        None => Taken::Nothing,
    })
}
