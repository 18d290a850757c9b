//! How what comes over a TLS link is taken in.
//!
//! What comes for somebody who is known is decrypted where it will be read, if there is room for a record; else
//! it passes through memory that all links of a thread share. Nothing that is not decrypted, and nothing that its
//! cipher has not vouched for, is left where it can be read.

use std::io;

use bytes::BytesMut;

use super::engine::{Step, WIRE_RECORD_BYTES_MAX};
use super::failure::TlsFailure;
use super::link::{Phase, TlsLink, is_end};
use super::passage::{PASSAGE, give, keep, room_to_read};
use super::records::{Opened, whole_record};
use crate::limits::READ_BYTES;

/// With less room than this nothing is decrypted where it will be read: a record must have a chance to become whole.
const ROOM_BYTES_MIN: usize = 2 * WIRE_RECORD_BYTES_MAX;

impl TlsLink {
    /// Reads once from the stream. What is decrypted goes to `into` as far as there is room, else it
    /// is kept. Gives how many bytes have come.
    pub(super) fn fill(&mut self, into: &mut Option<&mut BytesMut>) -> io::Result<usize> {
        if let Some(buffer) = into
            && self.is_known
            && self.phase == Phase::Open
            && self.plain.is_empty()
            && buffer.capacity() - buffer.len() >= ROOM_BYTES_MIN
        {
            return self.fill_there(buffer);
        }
        PASSAGE.with_borrow_mut(|passage| {
            let incoming = &mut passage.incoming;
            incoming.clear();
            // In front of what comes; it is kept until something has.
            incoming.extend_from_slice(&self.partial);
            let most = self.read_room()?.min(room_to_read(into, incoming.len()));
            let count = self.read(incoming, most)?;
            self.charge_handshake(count)?;
            self.open(incoming)?;
            let used = match self.phase {
                Phase::Opening => 0,
                Phase::Closed => incoming.len(),
                _ => self.advance(incoming, into)?,
            };
            keep(&mut self.partial, &incoming[used..], self.is_known);
            Ok(count)
        })
    }

    /// The same, where there is room for all that is read.
    fn fill_there(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        let start = buffer.len();
        buffer.extend_from_slice(&self.partial);
        let count = match self.read(buffer, usize::MAX) {
            Ok(count @ 1..) => count,
            result => {
                buffer.truncate(start);
                return result;
            }
        };
        let incoming = &mut buffer[start..];
        let Opened { used, plain, step } = self.engine.open(incoming);
        let (incoming, rest) = incoming.split_at_mut(used);
        if step == Ok(Step::Waits) {
            keep(&mut self.partial, rest, true);
        }
        let broken = step.as_ref().err().map(|error| self.break_off(incoming, error));
        buffer.truncate(start + plain);
        if step == Ok(Step::Closed) {
            // What comes behind a farewell is nothing.
            self.phase = Phase::Closed;
            self.partial = Vec::new();
        }
        broken.map_or(Ok(count), Err)
    }

    /// Reads behind what is in the buffer.
    fn read(&mut self, buffer: &mut BytesMut, most: usize) -> io::Result<usize> {
        let count = match self.stream.try_read_up_to(buffer, most) {
            Ok(0) if self.phase == Phase::Closed => return Ok(0),
            Ok(0) if self.is_shaking_hands() => return Err(self.fail(TlsFailure::Ended)),
            Ok(0) => return Err(self.fail(TlsFailure::Truncated)),
            Err(error) if is_end(&error) && self.is_shaking_hands() => {
                return Err(self.fail(TlsFailure::Ended));
            }
            result => result?,
        };
        if count == self.read_bytes {
            self.read_bytes = (2 * self.read_bytes).min(READ_BYTES);
        }
        Ok(count)
    }

    /// Has the engine take what has come, and sends what it answers. Gives how much of what has
    /// come is done with.
    pub(super) fn advance(
        &mut self,
        incoming: &mut [u8],
        into: &mut Option<&mut BytesMut>,
    ) -> io::Result<usize> {
        // The library sees one record more each time: what follows the handshake is not for it.
        let (mut used, mut seen) = (0, self.begun);
        let ended = loop {
            let shakes_hands = self.is_shaking_hands();
            if !shakes_hands {
                seen = incoming.len();
            }
            let mut plain = |bytes: &[u8]| give(bytes, into, &mut self.plain);
            let (done, step) =
                self.engine.step(&mut incoming[used..seen], &mut plain, &mut self.outgoing);
            used += done;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Waits) if shakes_hands && used == seen && self.has_shaken_hands() => {
                    let _ = self.send_outgoing();
                    self.begin_talk()?;
                }
                Ok(Step::Waits) if shakes_hands => match whole_record(&incoming[seen..]) {
                    Some(length) => seen += length,
                    None => break Ok(Step::Waits),
                },
                step => break step,
            }
        };
        let step = match ended {
            Err(error) => return Err(self.break_off(&mut incoming[used..], &error)),
            Ok(step) => step,
        };
        self.begun = seen - used;
        // Who takes nothing any more is found out by reading: he may have said why.
        let _ = self.send_outgoing();
        if step == Step::Closed {
            if self.is_shaking_hands() {
                return Err(self.fail(TlsFailure::Ended));
            }
            self.phase = Phase::Closed;
            // What comes behind a farewell is nothing.
            return Ok(incoming.len());
        }
        Ok(used)
    }
}
