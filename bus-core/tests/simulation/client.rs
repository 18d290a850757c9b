//! A client: its session, its connection, and what its application has in its hands.
//!
//! What it hears is compared with what it was told before anything is done with it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bus_core::router::{Channel, Command, RequestId, Ticket};
use bus_core::session::{
    ChannelKind, ClientSession, Established, Leased, Origin, Restart, Welcome,
};
use bus_core::{Decoder, ErrorKind, Failure, Run, Time};
use bytes::Bytes;

use crate::dice::Dice;
use crate::log::Log;
use crate::plan::Plan;
use crate::post::Post;
use crate::wire::{Asked, Key, Wire};

/// What everybody needs to act.
pub struct Scene<'a> {
    pub dice: &'a mut Dice,
    pub wire: &'a mut Wire,
    pub post: &'a Post,
    pub plan: &'a Plan,
    pub log: &'a Log,
}

/// What an open handle is.
#[derive(Clone, Debug)]
pub enum What {
    Queue,
    Receive { queue: u64 },
    Consumer { queue: u64 },
    Publisher,
    Sub(Reader),
    Caller,
    Server,
}

/// How far a subscriber has read.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    pub window: u64,
    pub consumed: u64,
    pub reported: u64,
    pub origin: Arc<Origin>,
    /// Bytes that have come and are not read.
    pub unread: u64,
}

/// Something that has come for a handle.
#[derive(Clone, Debug)]
pub enum Item {
    Leased(Leased),
    Run { run: Run, old: bool },
    Call(u64),
}

/// An open handle.
#[derive(Clone, Debug)]
pub struct Handle {
    pub channel: Channel,
    pub what: What,
    pub items: VecDeque<Item>,
    /// Its opening was answered.
    pub ready: bool,
    /// The broker has ended the channel; only what has come is left.
    pub released: bool,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Open(u64),
    Other,
}

/// What a ticket is for.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub is_call: bool,
}

/// A client.
pub struct Client {
    pub index: usize,
    /// Counts the processes that this client has been.
    pub process: u64,
    pub session: ClientSession,
    pub key: Option<Key>,
    pub grace: Duration,
    pub handles: BTreeMap<u64, Handle>,
    pub hand: Vec<Leased>,
    pub serving: Vec<u64>,
    pub tickets: BTreeMap<Ticket, Sent>,
    pub requests: BTreeMap<RequestId, Purpose>,
    /// The lease of each acknowledgement of this session.
    pub acks: Vec<u64>,
    pub acks_answered: u64,
    pub pongs: u64,
    /// The connection, if there is one.
    pub line: Option<u64>,
    pub decoder: Decoder,
    /// The Welcome has come.
    pub greeted: bool,
    /// What goes out first: the Hello.
    pub prefix: Bytes,
    /// When it does something next: acts, or tries to connect.
    pub wake: Time,
    /// It has said goodbye.
    pub leaving: bool,
    /// It is not there any more.
    pub gone: bool,
}

impl Client {
    pub fn new(index: usize, process: u64, grace: Duration, wake: Time) -> Client {
        Client {
            index,
            process,
            session: ClientSession::default(),
            key: None,
            grace,
            handles: BTreeMap::new(),
            hand: Vec::new(),
            serving: Vec::new(),
            tickets: BTreeMap::new(),
            requests: BTreeMap::new(),
            acks: Vec::new(),
            acks_answered: 0,
            pongs: 0,
            line: None,
            decoder: Decoder::for_handshake(),
            greeted: false,
            prefix: Bytes::new(),
            wake,
            leaving: false,
            gone: false,
        }
    }

    /// The session's key; applications act only once they have one.
    pub fn key(&self) -> Key {
        self.key.expect("a client that was welcomed once")
    }

    pub fn is_open(&self, channel: Channel) -> bool {
        self.handles.values().any(|handle| handle.channel == channel && !handle.released)
    }

    /// The open handle on a channel.
    pub fn on_channel(&mut self, channel: Channel) -> Option<&mut Handle> {
        self.handles.values_mut().find(|handle| handle.channel == channel && !handle.released)
    }

    /// Opens a handle; gives its serial number, or none if there are too many.
    pub fn open(
        &mut self,
        scene: &mut Scene<'_>,
        kind: ChannelKind,
        what: What,
        make: impl FnOnce(RequestId, Channel) -> Command,
    ) -> Option<u64> {
        let (channel, request) = match self.session.open(kind, make) {
            Ok(opened) => opened,
            Err(failure) => {
                assert_eq!(failure.kind(), ErrorKind::QuotaExceeded);
                return None;
            }
        };
        scene.wire.ask(self.key(), Asked::Open(channel));
        let in_use = self.handles.values().any(|handle| handle.channel == channel);
        assert!(!in_use, "client {}: number {channel} is not free", self.index);
        let serial = self.session.serial(channel);
        let ready = request == 0;
        if !ready {
            self.requests.insert(request, Purpose::Open(serial));
        }
        let handle = Handle { channel, what, items: VecDeque::new(), ready, released: false };
        self.handles.insert(serial, handle);
        scene.log.say(|| format!("client {} opens {channel} ({serial})", self.index));
        Some(serial)
    }

    /// Closes a handle; what was not looked at goes back.
    pub fn close(&mut self, scene: &mut Scene<'_>, serial: u64) {
        let Some(handle) = self.handles.remove(&serial) else { return };
        scene.log.say(|| format!("client {} closes {} ({serial})", self.index, handle.channel));
        assert_eq!(self.session.serial(handle.channel), serial, "its own channel");
        self.session.close(handle.channel);
        if !handle.released {
            scene.wire.ask(self.key(), Asked::Close(handle.channel));
        }
        for item in handle.items {
            match item {
                Item::Leased(leased) => self.session.give_back(leased.lease),
                Item::Call(call) => self.answer(scene, call, None),
                Item::Run { .. } => {}
            }
        }
    }

    /// Lets go of handles of which nothing is left.
    pub fn forget_spent(&mut self) {
        let spent = self.like(|handle| handle.released && handle.items.is_empty());
        for handle in spent.iter().filter_map(|serial| self.handles.remove(serial)) {
            self.session.close(handle.channel);
        }
    }

    /// Answers a call: with a message of this number, or as failed.
    pub fn answer(&mut self, scene: &mut Scene<'_>, call: u64, number: Option<u64>) {
        scene.wire.ask(self.key(), Asked::Answer { call, number });
        match number {
            Some(number) => self.session.call_reply(call, Ok(&scene.post.original(number))),
            None => {
                let failure = Failure::new(ErrorKind::ServiceFailed, "no");
                self.session.call_reply(call, Err(&failure));
            }
        }
    }

    /// A control request that only needs its answer.
    pub fn request(
        &mut self,
        scene: &mut Scene<'_>,
        make: impl FnOnce(RequestId) -> Command,
    ) -> RequestId {
        let request = self.session.request(make);
        scene.wire.ask(self.key(), Asked::Request(request));
        self.requests.insert(request, Purpose::Other);
        request
    }

    /// The broker's Welcome has come.
    pub fn welcome(&mut self, scene: &mut Scene<'_>, welcome: &Welcome) {
        let established = self.session.welcome(welcome);
        let established = established.unwrap_or_else(|error| panic!("the Welcome: {error}"));
        scene.log.say(|| format!("client {} is welcomed: {established:?}", self.index));
        let key = (welcome.epoch, welcome.session);
        match established {
            Established::New => {
                assert_eq!(self.key, None, "a session is lost and nobody is told");
                self.key = Some(key);
            }
            Established::Resumed => assert_eq!(self.key, Some(key), "another session goes on"),
            Established::Restarted(restart) => {
                assert_ne!(self.key, Some(key), "a session is lost, and goes on");
                self.key = Some(key);
                self.restart(scene, &restart);
            }
        }
    }

    /// The session was lost: everything without verdict is reported, nothing else is.
    fn restart(&mut self, scene: &mut Scene<'_>, restart: &Restart) {
        let lost: Vec<Ticket> = restart.tickets.iter().map(|(ticket, _)| *ticket).collect();
        let open: Vec<Ticket> = std::mem::take(&mut self.tickets).into_keys().collect();
        assert_eq!(lost, open, "client {}: tickets reported as lost", self.index);
        for (_, failure) in &restart.tickets {
            let kind = failure.kind();
            let honest = matches!(kind, ErrorKind::OutcomeUnknown | ErrorKind::Disconnected);
            assert!(honest, "a lost ticket is reported as {kind:?}");
        }
        let lost: Vec<RequestId> = restart.requests.iter().map(|(request, _)| *request).collect();
        self.requests.retain(|request, purpose| {
            let told = lost.contains(request);
            assert!(told || *purpose != Purpose::Other, "request {request} is lost silently");
            !told
        });
        self.hand.clear();
        self.serving.clear();
        self.acks.clear();
        self.acks_answered = 0;
        for handle in self.handles.values_mut() {
            // A receive whose delivery nobody has taken waits for another one.
            handle.released &= !matches!(handle.what, What::Receive { .. });
            handle.items.retain(|item| matches!(item, Item::Run { .. }));
            for item in &mut handle.items {
                if let Item::Run { old, .. } = item {
                    *old = true;
                }
            }
            if let What::Sub(reader) = &mut handle.what {
                (reader.consumed, reader.reported, reader.unread) = (0, 0, 0);
            }
        }
        self.forget_spent();
        let key = self.key();
        for handle in self.handles.values().filter(|handle| !handle.released) {
            scene.wire.ask(key, Asked::Open(handle.channel));
        }
    }
}
