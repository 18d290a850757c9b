//! A load: writers that number what they publish, and readers that note what has come, on several
//! hosts at once. All of it goes into one history.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus_client::{
    Client, ClientEvent, ClientOptions, ErrorKind, Events, PublisherOptions, SlowPolicy,
    SubscribeOptions,
};
use futures::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::history::{History, Seen, Written};
use crate::host::{Host, Task};
use crate::record::{self, Mark};

/// Longer than anything takes that works, also where the machine has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What a writer publishes between two pauses, how long these are, and the filling of a message.
const BURST: u64 = 4;
const PAUSE: Duration = Duration::from_millis(4);
const FILLING: usize = 64;
/// What waits at the broker for a reader behind a wire that is down.
const BACKLOG_BYTES: u64 = 32 * 1024 * 1024;

/// Where a client connects to, from which host.
#[derive(Clone)]
pub struct Access {
    pub url: String,
    pub options: ClientOptions,
}

/// How a writer makes sure that it knows what was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Many messages are under way. Its session must not be lost.
    Session,
    /// One message after the other, each with its receipt.
    Receipts,
}

/// What writers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Readers have not all begun: who comes late to a topic misses its beginning.
    Wait,
    Publish,
    Stop,
}

/// The load. Dropping it lets it run on until its hosts are gone.
pub struct Load {
    history: Arc<Mutex<History>>,
    /// What happened to the clients, by name.
    events: Arc<Mutex<Vec<(String, ClientEvent)>>>,
    phase: watch::Sender<Phase>,
    ready: watch::Sender<usize>,
    writers: Vec<Task<()>>,
    started: usize,
    next_writer: u64,
}

impl Load {
    pub fn new() -> Load {
        Load {
            history: Arc::default(),
            events: Arc::default(),
            phase: watch::Sender::new(Phase::Wait),
            ready: watch::Sender::new(0),
            writers: Vec::new(),
            started: 0,
            next_writer: 0,
        }
    }

    /// Lets somebody on this host read these topics.
    pub fn read(&mut self, host: &Host, name: &str, access: Access, pattern: &str) {
        self.history().readers.insert(name.into(), Vec::new());
        let (mine, pattern) = (self.client(name, access), pattern.to_owned());
        drop(host.enter(move || async move { mine.read(&pattern).await }));
        self.started += 1;
    }

    /// Lets somebody on this host publish there, until the load is stopped.
    pub fn write(&mut self, host: &Host, access: Access, topic: &str, certainty: Certainty) {
        let writer = self.next_writer;
        self.next_writer += 1;
        self.history().writers.insert(writer, Written::default());
        let (mine, topic) = (self.client(&format!("writer {writer}"), access), topic.to_owned());
        let phase = self.phase.subscribe();
        let writing = host.enter(move || async move {
            mine.write(writer, &topic, certainty, phase).await;
        });
        self.writers.push(writing);
        self.started += 1;
    }

    fn client(&self, name: &str, access: Access) -> LoadClient {
        LoadClient {
            name: name.into(),
            access,
            history: self.history.clone(),
            events: self.events.clone(),
            ready: self.ready.clone(),
        }
    }

    /// Waits until all of them are ready, lets the writers begin, and waits until messages flow.
    pub async fn begins(&self) {
        let all = |ready: &usize| *ready == self.started;
        let mut ready = self.ready.subscribe();
        let waited = tokio::time::timeout(PATIENCE, ready.wait_for(all)).await;
        drop(waited.expect("all begin").expect("the sender is here"));
        self.phase.send_replace(Phase::Publish);
        self.flows().await;
    }

    /// The same where readers hear nothing at first, since it is not known yet on the writers' hosts
    /// that somebody wants it: what they have begins with the first message that they hear.
    pub async fn begins_beyond(&self) {
        self.begins().await;
        self.history().begin_where_readers_are();
    }

    /// Waits until every reader has something of every writer that was published from now on.
    pub async fn flows(&self) {
        let from: Vec<_> = self.history().writers.iter().map(|(id, it)| (*id, it.count)).collect();
        self.until("messages flow", |history| {
            history.readers.keys().all(|reader| {
                let has = |(writer, from): &(u64, u64)| {
                    let latest = history.latest.get(&(reader.clone(), *writer));
                    latest.is_some_and(|latest| latest >= from)
                };
                from.iter().all(has)
            })
        })
        .await;
    }

    /// Stops the writers, and waits until every reader has the last message of each.
    pub async fn ends(&mut self) -> History {
        self.phase.send_replace(Phase::Stop);
        for writer in self.writers.drain(..) {
            writer.ends(PATIENCE).await;
        }
        self.until("the last messages have come", |history| history.check().is_ok()).await;
        self.history().clone()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&History) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let began = Instant::now();
            if is_so(&self.history()) {
                return;
            }
            if Instant::now() > deadline {
                let found = self.history().check();
                panic!("not within {PATIENCE:?}: {what}; {found:?}; {:?}", self.events());
            }
            // Whoever looks holds up those who write and read: most of the time is theirs.
            sleep(Duration::from_millis(10).max(began.elapsed() * 4)).await;
        }
    }

    /// What has happened to the clients so far.
    pub fn events(&self) -> Vec<(String, ClientEvent)> {
        lock(&self.events).clone()
    }

    fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }
}

/// Nothing that is kept here is left half done by whoever panics.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a session was lost lately.
fn has_restarted(events: &mut Events) -> bool {
    let mut restarted = false;
    while let Some(Some(event)) = events.next().now_or_never() {
        restarted |= matches!(event, ClientEvent::Restarted { .. });
    }
    restarted
}

/// One client of the load, on its host.
struct LoadClient {
    name: String,
    access: Access,
    history: Arc<Mutex<History>>,
    events: Arc<Mutex<Vec<(String, ClientEvent)>>>,
    ready: watch::Sender<usize>,
}

impl LoadClient {
    async fn connect(&self) -> Client {
        let Access { url, options } = self.access.clone();
        Client::connect_with(&url, options.name(&self.name)).await.expect("connects")
    }

    fn is_ready(&self) {
        self.ready.send_modify(|ready| *ready += 1);
    }

    /// Notes whatever happens to the client, until it ends.
    fn note_events(&self, client: &Client) {
        let (mut all, name, events) = (client.events(), self.name.clone(), self.events.clone());
        tokio::spawn(async move {
            while let Some(event) = all.next().await {
                lock(&events).push((name.clone(), event));
            }
        });
    }

    async fn read(self, pattern: &str) {
        let client = self.connect().await;
        self.note_events(&client);
        let mut events = client.events();
        let options = SubscribeOptions::default().policy(SlowPolicy::Hold);
        let options = options.backlog_bytes(BACKLOG_BYTES);
        let mut subscriber = client.subscribe_with(pattern, options).await.expect("subscribes");
        self.is_ready();
        let mut lost = 0;
        while let Some(Ok(found)) = subscriber.next().await {
            let mark = record::read(found.payload()).expect("no record is torn");
            // What has happened was told before the message that came after it.
            let restarted = has_restarted(&mut events);
            let more = subscriber.lost() - lost;
            lost += more;
            let mut history = lock(&self.history);
            let gap = restarted.then_some(Seen::Gap);
            let lost = (more > 0).then_some(Seen::Lost(more));
            for seen in [gap, lost, Some(Seen::Message(mark))].into_iter().flatten() {
                history.see(&self.name, seen);
            }
        }
    }

    async fn write(
        self,
        writer: u64,
        topic: &str,
        certainty: Certainty,
        mut phase: watch::Receiver<Phase>,
    ) {
        let client = self.connect().await;
        self.note_events(&client);
        let patient = PublisherOptions::default().hold(PATIENCE).mode(0o777);
        let publisher = client.publisher_with(topic, patient).await.expect("opens");
        let mut events = client.events();
        self.is_ready();
        if phase.wait_for(|phase| *phase != Phase::Wait).await.is_err() {
            return;
        }
        let mut pauses = interval(PAUSE);
        pauses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut number, mut known) = (0, true);
        while *phase.borrow() == Phase::Publish {
            pauses.tick().await;
            for _ in 0..BURST {
                if has_restarted(&mut events) {
                    self.with(writer, |written| written.restarts.push(number));
                }
                let message = record::record(Mark { writer, number }, FILLING);
                // Before it can have come anywhere.
                number += 1;
                self.with(writer, |written| written.count = number);
                let done = match certainty {
                    Certainty::Session => publisher.publish(message).await,
                    Certainty::Receipts => publisher.publish_confirmed(message).await.map(drop),
                };
                known = self.note_outcome(writer, number, done.map_err(|error| error.kind()));
            }
        }
        if known {
            publisher.flush().await.expect("everything is accepted");
        }
    }

    /// Whether the message is known to be accepted.
    fn note_outcome(&self, writer: u64, number: u64, done: Result<(), ErrorKind>) -> bool {
        match done {
            Ok(()) => true,
            Err(ErrorKind::OutcomeUnknown | ErrorKind::Disconnected) => {
                self.with(writer, |written| written.unknown.push(number - 1..number));
                false
            }
            Err(kind) => panic!("{}: message {number}: {kind:?}", self.name),
        }
    }

    fn with(&self, writer: u64, change: impl FnOnce(&mut Written)) {
        change(lock(&self.history).writers.entry(writer).or_default());
    }
}
