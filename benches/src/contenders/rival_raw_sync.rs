//! The event of the crate `raw_sync`, in shared memory.
//!
//! A mutex and a condition variable of the C library beside a flag. It is measured here, and
//! what becomes of it when a process is killed is shown by `wake-ups`; the bus does not use it.

#![allow(unsafe_code)]

use anyhow::{Result, anyhow};
use raw_sync::Timeout;
use raw_sync::events::{Event, EventImpl, EventInit, EventState};
use raw_sync::locks::{LockImpl, LockInit, Mutex};

use super::rival_ring_memory::{RingMemory, Spare};

/// An event that one waiter's return resets.
pub struct RawEvent {
    event: Box<dyn EventImpl>,
    spare: Spare,
}

impl RawEvent {
    /// Makes the event in the ring's spare bytes.
    pub fn create(ring: &RingMemory) -> Result<RawEvent> {
        let spare = ring.spare();
        // SAFETY: the spare bytes are mapped as long as `spare` lives, are aligned, longer than
        // an event, and nobody uses them yet.
        let made = unsafe { Event::new(spare.start.as_ptr(), true) };
        let (event, _) = made.map_err(|error| anyhow!("making an event: {error}"))?;
        Ok(RawEvent { event, spare })
    }

    /// The event that the other side has made there.
    pub fn open(ring: &RingMemory) -> Result<RawEvent> {
        let spare = ring.spare();
        // SAFETY: as above; an event was made there.
        let found = unsafe { Event::from_existing(spare.start.as_ptr()) };
        let (event, _) = found.map_err(|error| anyhow!("opening an event: {error}"))?;
        Ok(RawEvent { event, spare })
    }

    /// Wakes one waiter.
    pub fn set(&self) -> Result<()> {
        self.event.set(EventState::Signaled).map_err(|error| anyhow!("setting an event: {error}"))
    }

    /// Sleeps until it is set.
    pub fn wait(&self) -> Result<()> {
        self.event.wait(Timeout::Infinite).map_err(|error| anyhow!("waiting: {error}"))
    }

    /// Runs `inside` while the event's mutex is held, as it is inside of each call.
    pub fn while_held<R>(&self, inside: impl FnOnce() -> R) -> Result<R> {
        let nothing = std::ptr::null_mut();
        // SAFETY: an event begins with its mutex, which was made with it.
        let found = unsafe { Mutex::from_existing(self.spare.start.as_ptr(), nothing) };
        let (mutex, _): (Box<dyn LockImpl>, usize) =
            found.map_err(|error| anyhow!("opening a mutex: {error}"))?;
        let held = mutex.lock().map_err(|error| anyhow!("locking a mutex: {error}"))?;
        let result = inside();
        drop(held);
        Ok(result)
    }
}
