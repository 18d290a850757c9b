//! What is done about the sockets that wait before a listener and costs the system most: to take them, to
//! look at them and to end them. To end a connection is three times the work of taking it.
//!
//! A thread beside the broker's does it, a batch at a time, so that whoever connects in vain takes
//! that time from nobody who is connected. It decides nothing (that is the `doorstep`'s), knows no clock, and never
//! waits for a peer. Where there can be no such thread the broker's own does the same, in smaller batches.

use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bus_core::transport::{Arrival, Backlog, Greeting};
use bus_core::{ErrorKind, Failure, Time};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::warn;

use crate::handshakes::Source;

/// So many are taken at once where there is no thread for it.
const WITHOUT_THREAD: usize = 32;
/// After so long it is tried again to make one.
const AGAIN: Duration = Duration::from_secs(1);

/// One that waits.
pub(crate) struct Waiting<A> {
    pub arrived: A,
    /// When its source owes no more than it may.
    pub due: Time,
    pub since: Time,
}

/// What somebody is told who is sent away, in the clear.
pub(crate) enum Farewell {
    Nothing,
    Why(Failure),
    /// That too many of his source wait, for which there are so many places; if he has said the first thing
    /// wholly.
    TooMany {
        source: Source,
        places: usize,
    },
}

/// Done in this order: what ends makes room for what comes.
#[derive(Default)]
pub(crate) struct Errand {
    pub away: Vec<(Arrival, Farewell)>,
    /// So many of those are told something.
    pub answers: u32,
    pub look: Vec<(Source, Waiting<Arrival>)>,
    /// So many of those that have come.
    pub take: usize,
}

/// One that was looked at.
pub(crate) struct Seen {
    pub source: Source,
    /// None if it had ended, and so is no more.
    pub waiting: Option<Waiting<Arrival>>,
    pub greeting: Greeting,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Report {
    /// All that were to be looked at, in their order.
    pub seen: Vec<Seen>,
    pub taken: Vec<Arrival>,
    /// Why no more could be taken.
    pub error: Option<io::Error>,
}

impl Errand {
    /// Does it, here and now.
    pub fn run(self, backlog: &Backlog) -> Report {
        let mut answers = self.answers;
        for (arrival, farewell) in self.away {
            if let Some(left) = answers.checked_sub(1)
                && let Some(failure) = farewell.failure(&arrival)
            {
                answers = left;
                arrival.refuse(&failure);
            }
        }
        let seen = self.look.into_iter().map(|(source, waiting)| {
            let greeting = waiting.arrived.greeting();
            let waiting = (greeting != Greeting::Ended).then_some(waiting);
            Seen { source, waiting, greeting }
        });
        let mut report = Report { seen: seen.collect(), ..Report::default() };
        while report.taken.len() < self.take {
            match backlog.take() {
                Ok(Some(arrival)) => report.taken.push(arrival),
                Ok(None) => break,
                Err(error) => {
                    report.error = Some(error);
                    break;
                }
            }
        }
        report
    }
}

impl Farewell {
    /// What this one is told.
    fn failure(self, arrival: &Arrival) -> Option<Failure> {
        match self {
            Farewell::Nothing => None,
            Farewell::Why(failure) => Some(failure),
            Farewell::TooMany { .. } if arrival.greeting() != Greeting::Whole => None,
            Farewell::TooMany { source, places } => {
                let reason = format!(
                    "too many are connecting from {source}: {places} of them may wait to be heard. Connect again in a second, and leave connections open rather than making new ones"
                );
                Some(Failure::new(ErrorKind::QuotaExceeded, reason))
            }
        }
    }
}

type Job = (Errand, Backlog, oneshot::Sender<Report>);

/// Whoever runs the errands of one listener. Dropping it waits for the one that runs, which waits for nobody:
/// then the listener's address is free.
pub(crate) struct Porter {
    /// As its URL.
    listener: String,
    worker: Option<Worker>,
    /// When one may be made again after that was not possible.
    again: Option<Instant>,
    /// The errand that was begun and not waited for.
    told: Option<oneshot::Receiver<Report>>,
}

struct Worker {
    /// None while it is dropped.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Porter {
    /// Of this listener. The thread is made when it is needed.
    pub fn new(listener: String) -> Porter {
        Porter { listener, worker: None, again: None, told: None }
    }

    /// Runs this one. If nobody waits for it any more, [`Porter::finish`] has what came of it.
    pub async fn run(&mut self, errand: Errand, backlog: Backlog) -> Report {
        let Some(jobs) = self.jobs() else { return here(errand, &backlog) };
        let (tell, told) = oneshot::channel();
        match jobs.try_send((errand, backlog, tell)) {
            Ok(()) => {
                self.told = Some(told);
                self.finish().await.unwrap_or_default()
            }
            // It has another one, or is gone.
            Err(TrySendError::Full((errand, backlog, _)))
            | Err(TrySendError::Disconnected((errand, backlog, _))) => here(errand, &backlog),
        }
    }

    /// What came of the errand that was begun last, if nobody was told yet. Cancelling loses nothing.
    pub async fn finish(&mut self) -> Option<Report> {
        let report = self.told.as_mut()?.await.unwrap_or_default();
        self.told = None;
        Some(report)
    }

    /// Of its thread, which is made if there is none.
    fn jobs(&mut self) -> Option<SyncSender<Job>> {
        if self.worker.is_none() && self.again.is_none_or(|again| again <= Instant::now()) {
            match Worker::start() {
                Ok(worker) => self.worker = Some(worker),
                Err(error) => {
                    let listener = &self.listener;
                    warn!(listener, %error, "no thread for those who wait: the broker's own handles them");
                    self.again = Some(Instant::now() + AGAIN);
                }
            }
        }
        self.worker.as_ref()?.jobs.clone()
    }
}

/// Without a thread for it: fewer at once, since others wait for the broker's.
fn here(mut errand: Errand, backlog: &Backlog) -> Report {
    errand.take = errand.take.min(WITHOUT_THREAD);
    errand.run(backlog)
}

impl Worker {
    fn start() -> io::Result<Worker> {
        let (jobs, next) = sync_channel::<Job>(1);
        let thread = thread::Builder::new().name("bus-porter".into()).spawn(move || {
            for (errand, backlog, tell) in next {
                let report = errand.run(&backlog);
                // Before it is told: whoever hears it may want the listener's address to be free.
                drop(backlog);
                let _ = tell.send(report);
            }
        })?;
        Ok(Worker { jobs: Some(jobs), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use bus_core::transport::TcpListener;

    use super::*;

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        (listener, address)
    }

    fn taking(take: usize) -> Errand {
        Errand { take, ..Errand::default() }
    }

    #[tokio::test]
    async fn an_errand_takes_no_more_than_it_is_to() {
        let (mut listener, address) = listener().await;
        let clients = [(); 3].map(|()| TcpStream::connect(&address).expect("it listens"));
        let mut porter = Porter::new(address);
        for expected in [2, 1, 0] {
            let report = porter.run(taking(2), listener.backlog()).await;
            assert_eq!(report.taken.len(), expected);
            assert!(report.error.is_none());
        }
        assert!(porter.worker.is_some(), "a thread did it");
        drop(clients);
    }

    #[tokio::test]
    async fn what_an_errand_has_taken_is_there_after_nobody_waited_for_it() {
        let (mut listener, address) = listener().await;
        for _ in 0..50 {
            let client = TcpStream::connect(&address).expect("it listens");
            let mut porter = Porter::new(address.clone());
            let run = porter.run(taking(2), listener.backlog());
            let taken = match futures::FutureExt::now_or_never(run) {
                Some(report) => report.taken.len(),
                None => porter.finish().await.expect("it was begun").taken.len(),
            };
            assert_eq!(taken, 1);
            assert!(porter.finish().await.is_none(), "it was told");
            drop(client);
        }
    }

    #[tokio::test]
    async fn when_the_porter_is_gone_the_address_is_free() {
        for _ in 0..50 {
            let (mut listener, address) = listener().await;
            let mut porter = Porter::new(address.clone());
            // Begun, and not waited for.
            let _ = futures::FutureExt::now_or_never(porter.run(taking(1), listener.backlog()));
            drop((porter, listener));
            TcpListener::bind(&address).await.expect("nobody listens there any more");
        }
    }

    #[tokio::test]
    async fn without_a_thread_fewer_are_taken_at_once_by_whoever_asks() {
        let (mut listener, address) = listener().await;
        let clients: Vec<_> = (0..WITHOUT_THREAD + 1)
            .map(|_| TcpStream::connect(&address).expect("it listens"))
            .collect();
        let mut porter = Porter::new(address);
        // As if no thread could be made a moment ago.
        porter.again = Some(Instant::now() + AGAIN);
        let report = porter.run(taking(256), listener.backlog()).await;
        assert_eq!((report.taken.len(), porter.worker.is_none()), (WITHOUT_THREAD, true));
        assert_eq!(porter.run(taking(256), listener.backlog()).await.taken.len(), 1);
        drop(clients);
    }
}
