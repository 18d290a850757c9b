//! Topics and subscriptions, and the way of a message from the one to the other.
//!
//! A plain subscription has one member; how a group shares one stands in `sharing`. Invariants: a
//! subscription's backlog is empty, or its member has no window for the first message (where older ones
//! were dropped, it goes out when the next bytes are used up); `Topic::holding` counts exactly the subscriptions that
//! hold this topic back (`Subscription::holds`), each once.

use std::collections::{BTreeMap, VecDeque};

use crate::arena::{Arena, Id};
use crate::frame::Parcel;
use crate::limits::{KEPT_BYTES_OF_TOPIC_MAX, KEPT_TYPES_MAX, window_charge};
use crate::message::{Message, SharedSender};
use crate::message_type::MessageType;
use crate::name::{Name, Pattern};
use crate::selector::Selector;
use crate::time::Time;

use super::command::{Channel, RequestId, SubscribeOptions, Ticket, TopicOptions};
use super::effect::{Output, Stamp};
use super::ground::Ground;
use super::interest::Interest;
use super::matching::Matching;
use super::rights::Access;
use super::session::Session;
use super::sharing::{Part, Share};
use super::stopping::Stop;

/// A topic.
pub struct Topic {
    pub(crate) id: Id<Topic>,
    pub(crate) name: Name,
    pub(crate) access: Access,
    pub(crate) creator: SharedSender,
    pub(crate) options: TopicOptions,
    /// Stays without publishers, since it was created with options of its own.
    pub(crate) pinned: bool,
    pub(crate) links: Vec<Link>,
    pub(crate) publishers: u64,
    pub(crate) kept: BTreeMap<MessageType, (u64, Stamp, Message)>,
    /// What those count.
    pub(crate) kept_bytes: u64,
    /// Subscriptions that hold publishers back: they are full, or have stopped this topic.
    pub(crate) holding: u32,
    pub(crate) held: VecDeque<Held>,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
    pub(crate) too_slow: u64,
    pub(crate) last_publish: Option<(SharedSender, Time)>,
    /// Publishers that are told whether somebody listens.
    pub(crate) matching: Matching,
}

/// A subscription that matches a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub subscription: Id<Subscription>,
    /// Whether it may hold the topic's publishers back.
    pub hold: bool,
    /// It has stopped the topic for longer than that allows, and is given nothing of it.
    pub passes: bool,
}

/// What waits for a slow subscriber to let it in.
#[derive(Debug)]
pub(crate) enum Held {
    Message {
        session: Id<Session>,
        channel: Channel,
        stamp: Stamp,
        message: Message,
        ticket: Option<Ticket>,
    },
    Parcel {
        session: Id<Session>,
        channel: Channel,
        /// Of its first message.
        stamp: Stamp,
        parcel: Parcel,
    },
    Flush {
        session: Id<Session>,
        channel: Channel,
        request: RequestId,
    },
}

/// What waits for a subscription's window.
#[derive(Debug)]
pub(crate) enum Backlogged {
    Message(Message),
    Parcel(Parcel),
}

/// A subscription, or a group that shares one.
pub struct Subscription {
    pub(crate) id: Id<Subscription>,
    pub(crate) pattern: Pattern,
    pub(crate) options: SubscribeOptions,
    pub(crate) members: Vec<Member>,
    /// If it is a group.
    pub(crate) share: Option<Share>,
    pub(crate) backlog: VecDeque<(Stamp, Backlogged)>,
    pub(crate) backlog_bytes: u64,
    /// Messages in it.
    pub(crate) backlog_messages: u64,
    /// Dropped since the last delivery.
    pub(crate) lost: u64,
    /// The same, of all time.
    pub(crate) lost_ever: u64,
    /// So many of those may have arrived, before their broker forgot.
    pub(crate) unconfirmed: u64,
    pub(crate) topics: Vec<(Id<Topic>, bool)>,
    /// If it is for others, beyond a bridge: what they want of what it matches.
    pub(crate) beyond: Option<Vec<Interest>>,
    /// How many wishes there had been when it was made. Not when it was linked: a topic may go and
    /// come again, and who was there before misses what is lost meanwhile.
    pub(crate) since: u64,
    pub(crate) full: bool,
    /// Of the topics that it is linked to: those of which it takes nothing for now.
    pub(crate) stopped: BTreeMap<Id<Topic>, Stop>,
    /// When it ends, if it goes on holding publishers back.
    pub(crate) hold_until: Option<Time>,
}

/// A member of a subscription; without a group there is one.
#[derive(Debug)]
pub(crate) struct Member {
    pub session: Id<Session>,
    pub channel: Channel,
    pub selector: Selector,
    pub window: u64,
    pub sent: u64,
    pub consumed: u64,
    /// In a group: what it has, and when it had its turn.
    pub part: Part,
}

/// What a delivery came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// Sent, or in the backlog.
    Taken,
    /// In the backlog, which is full with it.
    Filled,
    /// In the backlog; so many older ones were dropped for it.
    Dropped(u64),
    /// Not taken: the subscription must end.
    TooSlow,
}

impl Member {
    pub(crate) fn new(
        session: Id<Session>,
        channel: Channel,
        options: &SubscribeOptions,
    ) -> Member {
        let (window, selector) = (options.window_bytes, options.selector);
        let part = Part::default();
        Member { session, channel, selector, window, sent: 0, consumed: 0, part }
    }

    pub(crate) fn has_window(&self, charge: u64) -> bool {
        charge <= self.room()
    }

    /// What is left of its window.
    pub(crate) fn room(&self) -> u64 {
        self.window.saturating_sub(self.sent - self.consumed)
    }
}

impl Subscription {
    /// Sends a message, or keeps it for later, or says that it is too slow.
    pub(crate) fn offer(
        &mut self,
        ground: &mut Ground,
        hold: bool,
        stamp: &Stamp,
        message: &mut Message,
    ) -> Offered {
        let at = self.arrive(1);
        let sent = match &self.share {
            None => self.backlog.is_empty() && self.send(ground, stamp, message),
            Some(_) => self.hand_out(ground, at, stamp, message),
        };
        if sent {
            return Offered::Taken;
        }
        // One copy for all of them.
        message.compact();
        let cost = message.cost();
        let limit = self.options.backlog_bytes;
        let mut dropped = 0;
        if self.backlog_bytes + cost > limit && !hold {
            if self.options.policy != super::command::SlowPolicy::DropOldest {
                return Offered::TooSlow;
            }
            while self.backlog_bytes + cost > limit && self.drop_oldest().is_some() {
                dropped += 1;
            }
            self.note_lost(dropped, 0);
        }
        self.keep_for_later(at, stamp.clone(), Backlogged::Message(message.clone()));
        match (dropped, hold && !self.full && self.backlog_bytes >= limit) {
            (0, true) => Offered::Filled,
            (0, false) => Offered::Taken,
            (dropped, _) => Offered::Dropped(dropped),
        }
    }

    /// It misses so many messages, of which some may have arrived.
    pub(super) fn note_lost(&mut self, count: u64, unconfirmed: u64) {
        self.lost = self.lost.saturating_add(count);
        self.lost_ever = self.lost_ever.saturating_add(count);
        self.unconfirmed = self.unconfirmed.saturating_add(unconfirmed.min(count));
    }

    /// What it has missed since that was told last.
    pub(super) fn take_lost(&mut self, channel: Channel) -> Option<Output> {
        let count = std::mem::take(&mut self.lost);
        let unconfirmed = std::mem::take(&mut self.unconfirmed);
        (count > 0).then_some(Output::Lost { channel, count, unconfirmed })
    }

    /// Sends to its only member, if that has window for it.
    pub(super) fn send(&mut self, ground: &mut Ground, stamp: &Stamp, message: &Message) -> bool {
        let Some(member) = self.members.first_mut() else { return false };
        let charge = window_charge(message.len(), member.window);
        if !member.has_window(charge) || !ground.is_flowing(member.session) {
            return false;
        }
        member.sent += charge;
        let (session, channel) = (member.session, member.channel);
        if let Some(lost) = self.take_lost(channel) {
            ground.tell(session, lost);
        }
        let (stamp, message) = (stamp.clone(), message.clone());
        ground.tell(session, Output::Deliver { channel, stamp, message });
        true
    }

    /// Sends from the backlog what the windows allow. Whether it is full no longer.
    pub(crate) fn pump(&mut self, ground: &mut Ground) -> bool {
        if self.share.is_some() {
            self.pump_shared(ground);
        }
        while let Some((mut stamp, entry)) = self.backlog.pop_front() {
            let left = match entry {
                Backlogged::Message(message) if self.send(ground, &stamp, &message) => {
                    self.note_out(1, message.cost());
                    continue;
                }
                Backlogged::Parcel(mut parcel) => {
                    self.note_out(parcel.count(), parcel.cost());
                    self.send_parcel(ground, &mut stamp, &mut parcel);
                    if parcel.is_empty() {
                        continue;
                    }
                    self.note_in(parcel.count(), parcel.cost());
                    Backlogged::Parcel(parcel)
                }
                message => message,
            };
            self.backlog.push_front((stamp, left));
            break;
        }
        self.full && self.backlog_bytes <= self.options.backlog_bytes / 2
    }
}

impl Topic {
    /// Hands a message to every subscription that matches. Those that are full now, or too
    /// slow, are noted in `notes`.
    pub(crate) fn fan_out(
        &mut self,
        subscriptions: &mut Arena<Subscription>,
        ground: &mut Ground,
        stamp: &Stamp,
        mut message: Message,
        notes: &mut Vec<(Id<Subscription>, Offered)>,
    ) {
        self.published += 1;
        for link in &self.links {
            let Some(subscription) = subscriptions.get_mut(link.subscription) else { continue };
            if !subscription.takes(message.kind()) {
                continue;
            }
            if link.passes {
                self.dropped += 1;
                subscription.note_passed(self.id, 1);
                continue;
            }
            match subscription.offer(ground, link.hold, stamp, &mut message) {
                Offered::Taken => self.delivered += 1,
                Offered::Dropped(count) => {
                    self.delivered += 1;
                    self.dropped += count;
                }
                noted => notes.push((link.subscription, noted)),
            }
        }
        if self.options.keep_last {
            self.keep(stamp, message);
        }
    }

    /// How much waits to be let in: messages and flushes.
    pub(crate) fn held_count(&self) -> u64 {
        let count = |held: &Held| match held {
            Held::Parcel { parcel, .. } => parcel.count(),
            Held::Message { .. } | Held::Flush { .. } => 1,
        };
        self.held.iter().map(count).sum()
    }

    /// Whether a message waits to be let in.
    pub(crate) fn has_held(&self) -> bool {
        self.held.iter().any(|held| !matches!(held, Held::Flush { .. }))
    }

    /// Keeps the last message of its type. Where there are too many, or they count too much, the one
    /// that was published longest ago goes, and is counted as dropped.
    fn keep(&mut self, stamp: &Stamp, mut message: Message) {
        message.compact();
        if let Some((.., before)) = self.kept.remove(&message.kind()) {
            self.kept_bytes -= before.cost();
        }
        while self.kept.len() >= KEPT_TYPES_MAX
            || self.kept_bytes + message.cost() > KEPT_BYTES_OF_TOPIC_MAX
        {
            let oldest = self.kept.iter().min_by_key(|(_, (serial, ..))| *serial);
            let Some((.., gone)) =
                oldest.map(|(kind, _)| *kind).and_then(|it| self.kept.remove(&it))
            else {
                break;
            };
            self.kept_bytes -= gone.cost();
            self.dropped += 1;
        }
        self.kept_bytes += message.cost();
        self.kept.insert(message.kind(), (self.published, stamp.clone(), message));
    }

    /// Keeps nothing of what was published so far.
    pub(crate) fn forget_kept(&mut self) {
        self.kept.clear();
        self.kept_bytes = 0;
    }

    /// The kept messages, oldest first.
    pub(crate) fn kept_in_order(&self) -> Vec<(Stamp, Message)> {
        let mut kept: Vec<_> = self.kept.values().collect();
        kept.sort_by_key(|(serial, ..)| *serial);
        kept.into_iter().map(|(_, stamp, message)| (stamp.clone(), message.clone())).collect()
    }
}
