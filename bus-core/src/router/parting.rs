//! Members of a group that come and go: what changes for what waits, and what those leave who go.
//!
//! Not who gets what (`sharing`). Invariant: where members select differently no parcel waits, and
//! nothing that none of them takes.

use crate::arena::Id;

use super::command::Channel;
use super::effect::Stamp;
use super::fault::Fault;
use super::ground::Ground;
use super::session::Session;
use super::sharing::Given;
use super::topic::{Backlogged, Member, Subscription};

impl Subscription {
    /// A member joins. Those that select differently from now on are not all looked at together.
    pub(super) fn join_share(&mut self, member: Member) {
        let differs = member.selector != self.options.selector;
        self.members.push(member);
        let Some(share) = self.share.as_mut().filter(|share| differs && !share.mixed) else {
            return;
        };
        share.mixed = true;
        for (mut at, (mut stamp, what)) in std::mem::take(&mut share.backlog) {
            match what {
                Backlogged::Message(_) => drop(share.backlog.insert(at, (stamp, what))),
                Backlogged::Parcel(parcel) => {
                    for message in parcel.messages() {
                        let entry = (stamp.clone(), Backlogged::Message(message));
                        share.backlog.insert(at, entry);
                        (at, stamp.sequence) = (at + 1, stamp.sequence + 1);
                    }
                }
            }
        }
    }

    /// Takes a member off. What it was given and has not used up waits for the others, in its old
    /// place; what none of them takes is gone with it.
    pub(super) fn part_with(&mut self, ground: &Ground, session: Id<Session>, channel: Channel) {
        let same = |member: &Member| (member.session, member.channel) == (session, channel);
        let Some(index) = self.members.iter().position(same) else { return };
        let gone = self.members.remove(index);
        let Some(first) = self.members.first().map(|member| member.selector) else { return };
        let Some(share) = &mut self.share else { return };
        let had_mixed = share.mixed;
        share.mixed = self.members.iter().any(|member| member.selector != first);
        if !share.mixed {
            self.options.selector = first;
        }
        let forgets = ground.planted(Fault::GroupForgetsGone);
        let returned: Vec<_> = gone.unused().filter(|_| !forgets).collect();
        // What it was given in place of another one that had left came to it out of order.
        let lowest = returned.iter().map(|(at, ..)| *at).min().unwrap_or(u64::MAX);
        self.members.iter_mut().for_each(|it| it.part.looked = it.part.looked.min(lowest));
        for (at, stamp, what) in returned {
            match what {
                Backlogged::Parcel(parcel) if had_mixed => {
                    for (count, message) in (0..).zip(parcel.messages()) {
                        let what = Backlogged::Message(message);
                        self.keep_for_later(at + count, stamp.after(count), what);
                    }
                }
                what => self.keep_for_later(at, stamp, what),
            }
        }
        if had_mixed {
            self.drop_untaken();
        }
    }

    /// Drops what waits and no member takes.
    fn drop_untaken(&mut self) {
        let (members, mut count, mut bytes) = (&self.members, 0, 0);
        let Some(share) = &mut self.share else { return };
        share.backlog.retain(|_, (_, what)| {
            let Backlogged::Message(message) = what else { return true };
            let taken = members.iter().any(|member| member.selector.matches(message.kind()));
            if !taken {
                (count, bytes) = (count + 1, bytes + message.cost());
            }
            taken
        });
        self.note_out(count, bytes);
    }
}

impl Member {
    /// What it has not used up, with its numbers of arrival.
    fn unused(self) -> impl Iterator<Item = (u64, Stamp, Backlogged)> {
        let (consumed, window) = (self.consumed, self.window);
        self.part.given.into_iter().map(move |Given { at, from, stamp, what, .. }| match what {
            Backlogged::Parcel(mut parcel) if from < consumed => {
                let used = parcel.split_to_fit(consumed - from, window);
                let used = used.map_or(0, |used| used.count());
                (at + used, stamp.after(used), Backlogged::Parcel(parcel))
            }
            what => (at, stamp, what),
        })
    }
}
