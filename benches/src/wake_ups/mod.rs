//! Wake-ups: what becomes of the others when a process is killed that waits, or that owns.
//!
//! Every try makes a fresh bell and fresh processes, and has a bounded time, since waiting for
//! ever is one of the answers. What a wake-up costs is measured as round trips of the
//! contenders of the same names.

mod primitives;
mod rival_fork;

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use self::primitives::{ALL, Heard, Make};
use self::rival_fork::{Forked, within};
use crate::contenders::rival_ring_memory::{RingMemory, Shape};
use crate::machine;

/// How it is done.
#[derive(Args)]
pub struct Options {
    /// How often each death is tried
    #[arg(long, default_value_t = 10)]
    tries: u32,
    /// Milliseconds after which somebody who still waits is taken to wait for ever
    #[arg(long, default_value_t = 1000)]
    patience_ms: u64,
}

/// Rings after a waiter was killed, each of which one waiter that lives should hear.
const RINGS: u32 = 4;

/// The whole table.
pub fn run(options: &Options) -> Result<()> {
    ensure!(options.tries > 0, "nothing is tried");
    let patience = Duration::from_millis(options.patience_ms);
    println!(
        "{} tries each; who still waits after {patience:?} is taken to wait for ever\n",
        options.tries
    );
    println!(
        "                 a waiter is killed:    the owner is killed: of {} waiters",
        options.tries
    );
    println!(
        "                 rings of {:>3} that     told at   woken by       wait for",
        options.tries * RINGS
    );
    println!("  primitive      nobody heard           once      another ring   ever");
    for (name, make) in ALL {
        let mut lost = 0;
        let mut fates = [0; 3];
        for _ in 0..options.tries {
            lost += rings_lost_after_a_waiter(make, patience)?;
            fates[waiter_after_an_owner(make, patience)? as usize] += 1;
        }
        let [told, woken, stuck] = fates;
        println!("  {name:<14} {lost:<22} {told:<9} {woken:<14} {stuck}");
    }
    println!(
        "\ncosts: bus-benches round-trip/64B --contender futex,eventfd,eventfd-tokio,socket-byte,raw-sync"
    );
    Ok(())
}

/// Kills a process that waits, then rings for another one; gives how many rings it did not hear.
fn rings_lost_after_a_waiter(make: Make, patience: Duration) -> Result<u32> {
    let (memory, _file) = RingMemory::create(Shape::of(size_of::<u64>()))?;
    let mut bell = make(&memory)?;
    let victim = Forked::start(|| bell.wait().map(|_| 0))?;
    ensure!(victim.sleeps_within(patience)?, "the victim does not sleep");
    drop(victim);
    let heard = memory.cursor();
    let survivor = Forked::start(|| {
        loop {
            bell.wait()?;
            heard.fetch_add(1, Ordering::Relaxed);
        }
    })?;
    let mut lost = 0;
    for _ in 0..RINGS {
        ensure!(survivor.sleeps_within(patience)?, "the survivor does not sleep");
        let before = heard.load(Ordering::Relaxed);
        let mut ringer = Forked::start(|| bell.ring().map(|()| 0))?;
        let rung = ringer.ends_within(patience)? == Some(0);
        let came = rung && within(patience, || Ok(heard.load(Ordering::Relaxed) > before))?;
        lost += u32::from(!came);
    }
    Ok(lost)
}

/// What becomes of a waiter.
#[derive(Clone, Copy)]
enum Fate {
    Told,
    Woken,
    Stuck,
}

/// Kills a process that owns the bell: that holds what can be held, and else was to ring it.
fn waiter_after_an_owner(make: Make, patience: Duration) -> Result<Fate> {
    let (memory, _file) = RingMemory::create(Shape::of(size_of::<u64>()))?;
    let mut bell = make(&memory)?;
    let owns = memory.cursor();
    let owner = Forked::start(|| {
        bell.own(&mut || {
            owns.store(1, Ordering::Release);
            loop {
                machine::pause(Duration::from_secs(1));
            }
        })?;
        Ok(0)
    })?;
    ensure!(within(patience, || Ok(owns.load(Ordering::Acquire) == 1))?, "nobody owns the bell");
    // What tells of an end does so when the last one who could ring is gone.
    bell.only_wait();
    let mut waiter = Forked::start(|| match bell.wait()? {
        Heard::Ring => Ok(Fate::Woken as u8),
        Heard::HangUp => Ok(Fate::Told as u8),
    })?;
    ensure!(waiter.sleeps_within(patience)?, "the waiter does not sleep");
    drop(owner);
    if waiter.ends_within(patience)? == Some(Fate::Told as i32) {
        return Ok(Fate::Told);
    }
    let _ringer = Forked::start(|| bell.ring().map(|()| 0))?;
    match waiter.ends_within(patience)? {
        Some(code) if code == Fate::Woken as i32 => Ok(Fate::Woken),
        _ => Ok(Fate::Stuck),
    }
}
