//! Readers beside what they must get.

#![allow(unsafe_code)]

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::shm::heap::parts::Lane;
use crate::shm::{LaneReader, LossyReader, SameUser};

pub type Outcome = Result<(), String>;

macro_rules! check {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
pub(super) use check;

/// A reader, and what it must get.
pub struct Reading {
    pub number: usize,
    pub reader: LaneReader,
    pub expected: VecDeque<Vec<u8>>,
    /// The lane that it is in.
    pub lane: usize,
    /// Positions that are not read yet, of the ring that the writer is in.
    pub unread: u64,
    pub sleeps: bool,
}

pub struct LossyReading {
    pub reader: LossyReader,
    pub expected: VecDeque<Vec<u8>>,
    pub lane: usize,
    pub lost: u64,
}

impl Reading {
    pub fn is_idle(&self) -> bool {
        self.expected.iter().all(Vec::is_empty)
    }

    /// These bytes were read: they must be the next ones.
    fn take(&mut self, mut bytes: &[u8]) -> Outcome {
        loop {
            let Some(frame) = self.expected.front_mut() else {
                check!(bytes.is_empty(), "{} bytes from nowhere", bytes.len());
                return Ok(());
            };
            let count = frame.len().min(bytes.len());
            check!(frame[..count] == bytes[..count], "other bytes");
            bytes = &bytes[count..];
            frame.drain(..count);
            if !frame.is_empty() {
                check!(bytes.is_empty(), "other bytes");
                return Ok(());
            }
            self.expected.pop_front();
        }
    }

    pub fn read(&mut self, most: usize) -> Outcome {
        self.awake();
        let mut buffer = BytesMut::with_capacity(most);
        self.reader.read_into(&mut buffer).map_err(say)?;
        self.take(&buffer)
    }

    pub fn copy_frame(&mut self) -> Outcome {
        self.awake();
        let mut buffer = BytesMut::new();
        let got = self.reader.copy_frame(&mut buffer).map_err(say)?;
        check!(got.unwrap_or(0) == buffer.len(), "{got:?} are {} bytes", buffer.len());
        self.take(&buffer)
    }

    pub fn borrow(&mut self, most: usize) -> Outcome {
        self.awake();
        // SAFETY: the writer is this test, and obeys.
        let trust = unsafe { SameUser::assume() };
        let batch = self.reader.batch(trust);
        let frames: Vec<&[u8]> = batch.take(most).collect();
        let bytes = frames.concat();
        drop(batch);
        self.take(&bytes)
    }

    pub fn show(&mut self) -> Outcome {
        self.awake();
        // SAFETY: the writer is this test, and obeys.
        let trust = unsafe { SameUser::assume() };
        let shown = self.reader.show_frame(trust, <[u8]>::to_vec).map_err(say)?;
        let over = self.is_idle() || self.reader.has_moved().map_err(say)?;
        check!(shown.is_some() || over, "nothing was shown, and frames are there");
        self.take(&shown.unwrap_or_default())
    }

    pub fn wait(&mut self) -> Outcome {
        let sleeps = self.reader.wait().map_err(say)?;
        check!(!sleeps || self.is_idle(), "it sleeps, and frames are there");
        self.sleeps = sleeps;
        Ok(())
    }

    fn awake(&mut self) {
        self.reader.stop_waiting();
        self.sleeps = false;
    }
}

impl LossyReading {
    /// Reads a frame, if there is one.
    pub fn read_one(&mut self, lanes: &[Lane]) -> Result<bool, String> {
        let mut buffer = BytesMut::new();
        let got = self.reader.copy_frame(&mut buffer).map_err(say)?;
        let lost = self.reader.lost() - self.lost;
        self.lost += lost;
        check!(lost as usize <= self.expected.len(), "{lost} frames lost that never were");
        self.expected.drain(..lost as usize);
        if got.is_some() {
            let frame = self.expected.pop_front();
            check!(frame.as_deref() == Some(&buffer[..]), "another frame");
            return Ok(true);
        }
        if !self.reader.has_moved().map_err(say)? {
            return Ok(false);
        }
        self.lane += 1;
        lanes[self.lane].follow_lossy(&mut self.reader)?;
        Ok(true)
    }
}

pub fn say(error: impl std::fmt::Display) -> String {
    error.to_string()
}
