//! How the two sides of a bare ring wait for each other.
//!
//! Each knows the ring's words and nothing of what is in it. A bell that always rings is for
//! round trips only: there is always room.
//! Invariant: `wait` returns only when the message of that number is there.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use anyhow::{Context, Result, bail};
use bus_core::sys::watch;
use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::futex;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::rival_raw_sync::RawEvent;
use super::rival_ring_memory::RingMemory;

/// A way to wait.
pub trait Bell {
    /// Makes what the other side will wait for, in the ring that this side writes.
    fn prepare(&mut self, _outgoing: &RingMemory) -> Result<()> {
        Ok(())
    }

    /// What the other side needs to ring here, if anything.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Takes what the other side has handed over.
    fn meet(&mut self, _incoming: &RingMemory, _theirs: Option<OwnedFd>) -> Result<()> {
        Ok(())
    }

    /// Message `head` - 1 was written.
    fn ring(&mut self, ring: &RingMemory, head: u64) -> Result<()>;

    /// Until message `number` is there.
    async fn wait(&mut self, ring: &RingMemory, number: u64) -> Result<()>;

    /// Some were read.
    fn ring_room(&mut self, _ring: &RingMemory) -> Result<()> {
        Ok(())
    }

    /// Until the reader may have gone beyond this cursor.
    fn wait_for_room(&mut self, _ring: &RingMemory, _cursor: u64) -> Result<()> {
        bail!("a ping-pong has one message under way")
    }
}

/// Looks again and again.
pub struct Spin {
    /// After each look.
    pub pauses: u32,
}

impl Spin {
    fn pause(&self) {
        for _ in 0..self.pauses {
            std::hint::spin_loop();
        }
    }
}

impl Bell for Spin {
    #[inline]
    fn ring(&mut self, _ring: &RingMemory, _head: u64) -> Result<()> {
        Ok(())
    }

    #[inline]
    async fn wait(&mut self, ring: &RingMemory, number: u64) -> Result<()> {
        while !ring.is_there(number) {
            self.pause();
        }
        Ok(())
    }

    fn wait_for_room(&mut self, _ring: &RingMemory, _cursor: u64) -> Result<()> {
        self.pause();
        Ok(())
    }
}

/// Sleeps on a word when there is nothing; rings only who says that it sleeps.
pub struct Futex;

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;

impl Bell for Futex {
    #[inline]
    fn ring(&mut self, ring: &RingMemory, _head: u64) -> Result<()> {
        wake_sleeper(ring.bell())
    }

    #[inline]
    async fn wait(&mut self, ring: &RingMemory, number: u64) -> Result<()> {
        while !ring.is_there(number) {
            sleep_unless(ring.bell(), || ring.is_there(number))?;
        }
        Ok(())
    }

    #[inline]
    fn ring_room(&mut self, ring: &RingMemory) -> Result<()> {
        wake_sleeper(ring.room())
    }

    fn wait_for_room(&mut self, ring: &RingMemory, cursor: u64) -> Result<()> {
        sleep_unless(ring.room(), || ring.cursor().load(Ordering::Relaxed) != cursor)
    }
}

/// Says that it sleeps, looks once more, sleeps.
fn sleep_unless(word: &AtomicU32, there: impl Fn() -> bool) -> Result<()> {
    word.store(ASLEEP, Ordering::Relaxed);
    // Pairs with the fence in `wake_sleeper`: either this sees what the other side wrote, or the
    // other side sees that this one sleeps.
    fence(Ordering::SeqCst);
    if !there() {
        futex_wait(word, ASLEEP)?;
    }
    word.store(AWAKE, Ordering::Relaxed);
    Ok(())
}

#[inline]
fn wake_sleeper(word: &AtomicU32) -> Result<()> {
    fence(Ordering::SeqCst);
    if word.load(Ordering::Relaxed) == ASLEEP {
        word.store(AWAKE, Ordering::Relaxed);
        futex::wake(word, futex::Flags::empty(), 1)?;
    }
    Ok(())
}

fn futex_wait(word: &AtomicU32, value: u32) -> Result<()> {
    match futex::wait(word, futex::Flags::empty(), value, None) {
        // It has changed already, or a signal came: the caller looks again.
        Ok(()) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("sleeping on a futex"),
    }
}

/// Rings for each message and sleeps before each look.
#[derive(Default)]
pub struct FutexAlways {
    heard: u32,
}

impl Bell for FutexAlways {
    fn ring(&mut self, ring: &RingMemory, head: u64) -> Result<()> {
        // Only whether it is another one matters.
        ring.bell().store(head as u32, Ordering::Release);
        futex::wake(ring.bell(), futex::Flags::empty(), 1)?;
        Ok(())
    }

    async fn wait(&mut self, ring: &RingMemory, number: u64) -> Result<()> {
        while !ring.is_there(number) {
            futex_wait(ring.bell(), self.heard)?;
        }
        self.heard = ring.bell().load(Ordering::Acquire);
        Ok(())
    }
}

/// An eventfd for each side, read by blocking.
pub struct Eventfd {
    own: OwnedFd,
    theirs: Option<OwnedFd>,
}

impl Eventfd {
    /// With one of its own.
    pub fn new() -> Result<Eventfd> {
        Ok(Eventfd { own: eventfd(0, EventfdFlags::CLOEXEC)?, theirs: None })
    }
}

impl Bell for Eventfd {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.own.as_fd())
    }

    fn meet(&mut self, _incoming: &RingMemory, theirs: Option<OwnedFd>) -> Result<()> {
        self.theirs = theirs;
        Ok(())
    }

    fn ring(&mut self, _ring: &RingMemory, _head: u64) -> Result<()> {
        count_up(self.theirs.as_ref())
    }

    async fn wait(&mut self, ring: &RingMemory, number: u64) -> Result<()> {
        let mut count = [0; size_of::<u64>()];
        rustix::io::read(&self.own, &mut count)?;
        if ring.is_there(number) { Ok(()) } else { bail!("rung without a message") }
    }
}

fn count_up(eventfd: Option<&OwnedFd>) -> Result<()> {
    rustix::io::write(eventfd.context("nobody was met")?, &1_u64.to_ne_bytes())?;
    Ok(())
}

/// An eventfd for each side, watched by tokio.
pub struct EventfdTokio {
    own: AsyncFd<OwnedFd>,
    theirs: Option<OwnedFd>,
}

impl EventfdTokio {
    /// With one of its own; on a runtime.
    pub fn new() -> Result<EventfdTokio> {
        let own = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(EventfdTokio { own: watch(own, Interest::READABLE)?, theirs: None })
    }
}

impl Bell for EventfdTokio {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.own.get_ref().as_fd())
    }

    fn meet(&mut self, _incoming: &RingMemory, theirs: Option<OwnedFd>) -> Result<()> {
        self.theirs = theirs;
        Ok(())
    }

    fn ring(&mut self, _ring: &RingMemory, _head: u64) -> Result<()> {
        count_up(self.theirs.as_ref())
    }

    async fn wait(&mut self, ring: &RingMemory, number: u64) -> Result<()> {
        loop {
            let mut guard = self.own.readable().await?;
            let mut count = [0; size_of::<u64>()];
            let result = rustix::io::read(self.own.get_ref(), &mut count);
            // One read takes the whole count, so there is no second one to find that out.
            guard.clear_ready();
            match result {
                Ok(_) if ring.is_there(number) => return Ok(()),
                Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A pair of Unix sockets for each side; a byte rings.
pub struct SocketByte {
    own: UnixStream,
    /// The end that the other side gets.
    other: UnixStream,
    theirs: Option<UnixStream>,
}

impl SocketByte {
    /// With a pair of its own.
    pub fn new() -> Result<SocketByte> {
        let (own, other) = UnixStream::pair()?;
        Ok(SocketByte { own, other, theirs: None })
    }
}

impl Bell for SocketByte {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.other.as_fd())
    }

    fn meet(&mut self, _incoming: &RingMemory, theirs: Option<OwnedFd>) -> Result<()> {
        self.theirs = theirs.map(UnixStream::from);
        Ok(())
    }

    fn ring(&mut self, _ring: &RingMemory, _head: u64) -> Result<()> {
        let theirs = self.theirs.as_mut().context("nobody was met")?;
        Ok(theirs.write_all(&[1])?)
    }

    async fn wait(&mut self, ring: &RingMemory, number: u64) -> Result<()> {
        self.own.read_exact(&mut [0])?;
        if ring.is_there(number) { Ok(()) } else { bail!("rung without a message") }
    }
}

/// `raw_sync`'s event, which resets itself: a mutex and a condition variable.
#[derive(Default)]
pub struct RawSync {
    outgoing: Option<RawEvent>,
    incoming: Option<RawEvent>,
}

impl Bell for RawSync {
    fn prepare(&mut self, outgoing: &RingMemory) -> Result<()> {
        self.outgoing = Some(RawEvent::create(outgoing)?);
        Ok(())
    }

    fn meet(&mut self, incoming: &RingMemory, _theirs: Option<OwnedFd>) -> Result<()> {
        self.incoming = Some(RawEvent::open(incoming)?);
        Ok(())
    }

    fn ring(&mut self, _ring: &RingMemory, _head: u64) -> Result<()> {
        self.outgoing.as_ref().context("nothing was prepared")?.set()
    }

    async fn wait(&mut self, ring: &RingMemory, number: u64) -> Result<()> {
        self.incoming.as_ref().context("nobody was met")?.wait()?;
        if ring.is_there(number) { Ok(()) } else { bail!("rung without a message") }
    }
}
