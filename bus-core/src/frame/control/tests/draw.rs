//! Draws values of every sort from a seed: at the edges of their ranges as often as within.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::{Answer, Notice};
use crate::error::{ErrorKind, Failure};
use crate::group_name::GroupName;
use crate::limits::*;
use crate::message::{Message, Sender};
use crate::message_type::MessageType;
use crate::name::{Name, Pattern};
use crate::router::*;
use crate::selector::Selector;
use crate::session::{Hello, Resume, SessionLimits, Welcome};
use crate::token::Token;
use crate::user_name::UserName;

pub(super) fn name(text: impl Display) -> Name {
    Name::new(&text.to_string()).expect("a name")
}

/// The same seed gives the same values.
pub(super) struct Draw {
    state: u64,
}

impl Draw {
    pub(super) fn new(seed: u64) -> Draw {
        Draw { state: seed }
    }

    pub(super) fn commands(&mut self) -> Vec<Command> {
        let mut commands = self.opening_commands();
        commands.extend(self.lease_commands());
        commands.extend(self.object_commands());
        commands.extend(self.bridge_commands());
        commands.extend(self.hosted_commands());
        commands
    }

    fn opening_commands(&mut self) -> Vec<Command> {
        let request = self.id32();
        let open = self.one(&[OpenMode::Open, OpenMode::OpenOrCreate, OpenMode::Create]);
        let (channel, queue, credit) = (self.channel(), self.channel(), self.credit());
        vec![
            Command::OpenQueue {
                request,
                channel,
                name: self.name(),
                open,
                options: self.queue_options(),
            },
            Command::OpenPublisher {
                request,
                channel,
                topic: self.name(),
                options: self.topic_options(),
                exclusive: self.flag(),
            },
            Command::Subscribe {
                request,
                channel,
                pattern: self.pattern(),
                options: self.subscribe_options(),
            },
            Command::OpenService { request, channel, name: self.name() },
            Command::Serve { request, channel, name: self.name(), credit, mode: self.mode() },
            Command::Consume { request, channel, queue, options: self.consume_options() },
            Command::Close { request, channel },
            Command::Flush { request, channel },
            Command::WatchMatching { request, channel },
        ]
    }

    fn lease_commands(&mut self) -> Vec<Command> {
        let (request, lease) = (self.id32(), self.id64());
        let reason = self.text(255);
        vec![
            Command::Nack { request, lease, delay: self.duration(0, LEASE_MAX) },
            Command::Extend { request, lease, by: self.duration(0, LEASE_MAX) },
            Command::Reject { request, lease, reason },
            Command::Return { leases: self.list(Draw::id64) },
            Command::Peek {
                request,
                queue: self.channel(),
                selector: self.selector(),
                index: self.id64(),
            },
        ]
    }

    fn object_commands(&mut self) -> Vec<Command> {
        use ObjectKind::{Client, Queue, Service, Subscription, Topic};
        let (request, name) = (self.id32(), self.name());
        let object = self.one(&[Queue, Topic, Service, Client, Subscription]);
        let action = self.one(&[AdminAction::Remove, AdminAction::Retire, AdminAction::Purge]);
        let after = self.option(|draw| draw.name().to_string());
        vec![
            Command::Declare { request, kind: self.kind(), name: format!("T{}", self.text(200)) },
            Command::Admin { request, name: name.clone(), object, action },
            Command::SetQueue { request, name: name.clone(), change: self.queue_change() },
            Command::SetTopic { request, name, change: self.topic_change() },
            Command::List { request, pattern: self.pattern(), object, after },
            Command::Broker { request },
        ]
    }

    pub(super) fn answers(&mut self) -> Vec<Answer> {
        let message = Message::new(self.kind(), self.text(2000));
        let with_headers = message.clone().with_header("key", self.text(20)).expect("short");
        let peeked = |message, draw: &mut Draw| {
            let (attempt, sender) = (draw.id32(), draw.sender());
            Answer::Peeked(Box::new(Peeked { message, attempt, sender }))
        };
        vec![
            Answer::Opened { id: self.id64(), created: self.flag(), hosted: self.flag() },
            Answer::Home { hops: self.hops() },
            Answer::Done { count: self.id64() },
            Answer::Retired { messages: self.id64(), holders: self.id64() },
            Answer::Listing(Box::new(self.listing())),
            Answer::Listing(Box::default()),
            peeked(message, self),
            peeked(with_headers, self),
            Answer::Broker(Box::new(self.broker_info())),
            Answer::Broker(Box::default()),
        ]
    }

    pub(super) fn notices(&mut self) -> Vec<Notice> {
        let topic = self.option(Draw::name);
        let mut notices = vec![
            Notice::Origin {
                origin: self.id32(),
                sender: self.sender(),
                topic,
                publisher: self.id64(),
                provenance: self.option(|draw| Arc::new(draw.provenance())),
            },
            self.relay_notice(),
            self.wanted_notice(),
            Notice::GivenUp { call: self.id64() },
            Notice::Matching { channel: self.channel(), matched: self.flag() },
            Notice::Ended { channel: self.channel(), failure: self.failure() },
            Notice::Recall { lease: self.id64() },
        ];
        notices.extend(self.home_asks());
        notices
    }

    pub(super) fn failure(&mut self) -> Failure {
        Failure::new(self.one(ErrorKind::ALL), self.text(300))
    }

    pub(super) fn hello(&mut self) -> Hello {
        Hello {
            version_min: self.id32(),
            version_max: self.id32(),
            name: self.text(64),
            grace: self.duration(0, GRACE_MAX),
            resume: self.option(|draw| Resume {
                epoch: draw.id64(),
                session: draw.id64(),
                token: draw.text(32).into(),
                received: draw.id64(),
            }),
            lane_bytes: self.id64(),
            rings: self.flag(),
            credential: self.option(|draw| {
                let text = format!("token-{:032x}", draw.id64());
                Token::new(&text).expect("a token")
            }),
        }
    }

    pub(super) fn welcome(&mut self) -> Welcome {
        Welcome {
            version: self.id32(),
            epoch: self.id64(),
            session: self.id64(),
            token: Bytes::from(self.text(32)),
            resumed: self.flag(),
            received: self.id64(),
            grace: self.duration(0, GRACE_MAX),
            limits: SessionLimits {
                message_bytes: self.id64(),
                window_bytes: self.id64(),
                inline_bytes: self.id64(),
                channels: self.id32(),
                offers: self.id32(),
            },
            broker: self.text(20),
            pid: self.id32(),
            not_resumed: self.text(20),
            lane_bytes: self.id64(),
            no_lanes: self.text(20),
            rings: self.flag(),
        }
    }

    pub(super) fn queue_options(&mut self) -> QueueOptions {
        use Lifetime::{Durable, LastHolder, Session, Volatile};
        QueueOptions {
            bytes_max: self.number(QUEUE_BYTES_MIN..=QUEUE_BYTES_MAX),
            count_max: self.number(1..=QUEUE_COUNT_MAX),
            lease: self.duration(1, LEASE_MAX),
            deliveries_max: self.number(1..=u64::from(u32::MAX)) as u32,
            mode: self.mode(),
            lifetime: self.one(&[Volatile, Session, LastHolder, Durable]),
            dead_letter: self.option(Draw::name),
        }
    }

    pub(super) fn topic_options(&mut self) -> TopicOptions {
        let (keep_last, mode) = (self.flag(), self.mode());
        TopicOptions { keep_last, hold: self.duration(0, HOLD_MAX), mode }
    }

    pub(super) fn subscribe_options(&mut self) -> SubscribeOptions {
        use SlowPolicy::{Auto, DropOldest, End, Hold};
        SubscribeOptions {
            selector: self.selector(),
            policy: self.one(&[Auto, Hold, DropOldest, End]),
            window_bytes: self.number(WINDOW_BYTES_MIN..=WINDOW_BYTES_MAX),
            backlog_bytes: self.number(0..=BACKLOG_BYTES_MAX),
            group: self.option(Draw::group),
        }
    }

    pub(super) fn group(&mut self) -> GroupName {
        // The first token of any name is one.
        let name = self.name();
        let token = name.as_str().split('.').next().unwrap_or_default();
        GroupName::new(token.trim_start_matches('$')).expect("one token")
    }

    pub(super) fn consume_options(&mut self) -> ConsumeOptions {
        ConsumeOptions {
            selector: self.selector(),
            credit: self.credit(),
            once: self.flag(),
            wait: self.flag(),
            auto_ack: self.flag(),
            bytes_max: self.number(1..=u64::MAX),
        }
    }

    fn queue_change(&mut self) -> QueueChange {
        let options = self.queue_options();
        QueueChange {
            bytes_max: self.option(|_| options.bytes_max),
            count_max: self.option(|_| options.count_max),
            lease: self.option(|_| options.lease),
            deliveries_max: self.option(|_| options.deliveries_max),
            mode: self.mode(),
            owner: self.option(Draw::id32),
            group: self.option(Draw::id32),
            dead_letter: options.dead_letter,
        }
    }

    fn topic_change(&mut self) -> TopicChange {
        TopicChange {
            keep_last: self.option(Draw::flag),
            hold: self.option(|draw| draw.duration(0, HOLD_MAX)),
            mode: self.mode(),
            owner: self.option(Draw::id32),
            group: self.option(Draw::id32),
        }
    }

    pub(super) fn selector(&mut self) -> Selector {
        let kind = self.kind();
        let forms = [Selector::Eq(kind), Selector::Upto(kind), Selector::Except(kind)];
        if self.flag() { self.one(&forms) } else { Selector::Any }
    }

    pub(super) fn sender(&mut self) -> Sender {
        Sender {
            session: self.id64(),
            name: self.text(20),
            pid: self.option(|draw| draw.number(1..=u64::from(u32::MAX)) as u32),
            uid: self.option(Draw::id32),
            gid: self.option(Draw::id32),
            user: self.option(|draw| {
                let text = format!("user-{}", draw.id64());
                UserName::new(&text).expect("a name")
            }),
        }
    }

    /// Any number: two of them seldom agree, so that swapped fields show.
    pub(super) fn id64(&mut self) -> u64 {
        self.number(0..=u64::MAX)
    }

    pub(super) fn id32(&mut self) -> u32 {
        self.number(0..=u64::from(u32::MAX)) as u32
    }

    pub(super) fn channel(&mut self) -> u32 {
        self.number(0..=u64::from(CHANNELS_MAX - 1)) as u32
    }

    pub(super) fn credit(&mut self) -> u32 {
        self.number(0..=u64::from(CREDIT_MAX)) as u32
    }

    pub(super) fn mode(&mut self) -> Option<u16> {
        self.option(|draw| draw.number(0..=0o777) as u16)
    }

    pub(super) fn kind(&mut self) -> MessageType {
        MessageType::new(self.number(1..=MessageType::MAX)).expect("in range")
    }

    pub(super) fn name(&mut self) -> Name {
        name(format_args!("n{}.x", self.id32()))
    }

    pub(super) fn pattern(&mut self) -> Pattern {
        let text = format!("n{}.*.>", self.id32());
        Pattern::new(self.one(&[&text, ">", "$bus.events"])).expect("a pattern")
    }

    pub(super) fn duration(&mut self, least_ms: u64, most: Duration) -> Duration {
        Duration::from_millis(self.number(least_ms..=most.as_millis() as u64))
    }

    pub(super) fn text(&mut self, bytes_max: u64) -> String {
        let length = self.number(0..=bytes_max) as usize;
        let letter = self.one(&["x", "7", " "]);
        letter.repeat(length)
    }

    pub(super) fn flag(&mut self) -> bool {
        self.next() & 1 == 1
    }

    pub(super) fn option<T>(&mut self, value: impl FnOnce(&mut Draw) -> T) -> Option<T> {
        self.flag().then(|| value(self))
    }

    pub(super) fn list<T>(&mut self, value: fn(&mut Draw) -> T) -> Vec<T> {
        (0..self.next() % 4).map(|_| value(self)).collect()
    }

    pub(super) fn one<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[(self.next() % choices.len() as u64) as usize]
    }

    fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (first, last) = range.into_inner();
        match self.next() % 8 {
            0 => first,
            1 => last,
            _ => first + self.next() % (last - first).max(1),
        }
    }

    /// The generator SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
