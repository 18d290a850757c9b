//! One worker's pair of lanes, and how it waits.
//!
//! Whoever never sleeps need not be asked whether it does, so spinning saves the fences too.
//! Otherwise the writer asks after a run of messages, and whenever it waits or is flushed.
//! Invariant: nobody sleeps before it has told the other side, which `wait` of the lane does.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use anyhow::{Result, ensure};
use bus_core::shm::{LaneOffer, LaneReader, LaneWriter, Refused, SameUser};
use bytes::BytesMut;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::distance::Distance;
use super::meeting::{exchange, meet};
use crate::cell::{Order, Pinning, WorkloadKind};
use crate::contender::{Connector, Port};

/// What whoever finds nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Looks again and again, at a distance that fits the load.
    Spin,
    /// The same for a while, if a core is spare; then it sleeps.
    Adaptive,
    /// Sleeps.
    Park,
}

/// Turns until it sleeps: some tens of microseconds.
const TURNS_MAX: u64 = 4096;
/// Messages that may be under way before it is asked who sleeps.
const UNANNOUNCED_MAX: u32 = 32;
/// Bytes that are copied out at a time: they stay in the nearest cache.
const READ_BYTES: usize = 16 << 10;

/// Opens pairs of lanes.
pub struct LaneConnector {
    waiting: Waiting,
    lane_bytes: usize,
}

impl LaneConnector {
    /// Whose ports wait like this, with lanes of so many bytes.
    pub fn new(waiting: Waiting, lane_bytes: usize) -> LaneConnector {
        LaneConnector { waiting, lane_bytes }
    }
}

impl Connector for LaneConnector {
    type Port = LanePort;

    async fn open(&mut self, order: &Order) -> Result<LanePort> {
        let offer = LaneOffer::new(self.lane_bytes)?;
        let socket = meet(order)?;
        let theirs = exchange(&socket, &offer.descriptors())?;
        let (outgoing, incoming) =
            offer.join(theirs[0].as_fd(), theirs[1].as_fd(), self.lane_bytes)?;
        // Single messages that are one frame each are written and read where they stand, as in
        // the bare ring, by processes that trust each other. Many are faster copied out, by
        // which the writer has its lines back.
        let one_by_one = order.cell.workload == WorkloadKind::RoundTrip;
        let trust = match one_by_one && order.cell.payload_bytes <= outgoing.payload_max() {
            true => SameUser::of_peer(socket.as_fd())?,
            false => None,
        };
        let waiting = match (self.waiting, order.cell.pinning) {
            // No core is spare: the other side can do nothing while this one spins.
            (Waiting::Adaptive, Pinning::OneCore) => Waiting::Park,
            (waiting, _) => waiting,
        };
        let payload_bytes = order.cell.payload_bytes;
        let messages = (READ_BYTES / payload_bytes).max(1);
        Ok(LanePort {
            socket,
            outgoing,
            incoming,
            trust,
            waiting,
            distance: Distance::new(),
            room: Distance::new(),
            placed: 0,
            unannounced: 0,
            message: vec![0; payload_bytes].into_boxed_slice(),
            read: BytesMut::with_capacity(messages * payload_bytes),
            shown: 0,
        })
    }
}

/// One worker's lanes.
pub struct LanePort {
    /// The bell, and the sign of life.
    socket: UnixStream,
    outgoing: LaneWriter,
    incoming: LaneReader,
    /// If messages are frames, which are not copied, and come one by one.
    trust: Option<SameUser>,
    waiting: Waiting,
    /// From the tail of what is read.
    distance: Distance,
    /// From the reader, while there is no room.
    room: Distance,
    /// Messages written since there was none.
    placed: u64,
    /// Messages since the readers were last asked whether they sleep.
    unannounced: u32,
    message: Box<[u8]>,
    /// Copied out; a whole number of messages has room.
    read: BytesMut,
    /// Bytes of it that were shown.
    shown: usize,
}

impl Port for LanePort {
    #[inline]
    async fn send<F: FnOnce(&mut [u8])>(&mut self, _kind: u32, fill: F) -> Result<()> {
        if self.trust.is_some() {
            return self.send_frame(fill);
        }
        fill(&mut self.message);
        let mut written = 0;
        while written < self.message.len() {
            let length = self.outgoing.fit(self.message.len() - written);
            match self.outgoing.reserve(length) {
                Ok(mut frame) => {
                    frame.put(&self.message[written..written + length]);
                    frame.commit();
                    written += length;
                }
                Err(Refused::Full) => self.wait_for_room(length)?,
                Err(error) => return Err(error.into()),
            }
        }
        self.sent()
    }

    async fn flush(&mut self) -> Result<()> {
        self.announce()
    }

    #[inline]
    async fn receive<V: FnMut(&[u8]) -> Result<()>>(&mut self, mut visit: V) -> Result<()> {
        if let Some(trust) = self.trust {
            return self.receive_frame(trust, visit);
        }
        loop {
            let count = self.incoming.read_into(&mut self.read)?;
            if count == 0 {
                self.wait_for_message()?;
                continue;
            }
            if self.waiting != Waiting::Spin && self.incoming.wants_wake() {
                self.ring()?;
            }
            let before = self.shown;
            for message in self.read[before..].chunks_exact(self.message.len()) {
                visit(message)?;
                self.shown += message.len();
            }
            let messages = (self.shown - before) / self.message.len();
            if self.shown == self.read.len() {
                (self.shown, _) = (0, self.read.clear());
            }
            self.distance.found(messages as u64);
            if messages > 0 {
                return Ok(());
            }
        }
    }
}

impl LanePort {
    #[inline]
    fn send_frame(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let length = self.message.len();
        loop {
            match self.outgoing.reserve(length) {
                Ok(mut frame) => {
                    frame.fill(length, fill);
                    frame.commit();
                    return self.sent();
                }
                Err(Refused::Full) => self.wait_for_room(length)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    #[inline]
    fn receive_frame(
        &mut self,
        trust: SameUser,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        loop {
            let Some(visited) = self.incoming.show_frame(trust, &mut visit)? else {
                self.wait_for_message()?;
                continue;
            };
            if self.waiting != Waiting::Spin && self.incoming.wants_wake() {
                self.ring()?;
            }
            self.distance.found(1);
            return visited;
        }
    }

    #[inline]
    fn sent(&mut self) -> Result<()> {
        self.placed += 1;
        self.unannounced += 1;
        if self.unannounced >= UNANNOUNCED_MAX { self.announce() } else { Ok(()) }
    }

    /// Wakes the reader if it sleeps.
    fn announce(&mut self) -> Result<()> {
        self.unannounced = 0;
        let mut asleep = false;
        if self.waiting != Waiting::Spin {
            self.outgoing.sleepers(|_| asleep = true);
        }
        if asleep { self.ring() } else { Ok(()) }
    }

    #[cold]
    fn wait_for_room(&mut self, length: usize) -> Result<()> {
        self.announce()?;
        if self.placed > 0 {
            self.room.found(self.placed);
            self.placed = 0;
        }
        if keep_looking(self.waiting, &mut self.room) {
            return Ok(());
        }
        if self.outgoing.wait_for_room(length)? {
            self.sleep()?;
            self.outgoing.stop_waiting();
        }
        Ok(())
    }

    fn wait_for_message(&mut self) -> Result<()> {
        if keep_looking(self.waiting, &mut self.distance) {
            return Ok(());
        }
        if self.incoming.wait()? {
            self.sleep()?;
            self.incoming.stop_waiting();
        }
        Ok(())
    }

    /// Until the bell rings.
    fn sleep(&self) -> Result<()> {
        let mut tokens = [0; 64];
        loop {
            match recv(&self.socket, &mut tokens[..], RecvFlags::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok((count, _)) => {
                    ensure!(count > 0, "the peer is gone");
                    return Ok(());
                }
            }
        }
    }

    fn ring(&self) -> Result<()> {
        match send(&self.socket, &[1], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            // It has not taken those that are there: it will look.
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Pauses, if it is not yet time to sleep.
fn keep_looking(waiting: Waiting, distance: &mut Distance) -> bool {
    let looks = match waiting {
        Waiting::Spin => true,
        Waiting::Adaptive => distance.waited() < TURNS_MAX,
        Waiting::Park => false,
    };
    if looks {
        distance.keep();
    }
    looks
}
