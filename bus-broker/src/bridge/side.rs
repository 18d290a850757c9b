//! One of the two sessions of a direction, and its connection.
//!
//! It connects, and connects again, by itself; a session goes on where the broker has kept it, and
//! else a new one begins with nothing of the old one in it. Invariant: nothing is said to a broker
//! before it has said Welcome.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bus_client::{Backoff, ClientOptions, Connection, ConnectionEnd, Error};
use bus_core::session::{ClientSession, Established, Event, Hello};
use bus_core::sys::aside;
use bus_core::transport::mem_pair;
use bus_core::{ErrorKind, Failure, KEPT_BYTES_MAX};
use tokio::time::{Instant, Sleep, sleep};

use super::fault::BridgeFault;
use super::settings::BridgeConfig;
use super::why::{Why, is_refusal};
use crate::connection;
use crate::hub::{SharedBuffers, SharedHub};

/// The shortest and the longest pause between attempts. Where nobody can be reached that takes no
/// longer than a wire that has healed may lie idle; who has refused is left alone for longer.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(500);
const BACKOFF_REFUSED_MAX: Duration = Duration::from_secs(5);

/// Which broker it is.
#[derive(Clone)]
pub(super) enum Place {
    /// The one that runs the bridge.
    Own(SharedHub),
    /// The other one.
    Remote(Arc<BridgeConfig>),
}

impl Place {
    /// Why nobody could be connected to there; of settings in the words of whoever has made them.
    fn tell(&self, error: &Error) -> String {
        match self {
            Place::Own(_) => error.to_string(),
            Place::Remote(config) => error.told(|knob| config.words.knob(knob)),
        }
    }
}

type Attempt = Pin<Box<dyn Future<Output = Result<Connection, Error>>>>;

enum State {
    /// Nothing is to be done.
    Paused,
    Waiting(Pin<Box<Sleep>>),
    Connecting(Attempt),
    Up(Box<Connection>),
}

/// What has happened to the connection.
#[derive(Debug)]
pub(super) enum Change {
    /// There is a session, another one than before, at a broker of this epoch and name.
    Began { epoch: u64, broker: String },
    /// The session goes on.
    Resumed,
    /// There is no connection, for this reason.
    Lost(Why),
    /// An attempt to connect has failed.
    Failed(Why),
}

/// A session at a broker.
pub(super) struct Side {
    place: Place,
    buffers: SharedBuffers,
    name: String,
    grace: Duration,
    pub session: ClientSession,
    state: State,
    since: Instant,
    backoff: Backoff,
    /// The same while the broker is there and will not have this session.
    refusals: Backoff,
    epoch: Option<u64>,
    /// That of the broker that runs the bridge, which is not to be the other one too.
    own_epoch: u64,
    /// What people call that broker.
    broker: String,
}

impl Side {
    /// A session that begins as soon as it is polled, of a bridge of the broker of this epoch.
    pub fn new(
        place: Place,
        buffers: SharedBuffers,
        name: &str,
        grace: Duration,
        own_epoch: u64,
    ) -> Side {
        let now = Instant::now();
        Side {
            place,
            buffers,
            name: name.to_owned(),
            grace,
            session: ClientSession::default(),
            state: State::Waiting(Box::pin(sleep(Duration::ZERO))),
            since: now,
            backoff: Backoff::new(BACKOFF_MIN, BACKOFF_MAX),
            refusals: Backoff::new(BACKOFF_MIN, BACKOFF_REFUSED_MAX),
            epoch: None,
            own_epoch,
            broker: String::new(),
        }
    }

    /// Connects and reads. What it is told goes to `take`; what happens
    /// to the connection comes back. Pending when nothing was to be done: then the task is woken
    /// when something is.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnMut(&mut ClientSession, Event),
    ) -> Poll<Option<Change>> {
        loop {
            match &mut self.state {
                State::Paused => return Poll::Pending,
                State::Waiting(pause) => match pause.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => self.state = State::Connecting(self.attempt()),
                },
                State::Connecting(attempt) => match attempt.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(connection)) => {
                        return Poll::Ready(Some(self.begin(connection)));
                    }
                    Poll::Ready(Err(error)) => {
                        match error.kind() {
                            ErrorKind::NoBroker => self.backoff.failed(),
                            _ => self.refusals.failed(),
                        }
                        self.wait();
                        let (text, refused) = (self.place.tell(&error), is_refusal(error.kind()));
                        return Poll::Ready(Some(Change::Failed(Why { text, refused })));
                    }
                },
                State::Up(_) => return self.poll_up(cx, take),
            }
        }
    }

    fn poll_up(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnMut(&mut ClientSession, Event),
    ) -> Poll<Option<Change>> {
        let State::Up(connection) = &mut self.state else { return Poll::Pending };
        match ready!(connection.read(cx, &self.buffers, &mut self.session, take)) {
            Ok(()) => Poll::Ready(None),
            Err(end) => Poll::Ready(Some(self.lose(end))),
        }
    }

    /// Writes what there is. What happens to the connection comes back.
    pub fn write(&mut self, cx: &mut Context<'_>) -> Option<Change> {
        let State::Up(connection) = &mut self.state else { return None };
        match connection.write(cx, &mut self.session) {
            Ok(()) => None,
            Err(end) => Some(self.lose(end)),
        }
    }

    /// Starts over if the broker leaves more unconfirmed than is kept for it.
    pub fn end_overrun(&mut self) -> Option<Change> {
        if !self.is_up() || self.session.outbound.kept_bytes() <= KEPT_BYTES_MAX {
            return None;
        }
        let text = format!("it has left more than {KEPT_BYTES_MAX} bytes unconfirmed");
        let failure = Failure::new(ErrorKind::QuotaExceeded, text);
        Some(self.start_over(&failure))
    }

    /// Ends the connection and what the session was, for this reason; it begins anew.
    pub fn start_over(&mut self, reason: &Failure) -> Change {
        self.session = ClientSession::default();
        self.refusals.failed();
        self.wait();
        Change::Lost(reason.into())
    }

    /// Writes that the session ends here, so that nobody waits for it to come back.
    pub async fn say_goodbye(&mut self, patience: Duration) {
        self.session.goodbye();
        let written = poll_fn(|cx| {
            let lost = self.write(cx).is_some();
            let done = lost || !self.is_up() || !self.session.wants_write();
            if done { Poll::Ready(()) } else { Poll::Pending }
        });
        // Whoever does not take it finds out by itself.
        let _ = tokio::time::timeout(patience, written).await;
    }

    /// The session is not waited for any more: the next connection begins another one.
    pub fn forget(&mut self) {
        self.session = ClientSession::default();
        if let State::Connecting(_) = self.state {
            // It would ask for the old one.
            self.wait();
        }
    }

    /// It is to connect as this configuration says from now on. What happens to the connection comes
    /// back: one that was made otherwise is made anew, and the session goes on if it is the same broker.
    pub fn lead_to(&mut self, config: &Arc<BridgeConfig>, grace: Duration) -> Option<Change> {
        self.grace = grace;
        let Place::Remote(before) = &mut self.place else { return None };
        let same = before.connects_like(config);
        *before = config.clone();
        if same || matches!(self.state, State::Paused) {
            return None;
        }
        let was_up = self.is_up();
        // What went wrong before has nothing to do with this way.
        self.backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        self.refusals = Backoff::new(BACKOFF_MIN, BACKOFF_REFUSED_MAX);
        self.state = State::Waiting(Box::pin(sleep(Duration::ZERO)));
        let reason = "the settings of the connection were changed: it is made anew";
        was_up.then(|| Change::Lost(Why::lost(reason)))
    }

    /// Connects to the session that was left behind, if that succeeds within so long. What is said there
    /// is not listened to any more.
    pub async fn find_again(&mut self, patience: Duration) -> bool {
        self.state = State::Waiting(Box::pin(sleep(Duration::ZERO)));
        let found = poll_fn(|cx| {
            loop {
                match ready!(self.poll(cx, |_, _| {})) {
                    Some(Change::Began { .. } | Change::Resumed) => return Poll::Ready(()),
                    _ => continue,
                }
            }
        });
        tokio::time::timeout(patience, found).await.is_ok()
    }

    /// Has no connection until [`Side::go_on`].
    pub fn pause(&mut self) {
        self.state = State::Paused;
    }

    /// Connects again.
    pub fn go_on(&mut self) {
        if matches!(self.state, State::Paused) {
            self.state = State::Waiting(Box::pin(sleep(Duration::ZERO)));
        }
    }

    /// Whether it is to have no connection.
    pub fn is_paused(&self) -> bool {
        matches!(self.state, State::Paused)
    }

    /// Whether there is a session that the broker may keep.
    pub fn has_session(&self) -> bool {
        self.session.hello(&self.name, self.grace).resume.is_some()
    }

    /// How long a session outlives its connection.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// The broker that it was connected to last.
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// What it is called.
    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// How long an answer takes.
    pub fn round_trip(&self) -> Option<Duration> {
        match &self.state {
            State::Up(connection) => connection.round_trip(),
            _ => None,
        }
    }

    fn attempt(&self) -> Attempt {
        let hello: Hello = self.session.hello(&self.name, self.grace);
        let (name, grace) = (self.name.clone(), self.grace);
        match self.place.clone() {
            Place::Remote(config) => Box::pin(async move {
                let options = current_options(config.clone()).await?.name(name).grace(grace);
                Connection::open(&config.url, &hello, &options).await
            }),
            Place::Own(hub) => Box::pin(async move {
                let options = ClientOptions::default().name(name).grace(grace);
                let (near, far) = mem_pair();
                tokio::task::spawn_local(connection::serve_bridge(hub, far));
                Connection::over_link(near, &hello, &options).await
            }),
        }
    }

    fn begin(&mut self, connection: Connection) -> Change {
        let welcome = connection.welcome();
        let (epoch, broker) = (welcome.epoch, welcome.broker.clone());
        if epoch == self.own_epoch
            && let Place::Remote(config) = &self.place
        {
            let found = config.invalid(BridgeFault::Itself(None)).to_string();
            return self.leave(connection, found);
        }
        if !welcome.resumed {
            // Nothing of a session that is lost belongs into the next one.
            self.session = ClientSession::default();
        }
        match self.session.welcome(welcome) {
            Err(error) => {
                self.session = ClientSession::default();
                self.refusals.failed();
                self.wait();
                Change::Failed(Why::lost(error.to_string()))
            }
            Ok(established) => {
                let now = Instant::now();
                self.state = State::Up(Box::new(connection));
                (self.since, self.epoch) = (now, Some(epoch));
                self.broker.clone_from(&broker);
                match established {
                    Established::Resumed => Change::Resumed,
                    _ => Change::Began { epoch, broker },
                }
            }
        }
    }

    /// Goes away again, without a session that would be waited for.
    fn leave(&mut self, mut connection: Connection, reason: String) -> Change {
        let mut session = ClientSession::default();
        if session.welcome(connection.welcome()).is_ok() {
            session.goodbye();
            // A goodbye is short, and nothing was written before it. Without it the session ends by its grace.
            let _ = connection.write(&mut Context::from_waker(Waker::noop()), &mut session);
        }
        self.session = ClientSession::default();
        self.refusals.failed();
        self.wait();
        Change::Failed(Why { text: reason, refused: true })
    }

    fn lose(&mut self, end: ConnectionEnd) -> Change {
        let lasted = self.since.elapsed();
        self.backoff.connected_for(lasted);
        // A wire that is cut again and again is no broker that will not have this session.
        if lasted >= BACKOFF_REFUSED_MAX || matches!(end, ConnectionEnd::Refused(_)) {
            self.refusals.connected_for(lasted);
        }
        let reason = match end {
            ConnectionEnd::Lost(reason) => Why::lost(reason),
            ConnectionEnd::Refused(failure) => {
                // It knows the session no more, or will not have it.
                self.session = ClientSession::default();
                self.refusals.failed();
                Why::from(&failure)
            }
        };
        self.wait();
        Change::Lost(reason)
    }

    fn wait(&mut self) {
        let pause = self.refusals.pause().max(self.backoff.pause()).unwrap_or_default();
        self.state = State::Waiting(Box::pin(sleep(pause)));
    }
}

/// How to connect to the other broker now: the token in the file may be another one than before.
/// Files may be slow to read: the broker goes on meanwhile.
async fn current_options(config: Arc<BridgeConfig>) -> Result<ClientOptions, Error> {
    let read = aside(move || config.options()).await;
    let read = read.map_err(|error| Failure::new(ErrorKind::Other, error.to_string()))?;
    Ok(read.map_err(Failure::from)?)
}
