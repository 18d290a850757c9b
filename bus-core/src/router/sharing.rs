//! Groups: a subscription that several members share, each message going to one of them.
//!
//! A message goes to the member that takes it, is connected, has window for it, and has least
//! under way; of equal ones to the one that has waited longest. What nobody can take now waits for
//! all of them together. Invariants: what waits and what a member has not used up yet have their
//! number of arrival, each number once; a member gets nothing while something waits that it takes
//! and that arrived before; in a group whose members select alike only the first that waits counts.

use std::collections::{BTreeMap, VecDeque};

use crate::frame::Parcel;
use crate::limits::{MESSAGE_OVERHEAD_BYTES, window_charge};
use crate::message::Message;
use crate::message_type::MessageType;
use crate::selector::Selector;
use crate::time::Time;

use super::effect::{Output, Stamp};
use super::fault::Fault;
use super::ground::Ground;
use super::pace::Pace;
use super::topic::{Backlogged, Member, Subscription};

/// What a group has beside what every subscription has.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// What waits, by its number of arrival.
    pub(super) backlog: BTreeMap<u64, (Stamp, Backlogged)>,
    /// The number of what arrives next.
    next: u64,
    /// Its members do not all select alike. Then no parcel waits.
    pub(super) mixed: bool,
    /// Goes up with each message or parcel that a member is given.
    turn: u64,
}

/// What a member of a group has beside what every subscriber has.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// What it was given and has not used up, the oldest first.
    pub(super) given: VecDeque<Given>,
    /// Nothing that waits and has a smaller number is for it (where members select differently).
    pub(super) looked: u64,
    /// The turn in which it was given something last.
    last: u64,
    pace: Pace,
}

/// What a member was given.
#[derive(Debug)]
pub(super) struct Given {
    /// Its number of arrival.
    pub(super) at: u64,
    /// What the member had been sent before it, and with it.
    pub(super) from: u64,
    upto: u64,
    pub(super) stamp: Stamp,
    pub(super) what: Backlogged,
}

impl Subscription {
    /// Whether a message of this type is for it.
    #[inline]
    pub(super) fn takes(&self, kind: MessageType) -> bool {
        match &self.share {
            Some(share) if share.mixed => {
                self.members.iter().any(|member| member.selector.matches(kind))
            }
            _ => self.options.selector.matches(kind),
        }
    }

    /// Whether parcels go their way whole: all members take everything.
    pub(super) fn shares_parcels(&self) -> bool {
        let alike = self.share.as_ref().is_none_or(|share| !share.mixed);
        alike && self.options.selector == Selector::Any
    }

    /// So many arrive now. The number of the first.
    pub(super) fn arrive(&mut self, count: u64) -> u64 {
        self.share.as_mut().map_or(0, |share| {
            share.next += count;
            share.next - count
        })
    }

    /// Keeps what has arrived for later.
    pub(super) fn keep_for_later(&mut self, at: u64, stamp: Stamp, what: Backlogged) {
        self.note_in(what.count(), what.cost());
        match &mut self.share {
            Some(share) => drop(share.backlog.insert(at, (stamp, what))),
            None => self.backlog.push_back((stamp, what)),
        }
    }

    /// Whether anything waits.
    #[inline]
    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty() || self.share.as_ref().is_some_and(|it| !it.backlog.is_empty())
    }

    /// What waits longest, with its number of arrival.
    pub(super) fn pop_oldest(&mut self) -> Option<(u64, Stamp, Backlogged)> {
        match &mut self.share {
            Some(share) => share.backlog.pop_first().map(|(at, (stamp, what))| (at, stamp, what)),
            None => self.backlog.pop_front().map(|(stamp, what)| (0, stamp, what)),
        }
    }

    /// Puts back what is left of that.
    pub(super) fn put_back(&mut self, at: u64, stamp: Stamp, what: Backlogged) {
        match &mut self.share {
            Some(share) => drop(share.backlog.insert(at, (stamp, what))),
            None => self.backlog.push_front((stamp, what)),
        }
    }

    /// Gives a message that has just arrived to a member, if one can take it now.
    pub(super) fn hand_out(
        &mut self,
        ground: &mut Ground,
        at: u64,
        stamp: &Stamp,
        message: &mut Message,
    ) -> bool {
        let Some(share) = &self.share else { return false };
        if !share.mixed && !share.backlog.is_empty() {
            return false;
        }
        let Some(index) = self.choose(ground, Some(message.kind()), message.len()) else {
            return false;
        };
        // It is kept until the member has used it up.
        message.compact();
        self.give(ground, index, at, stamp.clone(), message.clone());
        true
    }

    /// The member that is to have a message of this length. Of a given type it is new, and where
    /// members select differently those are left out for which something waits.
    fn choose(
        &mut self,
        ground: &Ground,
        new: Option<MessageType>,
        length: usize,
    ) -> Option<usize> {
        let share = self.share.as_ref()?;
        let is_blind = ground.planted(Fault::GroupIgnoresSelector);
        let fits = |member: &mut Member| {
            let able = member.has_window(window_charge(length, member.window))
                && ground.is_served(member.session);
            let takes = new.is_none_or(|kind| is_blind || member.selector.matches(kind));
            let is_new = new.is_some() && share.mixed;
            able && takes && (!is_new || share.first_for(member).is_none())
        };
        let members = self.members.iter_mut().enumerate();
        let able = members.filter_map(|(index, member)| fits(member).then_some((index, member)));
        able.min_by_key(|(_, member)| member.load()).map(|(index, _)| index)
    }

    fn give(&mut self, ground: &mut Ground, index: usize, at: u64, stamp: Stamp, message: Message) {
        let count = self.members.len();
        let twice = ground.planted(Fault::GroupHandsTwice) && at % 16 == 7 && count > 1;
        let charge = |window| window_charge(message.len(), window);
        self.note_given(ground, index, at, &stamp, charge, Backlogged::Message(message.clone()));
        let member = &self.members[index];
        let channel = member.channel;
        if twice {
            let other = &self.members[(index + 1) % count];
            let (stamp, message) = (stamp.clone(), message.clone());
            ground.tell(other.session, Output::Deliver { channel: other.channel, stamp, message });
        }
        ground.tell(member.session, Output::Deliver { channel, stamp, message });
    }

    /// What every hand-over does first: what was lost is told, and the member has so much more.
    fn note_given(
        &mut self,
        ground: &mut Ground,
        index: usize,
        at: u64,
        stamp: &Stamp,
        charge: impl Fn(u64) -> u64,
        what: Backlogged,
    ) {
        let (session, channel) = (self.members[index].session, self.members[index].channel);
        if let Some(lost) = self.take_lost(channel) {
            ground.tell(session, lost);
        }
        let turn = self.share.as_mut().map_or(0, |share| {
            share.turn += 1;
            share.turn
        });
        let member = &mut self.members[index];
        let from = member.sent;
        if member.consumed == from {
            member.part.pace.begin(ground.now);
        }
        member.sent += charge(member.window);
        member.part.last = turn;
        let (upto, stamp) = (member.sent, stamp.clone());
        member.part.given.push_back(Given { at, from, upto, stamp, what });
    }

    /// Gives out what waits, as far as somebody can take it.
    pub(super) fn pump_shared(&mut self, ground: &mut Ground) {
        if self.share.as_ref().is_some_and(|share| share.mixed) {
            return self.pump_mixed(ground);
        }
        while let Some((at, stamp, what)) = self.pop_oldest() {
            match what {
                Backlogged::Message(message) => match self.choose(ground, None, message.len()) {
                    Some(index) => {
                        self.note_out(1, message.cost());
                        self.give(ground, index, at, stamp, message);
                    }
                    None => return self.put_back(at, stamp, Backlogged::Message(message)),
                },
                Backlogged::Parcel(parcel) => {
                    self.note_out(parcel.count(), parcel.cost());
                    if let Some((at, stamp, rest)) = self.share_out(ground, at, stamp, parcel) {
                        self.note_in(rest.count(), rest.cost());
                        return self.put_back(at, stamp, Backlogged::Parcel(rest));
                    }
                }
            }
        }
    }

    /// The same where members select differently: whoever has room for the first that is for it.
    fn pump_mixed(&mut self, ground: &mut Ground) {
        loop {
            let Some(share) = &self.share else { return };
            let members = self.members.iter_mut().enumerate();
            let next = members.filter_map(|(index, member)| {
                let at = share.first_for(member)?;
                let (_, Backlogged::Message(message)) = share.backlog.get(&at)? else {
                    return None;
                };
                let charge = window_charge(message.len(), member.window);
                let able = member.has_window(charge) && ground.is_served(member.session);
                able.then_some((at, member.load(), index))
            });
            let Some((at, _, index)) = next.min() else { return };
            let entry = self.share.as_mut().and_then(|share| share.backlog.remove(&at));
            // It was a message a moment ago.
            let Some((stamp, Backlogged::Message(message))) = entry else { return };
            self.note_out(1, message.cost());
            self.give(ground, index, at, stamp, message);
        }
    }

    /// Whether all of a parcel finds room in the windows of those who can be given something.
    pub(super) fn shares_at_once(&self, ground: &Ground, parcel: &Parcel) -> bool {
        // What is left of a window may be too small for the next message.
        let spare = parcel.longest() + MESSAGE_OVERHEAD_BYTES as u64;
        let served = self.members.iter().filter(|member| {
            ground.is_served(member.session) && ground.has_flow_for(member.session, parcel.cost())
        });
        let rooms = served.map(|member| member.room().saturating_sub(spare));
        !self.has_backlog() && rooms.sum::<u64>() >= parcel.cost()
    }

    /// Gives a parcel out in runs: one for each member that can take something, but longer ones to those
    /// who are quick. What is left, if nobody can take it.
    pub(super) fn share_out(
        &mut self,
        ground: &mut Ground,
        mut at: u64,
        mut stamp: Stamp,
        mut parcel: Parcel,
    ) -> Option<(u64, Stamp, Parcel)> {
        let able = |member: &&Member| member.room() > 0 && ground.is_served(member.session);
        let able = self.members.iter().filter(able).count().max(1) as u64;
        let run = parcel.count().div_ceil(able);
        while !parcel.is_empty() {
            let Some(index) = self.choose(ground, None, parcel.first_length() as usize) else {
                return Some((at, stamp, parcel));
            };
            let member = &self.members[index];
            // Near the bound of what may be unwritten each message is looked at by itself.
            let run = match ground.has_flow_for(member.session, parcel.cost()) {
                true => run.max(member.quick_run(ground, &parcel)),
                false => 1,
            };
            let fitting = parcel.fitting(member.room(), run);
            // The first fits, if not by its cost then by its charge.
            let front = parcel.split_to(fitting.max(1));
            let charge = |window| front.charge(window);
            self.note_given(ground, index, at, &stamp, charge, Backlogged::Parcel(front.clone()));
            let member = &self.members[index];
            let (session, channel) = (member.session, member.channel);
            at += front.count();
            let rest = stamp.after(front.count());
            let stamp = std::mem::replace(&mut stamp, rest);
            ground.tell(session, Output::DeliverParcel { channel, stamp, parcel: front });
        }
        None
    }
}

impl Share {
    /// The number of the first that waits and is for this member. It looks at each but once.
    fn first_for(&self, member: &mut Member) -> Option<u64> {
        let is_for_it = |what: &Backlogged| match what {
            Backlogged::Message(message) => member.selector.matches(message.kind()),
            Backlogged::Parcel(_) => true,
        };
        let (last, _) = self.backlog.last_key_value()?;
        let mut waiting = self.backlog.range(member.part.looked..);
        let found = waiting.find(|(_, (_, what))| is_for_it(what)).map(|(at, _)| *at);
        member.part.looked = found.unwrap_or(member.part.looked.max(last + 1));
        found
    }
}

impl Member {
    /// By this members are compared: what is under way to it, then for how long it has waited.
    fn load(&self) -> (u64, u64) {
        (self.sent - self.consumed, self.part.last)
    }

    /// How many from the front of a parcel it will be done with in a moment, as far as one knows.
    fn quick_run(&self, ground: &Ground, parcel: &Parcel) -> u64 {
        match ground.planted(Fault::GroupIgnoresPace) {
            true => parcel.count(),
            // No more is looked at than there is room for.
            false => parcel.fitting(self.part.pace.bytes().min(self.room()), u64::MAX),
        }
    }

    /// It has used up so many bytes in all.
    pub(super) fn use_up(&mut self, now: Time, bytes: u64) {
        let before = self.consumed;
        // More than was sent cannot have been used up.
        self.consumed = self.consumed.max(bytes.min(self.sent));
        if self.consumed > before {
            self.part.pace.report(now, self.consumed - before);
        }
        while self.part.given.front().is_some_and(|given| given.upto <= self.consumed) {
            self.part.given.pop_front();
        }
    }
}
