//! How the system tells a program to end, or to read its files again.
//!
//! From the moment at which it is caught, and not before.

use std::future::pending;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask a process to end.
#[derive(Debug)]
pub struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    /// Catches them from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Ending> {
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Ending { terminate: signal(terminate)?, interrupt: signal(interrupt)? })
    }

    /// Waits for one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The signal that asks a process to read its files again, if it is caught.
#[derive(Debug)]
pub struct HangUp(Option<Signal>);

impl HangUp {
    /// Catches it from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<HangUp> {
        signal(SignalKind::hangup()).map(|signal| HangUp(Some(signal)))
    }

    /// Leaves it as it was.
    pub fn left_alone() -> HangUp {
        HangUp(None)
    }

    /// Waits for one. Those that come while nobody waits are one.
    pub async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => pending().await,
        }
    }
}
