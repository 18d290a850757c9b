//! Who waits before a listener until it is heard, and what is done about those who are not to be.
//!
//! A connection whose source owes too much (`charges`) waits as a bare socket. When its turn comes it is
//! looked at: only who has said the first thing wholly is heard, and so costs a task, buffers and what TLS
//! needs. Whoever is sent away from here is told why only if that is understood and costs next to nothing:
//! one write that does not wait, a few each time. It has no tasks and no clock of its own, and leaves what it
//! wants done about sockets to the `porter`.

use std::collections::VecDeque;
use std::time::Duration;

use bus_core::transport::{Arrival, Greeting, Link};
use bus_core::{Failure, HANDSHAKE_TIMEOUT, Time};
use tracing::warn;

use crate::connection::too_late;
use crate::handshakes::{Handshakes, Source};
use crate::hub::SharedHub;
use crate::lobby::Lobby;
use crate::log_bound::LogBound;
use crate::porter::{Errand, Farewell, Seen, Waiting};

/// So many are looked at each time.
pub(crate) const LOOKS: usize = 16;
/// So many are told each time why they are sent away.
const ANSWERS: u32 = 4;
/// So many of those who must go for others are looked at each time, to see whether they would understand.
const LAST_LOOKS: u32 = 32;

/// A connection that is not heard yet.
pub(crate) enum Arrived {
    /// A bare socket.
    Socket(Arrival),
    /// Nothing can be known of it without hearing it.
    Link(Box<dyn Link>),
}

/// Those who wait before one listener.
pub(crate) struct Doorstep {
    hub: SharedHub,
    handshakes: Handshakes,
    lobby: Lobby<Source, Waiting<Arrived>>,
    /// Those who were looked at and are to be heard.
    ready: VecDeque<(Source, Waiting<Arrived>)>,
    /// Those who are sent away, until the next time.
    away: Vec<(Arrival, Farewell)>,
    /// As its URL.
    listener: String,
    /// Whether what is said in the clear is understood there.
    is_clear: bool,
    /// What is left of them until the next time.
    last_looks: u32,
    unheard: LogBound,
}

/// One that has come, and how long it has to wait from now on until its source owes no more than it may.
pub(crate) struct Newcomer {
    pub source: Source,
    pub arrived: Arrived,
    pub wait: Duration,
}

impl Doorstep {
    /// Before this listener, with room for so many.
    pub fn new(
        (hub, handshakes): (&SharedHub, &Handshakes),
        listener: String,
        is_clear: bool,
        places: usize,
    ) -> Doorstep {
        Doorstep {
            hub: hub.clone(),
            handshakes: handshakes.clone(),
            lobby: Lobby::new(places),
            ready: VecDeque::new(),
            away: Vec::new(),
            listener,
            is_clear,
            last_looks: LAST_LOOKS,
            unheard: LogBound::of_one(),
        }
    }

    /// Whether nobody waits, and nobody has to be sent away.
    pub fn is_empty(&self) -> bool {
        self.lobby.is_empty() && self.ready.is_empty() && self.away.is_empty()
    }

    /// One more waits, until its source owes no more than it may; another one may have to go for it.
    pub fn enter(&mut self, newcomer: Newcomer, now: Time) {
        let Newcomer { source, arrived, wait } = newcomer;
        let waiting = Waiting { arrived, due: now.after(wait), since: now };
        let Some(gone) = self.lobby.enter(source, waiting) else { return };
        if let Some(left_out) = self.unheard.take(now) {
            let listener = &self.listener;
            warn!(listener, %source, left_out, "too many connect: one is cut off unheard");
        }
        self.cut(source, gone.arrived);
    }

    /// How many wait whom nobody has looked at.
    pub fn waiting(&self) -> usize {
        self.lobby.len()
    }

    /// What is to be done about those who wait, in a turn in which so many are heard.
    pub fn errand(&mut self, few: u32) -> Errand {
        self.last_looks = LAST_LOOKS;
        let away = std::mem::take(&mut self.away);
        let mut errand = Errand { away, answers: ANSWERS, ..Errand::default() };
        // If there are enough to be heard nobody else is looked at.
        let looks = if self.ready.len() < few as usize { LOOKS - self.ready.len() } else { 0 };
        for _ in 0..self.lobby.len().min(looks) {
            let Some((source, Waiting { arrived, due, since })) = self.lobby.next() else { break };
            match arrived {
                Arrived::Socket(arrived) => {
                    errand.look.push((source, Waiting { arrived, due, since }));
                }
                Arrived::Link(_) => self.ready.push_back((source, Waiting { arrived, due, since })),
            }
        }
        errand
    }

    /// They were looked at: they stay, or go, or are heard when it is their turn.
    pub fn seen(&mut self, seen: Vec<Seen>, now: Time) {
        for Seen { source, waiting, greeting } in seen {
            let Some(Waiting { arrived, due, since }) = waiting else {
                // It had ended.
                self.handshakes.account(source).charge_bad(now);
                continue;
            };
            let is_late = now.since(since) >= HANDSHAKE_TIMEOUT;
            match greeting {
                Greeting::Whole => {
                    let arrived = Arrived::Socket(arrived);
                    self.ready.push_back((source, Waiting { arrived, due, since }));
                    continue;
                }
                Greeting::Unfinished if !is_late => {
                    let arrived = Arrived::Socket(arrived);
                    let gone = self.lobby.enter(source, Waiting { arrived, due, since });
                    // Nobody has come since it was taken out.
                    debug_assert!(gone.is_none());
                    continue;
                }
                Greeting::Ended => self.away.push((arrived, Farewell::Nothing)),
                Greeting::Unfinished => self.fail(arrived, too_late(), self.is_clear),
                // Who does not speak TLS may understand the clear.
                Greeting::Foreign(failure) => self.fail(arrived, failure, true),
            }
            self.handshakes.account(source).charge_bad(now);
        }
    }

    /// Those whose turn it is, at most so many.
    pub fn next_heard(&mut self, few: u32, now: Time) -> Vec<Newcomer> {
        let few = self.ready.len().min(few as usize);
        let heard = self.ready.drain(..few);
        let heard = heard.map(|(source, waiting)| Newcomer {
            source,
            arrived: waiting.arrived,
            wait: waiting.due.since(now),
        });
        heard.collect()
    }

    /// All who wait: nobody else comes, and there are no more turns.
    pub fn last_heard(&mut self, now: Time) -> Vec<Newcomer> {
        let waiting = std::iter::from_fn(|| self.lobby.next());
        let all = self.ready.drain(..).chain(waiting);
        let all = all.map(|(source, waiting)| Newcomer {
            source,
            arrived: waiting.arrived,
            wait: waiting.due.since(now),
        });
        all.collect()
    }

    /// What it has said, or not, is bad.
    fn fail(&mut self, arrival: Arrival, failure: Failure, is_clear: bool) {
        self.hub.borrow_mut().note_failed(&arrival.peer(), &failure);
        let farewell = if is_clear { Farewell::Why(failure) } else { Farewell::Nothing };
        self.away.push((arrival, farewell));
    }

    /// It has to go for another one, and has done nothing bad.
    fn cut(&mut self, source: Source, arrived: Arrived) {
        let Arrived::Socket(arrival) = arrived else { return };
        let farewell = match self.last_looks.checked_sub(1).filter(|_| self.is_clear) {
            Some(left) => {
                self.last_looks = left;
                Farewell::TooMany { source, places: self.lobby.places_per_source() }
            }
            None => Farewell::Nothing,
        };
        self.away.push((arrival, farewell));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::rc::Rc;

    use bus_core::transport::{TcpListener, frame_bytes};
    use bus_core::{Decoder, ErrorKind, Header, Kind, control};
    use tokio::sync::mpsc;

    use super::*;
    use crate::config::BrokerConfig;
    use crate::hub::Hub;
    use crate::porter::Porter;
    use crate::registry::Registry;

    const PLACES: usize = 64;
    const JUNK: &[u8] = b"GET / HTTP/1.1\r\nHost: bus\r\n\r\n";

    /// A listener, and those who wait before it.
    struct Place {
        listener: TcpListener,
        porter: Porter,
        doorstep: Doorstep,
        handshakes: Handshakes,
    }

    impl Place {
        async fn new(is_clear: bool) -> Place {
            let (events, _heard) = mpsc::channel(16);
            let hub = Hub::new(BrokerConfig::default(), Registry::default(), 1, events);
            let hub = Rc::new(RefCell::new(hub));
            let handshakes = Handshakes::new(true);
            let doorstep = Doorstep::new((&hub, &handshakes), "tcp:".into(), is_clear, PLACES);
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            Place { listener, porter: Porter::new("tcp:".into()), doorstep, handshakes }
        }

        /// Somebody comes from there, says this, and has to wait.
        async fn comes(&mut self, source: Source, said: &[u8]) -> TcpStream {
            let address = self.listener.local_addr().expect("an address");
            let mut stream = TcpStream::connect(address).expect("it listens");
            stream.write_all(said).expect("there is room");
            let arrival = self.listener.arrival().await.expect("accepts");
            let (arrived, wait) = (Arrived::Socket(arrival), Duration::ZERO);
            self.doorstep.enter(Newcomer { source, arrived, wait }, Time::ZERO);
            stream
        }

        /// One turn: how many are heard.
        async fn turn(&mut self, few: u32, now: Time) -> usize {
            let errand = self.doorstep.errand(few);
            let report = self.porter.run(errand, self.listener.backlog()).await;
            self.doorstep.seen(report.seen, now);
            self.doorstep.next_heard(few, now).len()
        }

        /// The same until nobody waits.
        async fn turns(&mut self, now: Time) {
            while !self.doorstep.is_empty() {
                assert_eq!(self.turn(2, now).await, 0, "nobody is to be heard");
            }
        }
    }

    fn hello() -> Vec<u8> {
        let hello = control::encode_hello(&crate::connection::tests::hello("late"));
        frame_bytes(Header::new(Kind::Hello, 0, 0), &hello).to_vec()
    }

    fn user(uid: u32) -> Source {
        Source::User(uid)
    }

    /// What somebody has been told who was sent away; none if nothing.
    fn told(mut stream: TcpStream) -> Option<ErrorKind> {
        let mut decoder = Decoder::for_handshake();
        let mut bytes = Vec::new();
        // The end may be a reset.
        let _ = stream.read_to_end(&mut bytes);
        decoder.buffer().extend_from_slice(&bytes);
        let frame = decoder.next_frame().expect("a frame")?;
        assert_eq!(frame.header.kind, Kind::Refuse);
        Some(control::decode_failure(Kind::Refuse, &frame.body).expect("a failure").kind())
    }

    #[tokio::test]
    async fn who_has_spoken_is_heard_and_passes_those_who_have_not() {
        let mut place = Place::new(true).await;
        let mut open = Vec::new();
        for number in 0..10 {
            open.push(place.comes(user(7), &hello()[..number]).await);
        }
        open.push(place.comes(user(7), &hello()).await);
        assert_eq!(place.turn(2, Time::ZERO).await, 1);
        assert_eq!(place.doorstep.lobby.len(), 10, "the others stay");
        // One of them says the rest, and is heard then.
        open[3].write_all(&hello()[3..]).expect("it is not ended");
        assert_eq!(place.turn(2, Time::ZERO).await, 1);
        assert_eq!(place.doorstep.lobby.len(), 9);
    }

    #[tokio::test]
    async fn who_says_something_else_is_told_so_and_charged_and_a_few_each_time() {
        let mut place = Place::new(true).await;
        let mut open = Vec::new();
        for _ in 0..10 {
            open.push(place.comes(user(7), JUNK).await);
        }
        place.turns(Time::ZERO).await;
        let told: Vec<_> = open.into_iter().map(told).collect();
        let answers = told.iter().filter(|told| **told == Some(ErrorKind::Protocol)).count();
        assert_eq!(answers, ANSWERS as usize, "{told:?}");
        // So often, and nobody waits on credit any more.
        for _ in 0..60 {
            for _ in 0..LOOKS {
                drop(place.comes(user(7), JUNK).await);
            }
            place.turns(Time::ZERO).await;
        }
        assert!(place.handshakes.arrives(user(7), Time::ZERO) > Duration::ZERO);
        assert!(place.handshakes.arrives(user(8), Time::ZERO).is_zero());
    }

    #[tokio::test]
    async fn who_must_go_for_others_is_told_so_if_he_has_said_hello_in_the_clear() {
        for (is_clear, said, expected) in [
            (true, hello(), Some(ErrorKind::QuotaExceeded)),
            (true, hello()[..5].to_vec(), None),
            (false, hello(), None),
        ] {
            let mut place = Place::new(is_clear).await;
            let first = place.comes(user(7), &said).await;
            let mut open = Vec::new();
            for _ in 0..PLACES / 2 {
                open.push(place.comes(user(7), &[]).await);
            }
            assert_eq!(place.turn(2, Time::ZERO).await, 0);
            assert_eq!(told(first), expected);
        }
    }

    #[tokio::test]
    async fn who_says_nothing_in_time_is_told_so() {
        let mut place = Place::new(true).await;
        let silent = place.comes(user(7), &[]).await;
        assert_eq!(place.turn(2, Time::ZERO).await, 0);
        assert!(!place.doorstep.is_empty());
        let later = Time::ZERO.after(HANDSHAKE_TIMEOUT);
        place.turns(later).await;
        assert_eq!(told(silent), Some(ErrorKind::TimedOut));
    }
}
