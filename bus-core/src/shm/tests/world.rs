//! A lane beside a model of it that is too simple to be wrong: queues of frames, and sums of
//! bytes for what there is room for. After each step both must say the same.

use std::collections::VecDeque;

use super::readings::{LossyReading, Outcome, Reading, check, say};
use crate::shm::fault::Fault;
use crate::shm::heap::parts::Lane;
use crate::shm::{LaneWriter, Refused};

const READERS_MAX: usize = 4;

/// One step of a run.
#[derive(Clone, Debug)]
pub enum Step {
    /// A frame with so many bytes, at most the longest, put in so many pieces.
    Commit {
        length: usize,
        pieces: usize,
    },
    Batch {
        lengths: Vec<usize>,
    },
    /// So many bytes into a buffer.
    Read {
        reader: usize,
        most: usize,
    },
    CopyFrame {
        reader: usize,
    },
    /// One frame, shown where it stands.
    Show {
        reader: usize,
    },
    /// So many frames, borrowed.
    Borrow {
        reader: usize,
        most: usize,
    },
    ReadLossy {
        reader: usize,
        most: usize,
    },
    Wait {
        reader: usize,
    },
    WaitForRoom {
        length: usize,
    },
    RollOver {
        capacity_log2: u32,
    },
    Join {
        lossy: bool,
    },
    Dismiss {
        reader: usize,
    },
}

pub struct World {
    lanes: Vec<Lane>,
    writer: LaneWriter,
    capacity: u64,
    /// Where in the ring the next frame goes.
    index: u64,
    readers: Vec<Reading>,
    lossy: Vec<LossyReading>,
    frames: u64,
    /// For a frame of this length the writer waits; whether it was woken since.
    waits: Option<(usize, bool)>,
    fault: Option<Fault>,
}

/// What the slowest reader leaves of the ring.
#[derive(Clone, Copy)]
struct Room {
    capacity: u64,
    /// Where in the ring the next frame goes.
    index: u64,
    unread: u64,
}

impl Room {
    /// What a frame takes: the ring's end, if it does not fit there, and itself.
    fn takes(self, length: usize) -> u64 {
        let rest = self.capacity - self.index;
        let padding = if frame_bytes(length) > rest { rest } else { 0 };
        padding + frame_bytes(length)
    }

    /// With room for the next one's word.
    fn has(self, length: usize) -> bool {
        self.unread + self.takes(length) + 8 <= self.capacity
    }

    fn add(&mut self, length: usize) {
        let taken = self.takes(length);
        self.unread += taken;
        self.index = (self.index + taken) % self.capacity;
    }
}

fn payload(number: u64, length: usize) -> Vec<u8> {
    (0..length).map(|at| (number as usize + at) as u8 | 1).collect()
}

fn frame_bytes(length: usize) -> u64 {
    8 + length.div_ceil(8) as u64 * 8
}

impl World {
    pub fn run(steps: &[Step], fault: Option<Fault>) -> Outcome {
        let lane = Lane::new(4096);
        let mut writer = lane.writer();
        fault.into_iter().for_each(|fault| writer.planted.plant(fault));
        let mut world = World {
            lanes: vec![lane],
            writer,
            capacity: 4096,
            index: 0,
            readers: Vec::new(),
            lossy: Vec::new(),
            frames: 0,
            waits: None,
            fault,
        };
        world.join(false);
        for (number, step) in steps.iter().enumerate() {
            world.apply(step).map_err(|error| format!("step {number}, {step:?}: {error}"))?;
        }
        world.finish()
    }

    fn apply(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Commit { length, pieces } => self.commit(*length, *pieces),
            Step::Batch { lengths } => self.batch(lengths),
            Step::Read { reader, most } => self.with_reader(*reader, |one| one.read(*most)),
            Step::CopyFrame { reader } => self.with_reader(*reader, Reading::copy_frame),
            Step::Borrow { reader, most } => self.with_reader(*reader, |one| one.borrow(*most)),
            Step::Show { reader } => self.with_reader(*reader, Reading::show),
            Step::ReadLossy { reader, most } => self.read_lossy(*reader, *most),
            Step::Wait { reader } => self.with_reader(*reader, Reading::wait),
            Step::WaitForRoom { length } => self.wait_for_room(*length),
            Step::RollOver { capacity_log2 } => self.roll_over(1 << capacity_log2),
            Step::Join { lossy } => {
                self.join(*lossy);
                Ok(())
            }
            Step::Dismiss { reader } => {
                self.stop_waiting();
                if self.readers.len() > 1 {
                    let gone = self.readers.remove(reader % self.readers.len());
                    self.writer.dismiss(gone.number);
                }
                Ok(())
            }
        }
    }

    fn join(&mut self, lossy: bool) {
        let lane = self.lanes.len() - 1;
        if lossy && self.lossy.len() < READERS_MAX {
            let reader = self.lanes[lane].lossy_reader(&mut self.writer);
            self.lossy.push(LossyReading { reader, expected: VecDeque::new(), lane, lost: 0 });
        } else if !lossy && self.readers.len() < READERS_MAX {
            let mut reader = self.lanes[lane].reader(&mut self.writer);
            self.fault.into_iter().for_each(|fault| reader.planted.plant(fault));
            let taken: Vec<usize> = self.readers.iter().map(|one| one.number).collect();
            let number = self.writer.readers.iter().enumerate().position(|(number, seat)| {
                seat.as_ref().is_some_and(|seat| !seat.lossy) && !taken.contains(&number)
            });
            let number = number.expect("it has just been added");
            let expected = VecDeque::new();
            let one = Reading { number, reader, expected, lane, unread: 0, sleeps: false };
            self.readers.push(one);
        }
    }

    fn room(&self) -> Room {
        let unread = self.readers.iter().map(|one| one.unread).max().unwrap_or(0);
        Room { capacity: self.capacity, index: self.index, unread }
    }

    fn commit(&mut self, length: usize, pieces: usize) -> Outcome {
        self.stop_waiting();
        let length = length % (self.writer.payload_max() + 1);
        let (mut room, bytes) = (self.room(), payload(self.frames, length));
        match self.writer.reserve(length) {
            Ok(mut frame) => {
                let (written, put) = bytes.split_at(if pieces == 3 { length / 2 } else { 0 });
                frame.fill(written.len(), |target| target.copy_from_slice(written));
                for piece in put.chunks(length.div_ceil(pieces).max(1)) {
                    frame.put(piece);
                }
                frame.commit();
            }
            Err(Refused::Full) => {
                check!(!room.has(length), "{length} bytes had room");
                return Ok(());
            }
            Err(other) => return Err(say(other)),
        }
        check!(room.has(length), "{length} bytes had no room");
        room.add(length);
        self.expect(room, vec![bytes])
    }

    fn batch(&mut self, lengths: &[usize]) -> Outcome {
        self.stop_waiting();
        let most = self.writer.payload_max();
        let (mut room, mut committed) = (self.room(), Vec::new());
        let mut idle = Vec::new();
        for (at, one) in self.readers.iter_mut().enumerate() {
            if !one.reader.has_frame().map_err(say)? {
                idle.push(at);
            }
        }
        let limit = self.writer.limit;
        let mut batch = self.writer.batch();
        for length in lengths.iter().map(|length| length % (most + 1)) {
            let bytes = payload(self.frames + committed.len() as u64, length);
            match batch.reserve(length) {
                Ok(mut frame) => {
                    check!(room.has(length), "{length} bytes had no room");
                    frame.put(&bytes);
                    frame.commit();
                }
                Err(Refused::Full) => {
                    check!(!room.has(length), "{length} bytes had room");
                    break;
                }
                Err(other) => return Err(say(other)),
            }
            room.add(length);
            committed.push(bytes);
            if batch.limit() != limit {
                // It had to look for room, and has shown what there was.
                idle.clear();
            }
            for at in &idle {
                let early = self.readers[*at].reader.has_frame().map_err(say)?;
                check!(!early, "a batch is seen before its end");
            }
        }
        drop(batch);
        self.expect(room, committed)
    }

    fn stop_waiting(&mut self) {
        self.writer.stop_waiting();
        self.waits = None;
    }

    /// These were committed: all readers get them, and those that slept are woken.
    fn expect(&mut self, room: Room, committed: Vec<Vec<u8>>) -> Outcome {
        self.index = room.index;
        let more = room.unread - self.room().unread;
        self.frames += committed.len() as u64;
        let mut woken = Vec::new();
        self.writer.sleepers(|number| woken.push(number));
        for one in &mut self.readers {
            let rung = woken.contains(&one.number);
            let due = one.sleeps && !committed.is_empty();
            check!(rung == due, "reader {}: rung {rung}, and due {due}", one.number);
            one.sleeps &= !rung;
            one.unread += more;
            one.expected.extend(committed.iter().cloned());
        }
        for one in &mut self.lossy {
            one.expected.extend(committed.iter().cloned());
        }
        Ok(())
    }

    /// Lets a reader do something, and looks whether the writer is woken as it must be.
    fn with_reader(&mut self, reader: usize, act: impl Fn(&mut Reading) -> Outcome) -> Outcome {
        let count = self.readers.len();
        let one = &mut self.readers[reader % count];
        act(one)?;
        if one.reader.has_moved().map_err(say)? {
            check!(one.lane + 1 < self.lanes.len(), "it has moved to nowhere");
            one.lane += 1;
            self.lanes[one.lane].follow(&mut one.reader)?;
        }
        let rung = one.reader.wants_wake();
        // By where it stands: what lies below the ring was read elsewhere.
        one.unread = self.writer.head - one.reader.released.max(self.writer.base);
        if let Some((length, woken)) = self.waits {
            let woken = woken || rung;
            check!(woken || !self.room().has(length), "the writer sleeps beside its room");
            self.waits = Some((length, woken));
        }
        Ok(())
    }

    fn wait_for_room(&mut self, length: usize) -> Outcome {
        let length = length % (self.writer.payload_max() + 1);
        let sleeps = self.writer.wait_for_room(length).map_err(say)?;
        check!(sleeps != self.room().has(length), "sleeps: {sleeps}, for {length} bytes");
        self.waits = sleeps.then_some((length, false));
        Ok(())
    }

    fn roll_over(&mut self, capacity: usize) -> Outcome {
        let lane = Lane::new(capacity);
        self.writer.roll_over(lane.next());
        self.lanes.push(lane);
        self.capacity = capacity as u64;
        self.index = self.writer.head % self.capacity;
        self.waits = None;
        self.readers.iter_mut().for_each(|one| one.unread = 0);
        Ok(())
    }

    fn read_lossy(&mut self, reader: usize, most: usize) -> Outcome {
        let count = self.lossy.len();
        if count == 0 {
            return Ok(());
        }
        let one = &mut self.lossy[reader % count];
        for _ in 0..most {
            if !one.read_one(&self.lanes)? {
                break;
            }
        }
        Ok(())
    }

    /// All readers read to the end: then nothing is left.
    fn finish(mut self) -> Outcome {
        for one in &mut self.readers {
            while one.reader.has_frame().map_err(say)? {
                one.read(1 << 16)?;
                if one.reader.has_moved().map_err(say)? {
                    one.lane += 1;
                    self.lanes[one.lane].follow(&mut one.reader)?;
                }
            }
            check!(one.is_idle(), "{} frames never came", one.expected.len());
        }
        check!(self.writer.is_drained() == Ok(true), "it is not drained");
        for one in &mut self.lossy {
            while one.read_one(&self.lanes)? {}
            check!(one.expected.is_empty(), "{} frames never came", one.expected.len());
        }
        Ok(())
    }
}
