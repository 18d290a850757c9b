//! Child processes that are copies of this one, to be killed.
//!
//! What stands before the copy is made is shared: mappings, descriptors. Only for a process with
//! one thread, as `wake-ups` is.
//! Invariant: no child outlives its owner or this process.

#![allow(unsafe_code)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::machine;
use crate::process::die_with_parent;

/// A child.
pub struct Forked {
    pid: Pid,
    ended: bool,
}

/// The code of a part that has failed.
const FAILED: u8 = 100;

impl Forked {
    /// Starts a child that plays a part, whose code it ends with.
    pub fn start(part: impl FnOnce() -> Result<u8>) -> Result<Forked> {
        let threads = fs::read_dir("/proc/self/task")?.count();
        ensure!(threads == 1, "a copy of {threads} threads would have only one of them");
        // SAFETY: there is no other thread, by the line above, so the copy is whole: no lock is
        // held by somebody who is not there.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let code = catch_unwind(AssertUnwindSafe(|| {
                die_with_parent()?;
                part()
            }));
            let code = code.unwrap_or(Ok(FAILED)).unwrap_or_else(|error| {
                eprintln!("wake-ups: a child failed: {error:#}");
                FAILED
            });
            // SAFETY: it ends this process, whose destructors belong to the parent.
            unsafe { libc::_exit(i32::from(code)) };
        }
        let pid = Pid::from_raw(pid).filter(|_| pid > 0);
        Ok(Forked { pid: pid.context("starting a child")?, ended: false })
    }

    /// Waits until the child sleeps, if it does in time.
    pub fn sleeps_within(&self, patience: Duration) -> Result<bool> {
        let path = format!("/proc/{}/stat", self.pid.as_raw_nonzero());
        within(patience, || {
            let stat = fs::read_to_string(&path)?;
            // The name before it is in parentheses, and may hold anything.
            let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
            Ok(state == Some('S'))
        })
    }

    /// The code that the child ends with, if it does in time.
    pub fn ends_within(&mut self, patience: Duration) -> Result<Option<i32>> {
        let mut code = None;
        within(patience, || {
            if let Some((_, status)) = waitpid(Some(self.pid), WaitOptions::NOHANG)? {
                self.ended = true;
                code = status.exit_status();
            }
            Ok(self.ended)
        })?;
        Ok(code)
    }
}

impl Drop for Forked {
    /// Kills it, wherever it is.
    fn drop(&mut self) {
        if !self.ended {
            // It is this process's child and was not waited for, so the number is still its own.
            let _ = kill_process(self.pid, Signal::KILL);
            let _ = waitpid(Some(self.pid), WaitOptions::empty());
        }
    }
}

/// Whether this comes true in time.
pub fn within(patience: Duration, mut done: impl FnMut() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        if done()? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        machine::pause(Duration::from_micros(200));
    }
}
