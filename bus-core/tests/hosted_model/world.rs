//! Two brokers and a bridge between them; and how clients of either are told things.
//!
//! The queue `jobs` lives at the home and is hosted at the guest under the same name. Whoever
//! uses it has it open on channel 0.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus_core::bridge::{CarriedQueue, Ends, QueueCarrier};
use bus_core::router::{
    Command, Effect, Fault, Identity, OpenMode, Output, QueueOptions, Router, RouterConfig,
    SessionEnd, SessionId,
};
use bus_core::session::Outbound;
use bus_core::{Header, Kind, Message, Name, Parcel, Sender, Time};

use crate::line::Line;

/// Epochs of the two.
pub const HOME: u64 = 0xa;
pub const GUEST: u64 = 0xb;
/// What whoever sends over the bridge is called at home.
pub const BRIDGE: u64 = 99;

/// The lease of deliveries in storms.
pub const LEASE: Duration = Duration::from_secs(5);

/// How the bridge's sessions outlive their connections.
pub const GRACE: Duration = Duration::from_secs(10);

/// On which side a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Home,
    Guest,
}

/// The two brokers, and the bridge.
pub struct World {
    pub now: Time,
    pub home: Router,
    pub guest: Router,
    pub carrier: QueueCarrier,
    pub home_line: Line,
    pub guest_line: Line,
    /// What clients were told, in order, by the number of the client.
    told: Vec<(usize, Output)>,
    sessions: BTreeMap<usize, (Place, SessionId)>,
    fault: Option<Fault>,
    /// Whether a session of the bridge was ever lost.
    home_was_lost: bool,
}

pub fn name(text: &str) -> Name {
    Name::new(text).expect("a literal name")
}

/// The identity of a client.
pub fn client(number: usize) -> Identity {
    let sender =
        Sender { name: format!("{number}"), uid: Some(1), gid: Some(1), ..Sender::default() };
    Identity { sender, ..Identity::default() }
}

pub fn router(epoch: u64) -> Router {
    Router::new(RouterConfig { epoch, ..RouterConfig::default() })
}

/// Opens `jobs` on channel 0.
pub fn open_jobs(options: &QueueOptions) -> Command {
    let (open, options) = (OpenMode::OpenOrCreate, options.clone());
    Command::OpenQueue { request: 0, channel: 0, name: name("jobs"), open, options }
}

/// Whoever has sent a message, by the number that its name is.
pub fn sender_of(sender: &Sender) -> u64 {
    sender.name.as_str().parse().unwrap_or(BRIDGE)
}

/// These messages as they arrive when they were sent together.
fn parcel(messages: &[Message]) -> Parcel {
    let mut outbound = Outbound::default();
    for message in messages {
        outbound.push_message(&Header::new(Kind::Send, 0, message.kind().get()), message);
    }
    let mut slices = Vec::new();
    outbound.unsent(usize::MAX, usize::MAX, &mut slices);
    let count = messages.len() as u64;
    Parcel::check(Kind::Send, slices.concat().into(), count).expect("as it was made")
}

impl World {
    /// A queue with these options, made by client 0, which is at home, and carried.
    pub fn new(options: &QueueOptions, fault: Option<Fault>) -> World {
        let (mut home, mut guest, now) = (router(HOME), router(GUEST), Time::ZERO);
        for router in [&mut home, &mut guest] {
            if let Some(fault) = fault {
                router.plant(fault);
            }
        }
        let home_line = Line::open(&mut home, now, HOME, GRACE);
        let guest_line = Line::open(&mut guest, now, GUEST, GRACE);
        let carrier = World::carrier(fault);
        let (told, sessions) = (Vec::new(), BTreeMap::new());
        let home_was_lost = false;
        let mut world = World {
            now,
            home,
            guest,
            carrier,
            home_line,
            guest_line,
            told,
            sessions,
            fault,
            home_was_lost,
        };
        world.join(0, Place::Home);
        world.tell(0, open_jobs(options));
        world.connect();
        world
    }

    fn carrier(fault: Option<Fault>) -> QueueCarrier {
        let jobs = || name("jobs");
        // As a queue of its own has it, so that all clients may use it.
        let queue =
            CarriedQueue { home: jobs(), guest: jobs(), open: OpenMode::Open, mode: Some(0o777) };
        let mut carrier = QueueCarrier::new(vec![queue]);
        if let Some(fault) = fault {
            carrier.plant(fault);
        }
        carrier
    }

    /// Both sessions of the bridge are there.
    fn connect(&mut self) {
        let mut ends =
            Ends { home: &mut self.home_line.client, guest: &mut self.guest_line.client };
        self.carrier.home_up(&mut ends);
        self.carrier.guest_up(&mut ends);
        self.settle();
    }

    /// A client comes. One of its number that was there before is another one.
    pub fn join(&mut self, number: usize, place: Place) {
        let now = self.now;
        let router = self.router(place);
        let session = router.open_session(now, client(number), GRACE).expect("below the limit");
        self.sessions.insert(number, (place, session));
    }

    pub fn router(&mut self, place: Place) -> &mut Router {
        match place {
            Place::Home => &mut self.home,
            Place::Guest => &mut self.guest,
        }
    }

    /// A client gives a command; nothing is carried yet.
    pub fn tell(&mut self, number: usize, command: Command) {
        let Some((place, session)) = self.sessions.get(&number).copied() else { return };
        let now = self.now;
        self.router(place).handle(now, session, command);
    }

    /// A client sends messages together, to the queue that it has open on channel 0; nothing is
    /// carried yet.
    pub fn send_together(&mut self, number: usize, first: u64, messages: &[Message]) {
        let Some((place, session)) = self.sessions.get(&number).copied() else { return };
        let (now, parcel) = (self.now, parcel(messages));
        self.router(place).send_parcel(now, session, 0, first, parcel);
    }

    /// A client ends.
    pub fn end(&mut self, number: usize, end: SessionEnd) {
        let Some((place, session)) = self.sessions.remove(&number) else { return };
        let now = self.now;
        self.router(place).close_session(now, session, end);
    }

    /// A client's connection is cut, or there is one again.
    pub fn set_away(&mut self, number: usize, away: bool) {
        let Some((place, session)) = self.sessions.get(&number).copied() else { return };
        let now = self.now;
        match away {
            true => self.router(place).suspend(now, session),
            false => self.router(place).resume(now, session),
        }
    }

    /// What clients were told since the last time.
    pub fn take_told(&mut self) -> Vec<(usize, Output)> {
        self.hear();
        std::mem::take(&mut self.told)
    }

    /// Lets effects go to whom they are for.
    fn hear(&mut self) {
        for effect in self.home.take_effects(Vec::new()) {
            match effect.session == self.home_line.session {
                true => self.home_line.output(effect.output),
                false => self.note(Place::Home, effect),
            }
        }
        for effect in self.guest.take_effects(Vec::new()) {
            match effect.session == self.guest_line.session {
                true => self.guest_line.output(effect.output),
                false => self.note(Place::Guest, effect),
            }
        }
    }

    fn note(&mut self, place: Place, mut effect: Effect) {
        if let Output::Lease { sender, .. } | Output::LeaseParcel { sender, .. } =
            &mut effect.output
        {
            let session = sender_of(sender);
            *sender = Arc::new(Sender { session, ..Sender::default() });
        }
        let mut known = self.sessions.iter();
        if let Some((number, _)) = known.find(|(_, at)| **at == (place, effect.session)) {
            self.told.push((*number, effect.output));
        }
    }

    /// Carries one thing: what is said on one of the four ways. Whether there was anything.
    pub fn carry(&mut self, way: u64) -> bool {
        self.hear();
        let now = self.now;
        match way % 4 {
            0 => self.home_line.push(&mut self.home, now),
            1 => self.guest_line.push(&mut self.guest, now),
            2 => {
                let events = self.home_line.pull();
                let heard = !events.is_empty();
                let mut ends =
                    Ends { home: &mut self.home_line.client, guest: &mut self.guest_line.client };
                for event in events {
                    self.carrier.home_says(now, event, &mut ends);
                }
                heard
            }
            _ => {
                let events = self.guest_line.pull();
                let heard = !events.is_empty();
                let mut ends =
                    Ends { home: &mut self.home_line.client, guest: &mut self.guest_line.client };
                for event in events {
                    self.carrier.guest_says(now, event, &mut ends);
                }
                heard
            }
        }
    }

    /// Carries everything, until nobody has anything to say.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if !(0..4).map(|way| self.carry(way)).fold(false, |any, moved| any | moved) {
                return self.hear();
            }
        }
        panic!("they never come to an end");
    }

    /// Whether the bridge is connected with this side.
    pub fn is_up(&self, place: Place) -> bool {
        match place {
            Place::Home => self.home_line.is_up,
            Place::Guest => self.guest_line.is_up,
        }
    }

    /// Whether what is on its way to the guest may have been given to others at home.
    pub fn may_be_late(&self) -> bool {
        self.home_was_lost || self.now >= Time::ZERO.after(LEASE)
    }

    /// Whether the session of a client is there.
    pub fn is_there(&mut self, number: usize) -> bool {
        let Some((place, session)) = self.sessions.get(&number).copied() else { return false };
        self.router(place).has_session(session)
    }

    /// When something is due.
    pub fn next_deadline(&self) -> Option<Time> {
        let all =
            [self.home.next_deadline(), self.guest.next_deadline(), self.carrier.next_deadline()];
        all.into_iter().flatten().min()
    }

    /// Does what is due at this time.
    pub fn advance(&mut self, now: Time) {
        self.now = now;
        self.home.advance(now);
        self.guest.advance(now);
        let mut ends =
            Ends { home: &mut self.home_line.client, guest: &mut self.guest_line.client };
        self.carrier.advance(now, &mut ends);
    }

    /// The connection of the bridge with one side is cut.
    pub fn cut(&mut self, place: Place, loses: bool) {
        let now = self.now;
        self.hear();
        match place {
            Place::Home => {
                self.home_line.cut(&mut self.home, now, loses);
                self.carrier.home_down(&mut self.guest_line.client);
            }
            Place::Guest => self.guest_line.cut(&mut self.guest, now, loses),
        }
    }

    /// It is there again. The session goes on, unless it has been away for too long.
    pub fn resume(&mut self, place: Place) {
        let now = self.now;
        self.hear();
        let there = match place {
            Place::Home => self.home.has_session(self.home_line.session),
            Place::Guest => self.guest.has_session(self.guest_line.session),
        };
        if !there {
            return self.lose(place);
        }
        match place {
            Place::Home => {
                self.home_line.resume(&mut self.home, now);
                let mut ends =
                    Ends { home: &mut self.home_line.client, guest: &mut self.guest_line.client };
                self.carrier.home_up(&mut ends);
            }
            Place::Guest => self.guest_line.resume(&mut self.guest, now),
        }
    }

    /// The session of the bridge with one side is lost, and there is another one.
    pub fn lose(&mut self, place: Place) {
        let now = self.now;
        self.home_was_lost = true;
        self.hear();
        match place {
            Place::Home => {
                self.home_line.lose(&mut self.home, now);
                self.hear();
                self.carrier.home_lost(&mut self.guest_line.client);
                self.home_line = Line::open(&mut self.home, now, HOME, GRACE);
                let mut ends =
                    Ends { home: &mut self.home_line.client, guest: &mut self.guest_line.client };
                self.carrier.home_up(&mut ends);
            }
            Place::Guest => {
                self.guest_line.lose(&mut self.guest, now);
                self.hear();
                self.carrier.guest_lost(&mut self.home_line.client);
                self.guest_line = Line::open(&mut self.guest, now, GUEST, GRACE);
                let mut ends =
                    Ends { home: &mut self.home_line.client, guest: &mut self.guest_line.client };
                self.carrier.guest_up(&mut ends);
            }
        }
    }

    /// The bridge's process is gone, and there is another one.
    pub fn restart_bridge(&mut self) {
        let now = self.now;
        self.home_was_lost = true;
        self.hear();
        self.home_line.lose(&mut self.home, now);
        self.guest_line.lose(&mut self.guest, now);
        self.hear();
        self.carrier = World::carrier(self.fault);
        self.home_line = Line::open(&mut self.home, now, HOME, GRACE);
        self.guest_line = Line::open(&mut self.guest, now, GUEST, GRACE);
        self.connect();
    }
}
