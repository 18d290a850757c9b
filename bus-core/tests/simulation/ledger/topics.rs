//! Topics: what each subscription must get, in which order, and what it may miss.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bus_core::router::{Command, SlowPolicy, Source, SubscribeOptions, Ticket, TopicStat};
use bus_core::{ErrorKind, MessageType, Name, Pattern, WINDOW_BYTES_DEFAULT, window_charge};

use super::{At, Chan, Ledger, Open};

/// A topic.
#[derive(Debug)]
pub(super) struct TopicBook {
    name: Name,
    id: u64,
    alive: bool,
    /// For each open publisher: the window's bytes that came, and those given back.
    pub publishers: BTreeMap<At, (u64, u64)>,
    /// What has come and is held back.
    pending: VecDeque<Published>,
    /// How many were let in.
    published: u64,
    /// The last of each type, if the topic keeps those.
    kept: BTreeMap<MessageType, (u64, Published)>,
}

/// A published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Published {
    /// In which order they came.
    serial: u64,
    topic: usize,
    number: u64,
    by: At,
}

/// A subscription, or a group that shares one.
#[derive(Debug)]
pub(super) struct SubBook {
    pattern: Pattern,
    options: SubscribeOptions,
    members: Vec<Member>,
    /// What it must still get.
    expected: VecDeque<Published>,
    /// Of those, how many it has been told that it will not get.
    lost: u64,
}

#[derive(Debug)]
struct Member {
    at: At,
    window: u64,
    sent: u64,
    consumed: u64,
    /// What it was sent, and how much that was up to there.
    given: VecDeque<(u64, Published)>,
}

impl TopicBook {
    /// What a new subscription gets: what is kept, in order, and what is held back.
    fn for_late_joiners(&self) -> Vec<Published> {
        let mut kept: Vec<_> = self.kept.values().copied().collect();
        kept.sort_by_key(|(serial, _)| *serial);
        let kept = kept.into_iter().map(|(_, published)| published);
        kept.chain(self.pending.iter().copied()).collect()
    }
}

impl Ledger {
    pub(super) fn opened_topic(&mut self, name: &Name, id: u64, at: At) -> usize {
        let known = self.topics.iter().position(|book| book.alive && book.name == *name);
        let topic = match known.filter(|topic| self.topics[*topic].id == id) {
            Some(topic) => topic,
            None => {
                if let Some(old) = known {
                    self.end_topic(old);
                }
                self.topics.push(TopicBook {
                    name: name.clone(),
                    id,
                    alive: true,
                    publishers: BTreeMap::new(),
                    pending: VecDeque::new(),
                    published: 0,
                    kept: BTreeMap::new(),
                });
                self.topics.len() - 1
            }
        };
        self.topics[topic].publishers.insert(at, (0, 0));
        topic
    }

    /// A topic is gone, which only one without publishers is.
    fn end_topic(&mut self, topic: usize) {
        let book = &mut self.topics[topic];
        assert!(book.publishers.is_empty(), "{} is gone, and has publishers", book.name);
        book.alive = false;
        book.pending.clear();
    }

    pub(super) fn open_sub(&mut self, session: bus_core::router::SessionId, command: &Command) {
        let Command::Subscribe { channel, pattern, options, .. } = command else { return };
        let at = (session, *channel);
        let member = Member {
            at,
            window: options.window_bytes,
            sent: 0,
            consumed: 0,
            given: VecDeque::new(),
        };
        let shares = |sub: &SubBook| {
            let same = sub.pattern == *pattern && sub.options.group == options.group;
            options.group.is_some() && same && !sub.members.is_empty()
        };
        let sub = match self.subs.iter().position(shares) {
            Some(sub) => {
                self.subs[sub].members.push(member);
                sub
            }
            None => {
                let topics = self.topics.iter().filter(|book| pattern.matches(&book.name));
                let there = topics.flat_map(TopicBook::for_late_joiners);
                let expected = there.filter(|one| self.selects(options, one.number)).collect();
                let (pattern, options) = (pattern.clone(), options.clone());
                let members = vec![member];
                self.subs.push(SubBook { pattern, options, members, expected, lost: 0 });
                self.subs.len() - 1
            }
        };
        self.open_channel(at, Chan::Sub(sub));
    }

    fn selects(&self, options: &SubscribeOptions, number: u64) -> bool {
        options.selector.matches(self.post.original(number).kind())
    }

    pub(super) fn leave(&mut self, sub: usize, at: At) {
        let book = &mut self.subs[sub];
        let Some(index) = book.members.iter().position(|member| member.at == at) else { return };
        // The others get what it has not said to have used up.
        let Member { given, consumed, .. } = book.members.remove(index);
        let unused = given.into_iter().filter(|(upto, _)| *upto > consumed);
        book.expected.extend(unused.map(|(_, published)| published));
        book.expected.make_contiguous().sort_by_key(|published| published.serial);
        if book.members.is_empty() {
            book.expected.clear();
            book.lost = 0;
        }
    }

    pub(super) fn on_publish(&mut self, at: At, ticket: Option<Ticket>, number: u64) {
        if let Some(ticket) = ticket {
            self.open_ticket(at.0, ticket, Open::Publish);
        }
        let Some(Chan::Publisher(topic)) = self.chan(at).cloned() else { return };
        self.arrivals += 1;
        let published = Published { serial: self.arrivals, topic, number, by: at };
        let charge = window_charge(self.post.original(number).len(), WINDOW_BYTES_DEFAULT);
        let book = &mut self.topics[topic];
        let (came, credited) = book.publishers.get_mut(&at).expect("an open publisher");
        *came += charge;
        let under_way = *came - *credited;
        assert!(under_way <= WINDOW_BYTES_DEFAULT, "{at:?} publishes beyond its window");
        book.pending.push_back(published);
        let name = book.name.clone();
        for index in 0..self.subs.len() {
            let sub = &self.subs[index];
            let open = !sub.members.is_empty() && sub.pattern.matches(&name);
            if open && self.selects(&sub.options, number) {
                self.subs[index].expected.push_back(published);
            }
        }
        self.published = Some((topic, number, at));
    }

    /// The publisher was ended instead of taking what it has just published.
    pub(super) fn take_back_published(&mut self, at: At) {
        let Some((topic, number, by)) = self.published.take() else { return };
        assert_eq!(by, at, "another publisher is ended");
        let same = |published: &Published| (published.topic, published.number) == (topic, number);
        self.topics[topic].pending.retain(|published| !same(published));
        for sub in &mut self.subs {
            sub.expected.retain(|published| !same(published));
        }
    }

    pub(super) fn on_credit(&mut self, at: At, bytes: u64) {
        let Some(Chan::Publisher(topic)) = self.chan(at).cloned() else { return };
        let window = self.topics[topic].publishers.get_mut(&at).expect("an open publisher");
        assert!(bytes <= window.0, "{at:?} is credited {bytes}, and has published {}", window.0);
        window.1 = window.1.max(bytes);
    }

    pub(super) fn on_consumed(&mut self, at: At, bytes: u64) {
        let Some(Chan::Sub(sub)) = self.chan(at).cloned() else { return };
        let members = &mut self.subs[sub].members;
        let member = members.iter_mut().find(|member| member.at == at).expect("a member");
        assert!(bytes <= member.sent, "{at:?} has consumed more than it was sent");
        member.consumed = member.consumed.max(bytes);
    }

    pub(super) fn on_lost(&mut self, at: At, count: u64) {
        let Some(Chan::Sub(sub)) = self.chan(at).cloned() else {
            panic!("{at:?} has lost {count}, and is not subscribed");
        };
        let book = &mut self.subs[sub];
        assert_eq!(book.options.policy, SlowPolicy::DropOldest, "{at:?} has lost {count}");
        book.lost += count;
    }

    pub(super) fn on_deliver(&mut self, at: At, source: &Arc<Source>, number: u64) {
        if !self.sessions.contains_key(&at.0) {
            // What a subscription held back comes in when its session ends; a group must still
            // get it by another member.
            return;
        }
        let Some(Chan::Sub(sub)) = self.chan(at).cloned() else {
            panic!("{at:?} hears {number}, and is not subscribed");
        };
        let length = self.post.original(number).len();
        let topics = &self.topics;
        let book = &mut self.subs[sub];
        let found = book.expected.iter().find(|published| published.number == number).copied();
        let Some(published @ Published { topic, by, .. }) = found else {
            panic!("{at:?} hears {number}, which is not for it, or once too often");
        };
        assert_eq!(topics[topic].name, source.topic, "{number} has another topic");
        assert_eq!(by.0.serial(), source.sender.session, "{number} has another publisher");
        let mut skipped = 0;
        let mut passed = false;
        book.expected.retain(|published| {
            let gone = !passed && published.topic == topic;
            skipped += u64::from(gone);
            passed |= published.number == number;
            !gone
        });
        skipped -= 1;
        assert!(skipped <= book.lost, "{at:?} hears {number}, and has missed {skipped} before it");
        book.lost -= skipped;
        if book.expected.iter().all(|published| published.topic == topic) {
            let rest = book.expected.len() as u64;
            assert!(book.lost <= rest, "{at:?} was told of losses that were none");
        }
        let member = book.members.iter_mut().find(|member| member.at == at).expect("a member");
        member.sent += window_charge(length, member.window);
        member.given.push_back((member.sent, published));
        let under_way = member.sent - member.consumed;
        assert!(under_way <= member.window, "{at:?} is sent {under_way} bytes");
    }

    pub(super) fn check_sub_end(&self, sub: usize, kind: ErrorKind) {
        let policy = self.subs[sub].options.policy;
        let good = kind == ErrorKind::TooSlow && policy != SlowPolicy::DropOldest;
        assert!(good, "a subscription with {policy:?} is ended as {kind:?}");
    }

    /// What is held back for a session.
    pub(super) fn held_bytes(&self, session: bus_core::router::SessionId) -> u64 {
        let held = self.topics.iter().flat_map(|book| &book.pending);
        let mine = held.filter(|published| published.by.0 == session);
        mine.map(|published| self.post.original(published.number).cost()).sum()
    }

    /// What was let in just now is held no longer.
    pub(super) fn settle_topics(&mut self, listed: &[TopicStat]) {
        for topic in 0..self.topics.len() {
            if !self.topics[topic].alive {
                continue;
            }
            let stat = listed.iter().find(|stat| stat.name == self.topics[topic].name);
            let Some(stat) = stat.filter(|stat| stat.id == self.topics[topic].id) else {
                self.end_topic(topic);
                continue;
            };
            let book = &mut self.topics[topic];
            for serial in book.published..stat.published {
                let Some(published) = book.pending.pop_front() else {
                    panic!("{} counts too many", book.name);
                };
                let kind = self.post.original(published.number).kind();
                if stat.options.keep_last {
                    book.kept.insert(kind, (serial, published));
                }
            }
            book.published = stat.published;
            // Flushes wait there too.
            assert!(book.pending.len() as u64 <= stat.held, "{}: held", book.name);
            assert_eq!(book.kept.len() as u64, stat.kept, "{}: kept", book.name);
            assert_eq!(book.publishers.len() as u64, stat.publishers, "{}: publishers", book.name);
        }
    }

    /// When all is quiet, nothing is held and every subscription has what it must get.
    pub(super) fn check_all_heard(&self) {
        for book in self.topics.iter().filter(|book| book.alive) {
            assert!(book.pending.is_empty(), "{} holds {:?} back", book.name, book.pending);
        }
        for sub in &self.subs {
            let rest = sub.expected.len() as u64;
            assert_eq!(rest, sub.lost, "{:?} never heard {:?}", sub.pattern, sub.expected);
        }
    }
}
