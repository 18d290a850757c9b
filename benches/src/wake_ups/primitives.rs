//! The ways to wake a process, each with one bell that several processes share.
//!
//! Each ring is for one waiter, and is kept if nobody waits. What they cost is measured as
//! contenders of the round trip; here they only have to work.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use bus_core::sys::watch;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::thread::futex;
use tokio::io::Interest;

use crate::contenders::rival_raw_sync::RawEvent;
use crate::contenders::rival_ring_memory::RingMemory;

/// What a waiter returns with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Somebody rang.
    Ring,
    /// Whoever could ring is gone.
    HangUp,
}

/// A bell.
pub trait Primitive {
    /// Wakes one waiter.
    fn ring(&mut self) -> Result<()>;

    /// Sleeps until somebody rings.
    fn wait(&mut self) -> Result<Heard>;

    /// Runs `inside` as its owner, with all that can be held of it.
    fn own(&mut self, inside: &mut dyn FnMut()) -> Result<()> {
        inside();
        Ok(())
    }

    /// This process and its children will not ring, if others could notice that.
    fn only_wait(&mut self) {}
}

/// Makes a bell; it may use the memory.
pub type Make = fn(&RingMemory) -> Result<Box<dyn Primitive + '_>>;

/// All of them, by name.
pub const ALL: [(&str, Make); 5] = [
    ("futex", |memory| Ok(Box::new(FutexCount { memory }))),
    ("eventfd", |_| Ok(Box::new(Eventfd(eventfd(0, EventfdFlags::SEMAPHORE)?)))),
    ("eventfd-tokio", |_| {
        let flags = EventfdFlags::SEMAPHORE | EventfdFlags::NONBLOCK;
        Ok(Box::new(EventfdTokio(eventfd(0, flags)?)))
    }),
    ("socket-byte", |_| {
        let (near, far) = UnixStream::pair()?;
        Ok(Box::new(SocketByte { ringing: Some(near), waiting: far }))
    }),
    ("raw-sync", |memory| Ok(Box::new(RawEvent::create(memory)?))),
];

/// A count of rings in shared memory.
struct FutexCount<'a> {
    memory: &'a RingMemory,
}

impl Primitive for FutexCount<'_> {
    fn ring(&mut self) -> Result<()> {
        self.memory.bell().fetch_add(1, Ordering::Release);
        futex::wake(self.memory.bell(), futex::Flags::empty(), 1)?;
        Ok(())
    }

    fn wait(&mut self) -> Result<Heard> {
        let count = self.memory.bell();
        let one_less = |rings: u32| rings.checked_sub(1);
        while count.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_less).is_err() {
            match futex::wait(count, futex::Flags::empty(), 0, None) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Heard::Ring)
    }
}

/// An eventfd that counts.
struct Eventfd(OwnedFd);

impl Primitive for Eventfd {
    fn ring(&mut self) -> Result<()> {
        rustix::io::write(&self.0, &1_u64.to_ne_bytes())?;
        Ok(())
    }

    fn wait(&mut self) -> Result<Heard> {
        rustix::io::read(&self.0, &mut [0; size_of::<u64>()])?;
        Ok(Heard::Ring)
    }
}

/// The same, waited for on a runtime.
struct EventfdTokio(OwnedFd);

impl Primitive for EventfdTokio {
    fn ring(&mut self) -> Result<()> {
        rustix::io::write(&self.0, &1_u64.to_ne_bytes())?;
        Ok(())
    }

    fn wait(&mut self) -> Result<Heard> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let watched = watch(self.0.try_clone()?, Interest::READABLE)?;
            loop {
                let mut guard = watched.readable().await?;
                match rustix::io::read(watched.get_ref(), &mut [0; size_of::<u64>()]) {
                    Ok(_) => return Ok(Heard::Ring),
                    Err(Errno::AGAIN) => guard.clear_ready(),
                    Err(error) => return Err(error.into()),
                }
            }
        })
    }
}

/// A byte over a pair of Unix sockets.
struct SocketByte {
    ringing: Option<UnixStream>,
    waiting: UnixStream,
}

impl Primitive for SocketByte {
    fn ring(&mut self) -> Result<()> {
        let ringing = self.ringing.as_mut().context("this process does not ring")?;
        Ok(ringing.write_all(&[1])?)
    }

    fn wait(&mut self) -> Result<Heard> {
        match self.waiting.read(&mut [0])? {
            0 => Ok(Heard::HangUp),
            _ => Ok(Heard::Ring),
        }
    }

    fn only_wait(&mut self) {
        self.ringing = None;
    }
}

impl Primitive for RawEvent {
    fn ring(&mut self) -> Result<()> {
        self.set()
    }

    fn wait(&mut self) -> Result<Heard> {
        RawEvent::wait(self).map(|()| Heard::Ring)
    }

    fn own(&mut self, inside: &mut dyn FnMut()) -> Result<()> {
        self.while_held(inside)
    }
}
