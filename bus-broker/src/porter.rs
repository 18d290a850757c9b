//! What is done about the sockets that wait before a listener and costs the system most: to take them, to
//! look at them and to end them. To end a connection is three times the work of taking it.
//!
//! A thread beside the broker's does it, a batch at a time, so that whoever connects in vain takes
//! that time from nobody who is connected. It decides nothing (that is the `doorstep`'s), knows no clock, and never
//! waits for a peer. Where there can be no such thread the broker's own does the same.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use bus_core::transport::{Arrival, Backlog, Greeting};
use bus_core::{Failure, Time};
use tokio::sync::oneshot;

use crate::handshakes::Source;

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
    /// If he has said the first thing wholly.
    WhyIfWhole(Failure),
}

/// Done in this order: what ends makes room for what comes.
#[derive(Default)]
pub(crate) struct Errand {
    pub away: Vec<(Arrival, Farewell)>,
    pub look: Vec<(Source, Waiting<Arrival>)>,
    /// So many of those that have come.
    pub take: usize,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Report {
    /// All that were to be looked at, in their order.
    pub seen: Vec<(Source, Waiting<Arrival>, Greeting)>,
    pub taken: Vec<Arrival>,
    /// Why no more could be taken.
    pub error: Option<io::Error>,
}

impl Errand {
    /// Does it, here and now.
    pub fn run(self, backlog: &Backlog) -> Report {
        let mut report = Report::default();
        for (arrival, farewell) in self.away {
            match farewell {
                Farewell::Why(failure) => arrival.refuse(&failure),
                Farewell::WhyIfWhole(failure) if arrival.greeting() == Greeting::Whole => {
                    arrival.refuse(&failure);
                }
                Farewell::WhyIfWhole(_) | Farewell::Nothing => drop(arrival),
            }
        }
        for (source, waiting) in self.look {
            let greeting = waiting.arrived.greeting();
            report.seen.push((source, waiting, greeting));
        }
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

type Job = (Errand, Backlog, oneshot::Sender<Report>);

/// Whoever runs the errands of one listener. Dropping it waits for the one that runs, which waits for nobody:
/// then the listener's address is free.
#[derive(Default)]
pub(crate) struct Porter(Option<Worker>);

struct Worker {
    /// None while it is dropped.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Porter {
    /// Runs this one. It is run to its end also if nobody waits for it any more; what it has taken is ended
    /// then.
    pub async fn run(&mut self, errand: Errand, backlog: Backlog) -> Report {
        if self.0.is_none() {
            self.0 = Worker::start().ok();
        }
        let Some(jobs) = self.0.as_ref().and_then(|worker| worker.jobs.as_ref()) else {
            return errand.run(&backlog);
        };
        let (tell, told) = oneshot::channel();
        match jobs.try_send((errand, backlog, tell)) {
            Ok(()) => told.await.unwrap_or_default(),
            Err(refused) => {
                let (errand, backlog, _) = match refused {
                    std::sync::mpsc::TrySendError::Full(job)
                    | std::sync::mpsc::TrySendError::Disconnected(job) => job,
                };
                errand.run(&backlog)
            }
        }
    }
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

    #[tokio::test]
    async fn an_errand_takes_no_more_than_it_is_to() {
        let (mut listener, address) = listener().await;
        let clients = [(); 3].map(|()| TcpStream::connect(&address).expect("it listens"));
        let mut porter = Porter::default();
        for expected in [2, 1, 0] {
            let errand = Errand { take: 2, ..Errand::default() };
            let report = porter.run(errand, listener.backlog()).await;
            assert_eq!(report.taken.len(), expected);
            assert!(report.error.is_none());
        }
        assert!(porter.0.is_some(), "a thread did it");
        drop(clients);
    }

    #[tokio::test]
    async fn when_the_porter_is_gone_the_address_is_free() {
        for _ in 0..50 {
            let (mut listener, address) = listener().await;
            let mut porter = Porter::default();
            {
                let run = porter.run(Errand { take: 1, ..Errand::default() }, listener.backlog());
                // Begun, and not waited for.
                let _ = futures::FutureExt::now_or_never(run);
            }
            drop((porter, listener));
            TcpListener::bind(&address).await.expect("nobody listens there any more");
        }
    }

    #[tokio::test]
    async fn without_its_thread_an_errand_is_run_at_once() {
        let (mut listener, address) = listener().await;
        let client = TcpStream::connect(&address).expect("it listens");
        // One whose thread is gone.
        let mut porter = Porter(Some(Worker { jobs: None, thread: None }));
        let run = porter.run(Errand { take: 2, ..Errand::default() }, listener.backlog());
        assert_eq!(run.await.taken.len(), 1);
        drop(client);
    }
}
