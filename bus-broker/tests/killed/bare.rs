//! Two processes on a pair of lanes, with nothing between them: one is killed at a random
//! moment, and the other one goes on with what is there.
//!
//! The child's half begins with the socket that is its standard input. Records stand in frames
//! one to one, so that a stream which ends within a record was torn.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;

use bus_core::shm::{LaneOffer, LaneReader, LaneWriter, Refused};
use bytes::{Buf, BytesMut};

use crate::descriptors::{Door, look_at, receive_with, ring, send_with, wait_at};
use crate::dice::Dice;
use crate::layout::FRAMES_AT;
use crate::process::program;
use crate::record::{self, HEAD_BYTES, Mark, Row, record};

/// Small, so that it is full, and wraps, again and again.
const CAPACITY: usize = 16 * 1024;

/// What a writing child does wrong, for tests that must see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    Nothing,
    /// One byte of the hundredth frame is another one when it is committed.
    Torn,
    /// The hundredth frame is left out.
    LeftOut,
    /// It is there twice.
    Twice,
}

/// One process's half of a pair of lanes.
struct Half {
    socket: UnixStream,
    writer: LaneWriter,
    reader: LaneReader,
    /// The lane that the other one writes, for looking at its counters.
    witness: OwnedFd,
}

impl Half {
    /// Exchanges descriptors with the other process; none if that is gone.
    fn join(socket: UnixStream) -> Result<Option<Half>, String> {
        let offer = LaneOffer::new(CAPACITY).map_err(text)?;
        if send_with(&socket, b"l", &offer.descriptors()).is_err() {
            return Ok(None);
        }
        let Ok((_, theirs)) = receive_with(&socket, 1) else { return Ok(None) };
        let [lane, cursor] = &theirs[..] else { return Ok(None) };
        let joined = offer.join(lane.as_fd(), cursor.as_fd(), CAPACITY);
        let (writer, reader) = joined.map_err(text)?;
        let witness = lane.try_clone().map_err(text)?;
        Ok(Some(Half { socket, writer, reader, witness }))
    }

    /// Commits a record as one frame. `false`: the other side is gone, and there is no room.
    fn write(&mut self, bytes: &[u8]) -> Result<bool, String> {
        loop {
            match self.writer.reserve(bytes.len()) {
                Ok(mut frame) => {
                    let (front, back) = bytes.split_at(bytes.len() / 3);
                    frame.put(front);
                    frame.put(back);
                    frame.commit();
                    let mut asleep = false;
                    self.writer.sleepers(|_| asleep = true);
                    if asleep {
                        ring(&self.socket);
                    }
                    return Ok(true);
                }
                Err(Refused::Full) => {
                    if !self.writer.wait_for_room(bytes.len()).map_err(text)? {
                        continue;
                    }
                    match wait_at(&self.socket).map_err(text)? {
                        Door::Rung => {}
                        Door::Gone => return Ok(false),
                        Door::Silent => return Err("the writer hangs".into()),
                    }
                }
                Err(error) => return Err(text(error)),
            }
        }
    }

    /// Takes what is there into the stream; waits for something if there is nothing. `false`:
    /// the other side is gone, and all is read.
    fn read(&mut self, stream: &mut Stream) -> Result<bool, String> {
        loop {
            if stream.take(&mut self.reader)? {
                if self.reader.wants_wake() {
                    ring(&self.socket);
                }
                return Ok(true);
            }
            if !self.reader.wait().map_err(text)? {
                continue;
            }
            match wait_at(&self.socket).map_err(text)? {
                Door::Rung => {}
                // What was committed before the end is still there.
                Door::Gone => return stream.take(&mut self.reader),
                Door::Silent => return Err("the reader hangs".into()),
            }
        }
    }

    /// How many frames the other one has counted.
    fn counted(&self) -> Result<u64, String> {
        let mut bytes = [0; 8];
        rustix::io::pread(&self.witness, &mut bytes, FRAMES_AT as u64).map_err(text)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// The records that have come.
#[derive(Default)]
struct Stream {
    bytes: BytesMut,
    row: Row,
}

impl Stream {
    /// Reads what is there, and looks at every whole record. Whether something came.
    fn take(&mut self, reader: &mut LaneReader) -> Result<bool, String> {
        self.bytes.reserve(4096);
        let count = reader.read_into(&mut self.bytes).map_err(text)?;
        while let Some(length) = record::length(&self.bytes) {
            if !(HEAD_BYTES..=CAPACITY).contains(&length) {
                return Err(format!("a record of {length} bytes: it is torn"));
            }
            if self.bytes.len() < length {
                break;
            }
            self.row.take(record::read(&self.bytes[..length])?)?;
            self.bytes.advance(length);
        }
        Ok(count > 0)
    }

    /// Nothing of a record is left over.
    fn ends(&self) -> Result<(), String> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(format!("{left} bytes of a frame without its end")),
        }
    }
}

/// What a child does: `bare write WRONG` or `bare read`.
pub fn child(words: &[&str]) {
    let input = std::io::stdin().as_fd().try_clone_to_owned().expect("it has a socket");
    let Some(mut half) = Half::join(input.into()).expect("an honest parent") else { return };
    let ended = match words {
        ["write", wrong] => write_for_ever(&mut half, wrong),
        _ => read_for_ever(&mut half),
    };
    ended.expect("an honest parent");
}

fn write_for_ever(half: &mut Half, wrong: &str) -> Result<(), String> {
    for number in 0.. {
        let mut bytes = numbered(number);
        let copies = match (number, wrong) {
            (100, "Torn") => {
                bytes[HEAD_BYTES - 1] ^= 0x10;
                1
            }
            (100, "LeftOut") => 0,
            (100, "Twice") => 2,
            _ => 1,
        };
        for _ in 0..copies {
            if !half.write(&bytes)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn read_for_ever(half: &mut Half) -> Result<(), String> {
    let mut stream = Stream::default();
    while half.read(&mut stream)? {}
    stream.ends()
}

/// Of any length that a frame of this lane can have.
fn numbered(number: u64) -> Vec<u8> {
    let most = (CAPACITY / 8 - 8 - HEAD_BYTES) as u64;
    let filling = match number % 4 {
        0 => 0,
        1 => most,
        _ => Dice::new(number).below(most),
    };
    record(Mark { writer: 0, number }, filling as usize)
}

/// A child with the other half.
fn start(task: &str) -> (Child, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair of sockets");
    let mut command = program(None, task);
    let child = command.stdin(OwnedFd::from(far)).stdout(std::process::Stdio::null());
    (child.spawn().expect("it is this user's"), near)
}

/// Kills it after some turns of nothing, and waits until all that it did is done.
fn kill(child: &mut Child, spin: u64) -> Result<(), String> {
    (0..spin).for_each(|_| std::hint::spin_loop());
    child.kill().map_err(text)?;
    let status = child.wait().map_err(text)?;
    match status.signal() {
        Some(9) => Ok(()),
        _ => Err(format!("the child has found something: {status}")),
    }
}

/// A writer is killed: what the reader saw is a prefix, and nothing committed is missing.
/// Gives how many frames there were.
pub fn writer_is_killed(dice: &mut Dice, wrong: Wrong) -> Result<u64, String> {
    let (mut child, socket) = start(&format!("bare write {wrong:?}"));
    let Some(mut half) = Half::join(socket)? else { return Err("it does not begin".into()) };
    let mut stream = Stream::default();
    let (when, spin) = (dice.below(1500), dice.below(30_000));
    while stream.row.count < when {
        if let Err(wrong) = half.read(&mut stream) {
            kill(&mut child, 0)?;
            return Err(wrong);
        }
    }
    kill(&mut child, spin)?;
    while half.read(&mut stream)? {}
    stream.ends()?;
    let (seen, counted) = (stream.row.count, half.counted()?);
    // It is counted after it is committed.
    if seen < counted || seen > counted + 1 {
        return Err(format!("{seen} frames came, and {counted} were committed"));
    }
    Ok(seen)
}

/// A reader is killed: the writer goes on until the lane is full, and hears that it is gone.
pub fn reader_is_killed(dice: &mut Dice) -> Result<u64, String> {
    let (mut child, socket) = start("bare read");
    let Some(mut half) = Half::join(socket)? else { return Err("it does not begin".into()) };
    let (when, spin) = (dice.below(1500), dice.below(30_000));
    let mut number = 0;
    while number < when {
        if !half.write(&numbered(number))? {
            kill(&mut child, 0)?;
            return Err("the reader has gone too early".into());
        }
        number += 1;
    }
    kill(&mut child, spin)?;
    while half.write(&numbered(number))? {
        number += 1;
    }
    match look_at(&half.socket).map_err(text)? {
        Door::Gone => Ok(number),
        other => Err(format!("the reader is gone, and the door says {other:?}")),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
