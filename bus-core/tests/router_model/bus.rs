//! A router with sessions that have letters for names, for tests of single cases.
//!
//! What the sessions are told comes out as short sentences, in order: `B got 7 on 5 as 1` is
//! message 7 on channel 5 as lease 1. A message's number is also the ticket of its send.

use std::ops::Range;
use std::time::Duration;

use bus_core::router::{
    AdminAction, Answer, Command, ConsumeOptions, Effect, Identity, Listing, ObjectKind, OpenMode,
    Output, QueueOptions, QueueStat, Router, RouterConfig, SessionEnd, SessionId, SubscribeOptions,
    TopicOptions, TopicStat,
};
use bus_core::session::Outbound;
use bus_core::{
    Arrival, Decoder, GroupName, Header, Kind, Message, MessageType, Name, Pattern, Selector,
    Sender, Time,
};

use crate::events::{number_of, payload};

/// The router and who is there.
pub struct Bus {
    pub router: Router,
    now: Time,
    sessions: Vec<(char, SessionId)>,
}

/// The name of a group.
pub fn group(text: &str) -> GroupName {
    GroupName::new(text).expect("one token")
}

/// An identity of this user and group.
pub fn user(uid: u32, gid: u32) -> Identity {
    let sender = Sender { uid: Some(uid), gid: Some(gid), ..Sender::default() };
    Identity { sender, ..Identity::default() }
}

/// A type.
pub fn kind(number: u64) -> MessageType {
    MessageType::new(number).expect("a type")
}

/// A name.
pub fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// A message of this type whose payload is its number.
pub fn message(type_number: u64, number: u64) -> Message {
    Message::new(kind(type_number), payload(number, 8))
}

/// What a broker reads when these messages were sent on channel 0 together, if that is one thing.
pub fn arrival(kind: Kind, messages: &[Message]) -> Option<Arrival> {
    let mut outbound = Outbound::default();
    for message in messages {
        outbound.push_message(&Header::new(kind, 0, message.kind().get()), message);
    }
    let mut slices = Vec::new();
    outbound.unsent(usize::MAX, usize::MAX, &mut slices);
    let mut decoder = Decoder::for_handshake();
    decoder.establish();
    slices.iter().for_each(|slice| decoder.buffer().extend_from_slice(slice));
    let arrival = decoder.next_arrival().expect("as it was encoded");
    arrival.filter(|_| decoder.pending() == 0)
}

/// A queue for so many messages.
pub fn room_for(count_max: u64) -> QueueOptions {
    QueueOptions { count_max, ..QueueOptions::default() }
}

/// A single receive.
pub fn once(selector: Selector) -> ConsumeOptions {
    ConsumeOptions { selector, once: true, ..ConsumeOptions::default() }
}

/// A consumer of everything.
pub fn credit(credit: u32) -> ConsumeOptions {
    ConsumeOptions { credit, ..ConsumeOptions::default() }
}

impl Bus {
    /// A bus with these sessions, all of one user, with ten seconds of grace.
    pub fn new(letters: &str) -> Bus {
        let mut bus = Bus::with(RouterConfig::default());
        for letter in letters.chars() {
            bus.join(letter, user(1, 1));
        }
        bus
    }

    /// A bus with nobody on it.
    pub fn with(config: RouterConfig) -> Bus {
        Bus { router: Router::new(config), now: Time::ZERO, sessions: Vec::new() }
    }

    /// A session more, or another one of that letter.
    pub fn join(&mut self, letter: char, identity: Identity) {
        let session = self.router.open_session(self.now, identity, Duration::from_secs(10));
        self.sessions.retain(|(other, _)| *other != letter);
        self.sessions.push((letter, session.expect("a session")));
    }

    pub fn session(&self, letter: char) -> SessionId {
        let found = self.sessions.iter().find(|(other, _)| *other == letter);
        found.expect("a session of that letter").1
    }

    /// A command, then what everybody is told.
    pub fn tell(&mut self, letter: char, command: Command) -> Vec<String> {
        self.router.handle(self.now, self.session(letter), command);
        self.seen()
    }

    /// Time passes.
    pub fn tick(&mut self, time: Duration) -> Vec<String> {
        self.now = self.now.after(time);
        self.router.advance(self.now);
        self.seen()
    }

    /// The session ends with a goodbye.
    pub fn end(&mut self, letter: char) -> Vec<String> {
        self.router.close_session(self.now, self.session(letter), SessionEnd::Goodbye);
        self.seen()
    }

    /// The session's process is gone.
    pub fn kill(&mut self, letter: char) -> Vec<String> {
        self.router.close_session(self.now, self.session(letter), SessionEnd::Lost);
        self.seen()
    }

    /// The session's connection has so many bytes still to write.
    pub fn written(&mut self, letter: char, left: usize) -> Vec<String> {
        let session = self.session(letter);
        if self.router.note_unwritten(session, left) {
            self.router.relieve(self.now, session);
        }
        self.seen()
    }

    pub fn suspend(&mut self, letter: char) -> Vec<String> {
        self.router.suspend(self.now, self.session(letter));
        self.seen()
    }

    pub fn resume(&mut self, letter: char) -> Vec<String> {
        self.router.resume(self.now, self.session(letter));
        self.seen()
    }

    /// Opens or creates a queue.
    pub fn queue(
        &mut self,
        letter: char,
        channel: u32,
        text: &str,
        options: QueueOptions,
    ) -> Vec<String> {
        let (name, open) = (name(text), OpenMode::OpenOrCreate);
        self.tell(letter, Command::OpenQueue { request: 0, channel, name, open, options })
    }

    pub fn send(&mut self, letter: char, channel: u32, kind: u64, number: u64) -> Vec<String> {
        self.send_message(letter, channel, message(kind, number), false)
    }

    pub fn try_send(&mut self, letter: char, channel: u32, kind: u64, number: u64) -> Vec<String> {
        self.send_message(letter, channel, message(kind, number), true)
    }

    pub fn send_message(
        &mut self,
        letter: char,
        channel: u32,
        message: Message,
        no_wait: bool,
    ) -> Vec<String> {
        let ticket = number_of(message.payload());
        self.tell(letter, Command::Send { channel, ticket, message, no_wait })
    }

    pub fn offer(&mut self, letter: char, channel: u32, ticket: u64, length: u64) -> Vec<String> {
        let kind = MessageType::ONE;
        self.tell(letter, Command::Offer { channel, ticket, kind, length, no_wait: false })
    }

    pub fn granted(&mut self, letter: char, number: u64, length: usize) -> Vec<String> {
        let message = Message::new(MessageType::ONE, payload(number, length));
        self.tell(letter, Command::Granted { ticket: number, message })
    }

    pub fn withdraw(&mut self, letter: char, ticket: u64) -> Vec<String> {
        self.tell(letter, Command::Withdraw { ticket })
    }

    /// Takes from the queue on channel 0.
    pub fn consume(&mut self, letter: char, channel: u32, options: ConsumeOptions) -> Vec<String> {
        self.tell(letter, Command::Consume { request: 0, channel, queue: 0, options })
    }

    /// Receives from the queue on channel 0.
    pub fn receive(&mut self, letter: char, channel: u32, selector: Selector) -> Vec<String> {
        self.consume(letter, channel, once(selector))
    }

    pub fn close(&mut self, letter: char, channel: u32) -> Vec<String> {
        self.tell(letter, Command::Close { request: 0, channel })
    }

    pub fn taken(&mut self, letter: char, channel: u32, lease: u64) -> Vec<String> {
        self.tell(letter, Command::Taken { channel, lease })
    }

    pub fn give_back(&mut self, letter: char, leases: &[u64]) -> Vec<String> {
        self.tell(letter, Command::Return { leases: leases.to_vec() })
    }

    pub fn ack(&mut self, letter: char, lease: u64) -> Vec<String> {
        self.tell(letter, Command::Ack { first: lease, count: 1 })
    }

    pub fn nack(&mut self, letter: char, lease: u64, delay: Duration) -> Vec<String> {
        self.tell(letter, Command::Nack { request: 0, lease, delay })
    }

    pub fn reject(&mut self, letter: char, lease: u64, reason: &str) -> Vec<String> {
        self.tell(letter, Command::Reject { request: 0, lease, reason: reason.to_owned() })
    }

    pub fn admin(&mut self, letter: char, text: &str, action: AdminAction) -> Vec<String> {
        let (name, object) = (name(text), ObjectKind::Queue);
        self.tell(letter, Command::Admin { request: 9, name, object, action })
    }

    pub fn publisher(&mut self, letter: char, channel: u32, text: &str, options: TopicOptions) {
        let (topic, exclusive) = (name(text), false);
        let command = Command::OpenPublisher { request: 0, channel, topic, options, exclusive };
        self.tell(letter, command);
    }

    pub fn publish(&mut self, letter: char, channel: u32, kind: u64, number: u64) -> Vec<String> {
        let (message, ticket) = (message(kind, number), Some(number));
        self.tell(letter, Command::Publish { channel, message, ticket })
    }

    /// Publishes messages of these numbers together.
    pub fn publish_together(
        &mut self,
        letter: char,
        channel: u32,
        numbers: Range<u64>,
    ) -> Vec<String> {
        let messages: Vec<Message> = numbers.map(|number| message(1, number)).collect();
        let Some(Arrival::Parcel { parcel, .. }) = arrival(Kind::Publish, &messages) else {
            panic!("no parcel of {} messages", messages.len());
        };
        let session = self.session(letter);
        let rest = self.router.publish_parcel(self.now, session, channel, parcel);
        assert!(rest.is_none(), "so few have few effects");
        self.seen()
    }

    pub fn subscribe(
        &mut self,
        letter: char,
        channel: u32,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Vec<String> {
        let pattern = Pattern::new(pattern).expect("a pattern");
        self.tell(letter, Command::Subscribe { request: 0, channel, pattern, options })
    }

    pub fn consumed(&mut self, letter: char, channel: u32, bytes: u64) -> Vec<String> {
        self.tell(letter, Command::Consumed { channel, bytes })
    }

    /// What is said to be in a queue.
    pub fn stat(&mut self, text: &str) -> Option<QueueStat> {
        self.page(text, ObjectKind::Queue, None).queues.into_iter().next()
    }

    pub fn topic_stat(&mut self, text: &str) -> Option<TopicStat> {
        self.page(text, ObjectKind::Topic, None).topics.pop()
    }

    /// How long until the router has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        self.router.next_deadline().map(|at| at.since(self.now))
    }

    /// Deliveries that a session is said not to have settled.
    pub fn leases(&mut self, letter: char) -> u64 {
        let number = self.session(letter).serial();
        let listing = self.page(">", ObjectKind::Client, None);
        let found = listing.clients.iter().find(|client| client.sender.session == number);
        found.map_or(0, |client| client.leases)
    }

    /// A page of a listing.
    pub fn page(&mut self, text: &str, object: ObjectKind, after: Option<String>) -> Listing {
        let pattern = Pattern::new(text).expect("a pattern");
        let command = Command::List { request: 1, pattern, object, after };
        self.router.take_effects(Vec::new());
        self.router.handle(self.now, self.sessions[0].1, command);
        match self.router.take_effects(Vec::new()).pop().map(|effect| effect.output) {
            Some(Output::Reply { result: Ok(Answer::Listing(listing)), .. }) => *listing,
            other => panic!("no listing: {other:?}"),
        }
    }

    /// All pages of a listing.
    pub fn pages(&mut self, text: &str, object: ObjectKind) -> Vec<Listing> {
        let mut pages = vec![self.page(text, object, None)];
        while let Some(after) = pages.last().and_then(|page| page.next.clone()) {
            pages.push(self.page(text, object, Some(after)));
        }
        pages
    }

    /// What everybody was told since the last time.
    pub fn seen(&mut self) -> Vec<String> {
        let effects = self.router.take_effects(Vec::new());
        effects.into_iter().map(|effect| self.sentence(effect)).collect()
    }

    /// The effects themselves.
    pub fn effects(&mut self, letter: char, command: Command) -> Vec<Effect> {
        self.router.handle(self.now, self.session(letter), command);
        self.router.take_effects(Vec::new())
    }

    fn sentence(&self, effect: Effect) -> String {
        let known = self.sessions.iter().find(|(_, session)| *session == effect.session);
        let who = known.map_or('?', |(letter, _)| *letter);
        format!("{who} {}", sentence(effect.output))
    }
}

fn sentence(output: Output) -> String {
    let number = |message: &Message| number_of(message.payload());
    match output {
        Output::Reply { request, result: Ok(_) } => format!("done {request}"),
        Output::Reply { request, result: Err(failure) } => {
            format!("refused {request} {:?}", failure.kind())
        }
        Output::Deliver { channel, message, .. } => {
            format!("heard {} on {channel}", number(&message))
        }
        Output::DeliverParcel { channel, parcel, .. } => {
            format!("heard {} together on {channel}", parcel.count())
        }
        Output::Lost { channel, count, .. } => format!("lost {count} on {channel}"),
        Output::Lease { channel, lease, attempt, message, .. } => {
            let again = if attempt > 0 { format!(" again {attempt}") } else { String::new() };
            format!("got {} on {channel} as {lease}{again}", number(&message))
        }
        Output::Accepted { first, .. } => format!("accepted {first}"),
        Output::LeaseParcel { channel, first, parcel, .. } => {
            format!("got {} together on {channel} from {first} on", parcel.count())
        }
        Output::Failed { ticket, failure } => format!("failed {ticket} {:?}", failure.kind()),
        Output::Grant { ticket } => format!("granted {ticket}"),
        Output::Credit { channel, bytes } => format!("credit {bytes} on {channel}"),
        Output::Settled { first, .. } => format!("settled {first}"),
        Output::Relay { channel, state } => format!("relay {channel} at {}", state.mark),
        Output::Wanted { channel, added, removed, .. } => {
            format!("wanted {} more, {} less on {channel}", added.len(), removed.len())
        }
        Output::Unsettled { lease, failure } => format!("unsettled {lease} {:?}", failure.kind()),
        Output::Invoke { channel, call, message, .. } => {
            format!("invoked {} on {channel} as {call}", number(&message))
        }
        Output::Result { ticket, message } => format!("result {ticket} is {}", number(&message)),
        Output::Ended { channel, failure } => format!("ended {channel} {:?}", failure.kind()),
        Output::Matching { channel, matched } => {
            format!("{} on {channel}", if matched { "matched" } else { "unmatched" })
        }
        Output::HomeWay { channel, hops } => format!("way of {channel} {hops:?}"),
        Output::GivenUp { call } => format!("given up {call}"),
        Output::Hosted { channel, ask } => format!("home of {channel} asked {ask:?}"),
        Output::Recall { lease } => format!("recalled {lease}"),
        Output::Expired { failure } => format!("expired {:?}", failure.kind()),
    }
}
