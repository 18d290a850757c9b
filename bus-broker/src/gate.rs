//! The way in through one listener: who comes is heard at once, or waits on the doorstep until it is his turn.
//!
//! It outlives errors of accepting: without free descriptors it sends away who has to go, pauses and goes on.
//! When the broker ends, whoever has been accepted is heard. Who waits for how long is not decided here, but by
//! the `charges`; in which order, by the `doorstep`.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use crate::doorstep::{Arrived, Doorstep, LOOKS, Newcomer};
use crate::handshakes::{Handshakes, Source};
use crate::hub::SharedHub;
use crate::listen::{Listener, Pace, of_socket};
use crate::log_bound::LogBound;
use crate::porter::{Porter, Report};

/// Pause after accepting has failed.
const PAUSE: Duration = Duration::from_millis(50);

/// So many are let in in a row before those who are connected have a turn.
const IN_A_ROW_MAX: u32 = 32;

/// The part of the places before a listener that those have who are taken at once, and are not there yet.
const BATCH_PART: usize = 4;

/// The way in through one listener.
struct Gate {
    listener: Listener,
    hub: SharedHub,
    handshakes: Handshakes,
    doorstep: Doorstep,
    porter: Porter,
    /// Those who are accepted and nothing else.
    taken: VecDeque<(Source, Arrived)>,
    /// So many are taken at once.
    batch: usize,
    in_a_row: u32,
}

/// Accepts until it is told to close, or nobody can connect any more. So many connections may wait before it;
/// those that do when it closes are heard.
pub(crate) async fn run(
    listener: Listener,
    hub: SharedHub,
    handshakes: Handshakes,
    places: usize,
    mut closing: watch::Receiver<bool>,
) {
    let batch = (listener.pace().many as usize).min(places / BATCH_PART);
    // Those who are taken, and those who were looked at, have descriptors beside those who wait.
    let waiting = places.saturating_sub(batch + LOOKS);
    let of = (&hub, &handshakes);
    let doorstep = Doorstep::new(of, listener.url(), listener.is_clear(), waiting);
    let (porter, taken) = (Porter::new(listener.url()), VecDeque::new());
    let mut gate = Gate { listener, hub, handshakes, doorstep, porter, taken, batch, in_a_row: 0 };
    tokio::select! {
        () = gate.accept_all() => {}
        // Whoever could tell it to close is gone.
        _ = closing.wait_for(|closes| *closes) => {}
    }
    gate.close().await;
}

impl Gate {
    /// Cancelling loses nobody who has been accepted: [`Gate::close`] hears them.
    async fn accept_all(&mut self) {
        let (mut errors, mut turn) = (LogBound::of_one(), Instant::now());
        loop {
            let result = if self.doorstep.is_empty() && self.taken.is_empty() {
                match self.listener.accept().await {
                    Ok(Some(one)) => {
                        self.taken.push_back(one);
                        self.admit_all().await
                    }
                    Ok(None) => return,
                    Err(error) => Err(error),
                }
            } else {
                sleep_until(turn).await;
                turn = Instant::now() + self.listener.pace().breath;
                self.turn().await
            };
            if let Err(error) = result {
                if let Some(left_out) = errors.take(self.hub.borrow().now()) {
                    warn!(listener = self.listener.url(), %error, left_out, "cannot accept");
                }
                // Those who have to go may have what is missing.
                let _ = self.errand(0).await;
                sleep(PAUSE).await;
            }
        }
    }

    /// Somebody waits: those whose turn it is are heard, and what has come meanwhile is let in.
    async fn turn(&mut self) -> io::Result<()> {
        let Pace { many, few, .. } = self.listener.pace();
        let mut result = self.errand(self.batch).await;
        let now = self.hub.borrow().now();
        // One that cannot be heard keeps no other one from it.
        for heard in self.doorstep.next_heard(few, now) {
            result = result.and(self.listener.hear(heard, &self.hub, &self.handshakes));
        }
        result = result.and(self.admit_all().await);
        let mut waiting = 0;
        while waiting < many && result.is_ok() && self.listener.has_links() {
            match self.listener.accept().now_or_never() {
                Some(Ok(Some(one))) => {
                    self.taken.push_back(one);
                    let before = self.doorstep.waiting();
                    result = self.admit_all().await;
                    waiting += u32::from(self.doorstep.waiting() != before);
                }
                Some(Err(error)) => result = Err(error),
                Some(Ok(None)) | None => break,
            }
        }
        result
    }

    /// Has done what the doorstep wants, and takes so many of those that have come.
    async fn errand(&mut self, take: usize) -> io::Result<()> {
        let mut errand = self.doorstep.errand(self.listener.pace().few);
        // Links are neither taken nor looked at there.
        let Some(backlog) = self.listener.backlog() else { return Ok(()) };
        errand.take = take;
        let report = self.porter.run(errand, backlog).await;
        self.note(report)
    }

    fn note(&mut self, report: Report) -> io::Result<()> {
        let now = self.hub.borrow().now();
        self.doorstep.seen(report.seen, now);
        self.taken.extend(report.taken.into_iter().map(of_socket));
        report.error.map_or(Ok(()), Err)
    }

    /// Those who are taken are heard, or wait.
    async fn admit_all(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        while !self.taken.is_empty() {
            self.in_a_row += 1;
            if self.in_a_row >= IN_A_ROW_MAX {
                self.in_a_row = 0;
                yield_now().await;
            }
            let Some((source, arrived)) = self.taken.pop_front() else { break };
            let now = self.hub.borrow().now();
            let wait = self.handshakes.arrives(source, now);
            let newcomer = Newcomer { source, arrived, wait };
            if wait.is_zero() {
                let heard = self.listener.hear(newcomer, &self.hub, &self.handshakes);
                result = result.and(heard);
            } else {
                self.doorstep.enter(newcomer, now);
            }
        }
        result
    }

    /// Nobody else comes: all who have been accepted are heard.
    async fn close(&mut self) {
        if let Some(report) = self.porter.finish().await {
            let _ = self.note(report);
        }
        let now = self.hub.borrow().now();
        let taken = self.taken.drain(..).map(|(source, arrived)| {
            let wait = self.handshakes.arrives(source, now);
            Newcomer { source, arrived, wait }
        });
        let mut all: Vec<_> = taken.collect();
        all.extend(self.doorstep.last_heard(now));
        for heard in all {
            // It has ended: the others are heard all the same.
            let _ = self.listener.hear(heard, &self.hub, &self.handshakes);
        }
    }
}
